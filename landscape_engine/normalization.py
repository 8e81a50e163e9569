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
from .parameters import Parameters, norm

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


def from_filters(owner: nn.Module, rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of ``as_filters``: rows put back into the shape of the weight ``like``."""
    if isinstance(owner, nn.modules.conv._ConvTransposeNd) and not is_one_dimensional(owner, like):
        grouped = rows.reshape(owner.groups, like.shape[1], -1, *like.shape[2:])
        return grouped.transpose(1, 2).reshape(like.shape)
    if isinstance(owner, Units) and not is_one_dimensional(owner, like):
        return rows.reshape(like.movedim(owner.axes, owner.first).shape).movedim(owner.first, owner.axes)
    return rows.reshape(like.shape)


def _as_layer(owner: nn.Module, parameter: Tensor) -> Tensor:
    return parameter.reshape(1, -1)


def _from_layer(owner: nn.Module, rows: Tensor, like: Tensor) -> Tensor:
    return rows.reshape(like.shape)


def _rescale(rows: Tensor, reference: Tensor) -> tuple[Tensor, int]:
    """Rows scaled to the norms of the reference's rows; how many reference rows are zero and so stay put."""
    length = torch.linalg.vector_norm(rows.double(), dim=1, keepdim=True)
    target = torch.linalg.vector_norm(reference.double(), dim=1, keepdim=True)
    scale = torch.where(length > 0, target / length, torch.zeros_like(length))
    return (rows.double() * scale).to(rows.dtype), int((target == 0).sum())


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


class Normalized(NamedTuple):
    """A normalized direction, and the number of filters or layers that stay put because their norm is zero."""

    direction: dict[str, Tensor]
    zeros: int


Normalization = Callable[[Parameters, ModelWrapper], Normalized]


def _none(direction: Parameters, model: ModelWrapper) -> Normalized:
    return Normalized(dict(direction), 0)


def _model(direction: Parameters, model: ModelWrapper) -> Normalized:
    length, target = norm(direction), norm(model.parameters)
    scale = target / length if length else 0.0
    return Normalized({n: d * scale for n, d in direction.items()}, int(target == 0))


def _each(
    to_rows: Callable[[nn.Module, Tensor], Tensor], from_rows: Callable[[nn.Module, Tensor, Tensor], Tensor]
) -> Normalization:
    def normalize_rows(direction: Parameters, model: ModelWrapper) -> Normalized:
        """The direction with each row scaled to the norm of the model's own row."""
        result, zeros = {}, 0
        for name, theta in model.parameters.items():
            owner = model.owner(name)
            rows, count = _rescale(to_rows(owner, direction[name]), to_rows(owner, theta))
            result[name] = from_rows(owner, rows, theta)
            zeros += 0 if is_one_dimensional(owner, theta) else count
        return Normalized(result, zeros)

    return normalize_rows


NORMALIZATIONS: dict[str, Normalization] = {
    "none": _none,
    "model": _model,
    "layer": _each(_as_layer, _from_layer),
    "filter": _each(as_filters, from_filters),
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
    if normalization not in NORMALIZATIONS:
        raise ChoiceError("normalization", normalization, f"one of {', '.join(NORMALIZATIONS)}")
    result = NORMALIZATIONS[normalization](direction, model)
    if not any(bool(d.any()) for d in result.direction.values()):
        raise DirectionError(
            f"the direction moves nothing: under normalization '{normalization}' every parameter of this model stays "
            "put, because it is one-dimensional or its norm is zero. Choose normalization 'none', or pass "
            "one_dimensional=True.",
            normalization=normalization,
        )
    return result
