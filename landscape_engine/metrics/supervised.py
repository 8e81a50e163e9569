"""Metrics of supervised learning: any torch loss, and accuracy."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ChoiceError
from .base import ExampleMetric, exact, logits
from .data import Examples, join, length

_CROSS_ENTROPIES = (F.cross_entropy, F.nll_loss, nn.CrossEntropyLoss, nn.NLLLoss)
_FEW = 64  # classes, up to which a softmax on a CPU is faster across rows than along them


def _examples(inputs: Any, targets: Any, data: Any, batch_size: int, forward: Callable[..., Any] | None) -> Examples:
    if isinstance(data, Examples):
        return data
    if data is not None:
        return Examples(data, batch_size, forward, targets)
    if not (isinstance(inputs, Tensor) and isinstance(targets, Tensor)):
        raise ChoiceError("inputs", type(inputs).__name__, "a tensor, with a tensor of targets; or pass data=")
    return Examples((inputs, targets), batch_size, forward)


@final
class Loss(ExampleMetric):
    r"""The mean of a loss over a data set, :math:`L(\theta) = \sum_i w_i \ell(f(\theta, x_i), y_i) / \sum_i w_i`.

    It is what the loss function gives for all examples at once, whatever the batches. The weights are those that it
    averages with: 1 for each value it returns, the class weights of a cross entropy, 0 for targets equal to its
    ``ignore_index``. A loss that cannot be asked for one value an example (``reduction="none"``), or whose mean over
    some examples is not the one found from these weights, is given the outputs of all examples together, and has no
    standard error.

    Args:
        loss_function: ``torch.nn.functional.cross_entropy``, ``torch.nn.MSELoss()``, or any function of (outputs,
            targets). None if the model computes its loss: the outputs are then the loss, or have it as ``loss``;
            one value an example, or the mean of a batch.
        inputs: (N, ...), what the model is called with.
        targets: (N, ...). With ``data``, the key of the targets, or a function of a batch.
        data: Instead of both: a ``Dataset``, a ``DataLoader``, batches, or ``Examples`` that several metrics share.
        forward: ``forward(model, batch)``, if the model is to be called in another way than ``Examples`` does.
        weights: ``weights(batch)``, weights of the values (a mask, for instance), of the shape of what
            ``reduction="none"`` returns or of its first dimensions. If the model returns the mean of a batch: the
            number of values it is the mean of, by default the number of examples.
        name: Variable name in results.
        long_name: What an axis says; ``name`` when left out.
        batch_size: Examples in one forward pass; never changes the value.

    References:
        Goodfellow, Bengio, Courville 2016, Deep Learning, section 8.1.1 (the empirical risk).
    """

    positive = True

    def __init__(
        self,
        loss_function: Callable[..., Tensor] | None,
        inputs: Tensor | None = None,
        targets: Any = None,
        *,
        data: Any = None,
        forward: Callable[..., Any] | None = None,
        weights: Callable[[Any], Any] | None = None,
        name: str = "loss",
        long_name: str = "",
        batch_size: int = 4096,
    ) -> None:
        if not (callable(loss_function) or loss_function is None):
            raise ChoiceError("loss_function", loss_function, "a function of (outputs, targets), or None")
        self.name, self.long_name = name, long_name or name
        self.data = _examples(inputs, targets, data, batch_size, forward)
        self._function, self._given_weights = loss_function, weights
        self.composite = loss_function is not None
        kind = type(loss_function) if isinstance(loss_function, nn.Module) else loss_function
        kind = kind.func if isinstance(kind, functools.partial) else kind
        is_cross_entropy = kind in _CROSS_ENTROPIES or isinstance(loss_function, _CROSS_ENTROPIES[2:])
        self.units = "nats" if is_cross_entropy else ""
        self._each = _unreduced(loss_function)
        if self._each is not None and kind in (F.cross_entropy, nn.CrossEntropyLoss):
            self._each = _Across(self._each)
        self.whole = self._each is None and loss_function is not None
        self.single = self._each is not None
        self._class_weight: Tensor | None = _option(loss_function, "weight") if is_cross_entropy else None
        self._ignore_index: int | None = _option(loss_function, "ignore_index", -100) if is_cross_entropy else None
        torchs = str(getattr(kind, "__module__", "")).startswith("torch.nn.")
        plain = torchs and _option(loss_function, "reduction", "mean") == "mean"
        self.sure = self._each is None or weights is not None or plain

    def prepare(self, parts: Sequence[tuple[Any, Any]]) -> bool:
        """Compare our mean over some batches with the loss of their examples together, once for every example.

        If they differ, only all examples together give the value. Where the loss is 0 or not finite, all means agree
        and it tells nothing.
        """
        if self._function is None or self._each is None:
            return True
        try:
            outputs, batch = (join(part) for part in zip(*parts, strict=True))
        except (RuntimeError, KeyError):  # sequences of several lengths
            return all([self.prepare([part]) for part in parts])
        targets = self.data.targets(batch)
        own, each = (torch.as_tensor(f(outputs, targets)) for f in (self._function, self._each))
        if own.numel() > 1:
            return True  # one value an example, whose mean is ours
        finite = bool(torch.isfinite(own))
        if each.ndim == 0 or (finite and not self._agrees(own.reshape(()), parts)):
            self._each, self.whole, self.single = None, True, False
        return self.whole or (finite and bool(own))

    def _agrees(self, own: Tensor, parts: Sequence[tuple[Any, Any]]) -> bool:
        found = [self.contributions(*part) for part in parts]
        mean = torch.stack([s.sum() for s, _ in found]).sum() / torch.stack([w.sum() for _, w in found]).sum()
        rtol = torch.finfo(own.dtype).eps ** (2 / 3) if own.is_floating_point() else 0
        return bool(torch.isclose(mean, exact(own).to(mean.device), rtol=rtol, atol=0))

    def contributions(self, outputs: Any, batch: Any) -> tuple[Tensor, Tensor]:
        """Sums and weights of each example."""
        if self._function is None:
            return self._from_model(outputs, batch)
        predicted, targets = logits(outputs), self.data.targets(batch)
        if self._each is None:
            value = exact(self._function(predicted, targets)).reshape(1)
            return value, torch.ones_like(value)
        values = exact(self._each(predicted, targets))
        if values.ndim == 0:
            raise ChoiceError("loss_function", "one number a batch", "a loss that returns one value an example")
        weights = self._weights(values, targets, batch)
        if self._given_weights is not None:
            values = values * weights
        return values.reshape(len(values), -1).sum(1), weights.reshape(len(values), -1).sum(1)

    def _from_model(self, outputs: Any, batch: Any) -> tuple[Tensor, Tensor]:
        """The model's own loss: the mean of a batch, or one value an example."""
        value = exact(outputs if isinstance(outputs, Tensor) else outputs.loss)
        self.single = value.ndim > 0
        count = self._given_weights(batch) if self._given_weights is not None else None
        if self.single:
            weights = torch.ones_like(value) if count is None else exact(count).to(value.device)
            return value * weights, weights
        weight = exact(length(batch) if count is None else count).to(value.device).sum().reshape(1)
        return value.reshape(1) * weight, weight

    def _weights(self, values: Tensor, targets: Any, batch: Any) -> Tensor:
        if self._given_weights is not None:
            given = exact(self._given_weights(batch)).to(values.device)
            return given.reshape(given.shape + (1,) * (values.ndim - given.ndim)).expand_as(values)
        if self._ignore_index is None or targets.is_floating_point():  # class probabilities are never ignored
            return torch.ones_like(values)
        targets = targets.to(values.device)
        kept = targets != self._ignore_index
        if self._class_weight is None:
            return exact(kept)
        return exact(self._class_weight).to(values.device)[torch.where(kept, targets, torch.zeros_like(targets))] * kept


def _unreduced(function: Callable[..., Tensor] | None) -> Callable[[Any, Any], Tensor] | None:
    """The loss as one value an example; None if it cannot be asked for that."""
    if isinstance(function, nn.Module) and hasattr(function, "reduction"):
        unreduced = copy.deepcopy(function)
        unreduced.reduction = "none"  # type: ignore[assignment]
        return unreduced
    if function is not None and "reduction" in _keywords(function):
        return lambda outputs, targets: function(outputs, targets, reduction="none")
    return None


class _Across(nn.Module):
    """A cross entropy that takes examples as the pixels of one picture: the same values, several times as fast."""

    def __init__(self, each: Callable[[Any, Any], Tensor]) -> None:
        super().__init__()
        self.each = each

    def forward(self, outputs: Any, targets: Any) -> Tensor:
        flat = isinstance(outputs, Tensor) and outputs.ndim == 2 and outputs.device.type == "cpu"
        if not flat or outputs.shape[1] > _FEW or torch.is_grad_enabled():
            return self.each(outputs, targets)
        return self.each(outputs.mT[None], targets.mT[None] if targets.ndim == 2 else targets[None])[0]


def _option(function: Callable[..., Any] | None, name: str, default: Any = None) -> Any:
    """A setting of a loss: an attribute of a module, a keyword of a ``functools.partial``."""
    if isinstance(function, functools.partial):
        return function.keywords.get(name, default)
    return getattr(function, name, default)


def _keywords(function: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return set()


@final
class Accuracy(ExampleMetric):
    r"""The share of examples classified correctly, :math:`\frac{1}{N} \sum_i [\arg\max_c f_c(\theta, x_i) = y_i]`.

    It is a mean of steps, not differentiable. Over many examples it is smooth enough to be refined to a few percent of
    its range; for half a percent nearly every node is computed.

    Args:
        inputs: (N, ...), what the model is called with.
        targets: (N, ...) of class indices; the outputs have the classes in dimension 1, or, where only that fits the
            targets, in the last. With ``data``, the key of the targets, or a function of a batch.
        data: Instead of both: see ``Loss``.
        forward: See ``Loss``.
        ignore_index: A target that does not count.
        name: Variable name in results.
        long_name: What an axis says; ``name`` when left out.
        batch_size: Examples in one forward pass; never changes the value.

    References:
        Goodfellow, Bengio, Courville 2016, Deep Learning, section 5.1.2 (accuracy as a measure of performance).
    """

    positive = True
    bounds = (0.0, 1.0)

    def __init__(
        self,
        inputs: Tensor | None = None,
        targets: Any = None,
        *,
        data: Any = None,
        forward: Callable[..., Any] | None = None,
        ignore_index: int = -100,
        name: str = "accuracy",
        long_name: str = "",
        batch_size: int = 4096,
    ) -> None:
        if isinstance(targets, Tensor) and targets.is_floating_point():
            raise ChoiceError("targets", str(targets.dtype), "class indices of an integer type")
        self.name, self.long_name, self._ignore_index = name, long_name or name, ignore_index
        self.data = _examples(inputs, targets, data, batch_size, forward)

    def contributions(self, outputs: Any, batch: Any) -> tuple[Tensor, Tensor]:
        """Sums and weights of each example."""
        scores, targets = logits(outputs), self.data.targets(batch)
        in_last = scores.shape[:-1] == targets.shape and (scores.shape[0], *scores.shape[2:]) != targets.shape
        right = scores.argmax(dim=-1 if in_last else 1) == targets
        kept = exact(targets != self._ignore_index)
        right = exact(right) * kept
        return right.reshape(len(right), -1).sum(1), kept.reshape(len(right), -1).sum(1)
