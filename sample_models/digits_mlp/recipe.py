"""A multilayer perceptron on handwritten digits, recorded densely at the start of its training."""

from __future__ import annotations

from torch import nn

from ..data import DIGITS
from ..training import Supervised


def build() -> nn.Module:
    """The untrained network."""
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


RECIPE = Supervised(
    title="digits_mlp: 64-128-10",
    description="A network of one hidden layer of 128 ReLU units that reads handwritten digits of 8 x 8 pixels.",
    build=build,
    data=DIGITS,
    seed=3,
    epochs=24,
    learning_rate=0.08,
)
