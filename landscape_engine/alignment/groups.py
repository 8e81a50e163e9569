"""Which units of a network may change places: permutation groups, found from what its forward does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..models import ModelWrapper, wrap_model
from .layouts import fix
from .reading import Reader, check_example

Permutation = NDArray[np.int64]


@final
@dataclass(frozen=True)
class Place:
    """Entries of a parameter or buffer that belong to the units of a group.

    Attributes:
        tensor: Name of the parameter or buffer.
        dim: Which of its axes.
        start: Index of the first entry of the first unit.
        run: Consecutive entries of each unit: 1, or for instance the pixels of a channel that was flattened.
    """

    tensor: str
    dim: int
    start: int = 0
    run: int = 1

    def entries(self, permutation: Permutation, device: torch.device) -> Tensor:
        """Indices along the axis: those of the first unit that ``permutation`` takes, then of the second, ..."""
        firsts = torch.as_tensor(permutation, device=device) * self.run + self.start
        return (firsts[:, None] + torch.arange(self.run, device=device)).reshape(-1)


@final
@dataclass(frozen=True)
class Group:
    """Units that may change places without changing the function, if all that belongs to them moves too.

    Attributes:
        name: Path of the layer that makes the units. Where only units of a part of it change places, the part is
            added: ``"body[:8]"``.
        size: How many units.
        places: Where the parameters and buffers of the units are; a tied one under each of its names.
    """

    name: str
    size: int
    places: tuple[Place, ...]


def permutation_groups(model: nn.Module | ModelWrapper, example: Any = None) -> tuple[Group, ...]:
    r"""What can be permuted in a network without changing its function.

    A hidden layer computes the same when its units change places, if the weights that read them change places too:
    :math:`W_2 \sigma(W_1 x + b) = W_2 P^\top \sigma(P W_1 x + P b)`. Groups are found by running the forward on
    symbols: axes of tensors that are added, multiplied or contracted must be in the same order. Inputs and outputs
    stay as they are, and so do units that meet anything that does not move: a buffer that is no statistic of a norm, or
    a parameter that does not span the space.

    Without an example, shapes are not known: an input of a convolution is then taken for a batch, and where batch norm
    follows a linear layer, its inputs for a batch of features.

    Args:
        model: A network, or a wrapper of one; it is not changed.
        example: A batch of inputs, or a tuple of them; for forwards that need to know shapes.

    Returns:
        The groups, in the order in which the forward makes their units.

    Raises:
        StructureError: If the model has a layer or operation that is not known; it names the layer.

    References:
        Hecht-Nielsen 1990, On the algebraic structure of feedforward network weight spaces. Ainsworth, Hayase,
        Srinivasa 2022, Git Re-Basin, section 2.
    """
    check_example(example)
    wrapper = wrap_model(model)
    reader = Reader(wrapper, example)
    moving = {*wrapper.parameters, *_statistics(wrapper)}
    for name, layout in reader.layouts.items():
        if name not in moving:
            fix(reader.equations, layout)
    return tuple(_named(reader, _names(wrapper)))


def _statistics(wrapper: ModelWrapper) -> set[str]:
    norms = [(p, m) for p, m in wrapper.modules().items() if isinstance(m, nn.modules.batchnorm._NormBase)]
    return {f"{path}.{name}" if path else name for path, m in norms for name in ("running_mean", "running_var")}


def _names(wrapper: ModelWrapper) -> dict[str, list[str]]:
    """Every name of each parameter and buffer, by the first of them."""
    found: dict[int, list[str]] = {}
    for name, tensor in wrapper.tensors().items():
        found.setdefault(id(tensor), []).append(name)
    return {names[0]: names for names in found.values()}


def _named(reader: Reader, names: Mapping[str, Sequence[str]]) -> list[Group]:
    places: dict[int, list[Place]] = {}
    sizes: dict[int, int] = {}
    for tensor, layout in reader.layouts.items():
        if 0 in [reader.equations.length(axis) for axis in layout.axes]:
            continue
        for dim, axis in enumerate(layout.axes):
            start = 0
            for block in reader.equations.expand(axis):
                units, run = block.units or 0, block.run or 1
                if block.variable is not None:
                    sizes[block.variable] = units
                    places.setdefault(block.variable, []).extend(Place(n, dim, start, run) for n in names[tensor])
                start += units * run
    groups: list[Group] = []
    for variable in sorted(places):
        name = reader.equations.name(variable) or places[variable][0].tensor.rpartition(".")[0]
        taken = sum(g.name == name or g.name.startswith(f"{name} (") for g in groups)
        called = f"{name} ({taken + 1})" if taken else name
        groups.append(Group(called, sizes[variable], tuple(places[variable])))
    return groups


def permute(
    state: Mapping[str, Tensor], groups: Sequence[Group], permutations: Mapping[str, Permutation]
) -> dict[str, Tensor]:
    """A state with its units in another order: the first is the one that the permutation names first.

    Args:
        state: Parameters, and buffers if there are any, by name; what belongs to no group stays.
        groups: The groups.
        permutations: Of each group by its name.
    """
    orders = index_by_axis(state, groups, permutations)
    found = dict(state)
    for (name, dim), order in orders.items():
        found[name] = found[name].index_select(dim, order)
    return found


def index_by_axis(
    state: Mapping[str, Tensor], groups: Sequence[Group], permutations: Mapping[str, Permutation]
) -> dict[tuple[str, int], Tensor]:
    """For each axis that is permuted, by (name, dimension): the old index of each of its entries."""
    orders: dict[tuple[str, int], Tensor] = {}
    for group in groups:
        for place in group.places:
            if place.tensor not in state:
                continue
            tensor = state[place.tensor]
            key = place.tensor, place.dim
            order = orders.setdefault(key, torch.arange(tensor.shape[place.dim], device=tensor.device))
            entries = place.entries(permutations[group.name], tensor.device)
            order[place.start : place.start + len(entries)] = entries
    return orders
