"""LeNet-5: two convolutions and three linear layers."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from .activations import ACTIVATIONS
from .base import Architecture, Option, Shapes

READERS = {(6, 5, 5): "conv2", (400,): "fc1", (120,): "fc2", (84,): "fc3"}
"""All layers but the first, by what one of their units reads."""
POOLING = {"average": nn.AvgPool2d, "max": nn.MaxPool2d}


@final
class LeNet(nn.Module):
    """The layers of LeNet-5, each map of the second convolution connected to all of the first.

    Args:
        channels: Of the images.
        classes: Number of outputs.
        image: Rows and columns of the images: those of 28 are padded to 32.
        activation: One of ``ACTIVATIONS``.
        pooling: How four pixels become one.

    References:
        LeCun, Bottou, Bengio, Haffner 1998, Gradient-Based Learning Applied to Document Recognition, section II.B.
    """

    def __init__(self, channels: int, classes: int, image: int, activation: str, pooling: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=(32 - image) // 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)
        self.activation, self.pool = ACTIVATIONS[activation](), POOLING[pooling](2)

    def forward(self, images: Tensor) -> Tensor:
        """Outputs of a batch of images, ``(n, channels, image, image)``."""
        hidden = self.pool(self.activation(self.conv1(images)))
        hidden = torch.flatten(self.pool(self.activation(self.conv2(hidden))), 1)
        outputs: Tensor = self.fc3(self.activation(self.fc2(self.activation(self.fc1(hidden)))))
        return outputs


def names(shapes: Shapes) -> dict[str, str]:
    """The names of layers of these sizes, whatever they are called, and those of the network in their place."""
    found: dict[str, str] = {}
    for name, shape in shapes.items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight" and len(shape) > 1:
            found |= {f"{layer}.{k}": f"{READERS.get(shape[1:], 'conv1')}.{k}" for k in ("weight", "bias")}
    return found if found.keys() == shapes.keys() else {}


def _read(shapes: Shapes) -> dict[str, Any]:
    channels = shapes["conv1.weight"][1]
    return {
        "channels": channels,
        "classes": shapes["fc3.weight"][0],
        "image": 28 if channels == 1 else 32,
        "activation": "relu",
        "pooling": "max",
    }


ARCHITECTURE = Architecture(
    name="lenet",
    title="LeNet-5 (LeCun et al. 1998)",
    options={
        "channels": Option(1, "of the images"),
        "classes": Option(10, "number of outputs"),
        "image": Option(28, "rows and columns of the images; 28 are padded to 32", choices=(28, 32)),
        "activation": Option("relu", "between the layers", choices=tuple(ACTIVATIONS)),
        "pooling": Option("max", "how four pixels become one", choices=tuple(POOLING)),
    },
    make=LeNet,
    read=_read,
    input_of=lambda channels, image, **_: (channels, image, image),
    renaming=names,
)
