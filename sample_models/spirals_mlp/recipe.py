"""A multilayer perceptron on three spirals in the plane, whose decisions can be drawn."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from landscape_engine import Trajectory

from .. import training
from ..data import Split, spirals

TITLE = "spirals_mlp: 2-24-24-3"
DESCRIPTION = "A network of two hidden layers of 24 tanh units that tells the arms of three spirals in the plane apart."
HOW = training.Recipe(seed=2, epochs=160, batch=64, learning_rate=0.1)
RECIPE = HOW.described()
DATA = (
    "900 points of three spirals in the plane, 600 for training and 300 for testing, drawn from a fixed seed by "
    "`sample_models.data.spirals`; after the two-spirals problem of Lang, Witbrock 1988, Learning to Tell Two Spirals "
    "Apart."
)
DATA_LICENSE = "MIT, as this project"

loss_function = F.cross_entropy


def data() -> tuple[Split, Split]:
    """The training and the test set."""
    return spirals()


def build() -> nn.Module:
    """The untrained network."""
    return nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3))


def train() -> Trajectory:
    """Train it again."""
    return training.train(build, data()[0], loss_function, HOW)
