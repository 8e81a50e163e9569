"""The curvature of one network, on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

import landscape_engine as le
from explorer import sources
from explorer.state import Request
from landscape_engine import metrics as engine

ENDS, PROBES, STEPS = 5, 4, 60  # eigenvalues from each end; of the quadrature
TOLERANCE = 1e-4  # of eigenvalues, as a share of the largest: enough to tell those of a cluster apart


@final
@dataclass(frozen=True, eq=False)
class Spectrum:
    """The curvature of a network's loss.

    Args:
        where: The network is, in words.
        split: The data that the loss is averaged over.
        largest: The largest eigenvalues of the Hessian, descending.
        smallest: The smallest, descending.
        trace: Their sum and its standard error.
        positive: Share of positive curvature, weighted by size, and its standard error.
        gradient_norm: Length of the gradient.
        grid: (g,), eigenvalues.
        density: (g,), density of the eigenvalues there.
    """

    where: str
    split: str
    largest: list[float]
    smallest: list[float]
    trace: tuple[float, float]
    positive: tuple[float, float]
    gradient_norm: float
    grid: np.ndarray
    density: np.ndarray


def spectrum(
    request: Request, network: le.ModelWrapper, where: str, check: Callable[[], None] = lambda: None
) -> Spectrum:
    """The curvature of a network's loss, by Hessian-vector products.

    Args:
        request: Says of which model's loss, and on which data.
        network: Of the model.
        where: It is, in words.
        check: Called between steps of the work; what it raises ends it.
    """
    loss = sources.load(request.model).metrics(request.split, request.samples)[0]
    here = network.private_copy().settled()
    found: list[Any] = []
    positivity = engine.CurvaturePositivity(loss, weighted=True, probes=PROBES, steps=STEPS)
    ends = engine.PrincipalCurvatures(loss, ENDS, tolerance=TOLERANCE)
    for metric in (engine.GradientNorm(loss), ends, engine.HessianTrace(loss), positivity):
        check()
        with torch.no_grad():
            found.append(metric.estimate(here))
    density = positivity.density(here)
    low, high = float(found[1].value.min()), float(found[1].value.max())
    width = (high - low) / 120 or 1.0
    grid = np.arange(low - 8 * width, high + 8 * width, width / 3)
    return Spectrum(
        where=where,
        split=request.split,
        largest=found[1].value[:ENDS].tolist(),
        smallest=found[1].value[ENDS:].tolist(),
        trace=tuple(found[2]),
        positive=tuple(found[3]),
        gradient_norm=found[0].value,
        grid=grid,
        density=density.at(grid, width),
    )
