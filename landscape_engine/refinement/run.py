"""Landscapes that sharpen from a coarse grid."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import ChoiceError
from ..evaluation import Evaluator, MetricLike
from ..landscape import build, inverse, provenance
from ..metrics.base import Estimate, Metric, MetricPipeline, PairMetric, as_pipeline
from ..subspaces import Subspace
from .interpolation import Array
from .refiner import Refiner

USUAL = 25  # nodes of a plane for one that is computed, at least


@dataclass(frozen=True)
class Progress:
    """How far a refinement has come.

    Attributes:
        evaluated: Points evaluated in this run.
        planned: Points to evaluate in all, as far as can be seen now.
        seconds: Spent since the start, without what the caller did between two landscapes.
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
    strategy: str = "auto",
    density: int = 0,
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
        progress: Called after each evaluation, or some that were made together. What it raises ends the run, which is
            how one is canceled.
        strategy: How points are evaluated: ``"auto"``, the fastest of those that give the same values, found by trying
            them at the first nodes; or ``"loop"``, ``"first-layer reuse"``, ``"vmap"``. The provenance records it.
        density: How many nodes on each axis, evenly spaced, are computed at least. The first landscape has 17 on a
            line, 9 on a plane, 5 on a cube; what is narrower than their spacing may be missed.

    Yields:
        A Dataset over the dims of the subspace: each metric; ``<metric>_stderr``, its standard error over examples;
        ``<metric>_error``, the estimated error of the driving metric in units of the transformed metric, 0 at computed
        nodes, with attributes ``scale``, ``range`` and, if it was given, ``vmax``; ``evaluated``, where it was
        computed; attribute ``provenance``.

    Raises:
        ChoiceError: If a choice is outside what is offered.
        EvaluationError: If the model or a metric fails at a point.
    """
    pipeline = as_pipeline(metrics)
    unfit = next((m for m in pipeline.metrics if m.dims or isinstance(m, PairMetric)), None)
    if unfit is not None:
        raise ChoiceError("metrics", unfit.name, "of one number at each point; evaluate this one at chosen points")
    driver = _driver(pipeline, drive)
    if driver is None or not subspace.smooth:
        tolerance = 0.0
    if scale == "log" and driver is not None and not driver.positive:
        raise ChoiceError("scale", scale, f"'linear' or 'symlog' for '{driver.name}', which may be negative")
    if not subspace.dims:
        raise ChoiceError("subspace", type(subspace).__name__, "one with coordinates; a point has evaluate and point")
    axes = subspace.axes(resolution)
    refiner = Refiner([len(a) for a in axes], tolerance, scale, vmax, density=density)
    return _run(pipeline, driver or pipeline.metrics[0], subspace, axes, refiner, start, interval, progress, strategy)


def over_seeds(
    build: Callable[[int], Subspace], metrics: MetricLike, seeds: Sequence[int] = range(5), **options: Any
) -> xr.Dataset:
    """The same slice for several seeds, to see how much a picture depends on its random directions.

    Args:
        build: Makes the subspace of a seed, for instance ``lambda seed: Line.random(model, seed=seed)``.
        metrics: A metric, several, or a pipeline.
        seeds: Which seeds.
        **options: For ``refine``.

    Returns:
        The finished landscapes along a new dim ``seed``; ``.mean("seed")`` and ``.std("seed")`` sum them up.
    """
    if not len(seeds):
        raise ChoiceError("seeds", seeds, "one seed or more")
    finished = []
    for seed in seeds:
        *_, landscape = refine(metrics, build(seed), **options)
        finished.append(landscape)
    joined = xr.concat(finished, dim="seed", combine_attrs="drop_conflicts", join="exact")
    return joined.assign_coords(seed=list(seeds))


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
    strategy: str,
) -> Iterator[xr.Dataset]:
    evaluator = Evaluator(subspace, pipeline, strategy)
    record = _Record(pipeline, driver, subspace, axes, refiner, evaluator)
    if start is not None:
        record.take_over(start)
    likely = refiner.computed.size // (USUAL if refiner.tolerance else 1)
    began = last = time.perf_counter()
    while len(nodes := refiner.ask()):
        whole, planned = refiner.is_whole, record.evaluations + len(nodes)
        done = 0
        while done < len(nodes):
            some = nodes[done : done + evaluator.chunk]
            done += len(some)
            points = [[float(axis[i]) for axis, i in zip(axes, node, strict=True)] for node in some]
            for node, estimates in zip(some, evaluator.many(points, likely), strict=True):
                record.tell(node, estimates)
            now = time.perf_counter()
            if progress is not None:
                progress(Progress(record.evaluations, planned, now - began))
            if whole and now - last >= interval:
                break
        record.flush()
        now = time.perf_counter()
        if refiner.is_whole and (not whole or now - last >= interval) and len(refiner.ask()):
            yield record.landscape(now - began)
            last = time.perf_counter()
            began += last - now  # what the caller does meanwhile is not counted
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
        evaluator: Evaluator,
    ) -> None:
        self.pipeline, self.driver, self.subspace, self.axes = pipeline, driver, subspace, axes
        self.refiner, self.evaluator = refiner, evaluator
        self.values = {m.name: np.full(refiner.shape, np.nan) for m in pipeline.metrics}
        self.stderr = {m.name: np.full(refiner.shape, np.nan) for m in pipeline.metrics}
        self.evaluations = self.taken_over = 0
        self._pending: list[NDArray[np.int64]] = []
        self._story = provenance(subspace, pipeline.metrics)  # hashing the data is done once

    def take_over(self, start: xr.Dataset) -> None:
        """Take the computed nodes of a landscape, and tell the refiner of them."""
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
        """Take what was evaluated at a node, whose index has one number a dim."""
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
        """What is known so far, whole: computed values, predictions elsewhere, errors, provenance."""
        refiner, name = self.refiner, self.driver.name
        analysis, computed = refiner.analysis, refiner.computed
        surface = np.where(computed, refiner.values, inverse(analysis.prediction, refiner.scale))
        low, high = self.driver.bounds  # an interpolated accuracy may overshoot 1
        surface = np.where(computed, surface, np.clip(surface, low, high)) if (low, high) != (None, None) else surface
        variables: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
            key: (surface if key == name else value.copy(), {}) for key, value in self.values.items()
        }
        cut = {} if refiner.vmax is None else {"vmax": refiner.vmax}
        variables[f"{name}_error"] = (analysis.error, {"scale": refiner.scale, "range": analysis.span, **cut})
        variables |= {f"{k}_stderr": (v.copy(), {}) for k, v in self.stderr.items() if np.isfinite(v).any()}
        variables["evaluated"] = (computed.copy(), {"long_name": "computed, not predicted"})
        choices = {"drive": name, "scale": refiner.scale, "tolerance": refiner.tolerance, **cut}
        choices |= {"density": refiner.density} if refiner.density else {}
        story = self._story | choices
        story |= {"strategy": self.evaluator.strategy, "evaluations": self.evaluations + self.taken_over}
        attributes = choices | {"provenance": json.dumps(story | {"seconds": round(seconds, 3)})}
        return build(self.subspace, self.axes, self.pipeline.metrics, variables, attributes)
