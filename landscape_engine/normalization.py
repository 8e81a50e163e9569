"""Normalization of random directions, so that slices of different networks can be compared."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from .errors import ChoiceError, DirectionError
from .models import ModelWrapper
from .parameters import PIECE, Parameters, norm

# Weights of these modules scale or shift single units; they count as one-dimensional whatever their shape.
_ONE_DIMENSIONAL = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.PReLU,
)

# Weights of these may have more than two dimensions and one row for each output unit, be it a single one.
_MANY_DIMENSIONAL = (nn.modules.conv._ConvNd, nn.Bilinear, ParametrizationList)


@final
class Units(nn.Module):
    """Stands for the layer of a weight of another framework.

    Args:
        axes: The axes of the weight that have one entry for each output unit; none if it has no filters, as a bias.
    """

    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.axes, self.first = axes, tuple(range(len(axes)))


def is_one_dimensional(owner: nn.Module, parameter: Tensor) -> bool:
    """Whether a parameter has no filters.

    By module type first: all of norm layers and PReLU. Then by shape: biases and scalars. A parameter of more than two
    dimensions that is no weight of a convolution or bilinear layer belongs to no output unit; it is one-dimensional if
    its leading dimension is 1, as that of class tokens (1, 1, d), position tokens (1, n, d) and attention's
    ``bias_k``, or if only one of its dimensions is longer than 1, as in a layer scale (d, 1, 1). Any other counts as
    a weight with one row for each output unit, a matrix (1, d) or (n, d) always, since its shape cannot tell it from
    the weight of a linear layer. Of a weight of another framework, ``Units`` knows.
    """
    if isinstance(owner, _ONE_DIMENSIONAL) or parameter.ndim <= 1:
        return True
    if isinstance(owner, Units):
        return not owner.axes
    if isinstance(owner, _MANY_DIMENSIONAL) or parameter.ndim == 2:
        return False
    return len(parameter) == 1 or parameter.numel() == max(parameter.shape)


def as_filters(owner: nn.Module, parameter: Tensor) -> Tensor:
    """A view or copy of a weight with one row for each filter, that is for each output unit.

    A row of a linear layer, of an LSTM gate, of an attention projection; a token of an embedding; a slice of
    dimension 0 of a convolution; of (group, dimension 1) of a transposed one, whose weight is stored as (in, out /
    groups, ...). A one-dimensional parameter is one filter. Of a parametrized weight (weight norm, LoRA) these are
    the leaf parameters, whose rows need not be units: ``warn_of_parametrizations`` says so.
    """
    if is_one_dimensional(owner, parameter):
        return parameter.reshape(1, -1)
    if isinstance(owner, Units):
        parameter = parameter.movedim(owner.axes, owner.first).flatten(0, len(owner.axes) - 1)
    if isinstance(owner, nn.modules.conv._ConvTransposeNd):
        grouped = parameter.reshape(owner.groups, -1, *parameter.shape[1:])
        return grouped.transpose(1, 2).reshape(owner.groups * parameter.shape[1], -1)
    return parameter.reshape(len(parameter), -1) if parameter.numel() else parameter.reshape(0, 1)


def _by_filter(owner: nn.Module, numbers: Tensor, like: Tensor) -> Tensor:
    """One number for each filter of the weight ``like``, in a shape that broadcasts to the weight's."""
    if is_one_dimensional(owner, like) or not like.numel():
        return numbers.reshape([1] * like.ndim) if numbers.numel() else numbers.new_zeros([1] * like.ndim)
    if isinstance(owner, Units):
        sizes = [like.shape[a] for a in owner.axes] + [1] * (like.ndim - len(owner.axes))
        return numbers.reshape(sizes).movedim(owner.first, owner.axes)
    if isinstance(owner, nn.modules.conv._ConvTransposeNd):
        grouped = numbers.reshape(owner.groups, 1, like.shape[1]).expand(-1, len(like) // owner.groups, -1)
        return grouped.reshape(*like.shape[:2], *[1] * (like.ndim - 2))
    return numbers.reshape(-1, *[1] * (like.ndim - 1))


def _as_layer(owner: nn.Module, parameter: Tensor) -> Tensor:
    return parameter.reshape(1, -1)


def _by_layer(owner: nn.Module, numbers: Tensor, like: Tensor) -> Tensor:
    return numbers.reshape([1] * like.ndim)


def _lengths(rows: Tensor) -> Tensor:
    """Norm of each row in float64, (rows, 1); of a few at a time, or of parts of long ones, to spare memory."""
    width = rows.shape[1]
    if width > PIECE:
        parts = [torch.linalg.vector_norm(part.double(), dim=1) for part in rows.split(PIECE, dim=1)]
        return torch.linalg.vector_norm(torch.stack(parts, dim=1), dim=1, keepdim=True)
    some = rows.split(max(1, PIECE // max(width, 1)))
    return torch.cat([torch.linalg.vector_norm(r.double(), dim=1, keepdim=True) for r in some])


def _is_leaf(owner: nn.Module, name: str) -> bool:
    """Whether a weight is computed from this parameter, by a parametrization or by ``torch.nn.utils.weight_norm``."""
    weight = name.rpartition(".")[2][:-2]
    return isinstance(owner, ParametrizationList) or (name.endswith(("_g", "_v")) and hasattr(owner, weight))


def warn_of_parametrizations(model: ModelWrapper) -> None:
    """Warn if some weights are computed from others, since filters are then those of the leaf parameters."""
    names = [n for n in model.parameters if _is_leaf(model.owner(n), n)]
    if names:
        warnings.warn(
            f"{names[0]} and {len(names) - 1} more parameters are leaves of parametrized weights: directions move the "
            "leaves, and filters are theirs, not those of the weights.",
            stacklevel=4,
        )


Factor = Tensor | float


class Factors(NamedTuple):
    """What each tensor of a direction is multiplied by, and how many filters or layers stay put: their norm is zero."""

    values: dict[str, Factor]
    zeros: int


class Normalized(NamedTuple):
    """A normalized direction, and the number of filters or layers that stay put because their norm is zero."""

    direction: dict[str, Tensor]
    zeros: int


Normalization = Callable[[Parameters, ModelWrapper], Factors]


def _none(direction: Parameters, model: ModelWrapper) -> Factors:
    return Factors(dict.fromkeys(direction, 1.0), 0)


def _model(direction: Parameters, model: ModelWrapper) -> Factors:
    length, target = norm(direction), norm(model.parameters)
    return Factors(dict.fromkeys(direction, target / length if length else 0.0), int(target == 0))


def _each(
    to_rows: Callable[[nn.Module, Tensor], Tensor], by_row: Callable[[nn.Module, Tensor, Tensor], Tensor]
) -> Normalization:
    def scale_rows(direction: Parameters, model: ModelWrapper) -> Factors:
        """Factors that give each row the norm of the model's own row."""
        values: dict[str, Factor] = {}
        zeros = 0
        for name, theta in model.parameters.items():
            owner = model.owner(name)
            length, target = _lengths(to_rows(owner, direction[name])), _lengths(to_rows(owner, theta))
            values[name] = by_row(owner, torch.where(length > 0, target / length, torch.zeros_like(length)), theta)
            zeros += 0 if is_one_dimensional(owner, theta) else int((target == 0).sum())
        return Factors(values, zeros)

    return scale_rows


NORMALIZATIONS: dict[str, Normalization] = {
    "none": _none,
    "model": _model,
    "layer": _each(_as_layer, _by_layer),
    "filter": _each(as_filters, _by_filter),
}

# Under these, one-dimensional parameters stay put unless asked for (Li et al. 2018, section 4).
HOLDS_ONE_DIMENSIONAL = frozenset({"layer", "filter"})


def moving_names(model: ModelWrapper, normalization: str, one_dimensional: bool) -> Iterator[str]:
    """Names of the parameters that a random direction moves under a normalization."""
    for name, theta in model.parameters.items():
        held = normalization in HOLDS_ONE_DIMENSIONAL and is_one_dimensional(model.owner(name), theta)
        if one_dimensional or not held:
            yield name


def normalize(direction: Parameters, model: ModelWrapper, normalization: str) -> Normalized:
    r"""A direction scaled to the size of the model's own parameters.

    With :math:`d` the direction and :math:`\theta` the model's parameters,

    - ``"none"``: :math:`d`;
    - ``"model"``: :math:`d \, \|\theta\| / \|d\|`;
    - ``"layer"``: :math:`d_l \, \|\theta_l\| / \|d_l\|` for each weight tensor :math:`l`;
    - ``"filter"``: :math:`d_f \, \|\theta_f\| / \|d_f\|` for each filter :math:`f` (see ``as_filters``).

    Filter normalization removes the effect of rescaling units, to which a ReLU network is invariant: a sharp-looking
    slice is then a property of the function and not of the size of its weights. A filter whose norm is zero stays
    put and is counted.

    Args:
        direction: One tensor for each parameter, in the working type of the model.
        model: The model at the origin of the slice.
        normalization: A key of ``NORMALIZATIONS``.

    Raises:
        ChoiceError: If the normalization is unknown.
        DirectionError: If nothing would move.

    References:
        Li, Xu, Taylor, Studer, Goldstein 2018, Visualizing the Loss Landscape of Neural Nets, section 4.
    """
    values, zeros = factors(direction, model, normalization)
    result = {n: stretched(d, values[n]) for n, d in direction.items()}
    check_that_it_moves(any(bool(d.any()) for d in result.values()), normalization)
    return Normalized(result, zeros)


def factors(direction: Parameters, model: ModelWrapper, normalization: str) -> Factors:
    """What ``normalize`` multiplies a direction by: numbers, or tensors of float64 that broadcast to its shapes."""
    if normalization not in NORMALIZATIONS:
        raise ChoiceError("normalization", normalization, f"one of {', '.join(NORMALIZATIONS)}")
    return NORMALIZATIONS[normalization](direction, model)


def stretched(direction: Tensor, factor: Factor) -> Tensor:
    """A tensor of a direction, or a part of it, times its factor."""
    if isinstance(factor, Tensor):
        return (direction.double() * factor).to(direction.dtype)
    return direction if factor == 1 else direction * factor


def check_that_it_moves(moves: bool, normalization: str) -> None:
    """Raise unless a normalized direction moves something."""
    if not moves:
        raise DirectionError(
            f"the direction moves nothing: under normalization '{normalization}' every parameter of this model stays "
            "put, because it is one-dimensional or its norm is zero. Choose normalization 'none', or pass "
            "one_dimensional=True.",
            normalization=normalization,
        )
