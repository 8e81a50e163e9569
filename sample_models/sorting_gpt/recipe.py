"""A small language model that goes on with six digits by the same six in order."""

from __future__ import annotations

from torch import nn

from landscape_engine.metrics import TokenCrossEntropy

from ..architectures.gpt import GPT
from ..data import UNSORTED
from ..training import Supervised


def build() -> nn.Module:
    """The untrained network."""
    return GPT(vocabulary=10, context=11, width=20, layers=2, heads=2, bias=False, tied=False, activation="gelu")


RECIPE = Supervised(
    title="sorting_gpt: 2 layers, width 20",
    description="A transformer of two layers and 20 entries a token that reads six digits and says them in order.",
    build=build,
    data=UNSORTED,
    seed=0,
    epochs=80,
    learning_rate=0.05,
    checkpoints=46,
    loss_function=TokenCrossEntropy(),
)
