"""Means over examples as one function of the coordinates: of many points at once, or recorded as a CUDA graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from ..metrics.base import Estimate, ExampleMetric, moments, ratio
from ..metrics.data import length
from ..metrics.pipeline import MetricPipeline
from ..models import ModelWrapper
from ..subspaces import AffineSubspace, Subspace
from .base import PLAIN, Found, Options, Point, Strategy, convolves, is_on_cpu, is_plain, is_streamed
from .products import Products

SMALL = 20_000  # parameters of a model that may gain by vectorization on a CPU
LARGEST, GPU_LARGEST = 128, 1024  # points evaluated together
ROOM = 2**21  # numbers that parameters and activations of points evaluated together may have: a CPU's cache, roughly
GPU_ROOM = 2**26  # the same on a GPU, which wants to be filled


class _Means(Strategy):
    """Plain means over one set of tensors, on lines, planes and cubes, as one function of the coordinates.

    Attributes:
        calling: The context of calls of the model.
    """

    calling: Callable[[], AbstractContextManager[Any]] = nullcontext

    def __init__(
        self, subspace: AffineSubspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = PLAIN
    ) -> None:
        super().__init__(subspace, pipeline, model, options)
        self._metrics = [m for m in pipeline.metrics if isinstance(m, ExampleMetric)]
        self._origin = subspace.origin
        self._directions = {n: torch.stack([d[n].reshape(-1) for d in subspace.directions]) for n in self._origin}

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """Where directions are at hand, and the metrics are sure means over tensors that they share."""
        means = [m for m in pipeline.metrics if isinstance(m, ExampleMetric) and m.sure and not m.whole]
        if len(means) < len(pipeline.metrics) or not isinstance(subspace, AffineSubspace) or not subspace.dims:
            return False
        if subspace.keeps_seeds or is_streamed(pipeline):  # there is room for one point, or one batch, only
            return False
        data = means[0].data
        at_hand = all(isinstance(t, Tensor) for t in next(iter(data.batches())))
        return all(m.data.is_same_as(data) for m in means) and at_hand and model.batch_norm == "stored"

    def _shares(self, points: Sequence[Point]) -> Tensor:
        here = next(iter(self._origin.values()))
        return torch.tensor(points, dtype=here.dtype, device=here.device)

    def _states(self, shares: Tensor) -> dict[str, Tensor]:
        """Parameters at points, by name (points, ...), from coordinates (points, axes)."""
        return {
            n: torch.addmm(o.reshape(1, -1), shares, self._directions[n]).view(-1, *o.shape)
            for n, o in self._origin.items()
        }

    def _moments(self, theta: dict[str, Tensor], batch: Any) -> Tensor:
        """The sums of each metric over a batch, (metrics, 5)."""
        with self.calling():
            outputs = self.pipeline.data[0].outputs(self.model.at(theta), batch)
        return torch.stack([moments(*m.contributions(outputs, batch)) for m in self._metrics])

    def _estimates(self, total: Tensor) -> Found:
        """Values and standard errors from the sums, (points, metrics, 5)."""
        count, found = sum(map(length, self.pipeline.data[0].batches())), []
        for row in total.tolist():
            estimates = [(m, ratio(sums, count)) for m, sums in zip(self._metrics, row, strict=True)]
            found.append({m.name: e if m.single else Estimate(e.value) for m, e in estimates})
        return found


@final
class Vmap(_Means):
    """Several points in one call of vectorized functions, which spares small models the cost of calls."""

    kind, calling = "vmap", Products

    def __init__(
        self, subspace: AffineSubspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = PLAIN
    ) -> None:
        super().__init__(subspace, pipeline, model, options)
        size = sum(p.numel() for p in model.parameters.values())
        most, room = (LARGEST, ROOM) if is_on_cpu(model) else (GPU_LARGEST, GPU_ROOM)
        self.chunk = max(2, min(most, room // (size + 64 * self.rows)))

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """For plain means, of small models unless on a GPU."""
        few = sum(p.numel() for p in model.parameters.values()) <= SMALL
        small = not is_on_cpu(model) or (few and not convolves(model))  # in groups, convolutions are slow on a CPU
        return small and super().fits(subspace, pipeline, model)

    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""
        states, total = self._states(self._shares(points)), torch.zeros((), dtype=torch.float64)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")  # if there is, its time has told
            for batch in self.pipeline.data[0].batches():
                total = total + torch.vmap(partial(self._moments, batch=batch))(states).cpu()
        return self._estimates(total)


@final
class Graph(_Means):
    """One point after the other by a CUDA graph: all that a GPU does for a point, recorded once, started as one.

    It spares a GPU the wait for Python between the small kernels of a model.

    References:
        PyTorch, CUDA semantics, "CUDA Graphs", https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
    """

    kind = "CUDA graph"
    warm = 3  # passes before it is recorded, in which libraries choose and set up their kernels

    def __init__(
        self, subspace: AffineSubspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = PLAIN
    ) -> None:
        super().__init__(subspace, pipeline, model, options)
        self.chunk, self._batches = LARGEST, list(self.pipeline.data[0].batches())
        self._point = self._shares([(0.0,) * len(subspace.dims)])
        self._graph, self._device = torch.cuda.CUDAGraph(), self._point.device
        caches = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)  # what it holds is freed before a graph that reads it is replayed
        try:
            self._record()
        finally:
            torch.set_autocast_cache_enabled(caches)

    def _record(self) -> None:
        with torch.no_grad(), torch.cuda.device(self._device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(self.warm):
                    self._sums()
            torch.cuda.current_stream().wait_stream(aside)
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._found = self._sums()

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """On an NVIDIA or AMD GPU, for plain means, of models whose calls leave no trace."""
        on_gpu = all(p.device.type == "cuda" for p in model.parameters.values())
        return on_gpu and is_plain(pipeline, model) and super().fits(subspace, pipeline, model)

    def smaller(self) -> Strategy | None:
        """With half of the examples at a time: its points come one after the other anyway."""
        return self.altered(rows=self.rows // 2) if self.rows > 1 else None

    def _sums(self) -> Tensor:
        theta = {n: t[0] for n, t in self._states(self._point).items()}
        return torch.stack([self._moments(theta, batch) for batch in self._batches]).sum(0)

    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""
        with torch.cuda.device(self._device):
            shares = self._shares(points)
            total = torch.empty(len(points), *self._found.shape, dtype=self._found.dtype, device=self._device)
            for share, sums in zip(shares, total, strict=True):
                self._point.copy_(share)
                self._graph.replay()
                sums.copy_(self._found)
            return self._estimates(total.cpu())
