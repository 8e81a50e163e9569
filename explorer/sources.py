"""Where models, data and checkpoints come from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np

import landscape_engine as le
import sample_models
from explorer.state import Request
from landscape_engine.metrics import Accuracy, Loss, MetricPipeline

PER_INTERVAL = 4  # exact values on the profile between two checkpoints


@final
@dataclass(frozen=True, eq=False)
class Source:
    """A model with its data and checkpoints, ready to be evaluated.

    Args:
        name: As chosen.
        sample: The sample model.
        on_map: Loss and accuracy on the training data.
        along_path: The same on training and test data.
    """

    name: str
    sample: sample_models.Sample
    on_map: MetricPipeline
    along_path: MetricPipeline

    def plane(self, request: Request) -> le.Plane:
        """The plane of a request."""
        model, trajectory = self.sample.model, self.sample.trajectory
        if request.subspace == "trajectory":
            return le.Plane.trajectory(model, trajectory, extent=request.extent)
        return le.Plane.random(model, request.normalization, seed=request.seed, extent=request.extent)

    @property
    def summary(self) -> str:
        """The model, its checkpoints and its data in one line."""
        count = sum(p.numel() for p in self.sample.model.parameters())
        examples = len(self.sample.train[0])
        return (
            f"{self.sample.title}. {count:,} parameters, {len(self.sample.trajectory)} checkpoints, "
            f"{examples:,} training examples."
        )

    @property
    def positions(self) -> np.ndarray:
        """The checkpoint coordinates of the profile."""
        checkpoints = len(self.sample.trajectory)
        return np.arange(PER_INTERVAL * (checkpoints - 1) + 1) / PER_INTERVAL


@cache
def load(name: str) -> Source:
    """The source of a name; loaded once."""
    sample = sample_models.load(name)
    (x, y), (test_x, test_y) = sample.train, sample.test
    train: list[Any] = [Loss(sample.loss_function, x, y), Accuracy(x, y)]
    test: list[Any] = [
        Loss(sample.loss_function, test_x, test_y, name="test_loss"),
        Accuracy(test_x, test_y, name="test_accuracy"),
    ]
    return Source(name, sample, MetricPipeline(train), MetricPipeline(train + test))


@cache
def profile(name: str) -> dict[str, np.ndarray]:
    """Exact values along the checkpoint path, by metric name; computed once, whatever the plane."""
    source = load(name)
    curve = le.Curve.along(source.sample.model, source.sample.trajectory)
    return le.evaluate(curve, source.along_path, [(t,) for t in source.positions])
