"""The sample models by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import final

from torch import Tensor, nn

from landscape_engine import ChoiceError, LandscapeError, ModelWrapper, Trajectory, wrap_model
from landscape_engine.metrics import Metric

from .data import Split
from .training import Recipe, Supervised

TRAJECTORY, SECOND = "trajectory.safetensors", "second.safetensors"
RECIPES = {
    name: f"sample_models.{name}.recipe"
    for name in ("digits_mlp", "digits_cnn", "spirals_mlp", "two_seeds", "sorting_gpt", "cartpole_policy")
}


@final
@dataclass(frozen=True, eq=False)
class Sample:
    """A trained model with its checkpoints and what it is measured by.

    Args:
        name: Of the sample model.
        recipe: How it was made.
        model: With the weights of the final checkpoint: a network in evaluation mode, or an agent, wrapped.
        trajectory: Its checkpoints.
        second: Checkpoints of a second run of the same recipe, from another seed; None if there is none.
    """

    name: str
    recipe: Recipe
    model: nn.Module | ModelWrapper
    trajectory: Trajectory
    second: Trajectory | None = None

    @property
    def second_model(self) -> nn.Module | ModelWrapper | None:
        """A model with the weights of the second run's final checkpoint; None if there is no second run."""
        return None if self.second is None else self.recipe.at(self.second[-1])

    @property
    def title(self) -> str:
        """Name and shape of the network."""
        return self.recipe.title

    @property
    def description(self) -> str:
        """What it is, in a sentence."""
        return self.recipe.description

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in wrap_model(self.model).parameters.values())

    @property
    def splits(self) -> dict[str, int]:
        """How many examples or episodes ``train`` and ``test`` have."""
        return self.recipe.data.splits

    @property
    def unit(self) -> str:
        """What ``splits`` counts: ``"examples"`` or ``"episodes"``."""
        return self.recipe.data.unit

    def metrics(self, split: str, count: int = 0) -> list[Metric]:
        """Its metrics on the first ``count`` examples or episodes of a split (0: as many as ``splits`` says).

        Args:
            split: ``"train"`` or ``"test"``; the names of the metrics begin with it: ``train_loss``,
                ``train_accuracy``; ``train_return`` of a policy.
            count: How many examples or episodes.

        Raises:
            LandscapeError: If there is no such split, or a package that the metric needs is not installed.
        """
        return self.recipe.metrics(split, count)

    @property
    def train(self) -> Split:
        """The examples that it was trained on."""
        return self._supervised.data.split("train")

    @property
    def test(self) -> Split:
        """The examples that it was not trained on."""
        return self._supervised.data.split("test")

    @property
    def loss_function(self) -> Callable[..., Tensor]:
        """What was minimized."""
        return self._supervised.loss_function

    @property
    def weight_decay(self) -> float:
        """Of all parameters, in training."""
        return self._supervised.weight_decay

    @property
    def _supervised(self) -> Supervised:
        if not isinstance(self.recipe, Supervised):
            raise LandscapeError(f"{self.name} has no examples, only {self.unit}. Measure it by metrics(split).")
        return self.recipe


def folder(name: str) -> Path:
    """Where a sample model keeps its checkpoints and its card."""
    return Path(__file__).parent / name


def recipe(name: str) -> Recipe:
    """How a sample model is made.

    Raises:
        ChoiceError: If there is no sample model of that name.
    """
    if name not in RECIPES:
        raise ChoiceError("sample model", name, f"one of {', '.join(RECIPES)}")
    made: Recipe = importlib.import_module(RECIPES[name]).RECIPE
    return made


@cache
def _runs(name: str) -> tuple[Trajectory, Trajectory | None]:
    second = folder(name) / SECOND
    return Trajectory.load(folder(name) / TRAJECTORY), Trajectory.load(second) if second.exists() else None


def load(name: str) -> Sample:
    """A sample model with the weights of its final checkpoint.

    Raises:
        ChoiceError: If there is no sample model of that name.
    """
    made, (trajectory, second) = recipe(name), _runs(name)
    return Sample(name, made, made.at(trajectory[-1]), trajectory, second)


def names() -> tuple[str, ...]:
    """The names of the sample models."""
    return tuple(RECIPES)
