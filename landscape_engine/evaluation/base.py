"""What a strategy of evaluation is, and what tells whether one may be tried."""

from __future__ import annotations

import abc
import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import nn

from ..metrics.base import Estimate, ExampleMetric
from ..metrics.data import Examples, length, tensors
from ..metrics.pipeline import MetricPipeline
from ..models import ModelWrapper
from ..subspaces import AffineSubspace, Subspace

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


PLAIN = Options()


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
        self, subspace: Subspace, pipeline: MetricPipeline, model: ModelWrapper, options: Options = PLAIN
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
        if self.model.batch_norm == "batch" or self.model.mode != "eval" or is_streamed(self.pipeline):
            return None
        other = type(self)(self.subspace, self._whole, self.model, replace(self.options, **options))
        return None if [*map(_layout, other.pipeline.data)] == [*map(_layout, self.pipeline.data)] else other

    def smaller(self) -> Strategy | None:
        """The same with half of the memory: of points evaluated together, then of examples; None if none is left."""
        if self.chunk == 1:
            return None if is_streamed(self.pipeline) or self.rows < 2 else self.altered(rows=self.rows // 2)
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


def is_streamed(pipeline: MetricPipeline) -> bool:
    """Whether some data are read anew for each pass."""
    return any(data.streamed for data in pipeline.data)


def is_plain(pipeline: MetricPipeline, model: ModelWrapper) -> bool:
    """Whether means over examples are wanted, at hand, of a model whose calls leave no trace."""
    return are_means(pipeline, model) and not is_streamed(pipeline)


def are_means(pipeline: MetricPipeline, model: ModelWrapper) -> bool:
    """Whether means over examples are wanted, of a model whose calls leave no trace."""
    means = all(isinstance(m, ExampleMetric) for m in pipeline.metrics)
    return means and model.batch_norm == "stored" and model.mode == "eval"


def has_terms(subspace: Subspace, model: ModelWrapper) -> bool:
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
