"""The loop that steps from place to place within a trust radius."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from ..hessian import HessianOperator, Objective
from ..iteration import Outcome, Step, Watch, goes_on
from ..parameters import flatten
from .local import Local, linearize
from .rules import Place, Rule

MOST_PRODUCTS = 256
SHORTER = 60  # times that a radius is shortened before a step is given up

Function = Callable[[Tensor], Objective]
"""The objective at any point of a search, given as a vector."""


@final
@dataclass(frozen=True, eq=False)
class State:
    """Where a search is, and all that it needs to go on.

    Args:
        place: The point.
        radius: How long the next step may be.
        curvature: The largest absolute curvature met so far.
        steps: Taken so far.
        outcome: How it ended.
        flat: Whether it ended where no step makes the gradient smaller though there is one.
    """

    place: Place
    radius: float
    curvature: float = 0.0
    steps: int = 0
    outcome: Outcome = Outcome.STOPPED
    flat: bool = False


def place_at(function: Function, vector: Tensor) -> Place:
    """The point of a search at a vector, rounded to the model's numbers."""
    objective = function(vector)
    theta = flatten(objective.theta).detach().double()
    return Place(theta, objective, objective.value(objective.theta), objective.gradient())


def search(
    function: Function,
    state: State,
    rule: Rule,
    tolerance: float,
    limit: int,
    products: int = MOST_PRODUCTS,
    watch: Watch | None = None,
) -> State:
    """Step until the gradient is as small as the tolerance.

    All that a step depends on is in the state, so that a search that is stopped and resumed takes the same steps.

    Args:
        function: The objective anywhere.
        state: Where to begin.
        rule: How to step.
        tolerance: Largest gradient norm at a critical point.
        limit: Steps allowed, those that ``state`` has taken included.
        products: With the Hessian, at most, a step.
        watch: See ``Watch``.
    """
    while True:
        if not state.place.finite:
            return replace(state, outcome=Outcome.FAILED)
        if state.place.slope <= tolerance:
            return replace(state, outcome=Outcome.CONVERGED)
        if state.steps >= limit:
            return replace(state, outcome=Outcome.LIMIT)
        local = near(state.place, rule, state.radius, products)
        state = replace(state, steps=state.steps + 1)
        if not local.finite:
            return replace(state, outcome=Outcome.FAILED)
        state = replace(state, curvature=max(state.curvature, local.curvature))
        moved = _step(function, state, rule, local)
        if moved is None:
            flat = local.along_gradient <= state.place.eps**0.25 * state.curvature
            return replace(state, outcome=Outcome.FAILED, flat=flat)
        state = moved
        if not goes_on(watch, Step(state.steps, limit, rule.merit(state.place))):
            return replace(state, outcome=Outcome.STOPPED)


def near(place: Place, rule: Rule, radius: float, products: int) -> Local:
    """The function near a place, as well as a step of the rule needs it."""
    operator = HessianOperator(place.objective)
    size = float(torch.linalg.vector_norm(place.vector))
    return linearize(operator, place.gradient, size, place.eps, products, lambda local: rule.suffices(local, radius))


def _step(function: Function, state: State, rule: Rule, local: Local) -> State | None:
    """The state after a step that kept enough of its promise; None if there is none."""
    radius = state.radius
    for _ in range(SHORTER):
        y = rule.step(local, radius)
        promised = rule.promised(local, y)
        if rule.worthless(promised, state.place):
            return None
        move = local.lift(y).to(state.place.vector.device)
        after = place_at(function, state.place.vector + move)
        ratio = rule.gained(state.place, after, promised) / promised if after.finite else float("-inf")
        radius = rule.next_radius(radius, float(torch.linalg.vector_norm(move)), ratio)
        if ratio >= rule.least:
            return replace(state, place=after, radius=radius)
    return None
