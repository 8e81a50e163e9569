"""What a metric is, and how several of the same data are measured in one pass over it."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from ..errors import MismatchError
from ..hessian import Part
from ..models import ModelWrapper
from .data import Examples, join, length, replace, tensors

ENOUGH = 32  # examples that tell how a loss averages


class Estimate(NamedTuple):
    """A value, and its standard error over what it is a mean of: examples, episodes, probes (NaN if there is none)."""

    value: Any
    stderr: float = float("nan")


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


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
        data: The examples it is measured on, None if there are none.
    """

    name: str = "metric"
    long_name: str = ""
    units: str = ""
    dims: tuple[str, ...] = ()
    smooth: bool = True
    positive: bool = False
    bounds: tuple[float | None, float | None] = (None, None)
    data: Examples | None = None

    @abc.abstractmethod
    def __call__(self, model_wrapper: ModelWrapper) -> Any:
        """The value at the wrapper's parameters: a number, or an array of ``dims``."""

    @property
    def facts(self) -> dict[str, Any]:
        """For the provenance: its class, and every choice it was made with that is text, numbers, or a metric."""
        found: dict[str, Any] = {"class": type(self).__name__}
        for key, value in vars(self).items():
            if isinstance(value, Metric):
                found[key] = value.facts
            elif _is_plain(value) or (isinstance(value, tuple) and all(map(_is_plain, value))):
                found[key.lstrip("_")] = value
        return found

    def estimate(self, model_wrapper: ModelWrapper) -> Estimate:
        """The value and its standard error.

        Raises:
            MismatchError: If the value is not of the metric's ``dims``.
        """
        value = self(model_wrapper)
        array = value.detach().double().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value, dtype=float)
        if array.ndim != len(self.dims) and (self.dims or array.size != 1):
            raise MismatchError(
                f"metric '{self.name}' returned an array of shape {array.shape}, but its dims are {self.dims}. "
                "Return a number, or set dims to one name for each dimension.",
                expected=self.dims,
                found=array.shape,
            )
        return Estimate(array if self.dims else float(array.reshape(())))

    def parts(self, model_wrapper: ModelWrapper, total: float | None) -> Iterator[Part]:
        """The value as a function that can be differentiated by the wrapper's parameters.

        By default one part, the value itself, which must then be a tensor that depends on the parameters.

        Args:
            model_wrapper: With parameters that require gradients.
            total: What ``total`` gave.
        """
        with model_wrapper.differentiable():
            value = torch.as_tensor(self(model_wrapper), dtype=torch.float64)
        yield Part((), lambda: value)

    def total(self, model_wrapper: ModelWrapper) -> float | None:
        """What all parts are divided by, if one part alone cannot know it."""
        return None


class EstimatedMetric(Metric):
    """A metric that is sampled, and so has a standard error: a subclass defines ``estimate``."""

    @abc.abstractmethod
    def estimate(self, model_wrapper: ModelWrapper) -> Estimate:
        """The value and its standard error."""

    def __call__(self, model_wrapper: ModelWrapper) -> Any:
        """The value at the wrapper's parameters."""
        return self.estimate(model_wrapper).value


class ExampleMetric(EstimatedMetric):
    r"""A mean over examples.

    Its value is :math:`r = \sum_i s_i / \sum_i w_i`, accumulated in float64, so that batches, weights and masks cannot
    matter. Its standard error, from the same pass, is that of a ratio estimate,
    :math:`\sqrt{n / (n - 1) \sum_i (s_i - r w_i)^2} / \sum_i w_i`.

    References:
        Cochran 1977, Sampling Techniques, section 6.3 (the standard error of a ratio).

    Attributes:
        data: The examples.
        composite: Whether it depends on the parameters through the model's outputs, as a Gauss-Newton matrix needs.
        whole: Whether the value needs the outputs of all examples at once; ``contributions`` is then called with them.
        single: Whether its contributions are those of single examples, which a standard error needs.
        sure: Whether all this is known; if not, ``prepare`` is shown all examples at the first point that tells.
    """

    data: Examples
    composite: bool = True
    whole: bool = False
    single: bool = True
    sure: bool = True

    @abc.abstractmethod
    def contributions(self, outputs: Any, batch: Any) -> tuple[Tensor, Tensor]:
        """Sums and weights of the examples of a batch, both of shape (examples,)."""

    def prepare(self, parts: Sequence[tuple[Any, Any]]) -> bool:
        """Look at some batches (outputs, examples) before any is counted; whether they told how the metric averages."""
        return True

    def estimate(self, model_wrapper: ModelWrapper) -> Estimate:
        """The mean and its standard error."""
        return measure_examples([self], [model_wrapper])[0][0]

    def parts(self, model_wrapper: ModelWrapper, total: float | None) -> Iterator[Part]:
        """One part for each batch, or a single one if the metric is ``whole``."""
        outputs = self._outputs(model_wrapper)
        if self.whole:
            predicted, batches = zip(*((logits(o), b) for o, b in outputs), strict=True)
            yield self._part(join(predicted), join(batches), total)
            return
        for found, batch in outputs:
            yield self._part(found, batch, total)

    def on(self, model_wrapper: ModelWrapper, batch: Any) -> Part:
        """The mean over one batch alone, as a function that can be differentiated by the wrapper's parameters.

        It is 0 where no example of the batch counts, as its weights or an ``ignore_index`` may have it.
        """
        with model_wrapper.differentiable():
            outputs = self.data.outputs(model_wrapper, batch)
        with torch.no_grad():
            _, weights = self.contributions(logits(outputs) if self.composite else outputs, batch)
        return self._part(outputs, batch, None if bool(weights.sum()) else 1.0)

    def _outputs(self, model_wrapper: ModelWrapper) -> Iterator[tuple[Any, Any]]:
        for batch in self.data.batches():
            with model_wrapper.differentiable():
                outputs = self.data.outputs(model_wrapper, batch)
            yield outputs, batch

    def _part(self, outputs: Any, batch: Any, total: float | None) -> Part:
        predicted = logits(outputs) if self.composite else outputs
        moving = [t for t in tensors(predicted) if t.requires_grad] if self.composite else []

        def value(*replaced: Tensor) -> Tensor:
            new = dict(zip(map(id, moving), replaced, strict=True))
            given = replace(predicted, lambda t: new.get(id(t), t)) if moving else predicted
            sums, weights = self.contributions(given, batch)
            return sums.sum() / (weights.sum() if total is None else total)

        return Part(tuple(moving), value)

    def total(self, model_wrapper: ModelWrapper) -> float | None:
        """The weight of all examples; None if there is a single batch, which knows it."""
        with torch.no_grad():
            if not self.sure:
                _prepare([self], model_wrapper)
            if self.whole or len(list(islice(self.data.batches(), 2))) == 1:
                return None
            return sum(float(self.contributions(*pair)[1].double().sum()) for pair in self._outputs(model_wrapper))


class PairMetric(Metric):
    """A quantity of two neighboring points, for instance of two checkpoints of a path.

    On lines and curves only. The value at a node is that of the pair (the node before it, itself); the first node has
    none (NaN).
    """

    @abc.abstractmethod
    def pair(self, a: ModelWrapper, b: ModelWrapper) -> Any:
        """The value of a pair of neighboring points, in the order of the path."""

    def __call__(self, model_wrapper: ModelWrapper) -> float:
        """A single point has no value."""
        return float("nan")


def logits(outputs: Any) -> Any:
    """The ``logits`` of what a model returned, if it has some (as those of Hugging Face models have), else itself."""
    return outputs if isinstance(outputs, Tensor) else getattr(outputs, "logits", outputs)


def exact(values: Any) -> Tensor:
    """As float64 where they are; on the CPU, if they are on a device that has no such type, as Apple's has not."""
    values = torch.as_tensor(values)
    return values.double() if values.device.type in ("cpu", "cuda") else values.cpu().double()


def moments(sums: Tensor, weights: Tensor) -> Tensor:
    """Sums of s, w, s^2, s w, w^2 in float64, which is all that a mean and its standard error need."""
    s, w = exact(sums.detach()).reshape(-1), exact(weights.detach()).reshape(-1)
    return torch.stack([s.sum(), w.sum(), s @ s, s @ w, w @ w])


def ratio(total: Sequence[float], count: int) -> Estimate:
    """The mean s / w of examples, from the sum of their moments, and its standard error; NaN where no weight is."""
    s, w, ss, sw, ww = total
    if w == 0:
        return Estimate(float("nan"))
    mean = s / w
    if count < 2:
        return Estimate(mean)
    spread = max(0.0, ss - 2 * mean * sw + mean * mean * ww) if abs(mean) < float("inf") else float("nan")
    return Estimate(mean, (count / (count - 1) * spread) ** 0.5 / abs(w))


@final
class _RatioSum:
    """The moments of the examples seen so far."""

    def __init__(self) -> None:
        self._count = 0
        self._sums = torch.zeros(5, dtype=torch.float64)

    def add(self, sums: Tensor, weights: Tensor) -> None:
        """Count examples by their sums and weights, of one shape."""
        self._count += sums.numel()
        self._sums += moments(sums, weights).cpu()

    def estimate(self) -> Estimate:
        """The mean and its standard error."""
        return ratio(self._sums.tolist(), self._count)


def _prepare(metrics: Sequence[ExampleMetric], model_wrapper: ModelWrapper) -> None:
    """Show the metrics that are not sure every example, some at a time; they are sure once each of these told."""
    told = [True for _ in metrics]
    for parts in _neighbors(metrics[0].data, model_wrapper) if metrics else ():
        told = [metric.prepare(parts) and before for metric, before in zip(metrics, told, strict=True)]
        if all(metric.whole for metric in metrics):
            break
    for metric, every in zip(metrics, told, strict=True):
        metric.sure = every or metric.whole


def _neighbors(data: Examples, model_wrapper: ModelWrapper) -> Iterator[list[tuple[Any, Any]]]:
    """Each two neighboring batches with their outputs, or as many small ones as make a few dozen examples."""
    parts: list[tuple[Any, Any]] = []
    for batch in data.batches():
        if len(parts) > 1 and sum(length(b) for _, b in parts) >= ENOUGH:
            yield parts
            parts = parts[-1:]
        parts.append((logits(data.outputs(model_wrapper, batch)), batch))
    yield parts


def measure_examples(
    metrics: Sequence[ExampleMetric],
    models: Sequence[ModelWrapper],
    data: Examples | None = None,
    begin: Callable[[Any], None] | None = None,
) -> list[list[Estimate]]:
    """Several metrics of the same data at several points from one pass; ``data`` are these in another arrangement."""
    sums = [[_RatioSum() for _ in metrics] for _ in models]
    kept: list[list[tuple[Any, Any]]] = [[] for _ in models]
    data = metrics[0].data if data is None else data
    for model in models:
        _prepare([m for m in metrics if not m.sure], model)
    for batch in data.batches():
        if begin is not None:
            begin(batch)
        for model, totals, held in zip(models, sums, kept, strict=True):
            outputs = data.outputs(model, batch)
            for metric, total in zip(metrics, totals, strict=True):
                if not metric.whole:
                    total.add(*metric.contributions(outputs, batch))
            if any(metric.whole for metric in metrics):
                held.append((logits(outputs), batch))
    for totals, held in zip(sums, kept, strict=True):
        if held:
            everything = join([o for o, _ in held]), join([b for _, b in held])
            for metric, total in zip(metrics, totals, strict=True):
                if metric.whole:
                    total.add(*metric.contributions(*everything))
    return [
        [t.estimate() if m.single else Estimate(t.estimate().value) for m, t in zip(metrics, totals, strict=True)]
        for totals in sums
    ]
