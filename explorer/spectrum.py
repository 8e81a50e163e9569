"""The curvature of one network, on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

import landscape_engine as le
from explorer import sources
from explorer.state import Marker, Request
from explorer.tracks import Track, network_at, said
from landscape_engine import metrics as engine
from landscape_engine.parameters import norm

ENDS, PROBES, STEPS = 5, 4, 60  # eigenvalues from each end; of the quadrature
RANDOM_STEPS, REACH = 50, 0.1  # how many, and how long, as a share of the length of all weights
TOLERANCE = 1e-4  # of eigenvalues, as a share of the largest: enough to tell those of a cluster apart


@final
@dataclass(frozen=True, eq=False)
class Spectrum:
    """The curvature of a network's loss.

    Args:
        request: Of the picture that it was computed for, whose loss it is.
        track: Of that picture.
        at: The marker there.
        largest: The largest eigenvalues of the Hessian, descending.
        smallest: The smallest, descending.
        trace: Their sum and its standard error.
        positive: Share of positive curvature, weighted by size, and its standard error.
        gradient_norm: Length of the gradient.
        changes: (n,), of the loss over random steps of ``REACH``.
        grid: (g,), eigenvalues.
        density: (g,), density of the eigenvalues there.
    """

    request: Request
    track: Track
    at: Marker
    largest: list[float]
    smallest: list[float]
    trace: tuple[float, float]
    positive: tuple[float, float]
    gradient_norm: float
    changes: np.ndarray
    grid: np.ndarray
    density: np.ndarray

    @property
    def where(self) -> str:
        """Where the network is, in words."""
        return said(self.at, self.track)

    def is_of(self, request: Request, track: Track) -> bool:
        """Whether it is one of the loss, and of the networks, of a picture."""
        same = ("model", "split", "samples", "statistics")
        here = self.at.picked is None or request.same_plane(self.request)
        return (
            here
            and track.lines == self.track.lines
            and all(getattr(request, name) == getattr(self.request, name) for name in same)
        )


def spectrum(
    request: Request,
    track: Track,
    subspace: le.Line | le.Plane,
    at: Marker,
    check: Callable[[], None] = lambda: None,
) -> Spectrum:
    """The curvature of the loss of the network at a marker, by Hessian-vector products.

    Args:
        request: Of the picture: of which model's loss, and on which data.
        track: What the slider follows.
        subspace: What is drawn.
        at: The marker.
        check: Called between steps of the work; what it raises ends it.
    """
    loss = sources.load(request.model).metrics(request.split, request.samples)[0]
    here = network_at(at, track, subspace).private_copy().settled()
    found: list[Any] = []
    positivity = engine.CurvaturePositivity(loss, weighted=True, probes=PROBES, steps=STEPS)
    ends = engine.PrincipalCurvatures(loss, ENDS, tolerance=TOLERANCE)
    around = engine.LossPerturbations(loss, RANDOM_STEPS, REACH * (norm(here.parameters) or 1.0))
    for metric in (engine.GradientNorm(loss), ends, engine.HessianTrace(loss), positivity, around):
        check()
        with torch.no_grad():
            found.append(metric.estimate(here))
    density = positivity.density(here)
    low, high = float(found[1].value.min()), float(found[1].value.max())
    width = (high - low) / 120 or 1.0
    grid = np.arange(low - 8 * width, high + 8 * width, width / 3)
    return Spectrum(
        request=request,
        track=track,
        at=at,
        largest=found[1].value[:ENDS].tolist(),
        smallest=found[1].value[ENDS:].tolist(),
        trace=tuple(found[2]),
        positive=tuple(found[3]),
        gradient_norm=found[0].value,
        changes=found[4].value,
        grid=grid,
        density=density.at(grid, width),
    )
