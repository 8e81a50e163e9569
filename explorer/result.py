"""What a run has found so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import xarray as xr

import landscape_engine as le
from explorer import sources
from explorer.measures import Measure
from explorer.profiles import Profile, known_of
from explorer.state import Request
from explorer.tracks import Track


@final
@dataclass(frozen=True, eq=False)
class Result:
    """What a run has found so far.

    Args:
        request: The choices it answers.
        track: What the slider follows.
        subspace: Where it was evaluated.
        landscape: Whole at any time.
        projections: Of the m places on each line of the track onto the subspace, by the line's name.
        profiles: Exact values there, by the line's name, as far as they are known.
        progress: Of the refinement.
    """

    request: Request
    track: Track
    subspace: le.Line | le.Plane
    landscape: xr.Dataset
    projections: dict[str, list[le.Projection]]
    profiles: dict[str, Profile]
    progress: le.Progress

    @property
    def source(self) -> sources.Source:
        """The model, data and checkpoints that it is about."""
        return sources.load(self.request.model)

    @property
    def measure(self) -> Measure:
        """What is drawn."""
        return self.source.measure(self.request.metric)

    @property
    def profile(self) -> Profile:
        """Exact values along the line that the slider follows, as far as they are known."""
        return self.profiles[self.track.followed]

    @property
    def known(self) -> tuple[int, int]:
        """At how many places of all lines values are exact, and at how many they will be."""
        return known_of(self.profiles, self.measure.each)

    def awaits(self, t: float, line: str) -> bool:
        """Whether exact values at a place on a line, or on either side of it, are still to come."""
        k, each = self.track.nearest(t), self.measure.each
        return not self.profiles[line]["evaluated"][[k - k % each, k + -k % each]].all()

    @cached_property
    def paths(self) -> dict[str, np.ndarray]:
        """Coordinates of each line of the track on the subspace, of shape (m, dimensions)."""
        return {line: np.array([p.coordinates for p in found]) for line, found in self.projections.items()}

    @cached_property
    def residuals(self) -> dict[str, np.ndarray]:
        """Distances of each line of the track from the subspace, of shape (m,)."""
        return {line: np.array([p.residual for p in found]) for line, found in self.projections.items()}

    @property
    def path(self) -> np.ndarray:
        """Coordinates of the line that the slider follows, of shape (m, dimensions)."""
        return self.paths[self.track.followed]

    @property
    def residual(self) -> np.ndarray:
        """Distances of that line from the subspace, of shape (m,)."""
        return self.residuals[self.track.followed]

    @cached_property
    def relative(self) -> np.ndarray:
        """The residual as a share of the distance to the subspace's origin, of shape (m,); NaN there."""
        return np.array([p.relative for p in self.projections[self.track.followed]])

    @cached_property
    def held(self) -> float:
        """Share of that line's squared movement that lies in the subspace; NaN if it moves nowhere.

        From the subspace's origin; beside that, in another layer of a cube, it is NaN.
        """
        if self.request.layer:
            return float("nan")
        moved = float(np.sum([p.distance**2 for p in self.projections[self.track.followed]]))
        return 1 - float((self.residual**2).sum()) / moved if moved else float("nan")
