"""How a sample model is made: its network, its data, and plain training that records checkpoints."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape_engine import ModelWrapper, Trajectory, TrajectoryRecorder
from landscape_engine.metrics import Accuracy, Loss, Metric

from .data import DataSet, Environment


class Recipe(abc.ABC):
    """How a sample model is built, trained and measured.

    Attributes:
        title: Name and shape of the network.
        description: What it is, in a sentence.
        data: What it is trained and measured on.
    """

    title: str
    description: str
    data: DataSet | Environment

    @abc.abstractmethod
    def described(self) -> dict[str, Any]:
        """What the card says of the training."""

    @abc.abstractmethod
    def train(self) -> Trajectory:
        """Train from the seed and record checkpoints, from initialization to the end."""

    def train_second(self) -> Trajectory | None:
        """Train the run that the first is compared with; None if there is none."""
        return None

    @abc.abstractmethod
    def at(self, state: Mapping[str, Tensor]) -> nn.Module | ModelWrapper:
        """A new model with the weights of a checkpoint."""

    @abc.abstractmethod
    def metrics(self, split: str, count: int = 0) -> list[Metric]:
        """What the model is measured by on the first ``count`` of a split (0: as many as ``data.splits`` says)."""


def recorded_steps(total: int, checkpoints: int) -> set[int]:
    """Steps up to the last that grow geometrically, since training moves fastest at its start."""
    return set(np.round(np.geomspace(2, total, checkpoints - 1)).astype(int).tolist())


@final
@dataclass(frozen=True)
class Supervised(Recipe):
    """A network trained on examples: stochastic gradient descent with momentum and weight decay.

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
        second_seed: Of a second run, which differs in nothing else; None if there is none.
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
    second_seed: int | None = None

    def described(self) -> dict[str, Any]:
        """What the card says of the training."""
        return {
            "optimizer": f"SGD, learning rate {self.learning_rate}, momentum {self.momentum}, "
            f"weight decay {self.weight_decay}",
            "epochs": self.epochs,
            "batch": self.batch,
            "seed": self.seed,
            **({} if self.second_seed is None else {"second seed": self.second_seed}),
        }

    def train(self) -> Trajectory:
        """Train from the seed; checkpoints at steps that grow geometrically, from initialization to the end."""
        torch.manual_seed(self.seed)
        model, (inputs, targets) = self.build(), self.data.split("train")
        optimizer = torch.optim.SGD(
            model.parameters(), lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )
        wanted = recorded_steps(self.epochs * -(-len(inputs) // self.batch), self.checkpoints)
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

    def train_second(self) -> Trajectory | None:
        """Train again, from the second seed."""
        return None if self.second_seed is None else replace(self, seed=self.second_seed).train()

    def at(self, state: Mapping[str, Tensor]) -> nn.Module:
        """A new network with the weights of a checkpoint, in evaluation mode."""
        model = self.build()
        model.load_state_dict(state)
        return model.eval()

    def metrics(self, split: str, count: int = 0) -> list[Metric]:
        """Loss and accuracy on the first ``count`` examples of a split (0: all), named ``train_loss`` and so on."""
        inputs, targets = (part[: count or None] for part in self.data.split(split))
        return [
            Loss(self.loss_function, inputs, targets, name=f"{split}_loss"),
            Accuracy(inputs, targets, name=f"{split}_accuracy"),
        ]
