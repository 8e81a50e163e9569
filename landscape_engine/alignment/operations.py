"""What layers and arithmetic demand of the order of units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .axes import NEEDS_EXAMPLE, Axis, Equations, Refusal, fixed
from .layouts import Layout, broadcast, fix, repeated

Rule = Callable[..., Any]
"""Called with the equations and the arguments of an operation, layouts in place of tensors; gives its result so."""


# Layers


def linear(eq: Equations, x: Layout, weight: Layout, bias: Layout | None = None) -> Layout:
    """Contracts the last axis with the inputs of the weight; its outputs are new units."""
    x = x.reach(1)
    eq.equal(x.axes[-1], weight.axes[1])
    if bias is not None:
        eq.equal(weight.axes[0], bias.axes[0])
    return x.with_axis(len(x.axes) - 1, weight.axes[0])


def convolution(dims: int) -> Rule:
    """The rule of a convolution over so many axes: one permutation of its channels, its pixels stay."""

    def rule(
        eq: Equations,
        x: Layout,
        weight: Layout,
        bias: Layout | None = None,
        stride: object = 1,
        padding: object = 0,
        dilation: object = 1,
        groups: int = 1,
    ) -> Layout:
        x = x.batched(dims + 1)
        for axis in (*x.axes[-dims:], *weight.axes[2:]):
            eq.fix(axis)
        _channels(eq, x.axes[-dims - 1], weight, groups)
        if bias is not None:
            eq.equal(weight.axes[0], bias.axes[0])
        return Layout((*x.axes[: -dims - 1], weight.axes[0], *(fixed() for _ in range(dims))))

    return rule


def _channels(eq: Equations, channels: Axis, weight: Layout, groups: int) -> None:
    outputs = eq.length(eq.expand(weight.axes[0])) or 0
    if groups == 1:
        eq.equal(channels, weight.axes[1])
    elif eq.length(eq.expand(weight.axes[1])) == 1:  # depthwise: the outputs of a channel move with it
        eq.equal(repeated(eq.completed(channels, groups), outputs // groups), weight.axes[0])
    else:  # one axis of the weight stands for the inputs of every group
        eq.fix(channels)
        eq.fix(weight.axes[1])
        eq.segments(weight.axes[0], groups)


def batch_norm(eq: Equations, x: Layout, *tensors: Layout | object, **named: Layout | object) -> Layout:
    """Statistics, weight and bias, one a channel."""
    return per_channel(eq, x, [t for t in (*tensors, *named.values()) if isinstance(t, Layout)])


def per_channel(eq: Equations, x: Layout, tensors: Sequence[Layout]) -> Layout:
    """Tensors of one entry a channel; channels are the second axis, or the last of the features of examples."""
    many = [t for t in tensors if eq.length(eq.expand(t.axes[0])) != 1]
    x = x.reach(1) if many and x.open else x
    for tensor in many:
        eq.equal(x.axes[-1] if x.open or len(x.axes) == 1 else x.axes[1], tensor.axes[0])
    return x


def layer_norm(
    eq: Equations,
    x: Layout,
    normalized_shape: Sequence[int],
    weight: Layout | None = None,
    bias: Layout | None = None,
    eps: float = 0,
) -> Layout:
    """The mean over units does not depend on their order; weight and bias move with them."""
    x = x.reach(len(normalized_shape))
    for tensor in (weight, bias):
        for k, axis in enumerate(reversed(tensor.axes if isinstance(tensor, Layout) else ())):
            eq.equal(x.axes[-1 - k], axis)
    return x


def group_norm(
    eq: Equations,
    x: Layout,
    num_groups: int,
    weight: Layout | None = None,
    bias: Layout | None = None,
    eps: float = 0,
) -> Layout:
    """Channels change places within their group; where each is a group, or all are one, there is no such limit."""
    x = per_channel(eq, x, [t for t in (weight, bias) if t is not None])
    if not x.axes:
        return x
    index = len(x.axes) - 1 if x.open else x.index(1)
    channels = eq.expand(x.axes[index])
    if weight is not None:
        channels = eq.completed(channels, known(eq, weight.axes[0]))
    if num_groups not in (1, eq.length(channels)) and not eq.stays(channels):
        eq.segments(channels, num_groups)
    return x


def instance_norm(dims: int) -> Rule:
    """The rule of a norm of each channel of each example, over so many axes."""

    def rule(eq: Equations, x: Layout, tensors: Sequence[Layout]) -> Layout:
        x = x.batched(dims + 1)
        for tensor in tensors:
            eq.equal(x.axes[-dims - 1], tensor.axes[0])
        return x

    return rule


def prelu(eq: Equations, x: Layout, weight: Layout) -> Layout:
    """One slope, or one a channel."""
    return per_channel(eq, x, [weight])


def embedding(eq: Equations, tokens: Layout, weight: Layout, *args: object, **named: object) -> Layout:
    """Tokens stay; the entries of their vectors are units."""
    fix(eq, tokens)
    eq.fix(weight.axes[0])
    return Layout((*tokens.axes, weight.axes[1]), tokens.first)


def matmul(eq: Equations, x: Layout, y: Layout) -> Layout:
    """Contracts the last axis of the one with the last but one of the other."""
    if any(not t.open and len(t.axes) < 2 for t in (x, y)):
        raise Refusal("a product with a vector is not known. Write it as a product of matrices")
    x, y = x.reach(2), y.reach(2)
    eq.equal(x.axes[-1], y.axes[-2])
    batch = broadcast(eq, [Layout(x.axes[:-2], x.first), Layout(y.axes[:-2], y.first)])
    return Layout((*batch.axes, x.axes[-2], y.axes[-1]), batch.first).anew()


# Entry by entry


def elementwise(eq: Equations, *args: object, **named: object) -> Layout:
    """Of each entry, or of the entries that face each other."""
    return broadcast(eq, [x for x in (*args, *named.values()) if isinstance(x, Layout)])


def converted(eq: Equations, x: Layout, *args: object, **named: object) -> Layout:
    """As another type, which may be that of another tensor."""
    return x


def where(eq: Equations, condition: Layout, x: object, y: object) -> Layout:
    """Entries of the one or the other; indices, which the condition alone would give, depend on the order."""
    return elementwise(eq, condition, x, y)


# Over an axis


def reduction(position: int) -> Rule:
    """The rule of a sum over axes, or the like; ``keepdim`` is its argument number ``position``."""

    def rule(eq: Equations, x: Layout, *args: Any, **named: Any) -> Layout:
        dim = named.get("dim", named.get("axis", args[0] if args else None))
        keep = named.get("keepdim", args[position] if len(args) > position else False)
        if isinstance(dim, bool) or not isinstance(dim, int | tuple | list | None):
            raise Refusal("its axis is not known. Name it as dim=")
        if dim is None and not keep:
            return Layout(())
        dims = [dim] if isinstance(dim, int) else list(range(-len(x.axes), 0) if dim is None else dim)
        x = x.reach(max((-d for d in dims), default=0))
        gone = {x.index(d) for d in dims}
        left = [fixed(1) if k in gone else axis for k, axis in enumerate(x.axes) if keep or k not in gone]
        return Layout(tuple(left), x.first).anew()

    return rule


def pooling(dims: int) -> Rule:
    """The rule of pooling over the last axes, which stay in their order."""

    def rule(eq: Equations, x: Layout, *args: object, **named: Any) -> Layout:
        if named.get("return_indices"):
            raise Refusal("the indices of a maximum depend on the order. Set return_indices=False")
        x = x.batched(dims + 1)
        for axis in x.axes[-dims:]:
            eq.fix(axis)
        return Layout((*x.axes[:-dims], *(fixed() for _ in range(dims))))

    return rule


def adaptive_pooling(dims: int) -> Rule:
    """The rule of pooling to a given size."""

    def rule(eq: Equations, x: Layout, output_size: Any, return_indices: bool = False) -> Layout:
        pooled: Layout = pooling(dims)(eq, x, return_indices=return_indices)
        sizes = output_size if isinstance(output_size, tuple | list) else [output_size] * dims
        return Layout((*pooled.axes[:-dims], *(fixed(n) for n in sizes)))

    return rule


def interpolate(eq: Equations, x: Layout, *args: object, **named: object) -> Layout:
    """Resizing of every axis behind the channels."""
    x.index(0)
    for axis in x.axes[2:]:
        eq.fix(axis)
    return Layout((*x.axes[:2], *(fixed() for _ in x.axes[2:])))


def known(eq: Equations, axis: Axis) -> int:
    """The length of an axis, which an operation cannot be followed without."""
    length = eq.length(eq.expand(axis))
    if length is None:
        raise Refusal(NEEDS_EXAMPLE)
    return length
