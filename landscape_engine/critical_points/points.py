"""Critical points in the full parameter space: how to find one, and of what kind it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ChoiceError
from ..evaluation import Evaluator
from ..hessian import Eigenpairs, HessianOperator, Objective, eigenpairs
from ..hessian.spectrum import SMALL
from ..iteration import Outcome, Watch, settle
from ..metrics.base import Metric
from ..metrics.gradients import objective
from ..models import ModelWrapper, wrap_model
from ..parameters import check_match, flatten, unflatten
from ..subspaces import Point
from .local import Array
from .rules import RULES, Place
from .search import MOST_PRODUCTS, Function, State, near, place_at, search

CHANGE = 0.25  # of an eigenvalue over the Newton step that is left: its sign is not known if it changes more
COUNTS = (1, 8, 64)  # of the smallest eigenvalues of a large matrix, until one of them is not negative
RESTARTS = 100  # of Lanczos, after which
COARSE = 1e-3  # is the tolerance, a fraction of the largest eigenvalue


@final
@dataclass(frozen=True, eq=False)
class CriticalPoint:
    """What a search for a critical point found.

    Attributes:
        model: The model at the point.
        loss: The metric there.
        gradient_norm: The length of its gradient there.
        index: How many eigenvalues of the Hessian are negative. NaN where it was not computed because the search was
            stopped or left the finite numbers, and where more than 64 of a large model are.
        eigenvalues: The largest and the smallest eigenvalue, NaN if they are not known.
        kind: ``"minimum"``, ``"saddle"`` or ``"maximum"`` where the eigenvalues tell; ``"degenerate"`` if they do not,
            because the point is critical, but its largest or smallest eigenvalue is 0 as far as can be seen (the bottom
            of a flat valley is such a point); ``"gradient-flat"`` where the gradient is not 0, but does not change
            along itself, so that the search cannot go on; ``"not critical"`` for any other point where one ended.
        outcome: How the search ended.
        steps: Steps taken.
        radius: The trust radius, with which a search goes on from here.
        curvature: The largest absolute curvature that the search has met.
    """

    model: ModelWrapper
    loss: float
    gradient_norm: float
    index: float
    eigenvalues: tuple[float, float]
    kind: str
    outcome: Outcome
    steps: int
    radius: float = field(repr=False)
    curvature: float = field(repr=False)


def find(
    model: nn.Module | ModelWrapper,
    metric: Metric,
    kind: str = "any",
    *,
    tolerance: float | None = None,
    steps: int = 200,
    products: int = MOST_PRODUCTS,
    radius: float | None = None,
    watch: Watch | None = None,
    start: CriticalPoint | None = None,
    throw: bool = False,
) -> CriticalPoint:
    r"""A point where the gradient of a metric vanishes, searched from the model's own point in the full space.

    A critical point of any kind is found by making :math:`\frac{1}{2} \|\nabla L\|^2`, whose gradient is :math:`H g`,
    small: each step minimizes :math:`\|g + H p\|` within a trust radius. Far from a critical point this is gradient
    descent on the squared gradient norm, near one it is Newton's method, attracted by saddle points as by minima.
    The Hessian is formed for a model of few parameters; otherwise the step is that of MINRES, in a Krylov space.

    The squared gradient norm has minima of its own where g is not 0, but :math:`H g` is. There the search ends with
    the outcome ``FAILED`` and the kind ``"gradient-flat"``: such points are no critical points, though a network's
    loss has many of them.

    A minimum is found by following the gradient flow downhill in quadratic models within a trust radius, which ends in
    Newton's method too.

    Args:
        model: Where to begin. It is not changed.
        metric: A metric of one number that PyTorch can differentiate twice, such as ``Loss``.
        kind: ``"any"``: the critical point nearby, of whatever index. ``"minimum"``: downhill; what ends at a saddle
            point has failed (``descend`` goes on from there).
        tolerance: The gradient norm at which a point counts as critical; by default 1e-10 for a float64 model, 1e-5
            for others. It cannot be below the rounding of the gradient.
        steps: Steps allowed, those of ``start`` included.
        products: With the Hessian, at most, a step; a model of no more parameters has its Hessian formed. The Krylov
            space holds as many vectors of the model's size.
        radius: Of the first step, a distance in parameter space; by default a tenth of the length of the parameters, at
            least 0.01. A small one keeps to the nearest critical point.
        watch: Called after each step; it gets the gradient norm, or, on the way to a minimum, the metric.
        start: An earlier result of the same search, from which to go on instead.
        throw: Whether anything but convergence is an error.

    Returns:
        The point where the search ended, with its ``outcome``.

    Raises:
        ChoiceError: If a choice is outside what is offered.
        MismatchError: If ``start`` is a point of another model.
        EvaluationError: If the metric cannot be differentiated.
        SearchError: If it has not converged, with ``throw``.

    References:
        Pennington, Bahri 2017, Geometry of Neural Network Loss Surfaces via Random Matrix Theory (critical points by
        minimizing the squared gradient norm). Dauphin et al. 2014, Identifying and Attacking the Saddle Point Problem
        in High-Dimensional Non-Convex Optimization (arXiv 1406.2572; by Newton's method). Frye et al. 2021, Critical
        Point-Finding Methods Reveal Gradient-Flat Regions of Deep Network Losses (arXiv 2003.10397). Nocedal, Wright
        2006, Numerical Optimization, section 11.2 (trust regions for equations).
    """
    if kind not in RULES:
        raise ChoiceError("kind", kind, f"one of {', '.join(RULES)}")
    if steps < 0 or products < 1:
        name, value = ("steps", steps) if steps < 0 else ("products", products)
        raise ChoiceError(name, value, "0 or more" if name == "steps" else "1 or more")
    for name, given in (("tolerance", tolerance), ("radius", radius)):
        if given is not None and not 0 < given < math.inf:
            raise ChoiceError(name, given, "a finite number above 0, or None")
    wrapper = wrap_model(model)
    if start is not None:
        remedy = "Pass what the same search returned."
        check_match(start.model.parameters, wrapper.parameters, "the start does", remedy)
    function = full_space(wrapper, metric)
    begin = flatten((start.model if start is not None else wrapper).snapshot()).double()
    place = place_at(function, begin)
    if start is not None:
        state = State(place, start.radius, start.curvature, start.steps)
    else:
        state = State(place, radius or max(0.1 * float(torch.linalg.vector_norm(begin)), 0.01))
    if tolerance is None:
        tolerance = 1e-10 if place.eps < 1e-12 else 1e-5
    state = search(function, state, RULES[kind], tolerance, steps, products, watch)
    return settle(_described(wrapper, function, state, kind, products), "the search for a critical point", throw)


def full_space(wrapper: ModelWrapper, metric: Metric) -> Function:
    """A metric as a function of all parameters of a model, on a copy of it."""
    if not isinstance(metric, Metric) or metric.dims:
        raise ChoiceError("metric", type(metric).__name__, "a metric of one number, such as Loss")
    Evaluator(Point.of(wrapper), metric)  # refuses a model whose forward uses other parameters than those it is given
    private = wrapper.private_copy()

    def function(vector: Tensor) -> Objective:
        return objective(metric, private.at(unflatten(vector, private.parameters)).settled())

    return function


def _described(wrapper: ModelWrapper, function: Function, state: State, kind: str, products: int) -> CriticalPoint:
    """The result of a search."""
    place, outcome = state.place, state.outcome
    count, ends, name = math.nan, (math.nan, math.nan), "gradient-flat" if state.flat else "not critical"
    if place.finite and outcome is not Outcome.STOPPED:
        count, ends, found = classified(place, function, products, outcome is Outcome.CONVERGED)
        name = found if outcome is Outcome.CONVERGED else name
        if kind == "minimum" and name in ("saddle", "maximum"):
            outcome = Outcome.FAILED
    return CriticalPoint(
        model=wrapper.at(place.objective.theta),
        loss=place.value,
        gradient_norm=place.slope,
        index=count,
        eigenvalues=ends,
        kind=name,
        outcome=outcome,
        steps=state.steps,
        radius=state.radius,
        curvature=state.curvature,
    )


def classified(
    place: Place, function: Function, products: int, critical: bool = True
) -> tuple[float, tuple[float, float], str]:
    r"""Index, largest and smallest eigenvalue, and kind of a critical point.

    Since a search ends near a critical point and not on it, an eigenvalue that is 0 there is small here, with any
    sign. It changes by much over the Newton step that is left, as one of a point that is not degenerate does not.

    Args:
        place: The point.
        function: The objective elsewhere.
        products: See ``find``.
        critical: Whether it is one; else the eigenvalues count as they are.
    """
    found, rounding, counted = _ends(HessianOperator(place.objective))
    sure = np.abs(found.values) > rounding
    if critical and place.slope > 0 and found.converged:
        sure &= _settled(place, function, products, found)
    up, down = sure & (found.values > 0), sure & (found.values < 0)
    ends = float(found.values[0]), float(found.values[-1])
    kind = "saddle" if up[0] and down[-1] else "minimum" if up[-1] else "maximum" if down[0] else "degenerate"
    return float(down.sum()) if counted else math.nan, ends, kind


def _ends(operator: HessianOperator) -> tuple[Eigenpairs, float, bool]:
    """The largest, the smallest and all negative eigenvalues; what is 0; whether the negative ones are all."""
    n, precision = operator.size, operator.objective.precision
    if n <= SMALL:
        found = eigenpairs(operator, n)
        kept = [k for k, value in enumerate(found.values) if k in (0, n - 1) or value < 0]
        values, vectors, residuals = found.values[kept], found.vectors[kept], found.residuals[kept]
        return Eigenpairs(values, vectors, residuals, found.converged), precision * _largest(values), found.converged
    for count in COUNTS:
        tolerance = precision
        found = eigenpairs(operator, 1, count, tolerance, iterations=RESTARTS)
        if not found.converged:
            tolerance = COARSE
            found = eigenpairs(operator, 1, count, tolerance, iterations=RESTARTS)
        rounding = tolerance * _largest(found.values)
        if not found.converged or found.values[1] >= -rounding:
            return found, rounding, found.converged
    return found, rounding, False


def _largest(values: Array) -> float:
    return float(np.abs(values).max())


def _settled(place: Place, function: Function, products: int, found: Eigenpairs) -> NDArray[np.bool_]:
    """Which eigenvalues change little over the Newton step that is left."""
    step = near(place, RULES["any"], math.inf, products).newton()
    there = HessianOperator(function(place.vector + step.to(place.vector.device)))
    rows = [torch.from_numpy(v).to(place.vector.device) for v in found.vectors]
    changes = np.array([float(v @ (there @ v)) for v in rows]) - found.values
    return np.asarray(np.abs(changes) <= CHANGE * np.abs(found.values))
