"""How a sample model is made: its network, its data, and plain training that records checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape_engine import Trajectory, TrajectoryRecorder

from .data import DataSet


@final
@dataclass(frozen=True)
class Recipe:
    """How a network is trained: stochastic gradient descent with momentum and weight decay.

    Args:
        title: Name and shape of the network.
        description: What it is, in a sentence.
        build: Makes the untrained network.
        data: What it is trained on.
        seed: Of initialization and order of the batches.
        epochs: Passes over the training set.
        learning_rate: Of the gradient steps.
        batch: Examples in a step.
        momentum: Of the gradient steps.
        weight_decay: Of all parameters.
        checkpoints: How many are recorded at most.
        loss_function: What is minimized.
    """

    title: str
    description: str
    build: Callable[[], nn.Module]
    data: DataSet
    seed: int
    epochs: int
    learning_rate: float
    batch: int = 64
    momentum: float = 0.9
    weight_decay: float = 1e-4
    checkpoints: int = 48
    loss_function: Callable[..., Tensor] = F.cross_entropy

    def described(self) -> dict[str, Any]:
        """What the card says of the training."""
        return {
            "optimizer": f"SGD, learning rate {self.learning_rate}, momentum {self.momentum}, "
            f"weight decay {self.weight_decay}",
            "epochs": self.epochs,
            "batch": self.batch,
            "seed": self.seed,
        }

    def train(self) -> Trajectory:
        """Train from the seed; checkpoints at steps that grow geometrically, from initialization to the end."""
        torch.manual_seed(self.seed)
        model, (inputs, targets) = self.build(), self.data.load()[0]
        optimizer = torch.optim.SGD(
            model.parameters(), lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )
        total = self.epochs * -(-len(inputs) // self.batch)
        wanted = set(np.round(np.geomspace(2, total, self.checkpoints - 1)).astype(int).tolist())
        recorder, step = TrajectoryRecorder(model), 0
        recorder.record(step)
        for _ in range(self.epochs):
            for batch in torch.randperm(len(inputs)).split(self.batch):
                optimizer.zero_grad()
                self.loss_function(model(inputs[batch]), targets[batch]).backward()
                optimizer.step()
                step += 1
                if step in wanted:
                    recorder.record(step)
        return recorder.trajectory()
