"""The network at the marker: what is known of it beside the pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import final

import torch

import landscape_engine as le
from explorer import sources
from explorer.behavior import Behavior, behavior
from explorer.state import Marker, Request
from explorer.tracks import Track
from landscape_engine import metrics as engine
from landscape_engine.metrics import ExampleMetric, MetricPipeline

MOST_NUMBERS = 50_000_000  # in all checkpoints, whose distances are computed at once


def network_at(at: Marker, track: Track, subspace: le.Line | le.Plane) -> le.ModelWrapper:
    """The network at a marker.

    Args:
        at: The marker.
        track: What the slider follows.
        subspace: What is drawn.
    """
    return track.model_at(at.t) if at.picked is None else subspace.model.at(subspace.state_at(at.picked))


def said(at: Marker, track: Track) -> str:
    """Where a marker is: "step 29", "at α −1.2, β 0.5"."""
    if at.picked is None:
        return track.said(at.t)
    return "at " + ", ".join(f"{name} {_short(x)}" for name, x in zip("αβ", at.picked, strict=False))


def _short(x: float) -> str:
    return f"{x:.3g}".replace("-", "−")


@final
@dataclass(frozen=True, eq=False)
class Insight:
    """What was found of the network at a marker.

    Args:
        request: Of the picture.
        at: The marker.
        values: Exact values and their standard errors by metric name, as ``le.evaluate`` names them; of a point that
            was picked.
        gradient_norm: Of the loss; NaN where there is none, or it would take too long.
        nearest: Number of the nearest checkpoint, and how far that is; None where there are none.
        behavior: What it does; None where that is not known.
    """

    request: Request
    at: Marker
    values: Mapping[str, float] = field(default_factory=dict)
    gradient_norm: float = math.nan
    nearest: tuple[int, float] | None = None
    behavior: Behavior | None = None


def insight(
    request: Request,
    track: Track,
    subspace: le.Line | le.Plane,
    at: Marker,
    thorough: bool = True,
    check: Callable[[], None] = lambda: None,
) -> Insight:
    """Look at the network at a marker.

    Args:
        request: Of the picture.
        track: What the slider follows.
        subspace: What is drawn.
        at: The marker.
        thorough: Whether there is time for a gradient.
        check: Called between steps of the work; what it raises ends it.
    """
    source, values = sources.load(request.model), {}
    if at.picked is not None:
        own = [m for split in source.splits for m in source.metrics(split, request.samples)]
        drawn = [m for m in source.metrics(request.split, request.samples, request.metric) if m not in own]
        found = le.evaluate(subspace, MetricPipeline([*own, *drawn]), [at.picked])
        values = {name: float(value[0]) for name, value in found.items()}
        check()
    here, slope = network_at(at, track, subspace).private_copy(), math.nan
    loss = source.metrics(request.split, request.samples)[0]
    if thorough and "loss" in source.offered:
        with torch.no_grad():
            slope = float(engine.GradientNorm(loss).estimate(here).value)
        check()
    seen = source.metrics(source.splits[-1], request.samples)[0]
    does = behavior(here, seen.data) if isinstance(seen, ExampleMetric) and seen.data is not None else None
    check()
    return Insight(request, at, values, slope, _nearest(source, here), does)


def _nearest(source: sources.Source, here: le.ModelWrapper) -> tuple[int, float] | None:
    trajectory = source.sample.trajectory
    if trajectory is None or len(trajectory) * source.sample.parameter_count > MOST_NUMBERS:
        return None
    squares = torch.zeros(len(trajectory), dtype=torch.float64)
    for name, tensor in here.parameters.items():
        off = trajectory.states[name].to(tensor.device) - tensor
        squares += off.reshape(len(trajectory), -1).square().sum(dim=1, dtype=torch.float64).cpu()
    k = int(squares.argmin())
    return k, float(squares[k].sqrt())
