"""Ways to evaluate metrics at points, all with the same values, and which of them is the fastest here."""

from __future__ import annotations

import abc
import math
import time
import warnings
from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor

from ..metrics.base import Estimate, ExampleMetric, MetricPipeline, PairMetric, moments, ratio
from ..models import ModelWrapper
from ..subspaces import AffineSubspace, Subspace
from .prefix import Prefix
from .products import Products

WORTH_A_PROBE = 200  # points to be evaluated: a probe costs about ten
PROBED = 2  # points of the run at which strategies are compared
TIMED = 8  # points whose time is taken, if they are evaluated together
GAIN = 1.1  # by which another strategy must be faster than the plain loop
SMALL = 20_000  # parameters of a model that may gain by vectorization on a CPU
ROOM = 2**24  # numbers that the parameters and activations of points evaluated together may have, roughly

Point = Sequence[float]
Found = list[dict[str, Estimate]]


class Strategy(abc.ABC):
    """A way to evaluate metrics at points.

    Args:
        subspace: Where the points are.
        pipeline: What is evaluated.
        model: A private copy of the model.
    """

    name: ClassVar[str]
    chunk = 1

    def __init__(self, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> None:
        self.subspace, self.pipeline, self.model = subspace, pipeline, model
        self.last = model

    @classmethod
    @abc.abstractmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """Whether it may be tried."""

    @abc.abstractmethod
    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""


@final
class Loop(Strategy):
    """One point after the other."""

    name = "loop"

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
class Reuse(Strategy):
    """One point after the other; what a model does before the point matters, up to its first layer, is done once."""

    name = "first-layer reuse"

    def __init__(self, subspace: AffineSubspace, pipeline: MetricPipeline, model: ModelWrapper) -> None:
        super().__init__(subspace, pipeline, model)
        self._batches = [b for m in pipeline.metrics if m.data is not None for b in m.data.batches()]
        self._prefix = Prefix(subspace, model, self._batches)

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """On lines, planes and cubes, for means over examples, of models whose calls leave no trace."""
        means = all(isinstance(m, ExampleMetric) for m in pipeline.metrics)
        plain = model.batch_norm == "stored" and model.mode == "eval"
        same = all(p.dtype == model.dtype for p in model.parameters.values())
        held = isinstance(subspace, AffineSubspace) and bool(subspace.dims) and not subspace.keeps_seeds
        return means and held and plain and same

    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""
        found = []
        for point in points:
            found.append(self.pipeline(self._prefix.at(point)))
        return found


@final
class Vmap(Strategy):
    """Several points in one call of vectorized functions, which spares small models the cost of calls."""

    name = "vmap"

    def __init__(self, subspace: AffineSubspace, pipeline: MetricPipeline, model: ModelWrapper) -> None:
        super().__init__(subspace, pipeline, model)
        self._metrics = [m for m in pipeline.metrics if isinstance(m, ExampleMetric)]
        size = sum(p.numel() for p in model.parameters.values())
        rows = max(len(t) for t in next(iter(self._metrics[0].data.batches())) if isinstance(t, Tensor))
        self.chunk = max(2, min(128, ROOM // (size + 64 * rows)))

    @classmethod
    def fits(cls, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper) -> bool:
        """On lines, planes and cubes, for plain means over one set of tensors, of small models unless on a GPU."""
        means = [m for m in pipeline.metrics if isinstance(m, ExampleMetric) and m.sure and not m.whole]
        if len(means) < len(pipeline.metrics) or not isinstance(subspace, AffineSubspace) or not subspace.dims:
            return False
        if subspace.keeps_seeds:  # there is room for one point only
            return False
        data, here = means[0].data, next(iter(model.parameters.values()))
        tensors = all(isinstance(t, Tensor) for t in next(iter(data.batches())))
        small = here.device.type != "cpu" or sum(p.numel() for p in model.parameters.values()) <= SMALL
        return all(m.data.is_same_as(data) for m in means) and tensors and small and model.batch_norm == "stored"

    def __call__(self, points: Sequence[Point]) -> Found:
        """Values and standard errors at points."""
        subspace, data = self.subspace, self._metrics[0].data
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
            count += len(batch[0])
        found = []
        for row in total.tolist():
            estimates = [(m, ratio(sums, count)) for m, sums in zip(self._metrics, row, strict=True)]
            found.append({m.name: e if m.single else Estimate(e.value) for m, e in estimates})
        return found


STRATEGIES: dict[str, type[Strategy]] = {s.name: s for s in (Loop, Reuse, Vmap)}


def choose(loop: Strategy, points: Sequence[Point], asked: str = "auto") -> tuple[Strategy, Found]:
    """The fastest strategy that gives the values of the plain loop at some points, and those values.

    Args:
        loop: The plain loop.
        points: Where it is tried.
        asked: A strategy, to be taken if it gives the same values; or ``"auto"``.
    """
    with torch.no_grad():
        try:
            expected, best = loop(points), loop
            fastest = math.inf if asked != "auto" else _seconds(loop, points) / GAIN
        except Exception:
            return loop, []  # the evaluation itself will say what is wrong, and where
        for name, kind in STRATEGIES.items():
            if kind is Loop or name not in (asked, asked.replace("auto", name)):
                continue
            if not kind.fits(loop.subspace, loop.pipeline, loop.model):
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that a layer is vectorized badly, which its time will tell
                    tried, same = _tried(kind, loop, points, expected)
                several = [*points] * (min(tried.chunk, TIMED) // len(points) or 1)
                took = _seconds(tried, several, fastest) if same else math.inf
            except Exception:  # what it cannot do, the loop can
                continue
            if took < fastest:
                best, fastest = tried, took
    return best, expected


def _tried(kind: type[Strategy], loop: Strategy, points: Sequence[Point], expected: Found) -> tuple[Strategy, bool]:
    """A strategy, and whether it gives the values of the plain loop."""
    made = kind(loop.subspace, loop.pipeline, loop.model)
    return made, _agree(made(points), expected, loop.model.dtype)


def _seconds(strategy: Strategy, points: Sequence[Point], enough: float = math.inf) -> float:
    """The time of one point: the shorter of two tries, since other work on the machine only adds to it.

    Args:
        strategy: How.
        points: Evaluated together.
        enough: A time; what takes twice as long at first is not tried again.
    """
    times: list[float] = []
    while len(times) < 2 and not (times and times[0] > 2 * enough):
        start = time.perf_counter()
        strategy(points)
        times.append((time.perf_counter() - start) / len(points))
    return min(times)


def _agree(found: Found, expected: Found, dtype: torch.dtype) -> bool:
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12

    def near(a: Estimate, b: Estimate) -> bool:
        pair = (a.value, b.value)
        return all(map(math.isnan, pair)) or math.isclose(*pair, rel_tol=tolerance, abs_tol=tolerance)

    return all(
        near(a[n], b[n]) for a, b in zip(found, expected, strict=True) for n in b if isinstance(b[n].value, float)
    )
