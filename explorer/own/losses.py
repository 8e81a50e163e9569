"""Losses by their names, and which one fits a model and its data."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape_engine import ChoiceError, MismatchError
from landscape_engine.metrics import TokenCrossEntropy, TokenNLL

LossFunction = Callable[..., Tensor]
IGNORED = -100
"""The label that cross entropies leave out, unless another one is chosen."""


@final
@dataclass(frozen=True)
class Inferred:
    """A loss, and why it is this one.

    Args:
        name: As in ``LOSSES``, or what the given one calls itself.
        function: Of (outputs, targets). None: the model computes its loss.
        why: A sentence for the person whose data it is.
        classes: How many classes the outputs tell apart by one number each; 0 where accuracy has no meaning.
    """

    name: str
    function: LossFunction | None
    why: str
    classes: int = 0

    @property
    def of_indices(self) -> bool:
        """Whether it takes targets for indices of the outputs, which must then be among them."""
        return bool(self.classes) and _NAMES.get(_key(self.name)) in _OF_INDICES


class ProbabilityNLL(nn.NLLLoss):
    """The negative log-likelihood of outputs (n, C) that are probabilities."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss; a probability of 0 counts as the smallest positive number."""
        return super().forward(input.clamp_min(torch.finfo(input.dtype).tiny).log(), target)


@final
@dataclass(frozen=True)
class Elementwise:
    """A loss of outputs laid out like the targets, and targets of the outputs' type.

    Torch would compare outputs (n, 1) with targets (n,) each with each, and refuses whole-number targets.

    Args:
        function: A loss of ``torch.nn.functional``.
    """

    function: LossFunction

    def __call__(self, outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """The loss."""
        return self.function(outputs.reshape(targets.shape), targets.to(outputs.dtype), reduction=reduction)


def _of_two(function: Any) -> bool:
    """Whether it is a loss of torch's that needs only (input, target)."""
    if not inspect.isfunction(function):
        return False
    parameters = list(inspect.signature(function).parameters.values())
    needed = [p.name for p in parameters if p.default is p.empty]
    return needed == ["input", "target"] and "reduction" in {p.name for p in parameters}


LOSSES: dict[str, LossFunction] = {name: f for name, f in vars(F).items() if name[0] != "_" and _of_two(f)} | {
    "token_cross_entropy": TokenCrossEntropy(),
    "token_nll_loss": TokenNLL(),
    "probability_nll_loss": ProbabilityNLL(),
}
"""Every loss of ``torch.nn.functional`` of outputs and targets, and three for outputs that it has none for."""

_TOKENS = {"cross_entropy": "token_cross_entropy", "nll_loss": "token_nll_loss"}
_OF_INDICES = {*_TOKENS, *_TOKENS.values(), "probability_nll_loss", "multi_margin_loss", "multilabel_margin_loss"}


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower()).removesuffix("loss")


_NAMES = {_key(name): name for name in LOSSES} | {
    "bce": "binary_cross_entropy",
    "bcewithlogits": "binary_cross_entropy_with_logits",
}


def by_name(name: str) -> LossFunction:
    """The loss of a name: ``"cross_entropy"``, or as torch.nn's classes are called, ``"CrossEntropyLoss"``.

    Raises:
        ChoiceError: If there is none; it has the names that are near.
    """
    return LOSSES[_canonical(name)]


def _canonical(name: str) -> str:
    found = _NAMES.get(_key(name))
    if found is None:
        near = get_close_matches(_key(name), _NAMES, n=3) or ["crossentropy", "mse"]
        such = " or ".join(f"'{_NAMES[key]}'" for key in near)
        raise ChoiceError("loss", name, f"the name of a loss of torch.nn.functional, such as {such}")
    return found


def chosen(loss: str | LossFunction | None, outputs: Any, targets: Any) -> Inferred:
    """A loss that was named or given, or the one that fits.

    Args:
        loss: A name, of which the form is taken that suits the shapes; a function or module, which is taken as it is;
            or None.
        outputs: Of the model for some examples.
        targets: Of the same examples.

    Raises:
        ChoiceError: If no loss has the name.
        MismatchError: If none was named and none fits.
    """
    if loss is None:
        return infer(outputs, targets)
    classes = _classes(_logits(outputs), targets)
    if isinstance(loss, str):
        name = _suitable(_canonical(loss), _logits(outputs), targets)
        return Inferred(name, _arranged(name, _logits(outputs), targets), f"The loss was chosen: {name}.", classes)
    if not callable(loss):
        raise ChoiceError("loss", loss, "a name, or a function of (outputs, targets)")
    made: LossFunction = loss() if isinstance(loss, type) else loss
    name = getattr(made, "__name__", type(made).__name__)
    return Inferred(name, made, f"The loss was given: {name}.", classes)


def infer(outputs: Any, targets: Any) -> Inferred:
    """The loss that fits what a model gives and what it should have given.

    Args:
        outputs: For some examples: a tensor, or an object that has it as ``logits``; one that has a ``loss`` needs no
            other.
        targets: Of the same examples, the more the better: sixteen labels tell more than two.

    Raises:
        MismatchError: If none fits.
    """
    if isinstance(getattr(outputs, "loss", None), Tensor):
        return Inferred("model", None, "The model computes its loss itself.", _classes(_logits(outputs), targets))
    outputs = _logits(outputs)
    if isinstance(outputs, Tensor) and isinstance(targets, Tensor) and outputs.ndim:
        for rule in (_class_indices, _probabilities, _zero_or_one, _numbers):
            if found := rule(outputs.detach(), targets):
                name, why, classes = found
                return Inferred(name, _arranged(name, outputs, targets), why, classes)
    raise MismatchError(
        f"No loss is known for outputs of {form(outputs)} and targets of {form(targets)}. "
        "Choose one by its name, or give a function of (outputs, targets).",
        expected=form(outputs),
        found=form(targets),
    )


Found = tuple[str, str, int] | None


def _class_indices(outputs: Tensor, targets: Tensor) -> Found:
    """Whole numbers that count along a dimension of the outputs."""
    count = _classes(outputs, targets)
    if not count or not targets.numel():
        return None
    if outputs.ndim > 2 and _in_last(outputs, targets) and _in_second(outputs, targets):
        raise MismatchError(
            f"Outputs of {form(outputs)} may have their classes in the second dimension or in the last. "
            "Choose the loss: 'cross_entropy' for the second, 'token_cross_entropy' for the last.",
            expected=form(outputs),
            found=form(targets),
        )
    kept = targets[targets != IGNORED] if bool((targets != IGNORED).any()) else targets
    low, high = int(kept.min()), int(kept.max())
    last = outputs.ndim > 2 and _in_last(outputs, targets)
    why = f"Targets are whole numbers from {low} to {high} and the model gives {count} outputs"
    why += " for each of them" if targets.ndim > 1 else ""
    dim = -1 if last else 1
    if _is_one(outputs.exp().sum(dim)):
        name, why = "nll_loss", f"{why} that are log-probabilities: negative log-likelihood"
    elif outputs.ndim == 2 and bool((outputs >= 0).all()) and _is_one(outputs.sum(dim)):
        name, why = "probability_nll_loss", f"{why} that are probabilities: negative log-likelihood"
    else:
        name, why = "cross_entropy", f"{why}: cross-entropy"
    return _suitable(name, outputs, targets), f"{why}.", count


def _probabilities(outputs: Tensor, targets: Tensor) -> Found:
    """A distribution over the classes for each example, one-hot or not."""
    if outputs.shape != targets.shape or targets.ndim != 2 or targets.shape[1] < 2:
        return None
    if not (bool((targets >= 0).all()) and _is_one(targets.sum(1).to(outputs.dtype))):
        return None
    why = f"Targets are probabilities of {targets.shape[1]} classes: cross-entropy."
    return "cross_entropy", why, 0


def _zero_or_one(outputs: Tensor, targets: Tensor) -> Found:
    """A yes or no for each output."""
    if not _alike(outputs, targets) or not bool(((targets == 0) | (targets == 1)).all()):
        return None
    each = "one output" if outputs.numel() == len(outputs) else f"{outputs[0].numel()} outputs"
    why = f"Targets are 0 or 1 and the model gives {each}, taken as logits: binary cross-entropy."
    if bool(((outputs >= 0) & (outputs <= 1)).all()):
        why += " All outputs lie between 0 and 1: if they are probabilities already, choose 'binary_cross_entropy'."
    return "binary_cross_entropy_with_logits", why, 0


def _numbers(outputs: Tensor, targets: Tensor) -> Found:
    """A number for each output."""
    if not _alike(outputs, targets) or targets.is_complex() or not outputs.is_floating_point():
        return None
    return "mse_loss", "Targets are numbers and the model gives one for each: mean squared error.", 0


def _logits(outputs: Any) -> Any:
    return outputs if isinstance(outputs, Tensor) else getattr(outputs, "logits", outputs)


def _classes(outputs: Any, targets: Any) -> int:
    """How many classes the outputs tell apart, if the targets are their indices; else 0."""
    if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor)) or outputs.ndim < 2:
        return 0
    if not outputs.is_floating_point() or targets.is_floating_point() or targets.is_complex():
        return 0
    for fits, dim in ((_in_second, 1), (_in_last, -1)):
        if fits(outputs, targets) and outputs.shape[dim] > 1:
            return outputs.shape[dim]
    return 0


def _in_second(outputs: Tensor, targets: Tensor) -> bool:
    return targets.shape == (outputs.shape[0], *outputs.shape[2:])


def _in_last(outputs: Tensor, targets: Tensor) -> bool:
    return targets.shape == outputs.shape[:-1]


def _alike(outputs: Tensor, targets: Tensor) -> bool:
    """Whether there is one output for each target, dimensions of size 1 at the end aside."""
    few, many = sorted((outputs.shape, targets.shape), key=len)
    return few == many[: len(few)] and all(size == 1 for size in many[len(few) :])


def _suitable(name: str, outputs: Any, targets: Any) -> str:
    """The name of the form of a loss that takes classes where these outputs have them."""
    if name in _TOKENS and isinstance(outputs, Tensor) and isinstance(targets, Tensor) and outputs.ndim > 2:
        if _in_last(outputs, targets) and not _in_second(outputs, targets):
            return _TOKENS[name]
    return name


def _arranged(name: str, outputs: Any, targets: Any) -> LossFunction:
    """The loss of a name, and if torch would not compare each output with its own target, around it what does."""
    function = LOSSES[name]
    if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor)) or not _alike(outputs, targets):
        return function
    if name == "cross_entropy" and outputs.shape == targets.shape:
        return function if targets.is_floating_point() else Elementwise(function)
    same = outputs.shape == targets.shape and outputs.dtype == targets.dtype
    return function if same or name in _OF_INDICES else Elementwise(function)


def _is_one(sums: Tensor) -> bool:
    return bool(torch.allclose(sums, torch.ones_like(sums), rtol=0, atol=1e-3 if sums.itemsize < 4 else 1e-4))


def form(value: Any) -> str:
    """Shape and type of a tensor, as sentences have them: "shape (2, 3) in float32"."""
    if not isinstance(value, Tensor):
        return f"type {type(value).__name__}"
    return f"shape {tuple(value.shape)} in {str(value.dtype).removeprefix('torch.')}"
