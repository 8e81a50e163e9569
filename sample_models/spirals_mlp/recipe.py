"""A multilayer perceptron on three spirals in the plane, whose decisions can be drawn."""

from __future__ import annotations

from torch import nn

from ..data import SPIRALS
from ..training import Supervised


def build() -> nn.Module:
    """The untrained network."""
    return nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3))


RECIPE = Supervised(
    title="spirals_mlp: 2-24-24-3",
    description="A network of two hidden layers of 24 tanh units that tells the arms of three spirals in the plane "
    "apart.",
    build=build,
    data=SPIRALS,
    seed=2,
    epochs=160,
    learning_rate=0.1,
)
