"""The sample models by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

from torch import Tensor, nn

from landscape_engine import ChoiceError, Trajectory

from .data import Split

RECIPES = {"digits_mlp": "sample_models.digits_mlp.recipe"}


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


@cache
def _loaded(name: str) -> tuple[Any, Trajectory, tuple[Split, Split]]:
    recipe = importlib.import_module(RECIPES[name])
    return recipe, Trajectory.load(Path(__file__).parent / name / "trajectory.safetensors"), recipe.data()


def load(name: str) -> Sample:
    """A sample model with the weights of its final checkpoint, in evaluation mode."""
    if name not in RECIPES:
        raise ChoiceError("sample model", name, f"one of {', '.join(RECIPES)}")
    recipe, trajectory, (train, test) = _loaded(name)
    model = recipe.build()
    model.load_state_dict(trajectory[-1])
    return Sample(name, recipe.TITLE, recipe.DESCRIPTION, model.eval(), trajectory, train, test, recipe.loss_function)


def names() -> tuple[str, ...]:
    """The names of the sample models."""
    return tuple(RECIPES)
