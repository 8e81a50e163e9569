"""Two trainings of one deep, narrow perceptron: the straight line between them has a high barrier."""

from __future__ import annotations

from torch import nn

from ..data import DIGITS
from ..training import Supervised


def build() -> nn.Module:
    """The untrained network."""
    return nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )


RECIPE = Supervised(
    title="two_seeds: 64-32-32-32-10, twice",
    description="Two networks of three hidden layers of 32 ReLU units that read handwritten digits of 8 x 8 pixels, "
    "trained alike from two seeds: both are good, and their average is not.",
    build=build,
    data=DIGITS,
    seed=1,
    second_seed=2,
    epochs=24,
    learning_rate=0.08,
    weight_decay=1e-3,
)
