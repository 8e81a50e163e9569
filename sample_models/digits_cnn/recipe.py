"""A convolutional network with batch norm on handwritten digits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from landscape_engine import Trajectory

from .. import training
from ..data import Split, digits

TITLE = "digits_cnn: 3 convolutions, batch norm"
DESCRIPTION = "A network of three convolutions with batch norm that reads handwritten digits of 8 x 8 pixels."
HOW = training.Recipe(seed=5, epochs=16, batch=64, learning_rate=0.05)
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
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        *_block(1, 8, 1),
        *_block(8, 16, 2),
        *_block(16, 16, 2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def _block(channels: int, filters: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, filters, 3, stride, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]


def train() -> Trajectory:
    """Train it again."""
    return training.train(build, data()[0], loss_function, HOW)
