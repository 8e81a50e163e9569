"""Residual networks for small images, with and without what makes them residual."""

from __future__ import annotations

from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Architecture, Option, Shapes, how_many, spelled

DEPTHS = (8, 14, 20, 26, 32, 44, 56, 110)
SHORTCUTS = ("identity", "projection", "none")


class Shortcut(nn.Module):
    """The inputs, every second pixel of them, with new channels of zeros on both sides.

    Args:
        stride: Between the pixels that are kept.
        channels: How many are new.
    """

    def __init__(self, stride: int, channels: int) -> None:
        super().__init__()
        self.stride, self.channels = stride, channels

    def forward(self, inputs: Tensor) -> Tensor:
        """What is added to the outputs of a block."""
        before = self.channels // 2
        return F.pad(inputs[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.channels - before))


class Block(nn.Module):
    """Two convolutions, and the inputs added to their outputs.

    Args:
        inputs: Channels of what comes in.
        outputs: Channels of what goes out.
        stride: Of the first convolution.
        shortcut: One of ``SHORTCUTS``.
        batch_norm: Whether there is one after each convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str, batch_norm: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = convolution(inputs, outputs, stride, batch_norm)
        self.conv2, self.bn2 = convolution(outputs, outputs, 1, batch_norm)
        self.shortcut = None if shortcut == "none" else _shortcut(inputs, outputs, stride, shortcut, batch_norm)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of a batch of maps."""
        outputs = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(inputs)))))
        return F.relu(outputs if self.shortcut is None else outputs + self.shortcut(inputs))


def convolution(inputs: int, outputs: int, stride: int, batch_norm: bool, size: int = 3) -> tuple[nn.Module, nn.Module]:
    """A convolution and what follows: batch norm, or a bias of its own and nothing."""
    made = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=not batch_norm)
    nn.init.kaiming_uniform_(made.weight, nonlinearity="relu")
    return made, nn.BatchNorm2d(outputs) if batch_norm else nn.Identity()


def _shortcut(inputs: int, outputs: int, stride: int, kind: str, batch_norm: bool) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    if kind == "identity":
        return Shortcut(stride, outputs - inputs)
    return nn.Sequential(*convolution(inputs, outputs, stride, batch_norm, size=1))


@final
class ResNet(nn.Module):
    """A convolution, three stages of blocks that halve the image and double the filters, and a linear layer.

    Args:
        depth: Layers with weights, 6 n + 2 of n blocks a stage.
        shortcut: ``"identity"``, with zeros for new channels (the paper's option A); ``"projection"``, a convolution
            where channels are new (option B); ``"none"``, the network without any.
        batch_norm: Whether there is one after each convolution; a bias if not.
        width: Filters of the first stage.
        channels: Of the images.
        classes: Number of outputs.

    References:
        He, Zhang, Ren, Sun 2015, Deep Residual Learning for Image Recognition, section 4.2.
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 5, on those without shortcuts.
    """

    def __init__(self, depth: int, shortcut: str, batch_norm: bool, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = convolution(channels, width, 1, batch_norm)
        options, count = (shortcut, batch_norm), (depth - 2) // 6
        self.layer1 = _stage(width, width, 1, count, *options)
        self.layer2 = _stage(width, 2 * width, 2, count, *options)
        self.layer3 = _stage(2 * width, 4 * width, 2, count, *options)
        self.linear = nn.Linear(4 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Outputs of a batch of images, ``(n, channels, rows, columns)``."""
        hidden = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(images))))))
        outputs: Tensor = self.linear(torch.flatten(F.adaptive_avg_pool2d(hidden, 1), 1))
        return outputs


def _stage(inputs: int, outputs: int, stride: int, count: int, shortcut: str, batch_norm: bool) -> nn.Module:
    first = Block(inputs, outputs, stride, shortcut, batch_norm)
    return nn.Sequential(first, *(Block(outputs, outputs, 1, shortcut, batch_norm) for _ in range(count - 1)))


def _read(shapes: Shapes) -> dict[str, Any]:
    first = shapes["conv1.weight"]
    return {
        "depth": 6 * how_many(r"layer1\.(\d+)\.", shapes) + 2,
        "shortcut": "projection" if "layer2.0.shortcut.0.weight" in shapes else "identity",
        "batch_norm": "bn1.weight" in shapes,
        "width": first[0],
        "channels": first[1],
        "classes": shapes["linear.weight"][0],
    }


ARCHITECTURE = Architecture(
    name="resnet",
    title="Residual network for small images (He et al. 2015)",
    options={
        "depth": Option(20, "layers with weights", choices=DEPTHS),
        "shortcut": Option("identity", "past each two convolutions", choices=SHORTCUTS),
        "batch_norm": Option(True, "after each convolution", choices=(True, False)),
        "width": Option(16, "filters of the first stage"),
        "channels": Option(3, "of the images"),
        "classes": Option(10, "number of outputs"),
    },
    make=ResNet,
    read=_read,
    input_of=lambda channels, **_: (channels, 32, 32),
    renaming=spelled((r"^fc\.", "linear."), (r"\.downsample\.", ".shortcut.")),
)
