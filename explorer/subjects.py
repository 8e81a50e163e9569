"""What can be explored: a model with its data and checkpoints, of ours or of the caller's."""

from __future__ import annotations

from itertools import count
from typing import Protocol

from torch import nn

import sample_models
from landscape_engine import ChoiceError, ModelWrapper, Trajectory
from landscape_engine.metrics import Metric


class Subject(Protocol):
    """A model with what it is measured by; every sample model is one, and so is ``own.Own``."""

    @property
    def name(self) -> str:
        """What the page calls it."""

    @property
    def title(self) -> str:
        """The same in the list of models."""

    @property
    def description(self) -> str:
        """What it is, in a sentence."""

    @property
    def model(self) -> nn.Module | ModelWrapper:
        """The network, with the weights of its final checkpoint."""

    @property
    def trajectory(self) -> Trajectory | None:
        """Its checkpoints; None if it has only one."""

    @property
    def second(self) -> Trajectory | None:
        """Checkpoints of a second run, or None."""

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""

    @property
    def splits(self) -> dict[str, int]:
        """How many examples or episodes each set has: of ``"train"`` and ``"test"``, or ``"all"``."""

    @property
    def unit(self) -> str:
        """What ``splits`` counts."""

    @property
    def weight_decay(self) -> float:
        """Of all parameters, in training; 0 if there was none or it is not known."""

    def metrics(self, split: str, count: int = 0) -> list[Metric]:
        """What it is measured by on the first ``count`` of a set (0: all), named ``train_loss`` and so on."""


_offered: dict[str, Subject] = {}
_numbers = count(1)


def offer(subject: Subject) -> str:
    """Make a subject known to the page of this process.

    Args:
        subject: Which may be called like another one.

    Returns:
        A key that no other has, for ``state.model``.
    """
    key = f"own-{next(_numbers)}"
    _offered[key] = subject
    return key


def withdraw(key: str) -> None:
    """Forget a subject that was offered."""
    _offered.pop(key, None)


def subject(key: str) -> Subject:
    """The subject of a key: one that was offered, or a sample model.

    Raises:
        ChoiceError: If there is none.
    """
    if key in _offered:
        return _offered[key]
    if key.startswith("own-"):
        raise ChoiceError("model", key, "one that was given to this page")
    return sample_models.load(key)
