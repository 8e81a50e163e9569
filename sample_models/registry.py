"""The sample models by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import final

from torch import Tensor, nn

from landscape_engine import ChoiceError, Trajectory

from .data import Split
from .training import Recipe

RECIPES = {name: f"sample_models.{name}.recipe" for name in ("digits_mlp", "digits_cnn", "spirals_mlp")}


@final
@dataclass(frozen=True, eq=False)
class Sample:
    """A trained model with its data and checkpoints."""

    name: str
    title: str
    description: str
    model: nn.Module
    trajectory: Trajectory
    train: Split
    test: Split
    loss_function: Callable[..., Tensor]

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.model.parameters())


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
def _loaded(name: str) -> tuple[Trajectory, tuple[Split, Split]]:
    return Trajectory.load(folder(name) / "trajectory.safetensors"), recipe(name).data.load()


def load(name: str) -> Sample:
    """A sample model with the weights of its final checkpoint, in evaluation mode.

    Raises:
        ChoiceError: If there is no sample model of that name.
    """
    made = recipe(name)
    trajectory, (train, test) = _loaded(name)
    model = made.build()
    model.load_state_dict(trajectory[-1])
    return Sample(name, made.title, made.description, model.eval(), trajectory, train, test, made.loss_function)


def names() -> tuple[str, ...]:
    """The names of the sample models."""
    return tuple(RECIPES)
