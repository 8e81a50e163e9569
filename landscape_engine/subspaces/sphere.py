"""Random points at given distances from a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from torch import Tensor

from ..directions import random_directions
from ..errors import ChoiceError
from ..models import ModelWrapper, wrap_model
from ..parameters import Parameters, combine, norm
from .base import Bounds, Subspace


@final
@dataclass(frozen=True, eq=False)
class Sphere(Subspace):
    r"""Random points at given radii around a model: :math:`\theta_0 + r \, d_k`, with a random direction for each k.

    The values at one radius are a sample of what a random step of that length meets; their mean and spread over
    ``sample`` say more than one random line. Nothing is predicted between them.

    Args:
        model: The model in the middle.
        radii: In units of the directions: filter-normalized, 1 moves each filter by its own norm. Under ``"none"``
            the directions have length 1.
        samples: Points at each radius; the same directions at all radii.
        normalization: See ``normalize``.
        seed: Of the directions.
    """

    model: ModelWrapper
    radii: tuple[float, ...]
    samples: int = 20
    normalization: str = "filter"
    seed: int = 0

    smooth = False
    dims = ("radius", "sample")

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", wrap_model(self.model))
        object.__setattr__(self, "radii", tuple(float(r) for r in self.radii))
        object.__setattr__(self, "_origin", self.model.snapshot())
        if not self.radii or not all(np.isfinite(r) and r >= 0 for r in self.radii):
            raise ChoiceError("radii", self.radii, "one finite number of 0 or more, or several")
        if self.samples < 1:
            raise ChoiceError("samples", self.samples, "1 or more")

    @property
    def bounds(self) -> tuple[Bounds, ...]:  # type: ignore[override]
        """Smallest and largest radius, first and last sample."""
        return ((min(self.radii), max(self.radii)), (0.0, float(self.samples - 1)))

    @property
    def facts(self) -> dict[str, Any]:  # type: ignore[override]
        """What the provenance says."""
        return {"kind": "sphere", "seed": self.seed, "normalization": self.normalization, "radii": list(self.radii)}

    def axes(self, resolution: int = 0) -> list[np.ndarray]:
        """The radii and the numbers of the samples, whatever the resolution."""
        return [np.array(self.radii), np.arange(self.samples, dtype=float)]

    def state_at(self, coordinates: Sequence[float]) -> dict[str, Tensor]:
        """The parameters at a radius in the direction of a sample."""
        radius, sample = coordinates
        origin: Parameters = self._origin  # type: ignore[attr-defined]
        (direction,) = random_directions(self.model, 1, self.normalization, self.seed, first_axis=int(sample)).vectors
        length = norm(direction) if self.normalization == "none" else 1.0
        return combine(origin, [direction], [float(radius) / length])
