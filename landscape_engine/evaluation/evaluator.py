"""Metric values at many points of a subspace."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ..errors import ChoiceError, EvaluationError, LandscapeError, first_line
from ..metrics.base import Estimate, Metric, PairMetric, logits
from ..metrics.data import Examples, tensors
from ..metrics.elsewhere import in_type
from ..metrics.pipeline import MetricPipeline, as_pipeline
from ..models import ModelWrapper
from ..parameters import Parameters, pieces
from ..subspaces import AffineSubspace, Subspace
from .base import Strategy
from .probe import MOST, OFFERED, PROBED, WORTH_A_PROBE, Known, choose, clock, forced, parse
from .strategies import Loop, Streamed

MEMORY_CAP = 2 * 2**30  # bytes that the values of one call may take

# What the model is cast to; None: it stays as it is.
PRECISIONS = {"model": None, "float32": torch.float32, "float64": torch.float64, "bfloat16": None}

MetricLike = Metric | MetricPipeline | Sequence[Metric]


@final
class Evaluator:
    """Evaluates metrics at points of a subspace, one after the other, on a private copy of the model.

    The caller's model keeps its parameters, buffers, mode and gradients, whatever happens. One evaluator belongs to
    one thread. Pairs are those of one call and the next. Eigenvalues are sought from the eigenvectors at the nearest
    point before, which is why they depend on the order of points, within their tolerance.

    Args:
        subspace: Where.
        metrics: What: a metric, several, or a pipeline.
        strategy: How: ``"auto"`` for the fastest (see ``many``), a key of ``STRATEGIES``, or what a result has
            recorded, such as ``"first-layer reuse, 256 examples at a time, channels last"``.
        precision: In which type of numbers the model computes: ``"model"``, its own; ``"float32"`` or ``"float64"``,
            in which points are then formed too; ``"bfloat16"``, for products of matrices and convolutions only, which
            is what PyTorch calls autocast. Means are float64 in any case.
    """

    def __init__(
        self, subspace: Subspace, metrics: MetricLike, strategy: str = "auto", precision: str = "model"
    ) -> None:
        if precision not in PRECISIONS:
            raise ChoiceError("precision", precision, f"one of {', '.join(PRECISIONS)}")
        self.subspace, self.pipeline, dtype = subspace, as_pipeline(metrics), PRECISIONS[precision]
        if dtype is not None:
            self.subspace, self.pipeline = subspace.cast(dtype), MetricPipeline(in_type(self.pipeline.metrics, dtype))
        subspace, self._rough = self.subspace, precision == "bfloat16"
        self._pairs = [m for m in self.pipeline.metrics if isinstance(m, PairMetric)]
        if self._pairs and len(subspace.dims) > 1:
            raise ChoiceError("metrics", self._pairs[0].name, "without pairs of neighbors, which lines and curves have")
        self._model = subspace.model.private_copy()
        self._before: ModelWrapper | None = None
        for metric in self.pipeline.metrics:
            if metric.data is not None:
                _check_that_it_moves(self._model, metric.data)
        parse(strategy)
        self._asked = strategy
        streams = strategy != Loop.kind and Streamed.fits(subspace, self.pipeline, self._model)
        self._strategy: Strategy = (Streamed if streams else Loop)(subspace, self.pipeline, self._model)
        self._ready = streams or strategy == Loop.kind or bool(self._pairs) or not self.pipeline.data
        self._pace = math.inf  # seconds that a point takes by the loop
        self._known: list[Known] = []  # points evaluated by it

    @property
    def strategy(self) -> str:
        """How points are evaluated."""
        return self._strategy.name

    @property
    def chunk(self) -> int:
        """How many points are best evaluated together; at first, those that the strategies are tried at."""
        if self._ready:
            return self._strategy.chunk
        return max(PROBED, min(OFFERED, int(MOST / self._pace)))

    def __call__(self, coordinates: Sequence[float]) -> dict[str, Estimate]:
        """Each metric's value and standard error at one point.

        Raises:
            EvaluationError: If the model or a metric fails there; the cause is chained.
        """
        return self.many([coordinates])[0]

    def many(self, points: Sequence[Sequence[float]], planned: int = 0) -> list[dict[str, Estimate]]:
        """Values and standard errors at several points.

        Args:
            points: Their coordinates.
            planned: How many points are to be evaluated in all, as far as is known: with enough of them, those of the
                second call are evaluated by every strategy that fits, and the fastest that gives the same values is
                taken. The first call takes the time of the plain loop.

        Raises:
            EvaluationError: If the model or a metric fails at a point; the cause is chained.
        """
        with self._roughly():
            return self._many(points, planned)

    def _many(self, points: Sequence[Sequence[float]], planned: int) -> list[dict[str, Estimate]]:
        if not self._ready and (self._asked != "auto" or (planned >= WORTH_A_PROBE and self._known)):
            self._ready, self._model.memory = True, None  # what is compared starts from nothing
            if self._asked == "auto":
                first = points[:OFFERED]
                self._strategy, found = choose(self._strategy, self._known, self._pace, first, planned)
            else:
                self._strategy, found = forced(self._strategy, points[:OFFERED], self._asked)
            points = points[len(found) :]
            return [*found, *(self._many(points, 0) if points else [])]
        values: list[dict[str, Estimate]] = []
        now = clock(self._model)
        while len(values) < len(points):
            start, few = now(), points[len(values) : len(values) + self._strategy.chunk]
            values += self._at(few)
            self._pace = min(self._pace, (now() - start) / len(few))
        if not self._ready and not self._known:
            self._known = [*zip(points, values, strict=True)][:PROBED]
        return values

    def _roughly(self) -> AbstractContextManager[Any]:
        device = next(iter(self._model.parameters.values())).device.type
        return torch.autocast(device, torch.bfloat16) if self._rough else nullcontext()

    def _at(self, points: Sequence[Sequence[float]]) -> list[dict[str, Estimate]]:
        if self._model.memory is None:
            self._model.memory = {}
        try:
            with torch.no_grad():
                found = self._strategy(points)
                if self._pairs:
                    (values,), model = found, self._strategy.last
                    if self._before is not None:
                        values |= {m.name: Estimate(m.pair(self._before, model)) for m in self._pairs}
                    self._before = model
                return found
        except LandscapeError:
            raise
        except Exception as error:
            smaller = self._strategy.smaller() if _is_out_of_memory(error) else None
            if smaller is not None:
                self._strategy = smaller
                return self._at(points[: smaller.chunk])
            if len(points) > 1:  # which of them fails?
                return [self._at([point])[0] for point in points]
            point = dict(zip(self.subspace.dims, (float(c) for c in points[0]), strict=True))
            where = ", ".join(f"{dim} = {value:.6g}" for dim, value in point.items()) or "the point"
            reason = first_line(error)
            raise EvaluationError(
                f"the evaluation at {where} failed ({type(error).__name__}: {reason}). "
                "Check that the model accepts the data and that the metric accepts the model's outputs.",
                point=point,
            ) from error


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _check_that_it_moves(model: ModelWrapper, data: Examples) -> None:
    """Raise if the outputs for a few examples do not depend on the parameters at all.

    They are compared with those of weights far away and of weights near zero: where one saturates, the other does not.
    """
    few, generator = data.few(), torch.Generator().manual_seed(0)

    def noise(like: Tensor, size: float) -> Tensor:
        drawn = torch.empty(like.shape, device="cpu")
        for piece in pieces(drawn):
            piece.normal_(std=size, generator=generator)
        return drawn.to(like)

    def outputs(parameters: Parameters) -> list[Tensor]:
        return tensors(logits(data.outputs(model.at(parameters), few)))

    here = model.parameters
    try:
        with torch.no_grad():
            own = outputs(here)
            others = [
                outputs({n: noise(p, size).add_(p, alpha=keep) for n, p in here.items()})
                for keep, size in ((1, 0.5), (0, 0.1))
            ]
    except Exception:
        return  # the evaluation itself will say what is wrong, and where
    if own and all(torch.equal(a, b) for other in others for a, b in zip(own, other, strict=True)):
        raise EvaluationError(
            "the model's outputs do not change with its parameters: its forward uses another model than the one it "
            "is given, for instance one captured from outside. Write it as a function of the model it is called with.",
            point={},
        )


def evaluate(
    subspace: Subspace, metrics: MetricLike, points: Iterable[Sequence[float]], precision: str = "model"
) -> dict[str, np.ndarray]:
    """Metric values at given points.

    Args:
        subspace: Where the coordinates count.
        metrics: A metric, several, or a pipeline.
        points: Coordinates, one sequence a point.
        precision: ``"model"``, ``"float32"``, ``"float64"`` or ``"bfloat16"``; see ``Evaluator``.

    Returns:
        By metric name, an array of one value a point (an array a point for a vector metric); under ``<name>_stderr``
        the standard errors over examples.
    """
    evaluator = Evaluator(subspace, metrics, precision=precision)
    rows = []
    for point in points:
        rows.append(evaluator(point))
        if len(rows) * sum(np.size(e.value) for e in rows[0].values()) * 8 > MEMORY_CAP:
            raise ChoiceError("points", len(rows), f"few enough that their arrays fit {MEMORY_CAP / 2**30:.2g} GiB")
    names = [m.name for m in evaluator.pipeline.metrics]
    values = {name: np.array([row[name].value for row in rows]) for name in names}
    return values | {f"{name}_stderr": np.array([row[name].stderr for row in rows]) for name in names}


def automatic_extent(subspace: AffineSubspace, metric: Metric, factor: float = 10.0, largest: float = 64.0) -> float:
    """The extent at which a metric has grown by a factor.

    The metric is evaluated at both ends of each axis; the extent, in units of the directions, is doubled or halved
    until one of these values is ``factor`` times that of the origin, then bisected to 5 %.

    Args:
        subspace: A line, plane or cube; its bounds do not count.
        metric: A positive metric, such as a loss.
        factor: How much it shall have grown, above 1.
        largest: Where to stop looking; what is returned if it never grows so much.

    Returns:
        The extent, for ``subspace.scaled(extent)``.
    """
    if not factor > 1:
        raise ChoiceError("factor", factor, "greater than 1")
    evaluator, count = Evaluator(subspace, metric), len(subspace.dims)
    goal = factor * evaluator((0.0,) * count)[metric.name].value

    def is_there(extent: float) -> bool:
        ends = (np.eye(count)[k] * side for k in range(count) for side in (-extent, extent))
        values = [evaluator(end)[metric.name].value for end in ends]
        return not all(value < goal for value in values)  # what is not finite has grown enough

    high = 1.0
    while is_there(high) and high > 1e-6:
        high /= 2
    while not is_there(high):
        if high >= largest:
            return largest
        high *= 2
    low = high / 2
    while high / low > 1.05:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if is_there(middle) else (middle, high)
    return high
