"""The stationary points of a slice, and whether the whole space knows of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final, overload

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ..errors import ChoiceError, EvaluationError, MismatchError
from ..evaluation import Evaluator
from ..hessian import HessianOperator, Objective
from ..iteration import Outcome, Step, Watch, goes_on, settle
from ..metrics.base import Metric
from ..metrics.gradients import objective
from ..parameters import Parameters, inner, unflatten
from ..refinement import refine
from ..subspaces import AffineSubspace
from .candidates import Interpolant
from .local import Array
from .points import classified
from .rules import RULES
from .search import MOST_PRODUCTS, State, place_at, search

SAME = 1e-3  # cells: stationary points that are nearer are one


@final
@dataclass(frozen=True)
class SlicePoint:
    r"""A stationary point of a slice.

    Attributes:
        coordinates: Where, in the order of the subspace's dims.
        kind: ``"minimum"``, ``"saddle"``, ``"maximum"`` or ``"degenerate"``, within the slice.
        value: The metric there.
        gradient_norm: The length of the full gradient there, :math:`\|\nabla L\|`. Only where it is 0 too, the whole
            space has a critical point. NaN if the metric has no gradient.
        slice_gradient_norm: The length of that gradient's projection on the slice.
    """

    coordinates: tuple[float, ...]
    kind: str
    value: float
    gradient_norm: float
    slice_gradient_norm: float


@final
@dataclass(frozen=True)
class SlicePoints(Sequence[SlicePoint]):
    """The stationary points of a slice, from the lowest to the highest value.

    Attributes:
        points: What was found.
        outcome: ``CONVERGED`` if all candidates were followed, ``STOPPED`` if the watcher stopped it before.
        tried: How many candidates were followed.
    """

    points: tuple[SlicePoint, ...]
    outcome: Outcome
    tried: int

    def __len__(self) -> int:
        return len(self.points)

    @overload
    def __getitem__(self, k: int) -> SlicePoint: ...

    @overload
    def __getitem__(self, k: slice) -> tuple[SlicePoint, ...]: ...

    def __getitem__(self, k: Any) -> Any:
        return self.points[k]


def of_slice(
    subspace: AffineSubspace,
    metric: Metric,
    landscape: xr.Dataset | xr.DataArray | None = None,
    *,
    resolution: int = 33,
    steps: int = 50,
    watch: Watch | None = None,
    start: SlicePoints | None = None,
    throw: bool = False,
) -> SlicePoints:
    r"""The stationary points of a slice, each with the length of the full gradient beside it.

    Where the spline through a computed surface has slopes that change their signs, the metric itself is searched for a
    stationary point in the coordinates of the slice, as ``find`` searches the whole space: nodes that were predicted
    do no harm then. The gradient and the Hessian of the slice are :math:`D^T \nabla L` and :math:`D^T H D`, D the
    directions. For a metric that PyTorch cannot differentiate, the points are those of the spline, for which every node
    is computed unless a landscape is given.

    What lies between nodes of a coarse landscape is missed; points at the border are never stationary.

    Args:
        subspace: A line or plane.
        metric: A metric of one number.
        landscape: Of that metric on that subspace, as ``refine`` yields it; computed if it is left out.
        resolution: Nodes on each axis of that.
        steps: Allowed for each candidate.
        watch: Called after each candidate; it gets the full gradient norm there, NaN where there is no point.
        start: An earlier result for the same landscape, from which to go on.
        throw: Whether anything but an end is an error.

    Returns:
        The points, by value.

    Raises:
        ChoiceError: If the subspace has no directions, or the metric more than one number.
        MismatchError: If the landscape is not of that metric and subspace.
        EvaluationError: If the model or the metric fails.
        SearchError: If it was stopped, with ``throw``.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 6 (what a slice tells of the whole).
        de Boor 1978, A Practical Guide to Splines, chapter XVII (tensor products).
    """
    if not isinstance(subspace, AffineSubspace) or not subspace.dims:
        raise ChoiceError("subspace", type(subspace).__name__, "a Line or a Plane")
    if not isinstance(metric, Metric) or metric.dims:
        raise ChoiceError("metric", type(metric).__name__, "a metric of one number, such as Loss")
    if landscape is None:
        *_, computed = refine(metric, subspace, resolution)
        slice_ = _Slice(subspace, metric, _surface(computed, metric, subspace), steps)
        if not slice_.differentiable:
            *_, computed = refine(metric, subspace, resolution, tolerance=0, start=computed)
            slice_ = _Slice(subspace, metric, _surface(computed, metric, subspace), steps)
    else:
        slice_ = _Slice(subspace, metric, _surface(landscape, metric, subspace), steps)
    every = slice_.interpolant.candidates()
    found, tried = ([], 0) if start is None else (list(start.points), start.tried)
    outcome = Outcome.CONVERGED
    for candidate in every[tried:]:
        point = slice_.stationary(candidate)
        if point is not None and not any(slice_.same(point, other) for other in found):
            found.append(point)
        tried += 1
        value = float("nan") if point is None else point.gradient_norm
        if not goes_on(watch, Step(tried, len(every), value)) and tried < len(every):
            outcome = Outcome.STOPPED
            break
    points = tuple(sorted(found, key=lambda p: p.value))
    return settle(SlicePoints(points, outcome, tried), "the search for stationary points of the slice", throw)


def _surface(landscape: xr.Dataset | xr.DataArray, metric: Metric, subspace: AffineSubspace) -> xr.DataArray:
    """The metric over the dims of the subspace, in their order."""
    surface = landscape.get(metric.name) if isinstance(landscape, xr.Dataset) else landscape
    found = () if surface is None else tuple(map(str, surface.dims))
    if surface is None or sorted(found) != sorted(subspace.dims) or min(surface.shape) < 3:
        raise MismatchError(
            f"the landscape must hold '{metric.name}' over {', '.join(subspace.dims)} at 3 nodes or more on each axis, "
            f"but it has {'no such variable' if surface is None else dict(surface.sizes)}. Compute it on this subspace "
            "with this metric.",
            expected=subspace.dims,
            found=found,
        )
    cut = json.loads(landscape.attrs.get("provenance", "{}")).get("subspace", {}).get("directions")
    if cut not in (None, subspace.facts["directions"]):
        raise MismatchError(
            f"the landscape was computed along the directions {', '.join(cut)}, but those of the subspace are "
            f"{', '.join(subspace.facts['directions'])}. Compute it on this subspace.",
            expected=subspace.facts["directions"],
            found=cut,
        )
    return surface.transpose(*subspace.dims)


@final
class _Slice:
    """A metric as a function of coordinates that count cells of a landscape."""

    def __init__(self, subspace: AffineSubspace, metric: Metric, surface: xr.DataArray, steps: int) -> None:
        self.subspace, self.metric, self.steps = subspace, metric, steps
        axes = [np.asarray(surface[dim], dtype=float) for dim in subspace.dims]
        self.first = np.array([axis[0] for axis in axes])
        self.cell = np.array([(axis[-1] - axis[0]) / (len(axis) - 1) for axis in axes])
        self.interpolant = Interpolant(np.asarray(surface.values, dtype=float))
        self.evaluator, self.model = Evaluator(subspace, metric), subspace.model.private_copy()
        self.gram = np.array([[inner(a, b) for b in subspace.directions] for a in subspace.directions])
        self.slope = float(np.median(self.interpolant.slopes()))
        self.differentiable = self._is_differentiable()

    def coordinates(self, cells: Array) -> tuple[float, ...]:
        """Those of the subspace."""
        return tuple(float(x) for x in self.first + self.cell * cells)

    def same(self, a: SlicePoint, b: SlicePoint) -> bool:
        """Whether two points are one."""
        return bool((np.abs(np.subtract(a.coordinates, b.coordinates)) <= SAME * np.abs(self.cell)).all())

    def stationary(self, candidate: Array) -> SlicePoint | None:
        """The stationary point near a candidate, if there is one inside."""
        if not self.differentiable:
            return self._of_interpolant(candidate)
        place = place_at(
            self.objective, torch.from_numpy(candidate).to(next(iter(self.subspace.origin.values())).device)
        )
        tolerance = place.objective.precision * self.slope
        state = search(self.objective, State(place, 0.5), RULES["any"], tolerance, self.steps)
        cells = state.place.vector.cpu().numpy()
        inside = all(0 < x < n - 1 for x, n in zip(cells, self.interpolant.shape, strict=True))
        if state.outcome is not Outcome.CONVERGED or not inside:
            return None
        return self._described(cells, classified(state.place, self.objective, MOST_PRODUCTS)[2])

    def objective(self, cells: Tensor) -> Objective:
        """The metric as a function of the coordinates, at a point."""
        origin, directions = self.subspace.origin, self.subspace.directions
        at = {"coordinates": cells.to(self.model.dtype)}
        first, cell = (torch.from_numpy(a).to(at["coordinates"]) for a in (self.first, self.cell))

        def state(theta: Parameters) -> dict[str, Tensor]:
            c = first + cell * theta["coordinates"]
            return {n: o + sum(c[k].to(o) * d[n] for k, d in enumerate(directions)) for n, o in origin.items()}

        model = self.model.at(state(at)).settled()
        total = self.metric.total(model)
        return Objective(
            at, lambda theta: self.metric.parts(model.at(state(theta)), total), f"metric '{self.metric.name}'"
        )

    def _is_differentiable(self) -> bool:
        middle = torch.zeros(
            len(self.cell), dtype=torch.float64, device=next(iter(self.subspace.origin.values())).device
        )
        try:
            HessianOperator(self.objective(middle)) @ middle
        except EvaluationError:
            return False
        return True

    def _of_interpolant(self, cells: Array) -> SlicePoint | None:
        slope = self.interpolant.gradient(cells)
        if np.linalg.norm(slope) > 1e-6 * self.slope:
            return None
        values = np.linalg.eigvalsh(self.interpolant.hessian(cells))
        sure = np.abs(values) > 1e-6 * np.abs(values).max()
        kind = "minimum" if values[0] > 0 else "maximum" if values[-1] < 0 else "saddle"
        kind = kind if sure[0] and sure[-1] else "degenerate"
        return self._described(cells, kind, slope / self.cell)

    def _described(self, cells: Array, kind: str, slope: Array | None = None) -> SlicePoint:
        """The point, with gradients of the metric; the slope of the spline counts where it has none."""
        where = self.coordinates(cells)
        value = float(self.evaluator(where)[self.metric.name].value)
        length, along = float("nan"), np.zeros(len(cells)) if slope is None else slope
        model = self.model.at(self.subspace.state_at(where)).settled()
        try:
            gradient = objective(self.metric, model).gradient()
        except EvaluationError:
            pass
        else:
            length = float(torch.linalg.vector_norm(gradient))
            full = unflatten(gradient, {n: p.double() for n, p in model.parameters.items()})
            along = np.array([inner(d, full) for d in self.subspace.directions])
        squared = float(along @ np.linalg.solve(self.gram, along))
        return SlicePoint(where, kind, value, length, max(squared, 0.0) ** 0.5)
