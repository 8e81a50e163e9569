"""The known architectures, and which of them has given weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from landscape_engine import ChoiceError

from . import gpt, lenet, mlp, resnet, vgg, vit
from .base import Architecture, Match

ARCHITECTURES: dict[str, Architecture] = {
    module.ARCHITECTURE.name: module.ARCHITECTURE for module in (mlp, lenet, vgg, resnet, vit, gpt)
}
"""Each architecture by name."""


def build(name: str, **options: Any) -> nn.Module:
    """A new network of an architecture, with random weights.

    Args:
        name: One of ``ARCHITECTURES``.
        **options: Of the architecture; those that are not given have their defaults.

    Raises:
        ChoiceError: If there is no such architecture, or its options are not those or do not go together.
    """
    if name not in ARCHITECTURES:
        raise ChoiceError("architecture", name, f"one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name].build(**options)


def recognize(shapes: Mapping[str, tuple[int, ...]]) -> list[Match]:
    """The architectures that have weights of exactly these names and shapes, best first; none if it is unknown.

    Each is built from the options that were read off the shapes, without memory for its weights, and compared. Best is
    what needs the fewest names changed, then what leaves the fewest options open.

    Args:
        shapes: Of each parameter and buffer by its name, in the order of the state dict: it counts where layers of one
            shape are named unlike each other.
    """
    matches = [match for known in ARCHITECTURES.values() if (match := known.match(shapes)) is not None]
    return sorted(matches, key=lambda match: (sum(a != b for a, b in match.names.items()), len(match.open)))
