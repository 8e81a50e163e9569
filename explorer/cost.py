"""What a run will cost, before it is paid."""

from __future__ import annotations

import landscape_engine as le
from explorer.measures import MEASURES
from explorer.sources import family_of, load
from explorer.state import Request

BELOW, USUAL = 60, 500  # evaluations of a usual line, and plane, of which nodes are predicted
TELLING = 5  # evaluations that tell how long others will take
LONG = 300.0  # seconds after which one would rather have asked for less

Kind = tuple[str, str, int, str, bool, str]


def kind(request: Request) -> Kind:
    """What an evaluation costs the same for."""
    return (
        request.model,
        request.split,
        request.samples,
        family_of(request.metric),
        request.is_line,
        request.statistics,
    )


def evaluations(request: Request) -> int:
    """About how many evaluations a request asks for."""
    dimensions, most = (1, BELOW) if request.is_line else (2, USUAL)
    every = int(request.resolution**dimensions)
    return every if is_whole(request.metric, request.tolerance) else min(every, most)


def is_whole(metric: str, tolerance: float) -> bool:
    """Whether every node is computed, and none predicted."""
    return MEASURES[metric].rough or tolerance == 0


def left(progress: le.Progress, planned: int) -> float:
    """Seconds that a run still takes, if so many evaluations are made in all."""
    return progress.left + max(0, planned - progress.planned) * progress.pace


def learn(request: Request, progress: le.Progress, planned: int) -> bool:
    """Remember how long evaluations take on average in a run of so many; whether there were enough of them to tell."""
    if progress.evaluated < TELLING:
        return False
    load(request.model).pace[kind(request)] = (progress.seconds + left(progress, planned)) / planned
    return True


def pace(request: Request) -> float:
    """Seconds of an evaluation, whoever has asked for such before; 0 if that is not known."""
    return load(request.model).pace.get(kind(request), 0.0)


def sentence(count: int, pace: float) -> str:
    """The cost in words.

    Args:
        count: Evaluations.
        pace: Seconds of each; 0 if it is not known.
    """
    known = f"some {count:,} evaluations"
    if not pace:
        return f"{known[:1].upper()}{known[1:]}"
    seconds = count * pace
    advice = ". Fewer examples or a lower resolution are faster" if seconds > LONG else ""
    return f"About {duration(seconds)}, {known}{advice}"


def duration(seconds: float) -> str:
    """Some seconds in words: in seconds up to a minute and a half, then in minutes, then in hours."""
    if seconds < 90:
        return f"{max(1, round(seconds)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"
