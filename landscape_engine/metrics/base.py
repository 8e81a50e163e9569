"""What a metric is, and how several of them share one pass over the data."""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from ..errors import ChoiceError, MismatchError
from ..models import ModelWrapper
from ..parameters import fingerprint


class Metric(abc.ABC):
    """A quantity of a model. Any subclass with ``__call__`` works.

    Attributes:
        name: Variable name in results.
        long_name: What an axis or a tooltip says.
        units: Of the value; empty for a pure number.
        dims: Names of the value's own dimensions; empty for a scalar.
        smooth: Whether refinement may predict it between nodes.
        positive: Whether it cannot be negative, which a log scale needs.
        bounds: Smallest and largest possible value, None where there is none.
    """

    name: str = "metric"
    long_name: str = ""
    units: str = ""
    dims: tuple[str, ...] = ()
    smooth: bool = True
    positive: bool = False
    bounds: tuple[float | None, float | None] = (None, None)

    @abc.abstractmethod
    def __call__(self, model_wrapper: ModelWrapper) -> Any:
        """The value at the wrapper's parameters: a number, or an array of ``dims``."""


class Estimate(NamedTuple):
    """A value, and its standard error over examples (NaN where there is none)."""

    value: float
    stderr: float = float("nan")


@final
@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and targets, taken in batches.

    Args:
        inputs: (N, ...), what the model is called with.
        targets: (N, ...), what its outputs are compared with.
        batch_size: Examples in one forward pass; it changes memory and speed, never a value.
    """

    inputs: Tensor
    targets: Tensor
    batch_size: int = 4096

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise MismatchError(
                f"inputs and targets do not fit: there are {len(self.inputs)} inputs, but {len(self.targets)} targets."
                " Pass one target for each input.",
                expected=len(self.inputs),
                found=len(self.targets),
            )
        if not len(self.inputs):
            raise ChoiceError("inputs", 0, "one example or more")
        if self.batch_size < 1:
            raise ChoiceError("batch_size", self.batch_size, "1 or more")

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of inputs and targets, in order."""
        yield from zip(self.inputs.split(self.batch_size), self.targets.split(self.batch_size), strict=True)

    def is_same_as(self, other: Examples) -> bool:
        """Whether both hold the very same tensors, so that one forward pass serves both."""
        same = self.inputs is other.inputs and self.targets is other.targets
        return same and self.batch_size == other.batch_size

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that identify the data."""
        return fingerprint({"inputs": self.inputs, "targets": self.targets})


class ExampleMetric(Metric):
    r"""A mean over examples.

    Its value is :math:`r = \sum_i s_i / \sum_i w_i`, accumulated in float64, so that batches, weights and masks cannot
    matter. Its standard error, from the same pass, is that of a ratio estimate,
    :math:`\sqrt{n / (n - 1) \sum_i (s_i - r w_i)^2} / \sum_i w_i`.

    References:
        Cochran 1977, Sampling Techniques, section 6.3 (the standard error of a ratio).
    """

    data: Examples

    @abc.abstractmethod
    def contributions(self, outputs: Any, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Sums and weights of the examples of a batch, both of shape (examples,)."""

    def __call__(self, model_wrapper: ModelWrapper) -> float:
        """The mean at the wrapper's parameters."""
        return self.estimate(model_wrapper).value

    def estimate(self, model_wrapper: ModelWrapper) -> Estimate:
        """The mean and its standard error."""
        return _measure_examples([self], model_wrapper)[0]


@final
class _RatioSum:
    """Sums of s, w, s^2, s w, w^2 in float64, which is all that a mean and its standard error need."""

    def __init__(self) -> None:
        self._count = 0
        self._sums = torch.zeros(5, dtype=torch.float64)

    def add(self, sums: Tensor, weights: Tensor) -> None:
        s, w = sums.detach().double().reshape(-1), weights.detach().double().reshape(-1)
        self._count += len(s)
        self._sums += torch.stack([s.sum(), w.sum(), s @ s, s @ w, w @ w]).cpu()

    def estimate(self) -> Estimate:
        s, w, ss, sw, ww = self._sums.tolist()
        if w == 0:
            return Estimate(float("nan"))
        ratio, n = s / w, self._count
        if n < 2:
            return Estimate(ratio)
        spread = max(0.0, ss - 2 * ratio * sw + ratio * ratio * ww) if abs(ratio) < float("inf") else float("nan")
        return Estimate(ratio, (n / (n - 1) * spread) ** 0.5 / abs(w))


def _measure_examples(metrics: Sequence[ExampleMetric], model_wrapper: ModelWrapper) -> list[Estimate]:
    """Several metrics of the same data from one forward pass."""
    sums = [_RatioSum() for _ in metrics]
    for batch in metrics[0].data.batches():
        outputs = model_wrapper.forward(batch[0])
        for metric, total in zip(metrics, sums, strict=True):
            total.add(*metric.contributions(outputs, batch))
    return [total.estimate() for total in sums]


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

    def __call__(self, model_wrapper: ModelWrapper) -> dict[str, Estimate]:
        """Each metric's value and standard error, by name."""
        found: dict[str, Estimate] = {}
        for group in self._groups:
            estimates = _measure_examples(group, model_wrapper)
            found.update((m.name, e) for m, e in zip(group, estimates, strict=True))
        for metric in self.metrics:
            if metric.name not in found:
                found[metric.name] = Estimate(float(metric(model_wrapper)))
        return {m.name: found[m.name] for m in self.metrics}


def as_pipeline(metrics: Metric | MetricPipeline | Sequence[Metric]) -> MetricPipeline:
    """A pipeline of one metric, of several, or the pipeline itself."""
    if isinstance(metrics, MetricPipeline):
        return metrics
    return MetricPipeline([metrics] if isinstance(metrics, Metric) else list(metrics))
