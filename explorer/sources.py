"""Where models, data and checkpoints come from."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
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
    """

    name: str
    sample: sample_models.Sample

    def subspace(self, request: Request) -> le.Line | le.Plane:
        """The line or plane of a request."""
        model, trajectory, extent = self.sample.model, self.sample.trajectory, request.extent
        at = [self.at(k) for k in request.checkpoints]
        if request.subspace == "trajectory":
            return le.Plane.trajectory(model, trajectory, extent=extent)
        if request.subspace == "through":
            return le.Plane.through(at[0], at[1], at[2], extent=extent)
        if request.subspace == "between":
            return le.Line.between(at[0], at[1], bounds=(0.5 - extent, 0.5 + extent))
        if request.subspace == "saved":
            return self._saved_plane(request)
        kind = le.Line if request.subspace == "random_line" else le.Plane
        return kind.random(model, request.normalization, seed=request.seed, extent=extent)

    def _saved_plane(self, request: Request) -> le.Plane:
        if request.saved is None:
            raise le.LandscapeError("No saved plane is open. Open a file that 'Save this plane' has written.")
        sides = request.saved.facts.get("bounds", [(-1.0, 1.0)] * 2)
        bounds = [(lo * request.extent, hi * request.extent) for lo, hi in sides]
        return le.Plane.from_directions(self.sample.model, request.saved, bounds=bounds)

    def at(self, checkpoint: int) -> le.ModelWrapper:
        """The network as it was at a checkpoint."""
        trajectory = self.sample.trajectory
        return le.wrap_model(self.sample.model).at(trajectory[min(checkpoint, len(trajectory) - 1)])

    @property
    def steps(self) -> list[int]:
        """Training step of each checkpoint."""
        return list(self.sample.trajectory.steps)

    @property
    def summary(self) -> str:
        """The model, its checkpoints and its data in one line."""
        examples = f"{len(self.sample.train[0]):,} training and {len(self.sample.test[0]):,} test examples"
        return f"{self.sample.parameter_count:,} parameters, {len(self.steps)} checkpoints, {examples}."

    @property
    def positions(self) -> np.ndarray:
        """The checkpoint coordinates of the profile."""
        return np.arange(PER_INTERVAL * (len(self.steps) - 1) + 1) / PER_INTERVAL


def open_plane(content: bytes) -> le.Directions:
    """The directions in a file that ``save_plane`` wrote.

    Raises:
        FileFormatError: If it is something else.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "the file"
        path.write_bytes(content)
        return le.Directions.load(path)


def save_plane(subspace: le.Line | le.Plane) -> io.BytesIO:
    """The directions and bounds of a plane as a file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "plane.safetensors"
        subspace.spanned_by.save(path)
        return io.BytesIO(path.read_bytes())


@cache
def load(name: str) -> Source:
    """The source of a name; loaded once."""
    return Source(name, sample_models.load(name))


@cache
def metrics(name: str, split: str, samples: int) -> list[Any]:
    """Loss and accuracy on the first examples of a split; 0 means all. Names are as on the page: ``train_loss``."""
    sample = load(name).sample
    inputs, targets = (part[: samples or None] for part in (sample.train if split == "train" else sample.test))
    return [
        Loss(sample.loss_function, inputs, targets, name=f"{split}_loss"),
        Accuracy(inputs, targets, name=f"{split}_accuracy"),
    ]


_profiles: dict[tuple[str, int], dict[str, np.ndarray]] = {}


def profile(name: str, samples: int, check: Callable[[], None] = lambda: None) -> dict[str, np.ndarray]:
    """Exact values along the checkpoint path, by metric name; computed once, whatever the plane.

    Args:
        name: Of the model.
        samples: How many examples of each split; 0 means all.
        check: Called before each point; what it raises ends the computation.
    """
    if (name, samples) not in _profiles:
        source = load(name)
        curve = le.Curve.along(source.sample.model, source.sample.trajectory)
        both = MetricPipeline([*metrics(name, "train", samples), *metrics(name, "test", samples)])

        def points() -> Iterator[tuple[float]]:
            for t in source.positions:
                check()
                yield (float(t),)

        _profiles[name, samples] = le.evaluate(curve, both, points())
    return _profiles[name, samples]
