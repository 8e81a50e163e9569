"""VGG: stacks of 3 x 3 convolutions, halved by pooling five times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

import torch
from torch import Tensor, nn

from .base import Architecture, Option, Shapes

WIDTHS = (1, 2, 4, 8, 8)
"""Filters of the five stacks, as multiples of those of the first."""
LAYERS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions in each stack: the paper's configurations A, B, D and E."""


@final
class VGG(nn.Module):
    """Five stacks of convolutions, and one linear layer or three.

    Args:
        depth: 11, 13, 16 or 19.
        batch_norm: Whether there is one after each convolution.
        hidden: Units of the two hidden linear layers; 0 for none, as is usual for images of 32 x 32.
        pool: Rows and columns of what the linear layers read: 1 for images of 32 x 32, 7 for those of 224 x 224.
        width: Filters of the first stack.
        channels: Of the images.
        classes: Number of outputs.

    References:
        Simonyan, Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition, table 1.
    """

    def __init__(
        self, depth: int, batch_norm: bool, hidden: int, pool: int, width: int, channels: int, classes: int
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(*_stacks(depth, batch_norm, width, channels))
        self.pool = nn.AdaptiveAvgPool2d(pool)
        self.classifier = _classifier(WIDTHS[-1] * width * pool**2, hidden, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Outputs of a batch of images, ``(n, channels, rows, columns)`` of 32 rows and columns or more."""
        outputs: Tensor = self.classifier(torch.flatten(self.pool(self.features(images)), 1))
        return outputs


def _stacks(depth: int, batch_norm: bool, width: int, channels: int) -> Iterator[nn.Module]:
    for factor, count in zip(WIDTHS, LAYERS[depth], strict=True):
        for _ in range(count):
            yield nn.Conv2d(channels, factor * width, 3, padding=1)
            channels = factor * width
            if batch_norm:
                yield nn.BatchNorm2d(channels)
            yield nn.ReLU()
        yield nn.MaxPool2d(2)


def _classifier(inputs: int, hidden: int, classes: int) -> nn.Module:
    if not hidden:
        return nn.Linear(inputs, classes)
    first = [nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*first, nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, classes))


def _read(shapes: Shapes) -> dict[str, Any] | None:
    first = shapes["features.0.weight"]
    depths = {sum(counts): depth for depth, counts in LAYERS.items()}
    convolutions = sum(len(shape) == 4 for shape in shapes.values())
    hidden = "classifier.weight" not in shapes
    inputs = shapes["classifier.0.weight" if hidden else "classifier.weight"][1]
    return {
        "depth": depths[convolutions],
        "batch_norm": "features.1.running_mean" in shapes,
        "hidden": shapes["classifier.0.weight"][0] if hidden else 0,
        "pool": 1 if inputs == WIDTHS[-1] * first[0] else 7,
        "width": first[0],
        "channels": first[1],
        "classes": shapes["classifier.6.weight" if hidden else "classifier.weight"][0],
    }


ARCHITECTURE = Architecture(
    name="vgg",
    title="VGG (Simonyan, Zisserman 2015)",
    options={
        "depth": Option(11, "layers with weights, two of them linear ones that small images do without", tuple(LAYERS)),
        "batch_norm": Option(True, "after each convolution", choices=(True, False)),
        "hidden": Option(0, "units of the two hidden linear layers; 0 for none", bounds=(0, 100_000)),
        "pool": Option(1, "rows that the linear layers read: 1 of images of 32, 7 of images of 224", choices=(1, 7)),
        "width": Option(64, "filters of the first stack"),
        "channels": Option(3, "of the images"),
        "classes": Option(10, "number of outputs"),
    },
    make=VGG,
    read=_read,
    input_of=lambda channels, pool, **_: (channels, 32 * pool, 32 * pool),
)
