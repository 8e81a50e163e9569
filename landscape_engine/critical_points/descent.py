"""From a saddle point down both sides, to the minima that it connects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from ..errors import ChoiceError
from ..hessian import HessianOperator, eigenpairs
from ..iteration import Outcome, Step, Watch, goes_on, settle
from ..metrics.base import Metric
from ..parameters import flatten
from .points import CriticalPoint, find, full_space
from .search import MOST_PRODUCTS, Function, place_at

HALVINGS = 30
SHORTEST = 0.01  # first distance that is tried, where the parameters are 0


@final
@dataclass(frozen=True, eq=False)
class Descent:
    """The two ways down from a saddle point.

    Attributes:
        saddle: Where they begin.
        ends: Where they end: against the most negative eigenvector, and along it (its largest entry is positive).
        outcome: That of both, if it is the same, else of the one that has not converged.
    """

    saddle: CriticalPoint
    ends: tuple[CriticalPoint, CriticalPoint]
    outcome: Outcome


def descend(
    point: CriticalPoint,
    metric: Metric,
    *,
    distance: float | None = None,
    tolerance: float | None = None,
    steps: int = 1000,
    products: int = MOST_PRODUCTS,
    watch: Watch | None = None,
    start: Descent | None = None,
    throw: bool = False,
) -> Descent:
    r"""Both ways down from a saddle point, along its most negative eigenvector v, to the minima it connects.

    From :math:`\theta \pm \delta v` the gradient flow is followed as ``find`` does for a minimum.

    Args:
        point: A saddle point, as ``find`` gives one.
        metric: Of which it is a saddle point.
        distance: :math:`\delta`, by default a hundredth of the length of the parameters (at least 0.01), or as much
            less as makes the metric fall as its curvature says.
        tolerance: As for ``find``.
        steps: Allowed on each side.
        products: As for ``find``.
        watch: Called after each step, first of the one side, then of the other; it gets the metric.
        start: An earlier result of the same descent, from which to go on.
        throw: Whether anything but convergence on both sides is an error.

    Returns:
        Both ends, and the outcome.

    Raises:
        ChoiceError: If the point has no negative eigenvalue, so that no way is down, or the distance is none.
        SearchError: If a side has not converged, with ``throw``.

    References:
        Page, McIver 1988, On Evaluating the Reaction Path Hamiltonian. Wales 2003, Energy Landscapes (the two
        steepest-descent paths of a transition state).
    """
    if not point.eigenvalues[1] < 0 or point.kind not in ("saddle", "maximum"):
        raise ChoiceError("point", f"{point.kind} of index {point.index:g}", "a saddle point, with a way down")
    if distance is not None and not 0 < distance < math.inf:
        raise ChoiceError("distance", distance, "a finite number above 0, or None")
    watched = _Watched(watch)
    sides = start.ends if start is not None else _beside(point, metric, distance)
    ends = []
    for side in sides:
        if not (watched.stopped or side.outcome is Outcome.CONVERGED):
            options: dict[str, Any] = {"tolerance": tolerance, "steps": steps, "products": products, "watch": watched}
            side = find(point.model, metric, "minimum", start=side, **options)
        ends.append(side)
    first, second = ends
    outcome = second.outcome if first.outcome is Outcome.CONVERGED else first.outcome
    return settle(Descent(point, (first, second), outcome), "the descent from the saddle point", throw)


@final
class _Watched:
    """A watcher that remembers whether it has stopped the search."""

    def __init__(self, watch: Watch | None) -> None:
        self._watch, self.stopped = watch, False

    def __call__(self, step: Step) -> bool:
        self.stopped = not goes_on(self._watch, step)
        return not self.stopped


def _beside(point: CriticalPoint, metric: Metric, distance: float | None) -> tuple[CriticalPoint, CriticalPoint]:
    """The starts on both sides of a saddle point, of which only place and value are known yet."""
    function = full_space(point.model, metric)
    theta = flatten(point.model.snapshot()).double()
    lowest = eigenpairs(HessianOperator(function(theta)), 0, 1)
    direction, curvature = torch.from_numpy(lowest.vectors[0]).to(theta.device), float(lowest.values[0])
    first = distance or max(0.01 * float(torch.linalg.vector_norm(theta)), SHORTEST)
    starts = []
    for side in (-1.0, 1.0):
        ray = _Ray(function, theta, side * direction, point.loss, curvature)
        length = first if distance else ray.trusted(first)
        place = place_at(function, theta + length * ray.direction)
        starts.append(
            CriticalPoint(
                model=point.model.at(place.objective.theta),
                loss=place.value,
                gradient_norm=place.slope,
                index=math.nan,
                eigenvalues=(math.nan, math.nan),
                kind="not critical",
                outcome=Outcome.STOPPED,
                steps=0,
                radius=length,
                curvature=0.0,
            )
        )
    return starts[0], starts[1]


@final
@dataclass(frozen=True, eq=False)
class _Ray:
    """One side of a saddle point, along an eigenvector."""

    function: Function
    theta: Tensor
    direction: Tensor
    value: float
    curvature: float

    def trusted(self, first: float) -> float:
        r"""A distance at which the value has fallen by :math:`\lambda \delta^2 / 2`, to a factor of 2."""
        length = first
        for _ in range(HALVINGS):
            there = self.function(self.theta + length * self.direction)
            fall = there.value(there.theta) - self.value
            if 0.5 < fall / (self.curvature * length**2 / 2) < 2:
                return length
            length /= 2
        return first
