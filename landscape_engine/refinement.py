"""Which points to evaluate next, and landscapes that sharpen from a coarse grid."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.ndimage import distance_transform_edt, maximum_filter

from .errors import ChoiceError
from .evaluation import Evaluator, MetricLike
from .landscape import SCALES, build, inverse, provenance, transform
from .metrics.base import Estimate, Metric, MetricPipeline, as_pipeline
from .subspaces import COARSE_INTERVALS, Subspace

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# A node is computed where the error expected of its prediction exceeds this share of the tolerance.
SAFETY = 0.5
# The surplus of a smooth surface shrinks 16 times a level under a cubic predictor; a jump does not shrink at all.
SMALLEST_DECAY, LARGEST_DECAY, FIRST_DECAY = 1 / 16, 1.0, 1 / 4


def coarse_stride(resolution: int, dimensions: int) -> int:
    """The largest power of two that divides ``resolution - 1`` and leaves enough intervals on a coarse axis.

    Enough are 16 on a line, 8 on a plane, 4 on a cube. It is 1, so that every node is computed, where none does.
    """
    stride, intervals = 1, resolution - 1
    while intervals % (2 * stride) == 0 and intervals // (2 * stride) >= COARSE_INTERVALS[dimensions]:
        stride *= 2
    return stride


@lru_cache(maxsize=64)
def _doubling(count: int, degree: int) -> Array:
    """The matrix (2 count - 1, count) that interpolates values at integers to half-integers too."""
    nodes = np.arange(count, dtype=float)
    spline = make_interp_spline(nodes, np.eye(count), k=min(degree, count - 1))
    matrix = spline(np.arange(2 * count - 1) / 2)
    matrix[::2] = np.eye(count)  # the values themselves stay as they are, to the last bit
    return matrix


def _refine_grid(values: Array, degree: int) -> Array:
    for axis, count in enumerate(values.shape):
        values = np.moveaxis(np.tensordot(_doubling(count, degree), values, axes=(1, axis)), 0, axis)
    return values


def _nearest_finite(values: Array) -> Array:
    bad = ~np.isfinite(values)
    if not bad.any() or bad.all():
        return np.where(bad, 0.0, values)
    nearest = distance_transform_edt(bad, return_distances=False, return_indices=True)
    return values[tuple(nearest)]


class Analysis(NamedTuple):
    """What the values told so far say.

    Attributes:
        wanted: Indices of the nodes to compute next, (n, dimensions), largest expected gain first.
        prediction: The transformed surface at full resolution.
        error: Its estimated error, 0 at computed nodes.
        span: Range (max - min) of the finite transformed values.
    """

    wanted: NDArray[np.int64]
    prediction: Array
    error: Array
    span: float


@final
class Refiner:
    r"""Decides which nodes of a grid to compute, and predicts the others.

    An interpolating multiresolution scheme. A coarse grid is computed whole. Each level then halves the spacing: the
    new nodes are predicted by the tensor-product cubic spline through the level before; the *surplus* of a computed
    node is its value minus that prediction. The next level's surplus is expected to be the largest one nearby times
    the decay learned from level to level. Where that is below half the tolerance, the prediction stands; elsewhere the
    node is computed. In each cell of the coarse grid one predicted node, drawn at random from the first level that is
    predicted there, is computed as an audit: if its surplus exceeds the tolerance, that level of the cell is computed.
    Near values that are not finite every node is computed; nothing is interpolated over them.

    The error estimate is calibrated by the audits. It is an estimate, not a bound: a feature narrower than the coarse
    grid that meets no audit is missed.

    What is asked depends only on the set of values told, so that the order of telling does not matter and a half-told
    refiner resumes with the same asks.

    Args:
        shape: Nodes on each axis.
        tolerance: Wanted largest error, as a fraction of the range of the transformed values; 0 computes every node.
        scale: ``"linear"``, ``"log"`` or ``"symlog"``, the transformation in which errors are measured.
        vmax: Values above it count as equal to it.
        seed: Of the audits.

    References:
        Harten 1995, Multiresolution algorithms for the numerical solution of hyperbolic conservation laws (surplus and
        its decay); Donoho 1992, Interpolating wavelet transforms.
    """

    def __init__(
        self,
        shape: Sequence[int],
        tolerance: float = 0.005,
        scale: str = "linear",
        vmax: float | None = None,
        seed: int = 0,
    ) -> None:
        if not (np.isfinite(tolerance) and 0 <= tolerance < 1):
            raise ChoiceError("tolerance", tolerance, "a fraction of the range, from 0 to below 1")
        if scale not in SCALES:
            raise ChoiceError("scale", scale, f"one of {', '.join(SCALES)}")
        self.shape, self.tolerance, self.scale, self.vmax, self.seed = (
            tuple(shape),
            tolerance,
            scale,
            vmax,
            seed,
        )
        self.stride = min(coarse_stride(n, len(self.shape)) for n in self.shape)
        self.values: Array = np.full(self.shape, np.nan)
        self.computed: Mask = np.zeros(self.shape, dtype=bool)
        self._analysis: Analysis | None = None

    def ask(self, count: int | None = None) -> NDArray[np.int64]:
        """Indices (n, dimensions) of at most ``count`` nodes to compute next; empty when finished."""
        return self.analysis.wanted[:count]

    def tell(self, nodes: NDArray[np.int64], values: Array) -> None:
        """Take the values of some nodes, asked for or not."""
        index = tuple(np.asarray(nodes, dtype=np.int64).reshape(-1, len(self.shape)).T)
        self.values[index] = values
        self.computed[index] = True
        self._analysis = None

    @property
    def is_whole(self) -> bool:
        """Whether the coarse grid is complete, so that there is a surface at every node."""
        return bool(self.computed[self._grid(self.stride)].all())

    @property
    def analysis(self) -> Analysis:
        """What the values told so far say; computed once for each new set of them."""
        if self._analysis is None:
            self._analysis = self._analyse()
        return self._analysis

    def _grid(self, stride: int) -> tuple[slice, ...]:
        return tuple(slice(None, None, stride) for _ in self.shape)

    def _analyse(self) -> Analysis:
        grid = self._grid(self.stride)
        known = self.computed[grid]
        if not known.all():
            wanted = np.argwhere(~known) * self.stride
            empty = np.full(self.shape, np.nan)
            return Analysis(wanted, empty, empty, 0.0)
        with np.errstate(all="ignore"):
            descent = _Descent(self)
            while descent.stride > 1:
                descent.next_level()
        return descent.result()


@final
class _Descent:
    """One pass from the coarse grid to the full resolution over the values that a refiner knows."""

    def __init__(self, refiner: Refiner) -> None:
        self.refiner, self.stride = refiner, refiner.stride
        self.transformed = transform(refiner.values, refiner.scale, refiner.vmax)
        self.values: Array = self.transformed[refiner._grid(self.stride)]
        self.surplus, self.decay, self.typical = self._first_surplus()
        self.error: Array = np.zeros_like(self.values)
        self.wanted: NDArray[np.int64] = np.zeros((0, self.values.ndim), dtype=np.int64)
        self.settled: Mask = np.zeros(tuple(n - 1 for n in self.values.shape), dtype=bool)  # cells that passed
        self.ratios: list[float] = []

    def _first_surplus(self) -> tuple[Array, float, float]:
        """Surplus of the coarse grid over every second node of itself, and what it says of the decay."""
        fine = _nearest_finite(self.values)
        levels = []
        for _ in range(2):
            if any((n - 1) % 2 or n < 5 for n in fine.shape):
                break
            half = fine[tuple(slice(None, None, 2) for _ in fine.shape)]
            levels.append(np.abs(fine - _refine_grid(half, 3)))
            fine = half
        if not levels:
            return np.full(self.values.shape, np.inf), FIRST_DECAY, np.nan
        return levels[0], FIRST_DECAY, _rms(levels[0][levels[0] > 0])

    def _span(self) -> float:
        finite = self.values[np.isfinite(self.values)]
        span = float(np.ptp(finite)) if finite.size else 0.0
        return span if span > 1e-12 * float(np.abs(finite).max(initial=0.0)) else 0.0  # rounding is no range

    def next_level(self) -> None:
        """Predict the nodes half-way, take those that are known, decide which of the others are wanted."""
        refiner, span = self.refiner, self._span()
        ceiling = refiner.tolerance * span if span else np.inf  # a constant surface is finished after the coarse pass
        prediction = _refine_grid(_nearest_finite(self.values), 3)
        expected = self._expected()
        self.stride //= 2
        grid = refiner._grid(self.stride)
        new = np.ones(prediction.shape, dtype=bool)
        new[tuple(slice(None, None, 2) for _ in new.shape)] = False
        known = refiner.computed[grid] & new
        actual = np.where(known, self.transformed[grid], prediction)
        miss = np.where(known, np.abs(actual - prediction), 0.0)
        miss = np.where(known & ~np.isfinite(actual), np.inf, miss)
        finite_known = known & np.isfinite(actual)
        needed = new & ((expected > SAFETY * ceiling) | (refiner.tolerance == 0))
        self._want(needed & ~known, expected)
        if not len(self.wanted):
            self._audit(new, needed, known, miss, expected, ceiling)
        self.error = np.where(known, 0.0, _refine_grid(self.error, 1) + np.where(new, expected, 0.0))
        self.values = np.where(new, actual, _spread(self.values))
        self._learn_decay(miss[finite_known])
        self.surplus = np.where(known, miss, np.where(new, expected, 0.0))

    def _expected(self) -> Array:
        """The surplus expected of the next level: the largest one nearby times the decay."""
        nearby = maximum_filter(self.surplus, size=3, mode="nearest") * self.decay
        nearby = np.where(maximum_filter(~np.isfinite(self.values), size=3, mode="nearest"), np.inf, nearby)
        return maximum_filter(_spread(nearby), size=3, mode="nearest")

    def _learn_decay(self, misses: Array) -> None:
        if misses.size >= 8:
            typical = _rms(misses)
            if np.isfinite(self.typical) and self.typical > 0:
                self.decay = float(np.clip(typical / self.typical, SMALLEST_DECAY, LARGEST_DECAY))
            self.typical = typical

    def _want(self, nodes: Mask, gain: Array) -> None:
        if len(self.wanted) or not nodes.any():
            return
        index = np.argwhere(nodes)
        order = np.argsort(-gain[nodes], kind="stable")
        self.wanted = index[order] * self.stride

    def _audit(self, new: Mask, needed: Mask, known: Mask, miss: Array, expected: Array, ceiling: float) -> None:
        """One random predicted node in each coarse cell; a cell that fails is computed at this level."""
        cells = self.refiner.stride // self.stride
        asked = np.zeros(new.shape, dtype=bool)
        for cell in np.argwhere(~self.settled) if np.isfinite(ceiling) else ():
            window = tuple(slice(c * cells, (c + 1) * cells + 1) for c in cell)
            candidates = np.argwhere((new & ~needed)[window])
            if not len(candidates):
                continue
            generator = np.random.default_rng([self.refiner.seed, self.stride, *cell.tolist()])
            pick = tuple(candidates[generator.integers(len(candidates))] + cell * cells)
            if not known[pick]:
                asked[pick] = True
            elif miss[pick] <= ceiling:
                self.settled[tuple(cell)] = True
                if np.isfinite(expected[pick]) and expected[pick] > 0:
                    self.ratios.append(float(miss[pick] / expected[pick]))
            else:
                asked[window] |= (new & ~known)[window]
        self._want(asked, expected)

    def result(self) -> Analysis:
        """The surface, its error estimate scaled by what the audits found, and the nodes wanted next."""
        scale = float(np.clip(1.5 * np.quantile(self.ratios, 0.95), 0.05, 10)) if len(self.ratios) >= 8 else 1.0
        error = np.where(self.refiner.computed, 0.0, self.error * scale)
        span = self._span()
        error = np.where(np.isfinite(error), error, span) if span else np.zeros_like(error)
        return Analysis(self.wanted, self.values, error, span)


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else np.nan


def _spread(values: Array) -> Array:
    """Values on every second node of a grid of twice the density; 0 between them."""
    result = np.zeros(tuple(2 * n - 1 for n in values.shape), dtype=values.dtype)
    result[tuple(slice(None, None, 2) for _ in values.shape)] = values
    return result


@dataclass(frozen=True)
class Progress:
    """How far a refinement has come.

    Attributes:
        evaluated: Points evaluated in this run.
        planned: Points to evaluate in all, as far as can be seen now.
        seconds: Since the start.
    """

    evaluated: int
    planned: int
    seconds: float


def refine(
    metrics: MetricLike,
    subspace: Subspace,
    resolution: int = 129,
    tolerance: float = 0.005,
    scale: str = "linear",
    vmax: float | None = None,
    drive: str | None = None,
    start: xr.Dataset | None = None,
    interval: float = 0.2,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[xr.Dataset]:
    """Landscapes of a subspace, coarse to fine, each whole at the full resolution.

    The first one stands on the coarse grid alone; more follow about every ``interval`` seconds; the last one meets the
    tolerance as far as the error estimate knows (see ``Refiner``).

    Args:
        metrics: A metric, several, or a pipeline.
        subspace: A line, a plane, or a curve.
        resolution: Nodes on each axis; 2^k + 1 leaves most to predict.
        tolerance: Wanted largest error, as a fraction of the range of the transformed metric; 0 computes every node.
        scale: ``"linear"``, ``"log"`` (needs a positive metric) or ``"symlog"``.
        vmax: Values above it count as equal to it.
        drive: Name of the metric that decides which nodes are computed; by default the first one whose ``smooth`` is
            true. The others are NaN where they were not computed. If none is smooth, every node is computed.
        start: A landscape of the same subspace, resolution and metrics, whose computed nodes are taken over.
        interval: Seconds between two landscapes.
        progress: Called after each evaluation. What it raises ends the run, which is how one is canceled.

    Yields:
        A Dataset over the dims of the subspace: each metric; ``<metric>_stderr``, its standard error over examples;
        ``<metric>_error``, the estimated error of the driving metric in units of the transformed metric, 0 at computed
        nodes, with attributes ``scale`` and ``range``; ``evaluated``, where it was computed; attribute ``provenance``.

    Raises:
        ChoiceError: If a choice is outside what is offered.
        EvaluationError: If the model or a metric fails at a point.
    """
    pipeline = as_pipeline(metrics)
    driver = _driver(pipeline, drive)
    if driver is None:
        tolerance = 0.0
    if scale == "log" and driver is not None and not driver.positive:
        raise ChoiceError("scale", scale, f"'linear' or 'symlog' for '{driver.name}', which may be negative")
    axes = subspace.axes(resolution)
    refiner = Refiner([len(a) for a in axes], tolerance, scale, vmax)
    return _run(pipeline, driver or pipeline.metrics[0], subspace, axes, refiner, start, interval, progress)


def _driver(pipeline: MetricPipeline, drive: str | None) -> Metric | None:
    named = {m.name: m for m in pipeline.metrics}
    if drive is None:
        return next((m for m in pipeline.metrics if m.smooth), None)
    if drive not in named:
        raise ChoiceError("drive", drive, f"one of {', '.join(named)}")
    return named[drive]


def _run(
    pipeline: MetricPipeline,
    driver: Metric,
    subspace: Subspace,
    axes: list[Array],
    refiner: Refiner,
    start: xr.Dataset | None,
    interval: float,
    progress: Callable[[Progress], None] | None,
) -> Iterator[xr.Dataset]:
    record = _Record(pipeline, driver, subspace, axes, refiner)
    if start is not None:
        record.take_over(start)
    evaluator = Evaluator(subspace, pipeline)
    began = last = time.perf_counter()
    while len(nodes := refiner.ask()):
        whole, planned = refiner.is_whole, record.evaluations + len(nodes)
        for node in nodes:
            record.tell(node, evaluator([axis[i] for axis, i in zip(axes, node, strict=True)]))
            now = time.perf_counter()
            if progress is not None:
                progress(Progress(record.evaluations, planned, now - began))
            if whole and now - last >= interval:
                break
        record.flush()
        now = time.perf_counter()
        if refiner.is_whole and (not whole or now - last >= interval) and len(refiner.ask()):
            last = now
            yield record.landscape(now - began)
            last = time.perf_counter()
    yield record.landscape(time.perf_counter() - began)


@final
class _Record:
    """The values of every metric at the computed nodes."""

    def __init__(
        self,
        pipeline: MetricPipeline,
        driver: Metric,
        subspace: Subspace,
        axes: list[Array],
        refiner: Refiner,
    ) -> None:
        self.pipeline, self.driver, self.subspace, self.axes, self.refiner = (
            pipeline,
            driver,
            subspace,
            axes,
            refiner,
        )
        self.values = {m.name: np.full(refiner.shape, np.nan) for m in pipeline.metrics}
        self.stderr = {m.name: np.full(refiner.shape, np.nan) for m in pipeline.metrics}
        self.evaluations = self.taken_over = 0
        self._pending: list[NDArray[np.int64]] = []
        self._story = provenance(subspace, pipeline.metrics)  # hashing the data is done once

    def take_over(self, start: xr.Dataset) -> None:
        order = self.subspace.dims
        computed = start["evaluated"].transpose(*order).values.astype(bool)
        same = all(np.array_equal(start[d].values, a) for d, a in zip(order, self.axes, strict=True))
        if not same or not set(self.values) <= set(start.data_vars):
            raise ChoiceError("start", dict(start.sizes), "a landscape of the same subspace, resolution and metrics")
        for name in self.values:
            self.values[name][computed] = start[name].transpose(*order).values[computed]
            if f"{name}_stderr" in start:
                self.stderr[name][computed] = start[f"{name}_stderr"].transpose(*order).values[computed]
        nodes = np.argwhere(computed)
        self.taken_over = len(nodes)
        self.refiner.tell(nodes, self.values[self.driver.name][computed])

    def tell(self, node: NDArray[np.int64], estimates: dict[str, Estimate]) -> None:
        for name, estimate in estimates.items():
            self.values[name][tuple(node)], self.stderr[name][tuple(node)] = estimate
        self.evaluations += 1
        self._pending.append(node)

    def flush(self) -> None:
        """Tell the refiner what was computed since the last flush."""
        nodes = np.array(self._pending, dtype=np.int64)
        self.refiner.tell(nodes, self.values[self.driver.name][tuple(nodes.T)])
        self._pending = []

    def landscape(self, seconds: float) -> xr.Dataset:
        refiner, name = self.refiner, self.driver.name
        analysis, computed = refiner.analysis, refiner.computed
        surface = np.where(computed, refiner.values, inverse(analysis.prediction, refiner.scale))
        low, high = self.driver.bounds  # an interpolated accuracy may overshoot 1
        surface = np.where(computed, surface, np.clip(surface, low, high)) if (low, high) != (None, None) else surface
        variables: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
            key: (surface if key == name else value.copy(), {}) for key, value in self.values.items()
        }
        variables[f"{name}_error"] = (analysis.error, {"scale": refiner.scale, "range": analysis.span})
        variables |= {f"{k}_stderr": (v.copy(), {}) for k, v in self.stderr.items() if np.isfinite(v).any()}
        variables["evaluated"] = (computed.copy(), {"long_name": "computed, not predicted"})
        choices = {"drive": name, "scale": refiner.scale, "tolerance": refiner.tolerance}
        story = self._story | choices
        story |= {"strategy": Evaluator.strategy, "evaluations": self.evaluations + self.taken_over}
        attributes = choices | {"provenance": json.dumps(story | {"seconds": round(seconds, 3)})}
        return build(self.subspace, self.axes, self.pipeline.metrics, variables, attributes)
