"""Weight matching: the order of one model's units in which it is closest to another model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from ..errors import ChoiceError, StructureError
from ..iteration import Outcome, Step, Watch, goes_on, settle
from ..models import ModelWrapper, wrap_model
from ..parameters import Parameters, check_match, norm, subtract
from .groups import Group, Permutation, Place, permutation_groups, permute
from .reading import arguments

# A gain below this share of the product of both norms is rounding.
_ROUNDING = 1e-13


@final
@dataclass(frozen=True, eq=False)
class Alignment:
    r"""A model in the order of units in which it is closest to another one.

    Attributes:
        model: The model with its units in the new order: the same function. The model that was given is untouched.
        permutations: Of each group by its name: unit i of the aligned model is unit ``permutation[i]`` of the given.
        groups: Which parameters and buffers belong to the units of each group.
        distance_before: :math:`\|\theta_a - \theta_b\|` as the models were given.
        distance_after: The same, when aligned; never larger.
        outcome: Converged if a whole pass over the groups changed nothing.
        passes: How many passes there were, those before it was resumed included.
        seed: Of the order in which a pass goes through the groups.
    """

    model: ModelWrapper
    permutations: Mapping[str, Permutation]
    groups: tuple[Group, ...]
    distance_before: float
    distance_after: float
    outcome: Outcome
    passes: int
    seed: int

    def apply(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same permutation of another state of the model, for instance of each checkpoint of its training.

        Args:
            state: Parameters, and buffers if there are any, by name. The tensors are not changed.

        Raises:
            MismatchError: If a tensor has another shape than the model's.
        """
        own = {**self.model.parameters, **self.model.buffers}
        found = {n: t for n, t in state.items() if n in own}
        remedy = "Pass a state of the model that was aligned."
        check_match(found, {n: own[n] for n in found}, "the state does", remedy)
        return permute(state, self.groups, self.permutations)


def align(
    a: nn.Module | ModelWrapper,
    b: nn.Module | ModelWrapper,
    *,
    example: Any = None,
    seed: int = 0,
    passes: int = 100,
    watch: Watch | None = None,
    start: Alignment | None = None,
    throw: bool = False,
) -> Alignment:
    r"""Model ``b`` with its hidden units in the order in which it is closest to model ``a``.

    Two networks of one architecture that were trained from different seeds lie in different basins partly because
    their units stand in different orders. Weight matching minimizes :math:`\|\theta_a - \pi(\theta_b)\|` over the
    permutations :math:`\pi` that leave the function as it is. For one group of units it is a linear assignment, which
    is solved exactly; passes in random order go on until nothing changes. The result is a local minimum: no group
    alone can do better. With a single hidden layer it is the global one. Where a weight has one group on both of its
    axes the assignment is linearized, and taken only if the distance falls.

    Statistics of batch norm move with their channels, so the aligned model is exact. On the way between two models
    they are a policy of the wrapper: between aligned models, the stored ones are far off, and re-estimated ones
    (``wrap_model(..., batch_norm="re-estimated")``) matter a lot (Jordan et al. 2022).

    Args:
        a: The model that stays.
        b: A model of the same architecture. Neither is changed.
        example: A batch of inputs, or a tuple of them; for forwards that need to know shapes. The aligned model is
            then also checked to compute the same as ``b`` for it.
        seed: Of the order of the groups in each pass.
        passes: How many there may be at most.
        watch: Called after each pass with a ``Step`` whose value is the distance; False stops.
        start: An earlier result for the same models to go on from, with its seed.
        throw: Whether anything but convergence is an error.

    Raises:
        StructureError: If the model has a layer or operation that is not known; it names the layer.
        MismatchError: If the models do not have the same parameters.
        SearchError: If ``throw`` and it has not converged.

    References:
        Ainsworth, Hayase, Srinivasa 2022, Git Re-Basin: Merging Models modulo Permutation Symmetries (section 3.2,
        algorithm 1). Jordan et al. 2022, REPAIR: REnormalizing Permuted Activations for Interpolation Repair.
        Entezari et al. 2021, The Role of Permutation Invariance in Linear Mode Connectivity.
    """
    if passes < 1:
        raise ChoiceError("passes", passes, "1 or more")
    fixed, moved = wrap_model(a), wrap_model(b)
    check_match(moved.parameters, fixed.parameters, "the second model does", "Align models of one architecture.")
    groups = permutation_groups(moved, example)
    matching = _Matching(fixed.parameters, moved.parameters, groups)
    seed = seed if start is None else start.seed
    current = matching.begin(start)
    count, outcome = (0, Outcome.LIMIT) if start is None else (start.passes, start.outcome)
    if outcome is not Outcome.CONVERGED:
        outcome = Outcome.LIMIT
    if not matching.finite:
        outcome, passes = Outcome.FAILED, 0
    while count < passes:
        changed = matching.improve(current, np.random.default_rng([seed, count]))
        count += 1
        going = goes_on(watch, Step(count, passes, matching.distance(current)))
        if not changed or not going:
            outcome = Outcome.STOPPED if changed else Outcome.CONVERGED
            break
    state = permute({**moved.parameters, **moved.buffers}, groups, current)
    result = Alignment(
        moved.at(state),
        current,
        groups,
        matching.distance(matching.begin()),
        matching.distance(current),
        outcome,
        count,
        seed,
    )
    _check_same(moved, result, example)
    return settle(result, "The alignment", throw)


@final
class _Matching:
    """The distance of two models as a function of the order of units of the second."""

    def __init__(self, a: Parameters, b: Parameters, groups: Sequence[Group]) -> None:
        self.a = {n: t.detach().to(b[n].device) for n, t in a.items()}
        self.b = {n: b[n].detach() for n in a}
        self.groups = groups
        self.finite = all(bool(torch.isfinite(t).all()) for t in (*self.a.values(), *self.b.values()))
        self._rounding = _ROUNDING * norm(self.a) * norm(self.b)

    def begin(self, start: Alignment | None = None) -> dict[str, Permutation]:
        """The order of the models as given, or that of an earlier result."""
        found = {g.name: np.arange(g.size) for g in self.groups}
        if start is not None:
            if {n: len(p) for n, p in start.permutations.items()} != {n: len(p) for n, p in found.items()}:
                raise ChoiceError("start", "an alignment of another model", "an earlier alignment of these models")
            found = {n: np.array(start.permutations[n]) for n in found}
        return found

    def distance(self, permutations: Mapping[str, Permutation]) -> float:
        """Between the first model and the second in this order."""
        return norm(subtract(self.a, permute(self.b, self.groups, permutations)))

    def improve(self, permutations: dict[str, Permutation], order: np.random.Generator) -> bool:
        """One pass over all groups in random order; whether any of them changed."""
        changed = False
        for k in order.permutation(len(self.groups)):
            group = self.groups[k]
            places = [p for p in group.places if p.tensor in self.b]
            gains = self._gains(group, places, permutations)
            found = linear_sum_assignment(gains, maximize=True)[1]
            trial = {**permutations, group.name: found}
            if self._gain(gains, places, permutations, trial, group) > self._rounding:
                permutations[group.name] = found
                changed = True
        return changed

    def _gains(
        self, group: Group, places: Sequence[Place], permutations: Mapping[str, Permutation]
    ) -> NDArray[np.float64]:
        """What it is worth to put each unit of the second model (column) in the place of each of the first (row)."""
        total = np.zeros((group.size, group.size))
        for place in places:
            a, b = self.a[place.tensor], self._others_permuted(place, permutations)
            of = slice(place.start, place.start + group.size * place.run)
            rows_a, rows_b = (t.movedim(place.dim, 0)[of].reshape(group.size, -1).double() for t in (a, b))
            total += (rows_a @ rows_b.T).cpu().numpy()
        return total

    def _others_permuted(self, place: Place, permutations: Mapping[str, Permutation]) -> Tensor:
        """The tensor of the second model with all axes but that of the place in their present order."""
        others = [
            replace(g, places=tuple(p for p in g.places if p.tensor == place.tensor and p.dim != place.dim))
            for g in self.groups
        ]
        return permute({place.tensor: self.b[place.tensor]}, others, permutations)[place.tensor]

    def _gain(
        self,
        gains: NDArray[np.float64],
        places: Sequence[Place],
        now: Mapping[str, Permutation],
        then: Mapping[str, Permutation],
        group: Group,
    ) -> float:
        """How much the inner product of both models grows."""
        names = [p.tensor for p in places]
        dims = {(p.tensor, p.dim) for p in places}
        if len({n for n, _ in dims}) == len(dims):  # linear: the gains hold for every order
            rows = np.arange(group.size)
            return float(gains[rows, then[group.name]].sum() - gains[rows, now[group.name]].sum())
        return self._inner(names, then) - self._inner(names, now)

    def _inner(self, names: Sequence[str], permutations: Mapping[str, Permutation]) -> float:
        held = permute({n: self.b[n] for n in names}, self.groups, permutations)
        return sum(float((self.a[n].double() * t.double()).sum()) for n, t in held.items())


def _check_same(model: ModelWrapper, result: Alignment, example: Any) -> None:
    """Raise unless the aligned model computes the same as the model that was given."""
    if example is None:
        return
    inputs = arguments(example)
    with torch.no_grad():
        pair = [tree_flatten(m.private_copy().forward(*inputs))[0] for m in (model, result.model)]
    for one, other in zip(*pair, strict=True):
        if isinstance(one, Tensor) and one.is_floating_point() and one.numel():
            allowed = 10 * torch.finfo(one.dtype).eps ** 0.5 * float(one.abs().max())
            if float((one - other).abs().max()) > allowed:
                kind = type(model.get_model()).__name__
                raise StructureError(
                    f"the model ({kind}) cannot be aligned: with its units in another order it computes something "
                    "else. Its forward does what cannot be seen, or is noisy (mode='as-is'): align the rest of it.",
                    layer="",
                    kind=kind,
                )
