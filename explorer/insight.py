"""The network at the marker: what is known of it beside the pictures."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import final

import torch

import landscape_engine as le
from explorer import sources
from explorer.behavior import MOST, Behavior, behavior
from explorer.state import Marker, Request
from explorer.tracks import Alone, Connection, Track, network_at
from landscape_engine import metrics as engine
from landscape_engine.metrics import ExampleMetric, MetricPipeline
from landscape_engine.parameters import unflatten
from landscape_engine.subspaces import Subspace

log = logging.getLogger("explorer")

FEW = 64  # examples of which it is seen what a slow network does
MOST_NUMBERS = 50_000_000  # in all checkpoints, whose distances are computed at once


@final
@dataclass(frozen=True, eq=False)
class Insight:
    """What was found of the network at a marker.

    Args:
        request: Of the picture.
        at: The marker.
        values: Exact values and their standard errors by metric name, as ``le.evaluate`` names them, where they were
            wanted, since no profile told them.
        gradient_norm: Of the loss; NaN where there is none, or it would take too long.
        gradient_share: How much of the gradient's square lies along the picture; NaN likewise, and where it is 0.
        nearest: The nearest of the networks that are known, in words, and how far it is; None where there are none.
        behavior: What it does; None where that is not known.
        failure: Why a step of it failed, in a sentence, and nothing after it was found; empty if none did.
        whole: Whether nothing more is to come.
        thorough: Whether there was time for a gradient, and for more than a few examples.
    """

    request: Request
    at: Marker
    values: Mapping[str, float] = field(default_factory=dict)
    gradient_norm: float = math.nan
    gradient_share: float = math.nan
    nearest: tuple[str, float] | None = None
    behavior: Behavior | None = None
    failure: str = ""
    whole: bool = True
    thorough: bool = True


def insight(
    request: Request,
    track: Track,
    subspace: le.Line | le.Plane,
    at: Marker,
    evaluated: bool = True,
    thorough: bool = True,
    check: Callable[[], None] = lambda: None,
    tell: Callable[[Insight], None] = lambda found: None,
) -> Insight:
    """Look at the network at a marker: its values on the set that is drawn first, then on others, then the rest.

    Args:
        request: Of the picture.
        track: What the slider follows.
        subspace: What is drawn.
        at: The marker.
        evaluated: Whether its values are wanted.
        thorough: Whether there is time for a gradient, and for more than a few examples.
        check: Called between steps of the work; what it raises ends it.
        tell: Given what is known between them, which is not whole.
    """
    source, values, slope, share = sources.load(request.model), dict[str, float](), math.nan, math.nan
    here = network_at(at, track, subspace).private_copy().settled()
    nearest = _nearest(source, track, here)
    if evaluated:
        space: Subspace = track.lines[track.followed] if at.picked is None else subspace
        point = track.coordinates(track.followed, at.t) if at.picked is None else at.picked
        others = [
            m for split in source.splits if split != request.split for m in source.metrics(split, request.samples)
        ]
        for some in (source.metrics(request.split, request.samples, request.metric), others):
            found = le.evaluate(space, MetricPipeline(some), [point]) if some else {}
            values |= {name: float(value[0]) for name, value in found.items()}
            check()
            tell(Insight(request, at, dict(values), nearest=nearest, whole=False))
    loss = source.metrics(request.split, request.samples)[0]
    if thorough and "loss" in source.offered:
        steepness = engine.GradientNorm(loss)
        with torch.no_grad():
            slope = float(steepness.estimate(here).value)
        share = subspace.share(unflatten(steepness.gradient(here), here.parameters))
        check()
    seen = source.metrics(source.splits[-1], request.samples)[0]
    does = None
    if isinstance(seen, ExampleMetric) and seen.data is not None:
        try:
            does = behavior(here, seen.data, MOST if thorough else FEW)
        except Exception:  # whatever a model does with what it is shown here, its values stand
            log.warning("What the network does could not be seen", exc_info=True)
    check()
    return Insight(request, at, values, slope, share, nearest, does, thorough=thorough)


def _nearest(source: sources.Source, track: Track, here: le.ModelWrapper) -> tuple[str, float] | None:
    """The nearest checkpoint of the training, or end of the way between two networks."""
    if isinstance(track, Alone) or len(track.stops) * source.sample.parameter_count > MOST_NUMBERS:
        return None
    paired, last = isinstance(track, Connection), len(track.stops) - 1
    names = {0: track.ends[0], last: track.ends[1]} if paired else {k: track.where(k) for k in range(last + 1)}
    off = {k: _distance(track.state_at(track.followed, float(k)), here.parameters) for k in names}
    k = min(off, key=lambda k: off[k])
    return names[k], off[k]


def _distance(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    squares = (
        float((one[n].to(t.device).float() - t.float()).square().sum(dtype=torch.float64)) for n, t in other.items()
    )
    return math.sqrt(sum(squares))
