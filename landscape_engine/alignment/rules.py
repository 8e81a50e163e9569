"""Which rule an operation or a layer has; what is not here is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from . import moves, operations
from .axes import Equations, Refusal
from .layouts import Layout
from .operations import Rule

ELEMENTWISE = """
abs absolute acos asin atan celu ceil clamp clamp_max clamp_min clip clone contiguous cos cosh deg2rad detach dropout
dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout elu erf erfc exp exp2 expm1 floor frac gelu hardshrink
hardsigmoid hardswish hardtanh isfinite isinf isnan leaky_relu log log10 log1p log2 log_softmax logit
logical_not logsigmoid mish nan_to_num neg negative normalize ones_like positive reciprocal relu relu6 requires_grad_
round rrelu rsqrt selu sgn sigmoid sign silu sin sinh softmax softmin softplus softshrink softsign sqrt square tan tanh
tanhshrink threshold trunc zeros_like bool double float half int long bfloat16 type cpu cuda zero_ fill_
__neg__ __abs__ __invert__ __pos__
add sub subtract mul multiply div divide true_divide floor_divide pow maximum minimum lerp addcmul addcdiv eq ne lt le
gt ge atan2 fmod remainder logaddexp logical_and logical_or logical_xor masked_fill rsub copy_
__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __floordiv__ __rfloordiv__ __div__ __rdiv__
__pow__ __rpow__ __mod__ __rmod__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __and__ __or__ __xor__
__iadd__ __isub__ __imul__ __itruediv__ __ipow__
""".split()
"""Of each entry, or of entries that face each other; softmax and the like do not depend on the order either."""

_REDUCTIONS = {"mean": 1, "sum": 1, "amax": 1, "amin": 1, "logsumexp": 1, "all": 1, "any": 1, "std": 2, "var": 2}

_IN_PLACE = {*ELEMENTWISE}
"""What may also be called with an underscore behind its name: its result has the shape of its first argument."""

NAMED: Mapping[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, operations.elementwise),
    **dict.fromkeys(["to", "type_as"], operations.converted),
    "where": operations.where,
    **{name: operations.reduction(position) for name, position in _REDUCTIONS.items()},
    **{f"conv{n}d": operations.convolution(n) for n in (1, 2, 3)},
    **{f"avg_pool{n}d": operations.pooling(n) for n in (1, 2, 3)},
    **{f"max_pool{n}d": operations.pooling(n) for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": operations.adaptive_pooling(n) for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": operations.adaptive_pooling(n) for n in (1, 2, 3)},
    **dict.fromkeys(["matmul", "bmm", "mm", "__matmul__"], operations.matmul),
    "__rmatmul__": lambda eq, x, y: operations.matmul(eq, y, x),
    "linear": operations.linear,
    "batch_norm": operations.batch_norm,
    "layer_norm": operations.layer_norm,
    "rms_norm": operations.layer_norm,
    "group_norm": operations.group_norm,
    "prelu": operations.prelu,
    "scaled_dot_product_attention": moves.attention,
    "embedding": operations.embedding,
    "interpolate": operations.interpolate,
    **dict.fromkeys(["cat", "concat", "concatenate"], moves.concatenate),
    "stack": moves.stack,
    "split": moves.split_by,
    "chunk": moves.chunk,
    "unbind": moves.unbind,
    "glu": moves.glu,
    "permute": moves.permute,
    **dict.fromkeys(["transpose", "swapaxes", "swapdims"], moves.transpose),
    **dict.fromkeys(["t", "T"], moves.transpose_matrix),
    "mT": lambda eq, x: moves.transpose(eq, x, -2, -1),
    "unsqueeze": moves.unsqueeze,
    "squeeze": moves.squeeze,
    "expand": moves.expand,
    "flatten": moves.flatten,
    "unflatten": moves.unflatten,
    **dict.fromkeys(["view", "reshape"], moves.view),
    "pad": moves.pad,
    "__getitem__": moves.item,
}
"""Rules by the name of the function or method."""


def rule_of(name: str) -> Rule | None:
    """The rule of a function or method of PyTorch."""
    if name in NAMED:
        return NAMED[name]
    plain = name.removesuffix("_")
    return NAMED[plain] if plain in _IN_PLACE else None


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function or method of PyTorch, or of the property that it reads; none of any other function."""
    name: str = getattr(function, "__name__", "")
    if name == "__get__":
        return getattr(function.__self__, "__name__", "")  # type: ignore[attr-defined]
    for place in (torch.Tensor, torch, F, torch._C._nn):
        if getattr(place, name, None) is function:
            return name
    return ""


Held = Callable[[str], Layout | None]
"""Gives the layout of a parameter or buffer of a layer by its name in it."""

LayerRule = Callable[[Equations, Any, Held, Layout], Layout]

_SAME = """
ReLU ReLU6 ELU SELU CELU GELU SiLU Mish Sigmoid Tanh Softplus Softsign Softshrink Hardshrink Hardtanh Hardsigmoid
Hardswish LeakyReLU RReLU LogSigmoid Tanhshrink Threshold Identity Dropout Dropout1d Dropout2d Dropout3d AlphaDropout
FeatureAlphaDropout Softmax LogSoftmax Softmin Softmax2d
""".split()


def _convolution(dims: int) -> LayerRule:
    def rule(eq: Equations, layer: Any, held: Held, x: Layout) -> Layout:
        weight = _weight(held)
        return operations.convolution(dims)(eq, x, weight, held("bias"), groups=layer.groups)

    return rule


def _transposed(dims: int) -> LayerRule:
    def rule(eq: Equations, layer: Any, held: Held, x: Layout) -> Layout:
        if layer.groups != 1:
            raise Refusal("a transposed convolution in groups is not known. Use one without")
        weight = moves.transpose(eq, _weight(held), 0, 1)
        return operations.convolution(dims)(eq, x, weight, held("bias"))

    return rule


def _weight(held: Held) -> Layout:
    weight = held("weight")
    if weight is None:
        raise Refusal("its weight is no parameter of its own. Remove its parametrization")
    return weight


def _tensors(held: Held) -> list[Layout]:
    return [t for name in ("running_mean", "running_var", "weight", "bias") if (t := held(name)) is not None]


def _batch_norm(dims: int | None) -> LayerRule:
    def rule(eq: Equations, layer: Any, held: Held, x: Layout) -> Layout:
        return operations.per_channel(eq, x if dims is None else x.batched(dims + 1), _tensors(held))

    return rule


def _instance_norm(dims: int) -> LayerRule:
    def rule(eq: Equations, layer: Any, held: Held, x: Layout) -> Layout:
        return operations.instance_norm(dims)(eq, x, _tensors(held))

    return rule


def _pooling(rule: Callable[[int], Rule], dims: int) -> LayerRule:
    def pool(eq: Equations, layer: Any, held: Held, x: Layout) -> Layout:
        size = [layer.output_size] if hasattr(layer, "output_size") else []
        return rule(dims)(eq, x, *size, return_indices=getattr(layer, "return_indices", False))

    return pool


def _padding(mode: str, dims: int) -> LayerRule:
    def rule(eq: Equations, layer: Any, held: Held, x: Layout) -> Layout:
        given = layer.padding if isinstance(layer.padding, tuple) else (layer.padding,) * (2 * dims)
        return moves.pad(eq, x.batched(dims + 1), given, mode)

    return rule


def _normalized(eq: Equations, layer: Any, held: Held, x: Layout) -> Layout:
    return operations.layer_norm(eq, x, layer.normalized_shape, held("weight"), held("bias"))


LAYERS: Mapping[type[nn.Module], LayerRule] = {
    nn.Linear: lambda eq, layer, held, x: operations.linear(eq, x, _weight(held), held("bias")),
    nn.Embedding: lambda eq, layer, held, x: operations.embedding(eq, x, _weight(held)),
    nn.BatchNorm1d: _batch_norm(None),
    nn.BatchNorm2d: _batch_norm(2),
    nn.BatchNorm3d: _batch_norm(3),
    nn.LayerNorm: _normalized,
    nn.RMSNorm: _normalized,
    nn.GroupNorm: lambda eq, layer, held, x: operations.group_norm(
        eq, x, layer.num_groups, held("weight"), held("bias")
    ),
    nn.PReLU: lambda eq, layer, held, x: operations.prelu(eq, x, _weight(held)),
    nn.GLU: lambda eq, layer, held, x: moves.glu(eq, x, layer.dim),
    nn.Flatten: lambda eq, layer, held, x: moves.flatten(eq, x, layer.start_dim, layer.end_dim),
    nn.Unflatten: lambda eq, layer, held, x: moves.unflatten(eq, x, layer.dim, layer.unflattened_size),
    nn.Upsample: lambda eq, layer, held, x: operations.interpolate(eq, x),
    **{getattr(nn, name): lambda eq, layer, held, x: x for name in _SAME},
    **{getattr(nn, f"Conv{n}d"): _convolution(n) for n in (1, 2, 3)},
    **{getattr(nn, f"ConvTranspose{n}d"): _transposed(n) for n in (1, 2, 3)},
    **{getattr(nn, f"InstanceNorm{n}d"): _instance_norm(n) for n in (1, 2, 3)},
    **{getattr(nn, f"{kind}Pool{n}d"): _pooling(operations.pooling, n) for kind in ("Avg", "Max") for n in (1, 2, 3)},
    **{
        getattr(nn, f"Adaptive{kind}Pool{n}d"): _pooling(operations.adaptive_pooling, n)
        for kind in ("Avg", "Max")
        for n in (1, 2, 3)
    },
    **{getattr(nn, f"ZeroPad{n}d"): _padding("constant", n) for n in (1, 2, 3)},
    **{getattr(nn, f"ConstantPad{n}d"): _padding("constant", n) for n in (1, 2, 3)},
    **{getattr(nn, f"ReflectionPad{n}d"): _padding("reflect", n) for n in (1, 2, 3)},
    **{getattr(nn, f"ReplicationPad{n}d"): _padding("replicate", n) for n in (1, 2, 3)},
}
"""Rules by the exact class of the layer: a subclass with a forward of its own is followed through that."""
