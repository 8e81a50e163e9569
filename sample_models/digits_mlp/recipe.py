"""A multilayer perceptron on handwritten digits, recorded densely at the start of its training."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from landscape_engine import Trajectory

from .. import training
from ..data import Split, digits

TITLE = "digits_mlp: 64-128-10"
DESCRIPTION = "A network of one hidden layer of 128 ReLU units that reads handwritten digits of 8 x 8 pixels."
HOW = training.Recipe(seed=3, epochs=24, batch=64, learning_rate=0.08)
RECIPE = HOW.described()
DATA = (
    "1,797 handwritten digits that scikit-learn carries, 1,437 for training and 360 for testing: Alpaydin, Kaynak "
    "1998, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
    "https://archive.ics.uci.edu/dataset/80."
)
DATA_LICENSE = "CC BY 4.0, UCI Machine Learning Repository"

loss_function = F.cross_entropy


def data() -> tuple[Split, Split]:
    """The training and the test set."""
    return digits()


def build() -> nn.Module:
    """The untrained network."""
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def train() -> Trajectory:
    """Train it again."""
    return training.train(build, data()[0], loss_function, HOW)
