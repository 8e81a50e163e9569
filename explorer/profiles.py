"""Exact values along a track: what pictures are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

import landscape_engine as le
from explorer import sources
from explorer.measures import MEASURES
from explorer.state import Request
from explorer.tracks import Track
from landscape_engine.metrics import MetricPipeline

Profile = dict[str, np.ndarray]
"""Values by metric name, of shape (m,)."""


def profiles(request: Request, track: Track, check: Callable[[], None] = lambda: None) -> dict[str, Profile]:
    """Exact values along each line of a track, by its name; computed once, whatever the plane.

    Args:
        request: Model, number of examples and what is drawn; the model's own metrics come with it. A measure that is
            exact at stops only is interpolated linearly between them.
        track: What the slider follows.
        check: Called before each point; what it raises ends the computation.
    """
    own = {m.name for m in sources.load(request.model).metrics(request.split, request.samples)}
    found = {line: _evaluated(request, track, line, "", check) for line in track.lines}
    if f"{request.split}_{request.metric}" in own:
        return found
    return {line: known | _evaluated(request, track, line, request.metric, check) for line, known in found.items()}


def _evaluated(request: Request, track: Track, line: str, measure: str, check: Callable[[], None]) -> Profile:
    source, samples, curve = sources.load(request.model), request.samples, track.lines[line]

    def evaluate() -> Profile:
        own = [m for s in source.splits for m in source.metrics(s, samples)]
        derived = [m for s in source.splits for m in source.metrics(s, samples, measure) if m not in own]
        exact = track.positions[:: MEASURES[measure].each if measure else 1]

        def points() -> Iterator[tuple[float, ...]]:
            for place in exact:
                check()
                yield track.coordinates(line, float(place))

        found = le.evaluate(curve, MetricPipeline(derived if measure else own), points())
        return {n: np.interp(track.positions, exact, v) for n, v in found.items()}

    return source.once(("profile", curve, samples, sources.family_of(measure)), evaluate)
