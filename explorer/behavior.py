"""What a network does with its examples: what it mistakes, and where in the plane it tells what apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

import landscape_engine as le
from landscape_engine.metrics import Examples

MOST, SHOWN, TOKENS = 1000, 4, 12  # examples looked at; mistakes, and tokens of a sequence, that are shown
GRID, MARGIN = 72, 0.06  # places on an axis of the plane of the inputs; what is shown beyond the examples
FINE = 96  # numbers on a side of a picture, above which it is thinned
SMALLEST_PICTURE = 64  # numbers of an input that may be a flattened picture


class Mistake(NamedTuple):
    """An example that is taken for something else.

    Attributes:
        number: Of the example among those looked at, from 0.
        target: Its class.
        said: The class it is taken for.
        confidence: The probability that the network gives that.
        picture: Its inputs as a picture, (height, width) or (height, width, 3) of bytes; None if they are none.
    """

    number: int
    target: int
    said: int
    confidence: float
    picture: np.ndarray | None = None


@final
@dataclass(frozen=True, eq=False)
class Regions:
    """What a network says of each point of the plane of its inputs.

    Args:
        low: The lower left corner, (2,).
        high: The upper right corner, (2,).
        classes: (rows, columns), from the bottom to the top.
        confidence: The probability of that class, of the same shape.
        points: The examples, (n, 2).
        targets: Their classes, (n,).
        wrong: Which are taken for something else, (n,).
    """

    low: np.ndarray
    high: np.ndarray
    classes: np.ndarray
    confidence: np.ndarray
    points: np.ndarray
    targets: np.ndarray
    wrong: np.ndarray


class Continued(NamedTuple):
    """How a network goes on with a sequence: the last of the tokens that count.

    Attributes:
        number: Of the sequence among those looked at, from 0.
        targets: The tokens that should come.
        said: Those that the network says.
        read: The tokens before the first of them, which it has read; () where inputs are not the tokens themselves.
        whole: Whether nothing before what is here was left out.
    """

    number: int
    targets: tuple[int, ...]
    said: tuple[int, ...]
    read: tuple[int, ...] = ()
    whole: bool = True


@final
@dataclass(frozen=True, eq=False)
class Behavior:
    """What a network does with the first examples of a set.

    Args:
        count: How many were looked at: examples, or tokens of sequences.
        wrong: How many of them are taken for something else.
        classes: How many there are.
        whole: Whether these are all examples of the set.
        mistakes: The most confident ones.
        regions: Where the inputs are points of a plane.
        sequences: Where the outputs are.
    """

    count: int
    wrong: int
    classes: int
    whole: bool = True
    mistakes: tuple[Mistake, ...] = ()
    regions: Regions | None = None
    sequences: tuple[Continued, ...] = ()


def behavior(model: le.ModelWrapper, examples: Examples, most: int = MOST) -> Behavior | None:
    """What a network does with examples of classes; None if it tells none apart, or says nothing finite.

    Args:
        model: Of which outputs are (n, classes), or (n, length, classes) of sequences.
        examples: Of which the first are looked at.
        most: How many, at most.
    """
    batch = examples.few(most)
    with torch.no_grad():
        outputs, targets = examples.outputs(model, batch), examples.targets(batch)
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor) or targets.is_floating_point():
        return None
    if outputs.ndim < 2 or outputs.shape[:-1] != targets.shape or outputs.shape[-1] < 2:
        return None
    if not outputs.isfinite().all():
        return None
    sure, said = _probabilities(outputs).max(dim=-1)
    counted = targets >= 0  # others are ignored by losses
    if not counted.any():
        return None
    wrong = (said != targets) & counted
    whole = not examples.streamed and len(targets) == examples.count
    facts = int(counted.sum()), int(wrong.sum()), outputs.shape[-1], whole
    if outputs.ndim == 3:
        return Behavior(*facts, sequences=tuple(_sequences(_read(batch, targets), said, targets, wrong)))
    inputs = _inputs(batch, targets)
    if inputs is None:
        return Behavior(*facts)
    flat = inputs.ndim == 2 and inputs.shape[1] == 2 and inputs.is_floating_point()
    if flat and isinstance(batch, Sequence) and len(batch) == 2 and model.batch_norm != "batch":
        return Behavior(*facts, regions=_regions(model, examples, inputs, targets, wrong))
    order = torch.argsort(torch.where(wrong, sure, -1.0), descending=True)[: min(SHOWN, facts[1])]
    pictures = _pictures(inputs, order)
    mistakes = (
        Mistake(int(k), int(targets[k]), int(said[k]), float(sure[k]), None if pictures is None else pictures[i])
        for i, k in enumerate(order.tolist())
    )
    return Behavior(*facts, mistakes=tuple(mistakes))


def _tensors(batch: Any, targets: Tensor) -> Iterator[Tensor]:
    """The tensors of a batch without its targets."""
    parts = batch.values() if isinstance(batch, Mapping) else batch
    return (part for part in parts if isinstance(part, Tensor) and part is not targets)


def _inputs(batch: Any, targets: Tensor) -> Tensor | None:
    """The first of them."""
    return next(_tensors(batch, targets), None)


def _read(batch: Any, targets: Tensor) -> Tensor | None:
    """The tokens that targets go on with: targets are those that come next. None if they are something else."""
    counted = targets[:, :-1] >= 0

    def goes_on(part: Tensor) -> bool:
        return part.shape == targets.shape and bool(((part[:, 1:] == targets[:, :-1]) | ~counted).all())

    return next(filter(goes_on, _tensors(batch, targets)), None)


def _probabilities(outputs: Tensor) -> Tensor:
    """Of each class: outputs that are some already, or their softmax."""
    outputs = outputs.detach().float()
    if bool((outputs >= 0).all()) and bool(((outputs.sum(-1) - 1).abs() < 1e-3).all()):
        return outputs
    return outputs.softmax(-1)


def _sequences(read: Tensor | None, said: Tensor, targets: Tensor, wrong: Tensor) -> Iterator[Continued]:
    """The sequences with the most mistakes."""
    counted = targets >= 0
    worst = torch.argsort(wrong.sum(dim=1) / counted.sum(dim=1).clamp_min(1), descending=True, stable=True)[:SHOWN]
    for k in worst.tolist():
        places = counted[k].nonzero()[:, 0]
        shown = places[-TOKENS:]
        if len(places) == 0:
            continue
        before = targets[k, :0] if read is None else read[k, : int(shown[0]) + 1]
        whole = len(before) <= TOKENS if read is not None else len(shown) == len(places)
        right, found, last = (tuple(part.tolist()) for part in (targets[k, shown], said[k, shown], before[-TOKENS:]))
        yield Continued(k, right, found, last, whole)


def _regions(model: le.ModelWrapper, examples: Examples, points: Tensor, targets: Tensor, wrong: Tensor) -> Regions:
    low, high = points.amin(dim=0), points.amax(dim=0)
    span = torch.where(high > low, high - low, 1.0)
    low, high = low - MARGIN * span, high + MARGIN * span
    x, y = (torch.linspace(float(a), float(b), GRID, dtype=points.dtype) for a, b in zip(low, high, strict=True))
    places = torch.cartesian_prod(y, x).flip(1).to(points.device)
    with torch.no_grad():
        sure, said = _probabilities(examples.outputs(model, (places, torch.zeros(len(places))))).max(dim=-1)
    square = (GRID, GRID)
    return Regions(
        low.numpy(force=True),
        high.numpy(force=True),
        said.reshape(square).numpy(force=True),
        sure.reshape(square).numpy(force=True),
        points.numpy(force=True),
        targets.numpy(force=True),
        wrong.numpy(force=True),
    )


def _pictures(inputs: Tensor, chosen: Tensor) -> np.ndarray | None:
    """Chosen inputs as pictures of bytes, (n, height, width) or (n, height, width, 3); None if they are none."""
    if not inputs.is_floating_point() or inputs.ndim not in (2, 3, 4):
        return None
    if inputs.ndim == 4 and inputs.shape[1] in (1, 3):
        found = inputs.movedim(1, -1).squeeze(-1)
    elif inputs.ndim == 3:
        found = inputs
    else:
        side = math.isqrt(inputs.shape[-1])
        if inputs.ndim != 2 or side**2 != inputs.shape[1] or inputs.shape[1] < SMALLEST_PICTURE:
            return None
        found = inputs.reshape(-1, side, side)
        if not _is_smooth(found):
            return None
    low, high, step = found.amin(), found.amax(), max(1, max(found.shape[1:3]) // FINE)
    found = found[chosen, ::step, ::step]
    return (255 * (found - low) / (high - low).clamp_min(1e-12)).byte().numpy(force=True)


def _is_smooth(found: Tensor) -> bool:
    """Whether numbers beside each other, in both directions, are more alike than others: those of a picture are."""
    centered = found - found.mean()
    usual = 2 * centered.square().mean()
    return all(float(centered.diff(dim=axis).square().mean()) < 0.8 * float(usual) for axis in (1, 2))
