"""What operations that move entries about do to the order of units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .axes import NEEDS_EXAMPLE, Axis, Equations, Refusal, fixed
from .layouts import Count, Layout, broadcast, merge, reshape, split
from .operations import known, matmul


def concatenate(eq: Equations, tensors: Sequence[Layout], dim: int = 0, *, axis: int | None = None) -> Layout:
    """The units of one tensor behind those of the other."""
    dim = dim if axis is None else axis
    if all(t.open and not t.axes for t in tensors):
        return tensors[0].anew()
    tensors = [t.reach(-dim) if dim < 0 else t for t in tensors]
    back = [t.index(dim) - len(t.axes) for t in tensors]
    if len(set(back)) > 1:
        raise Refusal(NEEDS_EXAMPLE)
    joined = tuple(b for t in tensors for b in eq.expand(t.axes[back[0]]))
    whole = broadcast(eq, [t.with_axis(len(t.axes) + back[0], fixed(1)) for t in tensors])
    return whole.with_axis(len(whole.axes) + back[0], joined).anew()


def stack(eq: Equations, tensors: Sequence[Layout], dim: int = 0) -> Layout:
    """Tensors along a new axis, which stays."""
    return concatenate(eq, [unsqueeze(eq, t, dim) for t in tensors], dim)


def split_by(eq: Equations, x: Layout, size: Any, dim: int = 0) -> tuple[Layout, ...]:
    """Parts of an axis; units of different parts no longer change places."""
    index = x.index(dim)
    sizes = size
    if isinstance(size, int):
        total = known(eq, x.axes[index])
        sizes = [min(size, total - start) for start in range(0, total, size)]
    if not all(isinstance(n, int) for n in sizes):
        raise Refusal(NEEDS_EXAMPLE)
    whole = eq.completed(x.axes[index], sum(sizes))
    return tuple(x.with_axis(index, part) for part in eq.parts(whole, sizes))


def chunk(eq: Equations, x: Layout, chunks: int, dim: int = 0) -> tuple[Layout, ...]:
    """Parts of an axis, all but the last of one size."""
    total = known(eq, x.axes[x.index(dim)])
    return split_by(eq, x, -(-total // chunks), dim)


def unbind(eq: Equations, x: Layout, dim: int = 0) -> tuple[Layout, ...]:
    """One tensor for each entry of an axis, which stays."""
    index = x.index(dim)
    eq.fix(x.axes[index])
    rest = Layout((*x.axes[:index], *x.axes[index + 1 :]))
    return (rest,) * known(eq, x.axes[index])


def glu(eq: Equations, x: Layout, dim: int = -1) -> Layout:
    """One half of the units, gated by the other."""
    return broadcast(eq, chunk(eq, x.reach(1), 2, dim))


def permute(eq: Equations, x: Layout, *dims: Any) -> Layout:
    """Axes in another order."""
    order = list(dims[0]) if len(dims) == 1 and not isinstance(dims[0], int) else list(dims)
    x.index(0)
    return Layout(tuple(x.axes[x.index(d)] for d in order))


def transpose(eq: Equations, x: Layout, dim0: int, dim1: int) -> Layout:
    """Two axes change places."""
    x = x.reach(max(-dim0, -dim1, 0))
    a, b = x.index(dim0), x.index(dim1)
    return x.with_axis(a, x.axes[b]).with_axis(b, x.axes[a]).anew()


def transpose_matrix(eq: Equations, x: Layout) -> Layout:
    """The axes of a matrix change places."""
    if x.open or len(x.axes) != 2:
        raise Refusal("it is known of matrices only. Use permute")
    return transpose(eq, x, 0, 1)


def unsqueeze(eq: Equations, x: Layout, dim: int) -> Layout:
    """A new axis of length 1."""
    place = dim if dim >= 0 else len(x.axes) + dim + 1
    if x.open and (dim >= 0 or place < 0):
        raise Refusal(NEEDS_EXAMPLE)
    return Layout((*x.axes[:place], fixed(1), *x.axes[place:]), x.first).anew()


def squeeze(eq: Equations, x: Layout, dim: int | None = None) -> Layout:
    """Without an axis of length 1."""
    places = range(len(x.axes)) if dim is None else [x.index(dim)]
    if x.open and dim is None:
        raise Refusal(NEEDS_EXAMPLE)
    gone = [k for k in places if known(eq, x.axes[k]) == 1]
    return Layout(tuple(axis for k, axis in enumerate(x.axes) if k not in gone), x.first).anew()


def expand(eq: Equations, x: Layout, *sizes: Any) -> Layout:
    """Axes of length 1 repeated."""
    sizes = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
    if x.open:
        if x.axes:
            raise Refusal(NEEDS_EXAMPLE)
        return x.anew()
    axes = []
    for k, size in enumerate(sizes, len(x.axes) - len(sizes)):
        one = k < 0 or eq.length(eq.expand(x.axes[k])) == 1
        axes.append(_axis_of(size) if one and not (isinstance(size, int) and size == -1) else x.axes[k])
    return Layout(tuple(axes))


def _axis_of(size: object) -> Axis:
    if isinstance(size, Count):
        return size.axis if size.axis is not None and len(size.axis) == 1 and size.axis[0].units is None else fixed()
    return fixed(size) if isinstance(size, int) else fixed()


def attention(
    eq: Equations,
    query: Layout,
    key: Layout,
    value: Layout,
    attn_mask: Layout | None = None,
    dropout_p: float = 0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Layout:
    """Two products; softmax between them does not depend on the order, a causal mask does."""
    if enable_gqa:
        raise Refusal("heads in groups are not known. Repeat the keys and values")
    weights = matmul(eq, query, transpose(eq, key, -1, -2))
    if attn_mask is not None:
        weights = broadcast(eq, [weights, attn_mask])
    for axis in weights.axes[-2:] if is_causal else ():
        eq.fix(axis)
    return matmul(eq, weights, value)


def flatten(eq: Equations, x: Layout, start_dim: int = 0, end_dim: int = -1) -> Layout:
    """Neighboring axes as one: a channel becomes a unit with a run of entries."""
    if x.first is not None and not x.axes:
        return Layout((x.first, fixed())) if (start_dim, end_dim) == (1, -1) else x if start_dim > 0 else x.anew()
    start, end = x.index(start_dim), x.index(end_dim)
    return Layout((*x.axes[:start], merge(eq, x.axes[start : end + 1]), *x.axes[end + 1 :]), x.first).anew()


def unflatten(eq: Equations, x: Layout, dim: int, sizes: Sequence[int]) -> Layout:
    """One axis as several."""
    if x.open and not x.axes:
        return x if dim > 0 else x.anew()
    index = x.index(dim)
    if -1 in sizes:
        sizes = _without_minus([known(eq, x.axes[index])], sizes)
    return Layout((*x.axes[:index], *split(eq, x.axes[index], sizes), *x.axes[index + 1 :]), x.first).anew()


def view(eq: Equations, x: Layout, *sizes: Any) -> Layout:
    """Another shape. Without known shapes, only one that keeps the first axis can be followed."""
    sizes = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
    if not all(isinstance(n, int | Count) for n in sizes):
        raise Refusal("a view as another type is not known. Use .to")
    if all(eq.stays(axis) for axis in x.axes):
        return Layout(tuple(fixed() if isinstance(n, int) and n == -1 else _axis_of(n) for n in sizes))
    old = [x.size(eq, k) for k in range(len(x.axes))] if not x.open else [Count()]
    if all(isinstance(n, int) for n in (*old, *sizes)):
        return reshape(eq, x, old, _without_minus(old, sizes))  # type: ignore[arg-type]
    first = sizes[0]
    if not x.open and isinstance(first, Count) and first.axis is not None and first.axis is x.axes[0]:
        merged = Layout((x.axes[0], merge(eq, x.axes[1:])))
        return (
            merged
            if len(sizes) == 2 and isinstance(sizes[1], int) and sizes[1] == -1
            else unflatten(eq, merged, 1, sizes[1:])
        )
    raise Refusal(NEEDS_EXAMPLE)


def _without_minus(old: Sequence[Any], sizes: Sequence[Any]) -> list[int]:
    total, known = 1, 1
    for n in old:
        total *= n
    for n in sizes:
        known *= n if n != -1 else 1
    return [total // known if n == -1 else n for n in sizes]


def pad(eq: Equations, x: Layout, pad: Sequence[int], mode: str = "constant", value: object = None) -> Layout:
    """Entries before and behind. Beside units that move, constants are units too: one is like the other."""
    x = x.reach(len(pad) // 2)
    for k in range(len(pad) // 2):
        before, after, index = pad[2 * k], pad[2 * k + 1], len(x.axes) - 1 - k
        if before == after == 0:
            continue
        axis = eq.expand(x.axes[index])
        if mode != "constant" or before < 0 or after < 0:
            eq.fix(axis)
        if eq.stays(axis):
            length = eq.length(axis)
            x = x.with_axis(index, fixed(None if length is None else length + before + after))
        else:
            x = x.with_axis(index, (*eq.fresh("", before), *axis, *eq.fresh("", after)))
    return x


def item(eq: Equations, x: Layout, index: Any) -> Layout:
    """Indexing by numbers, slices, None and an ellipsis."""
    keys = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(k, bool) or not (k is ... or isinstance(k, int | slice | None)) for k in keys):
        raise Refusal("indexing by a tensor is not known. Use numbers and slices")
    if x.open and not x.axes:
        return x.anew()
    if ... not in keys:
        keys.append(...)
    at = keys.index(...)
    front, back = keys[:at], keys[at + 1 :]
    if x.open and [k for k in front if k != slice(None)]:
        raise Refusal(NEEDS_EXAMPLE)
    taken = sum(k is not None for k in back)
    x = x.reach(taken)
    axes, rest = _taken(eq, list(x.axes), [] if x.open else front)
    middle, tail = rest[: len(rest) - taken], rest[len(rest) - taken :]
    last, _ = _taken(eq, tail, back)
    return Layout((*axes, *middle, *last), x.first).anew()


def _taken(eq: Equations, axes: list[Axis], keys: Sequence[Any]) -> tuple[list[Axis], list[Axis]]:
    found: list[Axis] = []
    for key in keys:
        if key is None:
            found.append(fixed(1))
            continue
        if not axes:
            raise Refusal("it has more indices than axes")
        axis = axes.pop(0)
        if isinstance(key, slice):
            found.append(_sliced(eq, axis, key))
        else:
            eq.fix(axis)
    return found, axes


def _sliced(eq: Equations, axis: Axis, key: slice) -> Axis:
    if key == slice(None):
        return axis
    length = eq.length(eq.expand(axis))
    if length is None or any(isinstance(n, Count) for n in (key.start, key.stop, key.step)):
        eq.fix(axis)
        return fixed()
    start, stop, step = key.indices(length)
    if step != 1 or stop <= start:
        eq.fix(axis)
        return fixed(len(range(start, stop, step)))
    return eq.parts(axis, [start, stop - start])[1]
