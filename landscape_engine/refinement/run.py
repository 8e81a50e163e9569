"""Landscapes that sharpen from a coarse grid."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import ChoiceError, EvaluationError
from ..evaluation import Evaluator, MetricLike
from ..metrics.base import Metric, PairMetric
from ..metrics.pipeline import MetricPipeline, as_pipeline
from ..subspaces import Subspace
from .drafting import Drafting, refusal
from .drafts import Draft, anchors
from .interpolation import Array
from .record import Record
from .refiner import Refiner

MEMORY = 100  # points whose time tells that of those to come
USUAL = 50  # nodes of a plane for one that is computed, where it is smooth


@dataclass(frozen=True)
class Progress:
    """How far a refinement has come.

    Attributes:
        evaluated: Points evaluated in this run, those of a draft included.
        planned: Points to evaluate in all, as far as can be seen now.
        seconds: Spent since the start, without what the caller did between two landscapes.
        left: Seconds that the planned points will still take, as far as those before them tell.
        pace: Seconds that another point would take, which is longer than one of a draft.
    """

    evaluated: int
    planned: int
    seconds: float
    left: float = 0.0
    pace: float = 0.0


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
    subset: int | None = None,
    precision: str = "model",
) -> Iterator[xr.Dataset]:
    """Landscapes of a subspace, coarse to fine, each whole at the full resolution.

    The first one stands on the coarse grid alone; more follow about every ``interval`` seconds; the last one meets the
    tolerance as far as the error estimate knows (see ``Refiner``).

    With a ``subset`` or in ``"bfloat16"`` the first ones are *drafts*: surfaces of cheaper values, put right by their
    difference from true ones, which is measured at some nodes; their error includes what is not known of it (see
    ``Draft``). A draft finds nothing that stays: the nodes are then computed again, and the last landscape is the very
    one of a run without a draft. So the whole takes longer, and the first picture is there sooner.

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
            them at the first nodes; or ``"loop"``, ``"first-layer reuse"``, ``"vmap"``, ``"CUDA graph"``,
            ``"threads"``, ``"compiled"`` (by ``torch.compile``, never tried unless it is asked for), or what a
            provenance records.
        density: How many nodes on each axis, evenly spaced, are computed at least. The first landscape has 17 on a
            line, 9 on a plane, 5 on a cube, about half as many on a line and a plane if the tolerance is 0; what is
            narrower than their spacing may be missed.
        subset: Examples of a draft, drawn at random once; of each data set, if there are several. A number that is no
            less than all of them makes no draft.
        precision: In which type of numbers the model computes. ``"model"``: its own. ``"float32"``, ``"float64"``: as
            it says; directions stay those that were drawn, points are formed in it. ``"bfloat16"``: a draft in it (see
            ``Evaluator``), then its own. ``"auto"``: so if, at the first nodes, it is 1.5 times as fast and no value
            is off by more than the tolerance; the provenance says what was found.

    Yields:
        A Dataset over the dims of the subspace: each metric; ``<metric>_stderr``, its standard error over examples;
        ``<metric>_error``, the estimated error of the driving metric in units of the transformed metric, 0 at computed
        nodes, with attributes ``scale``, ``range`` and, if it was given, ``vmax``; ``evaluated``, where it was
        computed; attribute ``provenance``. One that has a draft in it has an attribute ``draft``, which says of what,
        and ``drafted``, where its values were computed so; ``evaluated`` is where true values were, and ``start`` takes
        only those.

    Raises:
        ChoiceError: If a choice is outside what is offered; for instance a subset where the driving metric has no
            examples, or nothing smooth drives.
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
    drafting = Drafting(subset, precision, driver is not None and subspace.smooth)
    driver = driver or pipeline.metrics[0]
    drafting.check(driver)
    return _Run(pipeline, driver, subspace, axes, refiner, interval, progress, strategy, drafting).landscapes(start)


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


@final
class _Run:
    """One refinement, as it goes."""

    def __init__(
        self,
        pipeline: MetricPipeline,
        driver: Metric,
        subspace: Subspace,
        axes: list[Array],
        refiner: Refiner,
        interval: float,
        progress: Callable[[Progress], None] | None,
        strategy: str,
        drafting: Drafting,
    ) -> None:
        self.subspace, self.strategy, self.drafting = subspace, strategy, drafting
        self.interval, self.progress, self.evaluated = interval, progress, 0
        self.paces = {True: (0, 0.0), False: (0, 0.0)}  # of true values and of drafts: points, seconds of each
        self.likely = refiner.computed.size // (USUAL if refiner.tolerance else 1)
        evaluator = Evaluator(subspace, pipeline, strategy, drafting.last)
        self.record = Record(pipeline, driver, subspace, axes, refiner, evaluator)

    def landscapes(self, start: xr.Dataset | None) -> Iterator[xr.Dataset]:
        """Coarse to fine; the last one stands on true values alone."""
        record = self.record
        if start is not None:
            record.take_over(start)
        self.began = self.last = time.perf_counter()
        if self.drafting.is_wanted:
            record.draft = self._draft()
        for stage in (record.draft, record):
            yield from self._passes(stage) if stage is not None else ()
        yield record.landscape(time.perf_counter() - self.began, finished=True)

    def _passes(self, stage: Draft | Record) -> Iterator[xr.Dataset]:
        """Compute what is asked for until nothing is."""
        record = self.record
        while len(nodes := self._next(stage)):
            whole = record.is_whole
            hurries = stage is not record and not whole  # a first draft is there before the fastest strategy is found
            for _ in self._compute(stage, nodes, self._ahead(stage, len(nodes)), 0 if hurries else self.likely):
                if whole and self._is_due:
                    break
            if record.is_whole and (not whole or self._is_due) and (stage is not record or len(stage.ask())):
                now = time.perf_counter()
                yield record.landscape(now - self.began)
                self.last = time.perf_counter()
                self.began += self.last - now  # what the caller does meanwhile is not counted

    def _next(self, stage: Draft | Record) -> NDArray[np.int64]:
        """The nodes asked for; where all will be computed, also others as long as one call, or pass, has room."""
        nodes, refiner = stage.ask(), stage.refiner
        room = stage.evaluator.chunk - len(nodes)
        if refiner.tolerance or not len(nodes) or room <= 0:
            return nodes
        others = ~refiner.computed
        others[tuple(nodes.T)] = False
        return np.concatenate([nodes, np.argwhere(others)[:room]])

    @property
    def _is_due(self) -> bool:
        return time.perf_counter() - self.last >= self.interval

    def _compute(self, stage: Draft | Record, nodes: NDArray[np.int64], ahead: int, likely: int) -> Iterator[float]:
        """Evaluate nodes, as many together as is best; yields the seconds that each of them took.

        Args:
            stage: What asks for them.
            nodes: Their indices.
            ahead: How many evaluations are planned after them.
            likely: In how many a faster strategy would pay; 0 looks for none.
        """
        done, planned, evaluator = 0, self.evaluated + len(nodes) + ahead, stage.evaluator
        while done < len(nodes):
            some, began = nodes[done : done + evaluator.chunk], time.perf_counter()
            points = [[float(axis[i]) for axis, i in zip(self.record.axes, node, strict=True)] for node in some]
            stage.tell(some, evaluator.many(points, likely))
            done, self.evaluated = done + len(some), self.evaluated + len(some)
            now = time.perf_counter()
            took = (now - began) / len(some)
            self._learn(stage is self.record, len(some), took)
            if self.progress is not None:
                now_each, each = self.paces[stage is self.record][1], self.paces[True][1] or self.paces[False][1]
                left = (len(nodes) - done) * now_each + ahead * each
                self.progress(Progress(self.evaluated, planned, now - self.began, left, each))
            yield took

    def _learn(self, true: bool, count: int, took: float) -> None:
        """Take the seconds of some points into the mean of their kind, in which old ones count for less and less."""
        known, mean = self.paces[true]
        self.paces[true] = (min(known + count, MEMORY), mean + (took - mean) * count / (known + count))

    def _ahead(self, stage: Draft | Record, asked: int) -> int:
        """How many evaluations will follow, as far as a draft tells: its nodes are computed again."""
        if self.record.draft is None:
            return 0
        drafted = int(self.record.draft.refiner.computed.sum()) + (0 if stage is self.record else asked)
        return max(0, drafted - int(self.record.refiner.computed.sum()) - (asked if stage is self.record else 0))

    def _draft(self) -> Draft | None:
        """The draft that is to be made, known at its anchors; None if there is to be none."""
        record, drafting, full = self.record, self.drafting, self.record.refiner
        driver, said = record.driver, record.drafting
        if reason := drafting.unfit(driver) or drafting.useless(driver, full):
            said |= {"state": "none", "reason": reason}
            return None
        made, sure, took = None, full, self._anchored(record)
        for precision in drafting.roughs(driver):
            reason, is_probe = "", (drafting.precision, precision) == ("auto", "bfloat16")
            try:
                tried = drafting.made(precision, self.subspace, record.pipeline.metrics, driver, full, self.strategy)
                seconds = self._anchored(tried)
                if is_probe:
                    reason = refusal(sure, tried.refiner, anchors(full), took / seconds)
                    said["bfloat16"] = reason or f"it is {took / seconds:.2f} times as fast"
            except EvaluationError as error:
                if not is_probe:
                    raise
                said["bfloat16"] = reason = str(error)
            if not reason:
                made, sure, took = tried, tried.refiner, seconds
                said |= drafting.facts(precision)
        said |= {"state": "none"} if made is None else {}
        return made

    def _anchored(self, stage: Draft | Record) -> float:
        """Compute the nodes that are to be known both ways; the seconds that one of them takes."""
        full = self.record.refiner
        wanted = anchors(full)
        if stage is self.record and self.drafting.precision != "auto":
            wanted &= ~full.computed
        coarse = int(np.prod([(n - 1) // full.stride + 1 for n in full.shape]))
        likely = self.likely if self.drafting.precision == "auto" else 0  # else there are few, and a draft waits
        times = list(self._compute(stage, np.argwhere(wanted), 2 * coarse, likely))
        return min(times[1:] or times or [0.0])
