"""Curves through checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

from torch import Tensor, nn

from ..models import ModelWrapper, wrap_model
from ..trajectories import Trajectory
from .base import Bounds, Subspace


@final
@dataclass(frozen=True, eq=False)
class Curve(Subspace):
    r"""The polygonal path through the checkpoints of a run, :math:`t \in [0, K - 1]`.

    Parameters and floating-point buffers are linear between neighbouring checkpoints, so that at a checkpoint the
    model is exactly the one that was recorded, batch-norm statistics included.
    """

    model: ModelWrapper
    path: Trajectory
    facts: dict[str, Any] = field(default_factory=lambda: {"kind": "trajectory"})

    dims = ("t",)

    @classmethod
    def along(cls, model: nn.Module | ModelWrapper, trajectory: Trajectory) -> Curve:
        """The path of a trajectory, evaluated with the code of ``model``."""
        wrapper = wrap_model(model)
        trajectory.check_fits(wrapper)
        return cls(wrapper, trajectory)

    @property
    def bounds(self) -> tuple[Bounds, ...]:  # type: ignore[override]
        """The first and the final checkpoint."""
        return ((0.0, float(len(self.path) - 1)),)

    def state_at(self, coordinates: Sequence[float]) -> dict[str, Tensor]:
        """Parameters and buffers at t."""
        return self.path.at(float(coordinates[0]))
