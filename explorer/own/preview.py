"""What is about to be explored: sizes, loss, and how long a picture takes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import final

import torch

import landscape_engine as le
from explorer.datasets import Data
from explorer.numbers import format_number, percent
from landscape_engine.metrics import Accuracy, ExampleMetric, Loss

from .losses import Inferred

MEASURED = 512
"""Examples on which an evaluation is timed."""
LONG = 1.0
"""Seconds of a first evaluation after which no second one is made to be surer."""
COARSE, USUAL = 81, 400
"""Evaluations of the first picture, and of the default one when it is done, more or less."""


@final
@dataclass(frozen=True, eq=False)
class Preview:
    """What a person should know before a run.

    Args:
        parameters: Numbers that span the space.
        examples: Of each part.
        shapes: Of ``"inputs"`` and ``"targets"`` of one example, and its ``"outputs"``.
        classes: Their names, or numbers as text; empty where there are none.
        loss: The loss, and why it is this one.
        value: The loss on a sample.
        accuracy: The same sample's, if the outputs are of classes.
        seconds: That an evaluation of the training part takes, scaled from the sample.
        cost: How long the first and the default picture take, in words.
        sentences: All of it for the person.
        data: The data in the model's type.
    """

    parameters: int
    examples: dict[str, int]
    shapes: dict[str, tuple[int, ...]]
    classes: tuple[str, ...]
    loss: Inferred
    value: float
    accuracy: float | None
    seconds: float
    cost: str
    sentences: tuple[str, ...]
    data: Data


def preview(
    wrapper: le.ModelWrapper, data: Data, loss: Inferred, outputs: object, said: tuple[str, ...] = ()
) -> Preview:
    """Measure the loss, the accuracy and the time on a sample.

    Args:
        wrapper: The model.
        data: In its type.
        loss: What is measured.
        outputs: Of the model for some examples.
        said: Sentences that come after those on the data.
    """
    inputs, targets = (values[:MEASURED] for values in data.train)
    metric = Loss(loss.function, inputs, targets)
    value, seconds = _timed(metric, wrapper)
    accuracy = float(Accuracy(inputs, targets)(wrapper)) if loss.classes else None
    seconds *= len(data.train[0]) / len(inputs)
    logits = getattr(outputs, "logits", outputs)
    shapes = {"inputs": inputs, "targets": targets, "outputs": logits}
    parameters = sum(p.numel() for p in wrapper.parameters.values())
    examples = {part: len(x) for part, (x, _) in data.parts.items()}
    classes = data.classes or tuple(map(str, range(loss.classes)))
    cost = _cost(duration(COARSE * seconds), duration(USUAL * seconds))
    counts = " and ".join(f"{n:,} {'training' if part == 'train' else 'test'}" for part, n in examples.items())
    measured = f"On {len(inputs):,} examples the loss is {format_number(value)}"
    measured += "." if accuracy is None else f" and the accuracy {percent(accuracy)}."
    sentences = (f"{parameters:,} parameters, {counts} examples.", *data.facts, *said, loss.why)
    return Preview(
        parameters,
        examples,
        {name: tuple(t.shape[1:]) for name, t in shapes.items() if isinstance(t, torch.Tensor)},
        classes,
        loss,
        value,
        accuracy,
        seconds,
        cost,
        (*sentences, *_unused(data, loss), measured, cost),
        data,
    )


def _timed(metric: ExampleMetric, wrapper: le.ModelWrapper) -> tuple[float, float]:
    """The value and the seconds that it took, the second time if the first one was short."""
    for _ in range(2):
        start = time.perf_counter()
        value = float(metric.estimate(wrapper).value)
        seconds = time.perf_counter() - start
        if seconds > LONG:
            break
    return value, seconds


def _unused(data: Data, loss: Inferred) -> tuple[str, ...]:
    """A sentence if the model tells apart more classes than the data name."""
    if not data.classes or not loss.classes or len(data.classes) == loss.classes:
        return ()
    return (f"The data have {len(data.classes)} classes, but the model gives {loss.classes} outputs.",)


def _cost(first: str, whole: str) -> str:
    if first == whole:
        return f"A picture takes {whole}."
    return f"A picture takes {whole}, a first one {first}."


def duration(seconds: float) -> str:
    """A time in words: "less than a second", "about 4 s", "about 3 min", "about 5 h", "about 2 days"."""
    if seconds < 1:
        return "less than a second"
    for unit, length, most in (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 172_800)):
        if seconds < most:
            return f"about {round(seconds / length)} {unit}"
    return f"about {round(seconds / 86_400):,} days"
