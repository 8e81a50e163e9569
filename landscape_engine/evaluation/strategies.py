"""Ways to evaluate metrics at points, all with the same values."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import final

import torch

from ..metrics.base import Estimate, PairMetric
from ..metrics.data import tensors
from ..metrics.pipeline import MetricPipeline
from ..models import ModelWrapper
from ..subspaces import AffineSubspace, Subspace
from .base import PLAIN, Found, Options, Point, Strategy, are_means, has_terms, is_on_cpu, is_plain, is_streamed
from .means import Graph, Vmap
from .prefix import Prefix

HELD = 64  # points evaluated in one pass over streamed data, if their parameters fit
HELD_ROOM = 2**28  # numbers that these parameters may have
GRAPHS = 256  # that may be compiled in one process; PyTorch's own limit is 8, after which nothing is compiled


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
        self, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = PLAIN
    ) -> None:
        super().__init__(subspace, pipeline, model, options)
        size = sum(p.numel() for p in model.parameters.values())
        self.chunk = max(1, min(HELD, HELD_ROOM // max(size, 1)))
        shares = has_terms(subspace, model) and are_means(pipeline, model)
        self._prefix = Prefix(subspace, model) if shares else None  # type: ignore[arg-type]
        self._is_verified = False

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """Where data are streamed and no pairs are wanted."""
        return is_streamed(pipeline) and not any(isinstance(m, PairMetric) for m in pipeline.metrics)

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
        self, subspace: AffineSubspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = PLAIN
    ) -> None:
        super().__init__(subspace, pipeline, model, options)
        self._prefix = Prefix(subspace, model, [b for data in self.pipeline.data for b in data.batches()])

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """On lines, planes and cubes, for means over examples, of models whose calls leave no trace."""
        return has_terms(subspace, model) and is_plain(pipeline, model)

    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""
        found = []
        for point in points:
            found.append(self.pipeline(self._prefix.at(point)))
        return found


@final
class Threads(Strategy):
    """As many points at once as PyTorch has threads, each by a thread and a copy of the model of its own."""

    kind = "threads"

    def __init__(
        self, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = PLAIN
    ) -> None:
        super().__init__(subspace, pipeline, model, options)
        self.chunk = torch.get_num_threads()
        self._loops = [Loop(subspace, pipeline, model.private_copy(), options) for _ in range(self.chunk)]
        self._pool = ThreadPoolExecutor(self.chunk, "points", torch.set_num_threads, (1,))

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """On a CPU with several threads, for means over examples, of models whose calls leave no trace."""
        return is_on_cpu(model) and torch.get_num_threads() > 1 and is_plain(pipeline, model)

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
        self, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = PLAIN
    ) -> None:
        on_gpu = any(p.device.type == "cuda" for p in model.parameters.values())
        made = model.private_copy().compiled(backend=self.backend, mode="reduce-overhead" if on_gpu else None)
        super().__init__(subspace, pipeline, made, options)
        self._loop = Loop(subspace, pipeline, made, options)

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """For means over examples, of models whose calls leave no trace."""
        return is_plain(pipeline, model)

    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""
        with torch._dynamo.config.patch(recompile_limit=GRAPHS):
            return self._loop(points)


STRATEGIES: dict[str, type[Strategy]] = {s.kind: s for s in (Loop, Streamed, Reuse, Vmap, Graph, Threads, Compiled)}
