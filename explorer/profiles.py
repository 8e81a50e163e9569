"""Exact values along a track: what pictures are compared with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import final

import numpy as np

import landscape_engine as le
from explorer import sources
from explorer.measures import MEASURES
from explorer.state import Request
from explorer.tracks import PER_INTERVAL, Track

SLICE = 0.4  # seconds between two profiles

Profile = dict[str, np.ndarray]
"""Values by metric name, of shape (m,); between the places where ``evaluated`` is true they lie on straight lines in
the scale of the picture; NaN if it is true nowhere."""


def profiles(request: Request, track: Track, check: Callable[[], None] = lambda: None) -> Iterator[dict[str, Profile]]:
    """Profiles along each line of a track, by its name: of what is known at first, then of ever more places.

    Values are computed once, whatever the plane: both ends first, then what lies between them from coarse to fine. The
    model's own metrics come with what is drawn; a measure that is exact at stops only is evaluated there.

    Args:
        request: Model, number of examples and what is drawn.
        track: What the slider follows.
        check: Called before each evaluation; what it raises ends the computation, and what is known stays so.

    Yields:
        About every ``SLICE`` seconds; the last profiles are whole.
    """
    own = {m.name for m in sources.load(request.model).metrics(request.split, request.samples)}
    measures = ["", *([] if f"{request.split}_{request.metric}" in own else [request.metric])]
    lines = {line: [_Values(request, track, line, measure) for measure in measures] for line in track.lines}
    parts = [part for along in lines.values() for part in along]
    while True:
        missing = [part for part in parts if not part.is_whole]  # another page may add to them while this one waits
        found = {line: [part.profile for part in along] for line, along in lines.items()}
        yield {line: {name: v for one in along for name, v in one.items()} for line, along in found.items()}
        if not missing:
            return
        for part in missing:
            part.compute(SLICE / len(missing), check)


def known_of(lines: Mapping[str, Profile], each: int) -> tuple[int, int]:
    """At how many places of all lines values are exact, and at how many they will be.

    Args:
        lines: Profiles by the name of their line.
        each: Of places, one in so many will be exact (see ``measures.Measure``).
    """
    along = [profile["evaluated"] for profile in lines.values()]
    return sum(int(one.sum()) for one in along), sum(len(one[::each]) for one in along)


@final
class _Values:
    """What is known along a line of one kind of metrics: the model's own ones, or those that a measure needs."""

    def __init__(self, request: Request, track: Track, line: str, measure: str) -> None:
        source, samples = sources.load(request.model), request.samples
        own = [m for split in source.splits for m in source.metrics(split, samples)]
        derived = [m for split in source.splits for m in source.metrics(split, samples, measure) if m not in own]
        self._log = request.scale == "log"
        self._track, self._line, self._metrics = track, line, derived if measure else own
        self._names = [f"{metric.name}{more}" for metric in self._metrics for more in ("", "_stderr")]
        key = "profile", track.lines[line], samples, sources.family_of(measure)
        self._known: dict[int, list[float]] = source.once(key, dict)
        self._places = _coarse_to_fine(len(track.stops), MEASURES[measure].each if measure else 1)
        self._evaluator: le.Evaluator | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return len(self._known) >= len(self._places)

    @property
    def profile(self) -> Profile:
        """The values of these metrics, and between the places that are known straight lines."""
        known, m = sorted(list(self._known.items())), len(self._track.positions)
        at = [k for k, _ in known]
        columns = zip(*(row for _, row in known), strict=True) if known else [[]] * len(self._names)
        values = {
            name: _between(m, at, np.array(column), self._log) if at else np.full(m, np.nan)
            for name, column in zip(self._names, columns, strict=True)
        }
        return values | {"evaluated": np.isin(np.arange(m), at)}

    def compute(self, seconds: float, check: Callable[[], None]) -> None:
        """Evaluate what is not known yet for some time, one place at least."""
        end = time.monotonic() + seconds
        for k in self._places:
            if k in self._known:
                continue
            check()
            if self._evaluator is None:
                self._evaluator = le.Evaluator(self._track.lines[self._line], self._metrics)
            found = self._evaluator(self._track.coordinates(self._line, float(self._track.positions[k])))
            self._known[k] = [float(x) for m in self._metrics for x in (found[m.name].value, found[m.name].stderr)]
            if time.monotonic() > end:
                return


def _between(m: int, at: list[int], values: np.ndarray, log: bool) -> np.ndarray:
    """Values at m places, from those at some of them; of their logarithms, if they have such and it is wanted."""
    places = np.arange(m)
    if not log or (values <= 0).any():
        return np.interp(places, at, values)
    found = np.exp(np.interp(places, at, np.log(values)))
    found[at] = values
    return found


def halved(last: int) -> list[int]:
    """All numbers from 0 to the last one: that, 0, the one in the middle, those at the quarters, and so on."""
    order, gaps = [last, 0], [(0, last)]
    for low, high in gaps:  # which grow meanwhile
        middle = (low + high) // 2
        if middle > low:
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return list(dict.fromkeys(order))


def _coarse_to_fine(stops: int, each: int) -> list[int]:
    """Places on a track: its stops, halved again and again, then all others.

    Args:
        stops: How many there are.
        each: Of places, one in so many is wanted.
    """
    last, places = PER_INTERVAL * (stops - 1), [PER_INTERVAL * stop for stop in halved(stops - 1)]
    finer = [k for stride in (PER_INTERVAL // 2, 1) for k in range(0, last + 1, max(stride, each))]
    return list(dict.fromkeys([*places, *finer]))
