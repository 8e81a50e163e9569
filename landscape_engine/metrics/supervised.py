"""Metrics of supervised learning: any torch loss, and accuracy."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ChoiceError
from .base import ExampleMetric, Examples

_CROSS_ENTROPIES = (F.cross_entropy, F.nll_loss, nn.CrossEntropyLoss, nn.NLLLoss)


@final
class Loss(ExampleMetric):
    r"""The mean of a loss over a data set, :math:`L(\theta) = \sum_i w_i \ell(f(\theta, x_i), y_i) / \sum_i w_i`.

    The weights are those that the loss itself averages with: 1 for each value it returns, the class weights of a cross
    entropy, 0 for targets equal to its ``ignore_index``. A loss that cannot be asked for one value an example
    (``reduction="none"``) is evaluated on the whole set in one pass, without a standard error.

    Args:
        loss_function: ``torch.nn.functional.cross_entropy``, ``torch.nn.MSELoss()``, or any function of (outputs,
            targets).
        inputs: (N, ...), what the model is called with.
        targets: (N, ...).
        name: Variable name in results.
        long_name: What an axis says; ``name`` when left out.
        batch_size: Examples in one forward pass; never changes the value.
    """

    positive = True

    def __init__(
        self,
        loss_function: Callable[..., Tensor],
        inputs: Tensor,
        targets: Tensor,
        *,
        name: str = "loss",
        long_name: str = "",
        batch_size: int = 4096,
    ) -> None:
        if not callable(loss_function):
            raise ChoiceError("loss_function", loss_function, "a function of (outputs, targets)")
        self.name, self.long_name = name, long_name or name
        self.data = Examples(inputs, targets, batch_size)
        kind = type(loss_function) if isinstance(loss_function, nn.Module) else loss_function
        if isinstance(kind, functools.partial):
            kind = kind.func
        self.units = "nats" if kind in _CROSS_ENTROPIES else ""
        self._function = loss_function
        self._each: Callable[[Any, Tensor], Tensor] | None = None
        if isinstance(loss_function, nn.Module) and hasattr(loss_function, "reduction"):
            unreduced = copy.deepcopy(loss_function)
            unreduced.reduction = "none"  # type: ignore[assignment]
            self._each = unreduced
        elif "reduction" in _keywords(loss_function):
            self._each = lambda outputs, targets: loss_function(outputs, targets, reduction="none")
        else:
            self.data = dataclasses.replace(self.data, batch_size=len(inputs))
        is_cross_entropy = kind in _CROSS_ENTROPIES
        self._class_weight: Tensor | None = _option(loss_function, "weight") if is_cross_entropy else None
        self._ignore_index: int | None = _option(loss_function, "ignore_index", -100) if is_cross_entropy else None

    def contributions(self, outputs: Any, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Sums and weights of each example."""
        targets = batch[1]
        if self._each is None:
            value = torch.as_tensor(self._function(outputs, targets)).double()
            return value.reshape(1), torch.ones(1, dtype=torch.float64)
        values = self._each(outputs, targets).double()
        if values.ndim == 0:
            raise ChoiceError("loss_function", "one number a batch", "a loss that returns one value an example")
        return values.reshape(len(values), -1).sum(1), self._weights(values, targets).reshape(len(values), -1).sum(1)

    def _weights(self, values: Tensor, targets: Tensor) -> Tensor:
        weights = torch.ones_like(values)
        if self._ignore_index is None or targets.is_floating_point():  # class probabilities are never ignored
            return weights
        kept = targets != self._ignore_index
        if self._class_weight is not None:
            weights = self._class_weight.double()[torch.where(kept, targets, torch.zeros_like(targets))]
        return weights * kept


def _option(function: Callable[..., Any], name: str, default: Any = None) -> Any:
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

    It is a mean of steps, not differentiable, yet over many examples smooth enough to be refined; the estimated error
    says how far.

    Args:
        inputs: (N, ...), what the model is called with.
        targets: (N, ...) of class indices; the outputs have the classes in dimension 1.
        name: Variable name in results.
        long_name: What an axis says; ``name`` when left out.
        batch_size: Examples in one forward pass; never changes the value.
    """

    positive = True
    bounds = (0.0, 1.0)

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        *,
        name: str = "accuracy",
        long_name: str = "",
        batch_size: int = 4096,
    ) -> None:
        if targets.is_floating_point():
            raise ChoiceError("targets", str(targets.dtype), "class indices of an integer type")
        self.name, self.long_name = name, long_name or name
        self.data = Examples(inputs, targets, batch_size)

    def contributions(self, outputs: Any, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Sums and weights of each example."""
        right = (outputs.argmax(dim=1) == batch[1]).double()
        return right.reshape(len(right), -1).sum(1), torch.ones_like(right).reshape(len(right), -1).sum(1)
