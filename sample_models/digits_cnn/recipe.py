"""A convolutional network with batch norm on handwritten digits."""

from __future__ import annotations

from torch import nn

from ..data import DIGITS
from ..training import Supervised


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


RECIPE = Supervised(
    title="digits_cnn: 3 convolutions, batch norm",
    description="A network of three convolutions with batch norm that reads handwritten digits of 8 x 8 pixels.",
    build=build,
    data=DIGITS,
    seed=5,
    epochs=16,
    learning_rate=0.05,
)
