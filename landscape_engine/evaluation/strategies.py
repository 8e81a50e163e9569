"""Ways to evaluate metrics at points, all with the same values."""

from __future__ import annotations

import abc
import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from ..metrics.base import Estimate, ExampleMetric, MetricPipeline, PairMetric, moments, ratio
from ..metrics.data import Examples, length, tensors
from ..models import ModelWrapper
from ..subspaces import AffineSubspace, Subspace
from .prefix import Prefix
from .products import Products

SMALL = 20_000  # parameters of a model that may gain by vectorization on a CPU
LARGEST = 128  # points evaluated together
HELD = 64  # points evaluated in one pass over streamed data, if their parameters fit
HELD_ROOM = 2**28  # numbers that these parameters may have
ROOM = 2**21  # numbers that parameters and activations of points evaluated together may have: a CPU's cache, roughly
GPU_ROOM = 2**26  # the same on a GPU, which wants to be filled

GRAPHS = 256  # that may be compiled in one process; PyTorch's own limit is 8, after which nothing is compiled

Point = Sequence[float]
Found = list[dict[str, Estimate]]


@dataclass(frozen=True)
class Options:
    """How examples are taken, which changes time and memory and no value.

    Attributes:
        rows: At a time, at most; None for as many as the metrics say.
        channels_last: Whether pictures have their channels last in memory.
    """

    rows: int | None = None
    channels_last: bool = False

    @property
    def words(self) -> list[str]:
        """For the provenance."""
        return [f"{self.rows} examples at a time"] * bool(self.rows) + ["channels last"] * self.channels_last


class Strategy(abc.ABC):
    """A way to evaluate metrics at points.

    Args:
        subspace: Where the points are.
        pipeline: What is evaluated.
        model: A private copy of the model.
        options: How examples are taken.
    """

    kind: ClassVar[str]
    offered: ClassVar[bool] = True  # whether it is tried unless it is asked for
    chunk = 1

    def __init__(
        self, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = Options()
    ) -> None:
        self.subspace, self.model, self.options, self._whole = subspace, model, options, pipeline
        self.pipeline = pipeline.arranged(options.rows, options.channels_last)
        self.last = model

    @property
    def name(self) -> str:
        """Which it is, and its options."""
        return ", ".join([self.kind, *self.options.words])

    @property
    def rows(self) -> int:
        """Examples in the largest batch."""
        return max((length(b) for data in self.pipeline.data for b in data.batches()), default=0)

    def altered(self, **options: Any) -> Strategy | None:
        """The same strategy with other options; None where these change nothing, or where batches count."""
        if self.model.batch_norm == "batch" or self.model.mode != "eval" or _is_streamed(self.pipeline):
            return None
        other = type(self)(self.subspace, self._whole, self.model, replace(self.options, **options))
        return None if [*map(_layout, other.pipeline.data)] == [*map(_layout, self.pipeline.data)] else other

    def smaller(self) -> Strategy | None:
        """The same with half of the memory: of points evaluated together, then of examples; None if none is left."""
        if self.chunk == 1:
            return None if _is_streamed(self.pipeline) or self.rows < 2 else self.altered(rows=self.rows // 2)
        other = copy.copy(self)
        other.chunk //= 2
        return other

    @classmethod
    @abc.abstractmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """Whether it may be tried."""

    @abc.abstractmethod
    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""


def _is_streamed(pipeline: MetricPipeline) -> bool:
    return any(data.streamed for data in pipeline.data)


def _is_plain(pipeline: MetricPipeline, model: ModelWrapper) -> bool:
    """Whether means over examples are wanted, at hand, of a model whose calls leave no trace."""
    return _are_means(pipeline, model) and not _is_streamed(pipeline)


def _are_means(pipeline: MetricPipeline, model: ModelWrapper) -> bool:
    means = all(isinstance(m, ExampleMetric) for m in pipeline.metrics)
    return means and model.batch_norm == "stored" and model.mode == "eval"


def _has_terms(subspace: Subspace, model: ModelWrapper) -> bool:
    """Whether a layer may be affine in the coordinates, by directions that are at hand."""
    same = all(p.dtype == model.dtype for p in model.parameters.values())
    return isinstance(subspace, AffineSubspace) and bool(subspace.dims) and not subspace.keeps_seeds and same


def is_on_cpu(model: ModelWrapper) -> bool:
    """Whether all of its parameters are."""
    return all(p.device.type == "cpu" for p in model.parameters.values())


def convolves(model: ModelWrapper) -> bool:
    """Whether there is a convolution in it."""
    return any(isinstance(m, nn.modules.conv._ConvNd) for m in model.modules().values())


def _layout(data: Examples) -> list[Any]:
    return [[(t.shape, t.stride()) for t in tensors(batch)] for batch in data.batches()]


@final
class Loop(Strategy):
    """One point after the other."""

    kind = "loop"

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """Always."""
        return True

    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""
        found = []
        for point in points:
            self.last = self.model  # the point before is not held while the next one is made
            self.last = self.model.at(self.subspace.state_at(point)).settled()
            found.append(self.pipeline(self.last))
        if not any(isinstance(m, PairMetric) for m in self.pipeline.metrics):
            self.last = self.model
        return found


@final
class Streamed(Strategy):
    """Many points in one pass over data that are read anew each time, since they do not fit in memory.

    What a model makes of a batch before the point matters serves all of them, if that gives the values of the plain
    model for the first examples.
    """

    kind = "streamed"

    def __init__(
        self, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = Options()
    ) -> None:
        super().__init__(subspace, pipeline, model, options)
        size = sum(p.numel() for p in model.parameters.values())
        self.chunk = max(1, min(HELD, HELD_ROOM // max(size, 1)))
        shares = _has_terms(subspace, model) and _are_means(pipeline, model)
        self._prefix = Prefix(subspace, model) if shares else None  # type: ignore[arg-type]
        self._is_verified = False

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """Where data are streamed and no pairs are wanted."""
        return _is_streamed(pipeline) and not any(isinstance(m, PairMetric) for m in pipeline.metrics)

    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""
        if self._prefix is not None and not self._is_verified:
            self._is_verified = True
            self._prefix = self._prefix if self._agrees(self._prefix, points[:2]) else None
        if self._prefix is None:
            return self.pipeline.several([self._plain(point) for point in points])
        return self.pipeline.several([self._prefix.at(point) for point in points], self._prefix.hold)

    def _plain(self, point: Point) -> ModelWrapper:
        return self.model.at(self.subspace.state_at(point)).settled()

    def _agrees(self, prefix: Prefix, points: Sequence[Point]) -> bool:
        tolerance = 1e-5 if self.model.dtype == torch.float32 else 1e-12
        for data in self.pipeline.data:
            few = data.few()
            for point in points:
                prefix.hold(few)
                try:
                    pairs = [tensors(data.outputs(model, few)) for model in (prefix.at(point), self._plain(point))]
                except Exception:  # what it cannot do, the plain model can
                    return False
                near = (torch.allclose(a, b, tolerance, tolerance, equal_nan=True) for a, b in zip(*pairs, strict=True))
                if not all(near):
                    return False
        return True


@final
class Reuse(Strategy):
    """One point after the other; what a model does before the point matters, up to its first layer, is done once."""

    kind = "first-layer reuse"

    def __init__(
        self, subspace: AffineSubspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = Options()
    ) -> None:
        super().__init__(subspace, pipeline, model, options)
        self._prefix = Prefix(subspace, model, [b for data in self.pipeline.data for b in data.batches()])

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """On lines, planes and cubes, for means over examples, of models whose calls leave no trace."""
        return _has_terms(subspace, model) and _is_plain(pipeline, model)

    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""
        found = []
        for point in points:
            found.append(self.pipeline(self._prefix.at(point)))
        return found


@final
class Vmap(Strategy):
    """Several points in one call of vectorized functions, which spares small models the cost of calls."""

    kind = "vmap"

    def __init__(
        self, subspace: AffineSubspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = Options()
    ) -> None:
        super().__init__(subspace, pipeline, model, options)
        self._metrics = [m for m in pipeline.metrics if isinstance(m, ExampleMetric)]
        size = sum(p.numel() for p in model.parameters.values())
        room = ROOM if is_on_cpu(model) else GPU_ROOM
        self.chunk = max(2, min(LARGEST, room // (size + 64 * self.rows)))

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """On lines, planes and cubes, for plain means over one set of tensors, of small models unless on a GPU."""
        means = [m for m in pipeline.metrics if isinstance(m, ExampleMetric) and m.sure and not m.whole]
        if len(means) < len(pipeline.metrics) or not isinstance(subspace, AffineSubspace) or not subspace.dims:
            return False
        if subspace.keeps_seeds or _is_streamed(pipeline):  # there is room for one point, or one batch, only
            return False
        data = means[0].data
        tensors = all(isinstance(t, Tensor) for t in next(iter(data.batches())))
        few = sum(p.numel() for p in model.parameters.values()) <= SMALL
        small = not is_on_cpu(model) or (few and not convolves(model))  # in groups, convolutions are slow on a CPU
        return all(m.data.is_same_as(data) for m in means) and tensors and small and model.batch_norm == "stored"

    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""
        subspace, (data,) = self.subspace, self.pipeline.data
        assert isinstance(subspace, AffineSubspace)
        here = next(iter(subspace.origin.values()))
        shares = torch.tensor(points, dtype=here.dtype, device=here.device)
        states = {
            n: torch.addmm(o.reshape(1, -1), shares, torch.stack([d[n].reshape(-1) for d in subspace.directions])).view(
                -1, *o.shape
            )
            for n, o in subspace.origin.items()
        }
        total, count = torch.zeros(len(points), len(self._metrics), 5, dtype=torch.float64), 0
        for batch in data.batches():

            def measured(theta: dict[str, Tensor], batch: object = batch) -> Tensor:
                with Products():
                    outputs = data.outputs(self.model.at(theta), batch)
                return torch.stack([moments(*m.contributions(outputs, batch)) for m in self._metrics])

            total += torch.vmap(measured)(states).cpu()
            count += length(batch)
        found = []
        for row in total.tolist():
            estimates = [(m, ratio(sums, count)) for m, sums in zip(self._metrics, row, strict=True)]
            found.append({m.name: e if m.single else Estimate(e.value) for m, e in estimates})
        return found


@final
class Threads(Strategy):
    """As many points at once as PyTorch has threads, each by a thread and a copy of the model of its own."""

    kind = "threads"

    def __init__(
        self, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = Options()
    ) -> None:
        super().__init__(subspace, pipeline, model, options)
        self.chunk = torch.get_num_threads()
        self._loops = [Loop(subspace, pipeline, model.private_copy(), options) for _ in range(self.chunk)]
        self._pool = ThreadPoolExecutor(self.chunk, "points", torch.set_num_threads, (1,))

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """On a CPU with several threads, for means over examples, of models whose calls leave no trace."""
        return is_on_cpu(model) and torch.get_num_threads() > 1 and _is_plain(pipeline, model)

    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""
        count, rough = torch.get_num_threads(), torch.is_autocast_enabled("cpu")

        def one(loop: Loop, point: Point) -> dict[str, Estimate]:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=rough):
                return loop([point])[0]

        try:
            found: Found = []
            for k in range(0, len(points), self.chunk):
                found += self._pool.map(one, self._loops, points[k : k + self.chunk])
            return found
        finally:
            torch.set_num_threads(count)  # of threads that others start from now on


@final
class Compiled(Strategy):
    """One point after the other by what ``torch.compile`` makes of the model; as CUDA graphs on a GPU.

    Compilation takes seconds, and a C++ compiler on a CPU: it is for runs of hours, and taken if it is asked for.
    """

    kind = "compiled"
    offered = False
    backend = "inductor"

    def __init__(
        self, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = Options()
    ) -> None:
        on_gpu = any(p.device.type == "cuda" for p in model.parameters.values())
        made = model.private_copy().compiled(backend=self.backend, mode="reduce-overhead" if on_gpu else None)
        super().__init__(subspace, pipeline, made, options)
        self._loop = Loop(subspace, pipeline, made, options)

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """For means over examples, of models whose calls leave no trace."""
        return _is_plain(pipeline, model)

    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""
        with torch._dynamo.config.patch(recompile_limit=GRAPHS):
            return self._loop(points)


STRATEGIES: dict[str, type[Strategy]] = {s.kind: s for s in (Loop, Streamed, Reuse, Vmap, Threads, Compiled)}
