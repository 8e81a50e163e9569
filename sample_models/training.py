"""Plain training that records checkpoints, which all recipes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from landscape_engine import Trajectory, TrajectoryRecorder

from .data import Split


class Recipe(NamedTuple):
    """How a network is trained: stochastic gradient descent with momentum and weight decay."""

    seed: int
    epochs: int
    batch: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 1e-4
    checkpoints: int = 48

    def described(self) -> dict[str, Any]:
        """What the card says of it."""
        return {
            "optimizer": f"SGD, learning rate {self.learning_rate}, momentum {self.momentum}, "
            f"weight decay {self.weight_decay}",
            "epochs": self.epochs,
            "batch": self.batch,
            "seed": self.seed,
        }


def train(build: Callable[[], nn.Module], data: Split, loss_function: Callable[..., Tensor], how: Recipe) -> Trajectory:
    """Train from the seed; checkpoints at steps that grow geometrically, from initialization to the end."""
    torch.manual_seed(how.seed)
    model, (inputs, targets) = build(), data
    optimizer = torch.optim.SGD(
        model.parameters(), lr=how.learning_rate, momentum=how.momentum, weight_decay=how.weight_decay
    )
    total = how.epochs * -(-len(inputs) // how.batch)
    wanted = set(np.round(np.geomspace(2, total, how.checkpoints - 1)).astype(int).tolist())
    recorder, step = TrajectoryRecorder(model), 0
    recorder.record(step)
    for _ in range(how.epochs):
        for batch in torch.randperm(len(inputs)).split(how.batch):
            optimizer.zero_grad()
            loss_function(model(inputs[batch]), targets[batch]).backward()
            optimizer.step()
            step += 1
            if step in wanted:
                recorder.record(step)
    return recorder.trajectory()
