"""How several metrics share one pass over the data."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, final

from ..errors import ChoiceError
from ..models import ModelWrapper
from .base import Estimate, ExampleMetric, Metric, measure_examples
from .data import Examples


@final
class MetricPipeline:
    """Several metrics of one model, evaluated together.

    Metrics of the same data share one forward pass; one metric may appear on several data sets under several names.

    Args:
        metrics: At least one, with names of their own.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        if not metrics:
            raise ChoiceError("metrics", [], "one metric or more")
        twice = [name for name, count in Counter(m.name for m in metrics).items() if count > 1]
        if twice:
            raise ChoiceError("metrics", twice[0], "a list of metrics with names of their own (pass name=...)")
        self.metrics = tuple(metrics)
        self._groups: list[list[ExampleMetric]] = []
        for metric in self.metrics:
            if isinstance(metric, ExampleMetric):
                same = next((g for g in self._groups if g[0].data.is_same_as(metric.data)), None)
                if same is None:
                    self._groups.append([metric])
                else:
                    same.append(metric)
        self._data = [group[0].data for group in self._groups]

    @property
    def data(self) -> list[Examples]:
        """What models are called with, each once."""
        return self._data

    def arranged(self, rows: int | None, channels_last: bool) -> MetricPipeline:
        """The same metrics with other arrangements of their examples, where these cannot matter.

        They can if a metric needs all examples together or a model gives the mean of a batch.

        Args:
            rows: Examples at a time, at most.
            channels_last: Whether pictures have their channels last in memory.
        """
        other = copy.copy(self)
        other._data = [
            data.arranged(rows, channels_last) if all(m.sure and m.single and not m.whole for m in group) else data
            for data, group in zip(self._data, self._groups, strict=True)
        ]
        return other

    def __call__(self, model_wrapper: ModelWrapper) -> dict[str, Estimate]:
        """Each metric's value and standard error, by name."""
        return self.several([model_wrapper])[0]

    def several(
        self, models: Sequence[ModelWrapper], begin: Callable[[Any], None] | None = None
    ) -> list[dict[str, Estimate]]:
        """The same at several points, from one pass over each data set; ``begin`` is told of each batch."""
        found: list[dict[str, Estimate]] = [{} for _ in models]
        for group, data in zip(self._groups, self._data, strict=True):
            for own, estimates in zip(found, measure_examples(group, models, data, begin), strict=True):
                own.update((m.name, e) for m, e in zip(group, estimates, strict=True))
        for own, model in zip(found, models, strict=True):
            own.update((m.name, m.estimate(model)) for m in self.metrics if m.name not in own)
        return [{m.name: own[m.name] for m in self.metrics} for own in found]


def as_pipeline(metrics: Metric | MetricPipeline | Sequence[Metric]) -> MetricPipeline:
    """A pipeline of one metric, of several, or the pipeline itself.

    Raises:
        ChoiceError: If it is none of these.
    """
    if isinstance(metrics, MetricPipeline):
        return metrics
    several = [metrics] if isinstance(metrics, Metric) else metrics
    if not isinstance(several, Sequence) or not all(isinstance(m, Metric) for m in several):
        raise ChoiceError(
            "metrics", type(metrics).__name__, "a Metric (a class with __call__ that extends it) or several"
        )
    return MetricPipeline(several)
