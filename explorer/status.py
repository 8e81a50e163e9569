"""How far a run is, in words."""

from __future__ import annotations

from typing import NamedTuple

from explorer import cost
from explorer.jobs import Runner
from explorer.numbers import format_number
from explorer.state import State

WORDS = {"idle": "Ready", "running": "Refining", "done": "Done", "canceled": "Canceled", "failed": "Stopped"}


class Status(NamedTuple):
    """What the header says.

    Attributes:
        word: The phase.
        more: Numbers after it.
        share: Of the run that is done, 0 to 1.
    """

    word: str
    more: str = ""
    share: float = 0.0


def status(state: State, runner: Runner) -> Status:
    """How far the run is that answers the choices, or what it has found."""
    word, search, result = WORDS[state.phase], runner.search, state.result
    earlier = "the picture is the one before" if state.is_before else ""
    if state.phase == "running" and search is not None:
        count = f"step {search.count} of {search.limit}"
        return Status("Finding the curve", ", ".join(filter(None, [count, earlier])), search.count / search.limit)
    if state.phase == "running" and runner.refined and result is not None and not earlier:
        known, wanted = result.known
        return Status("Computing the path", f"{known} of {wanted} values", known / wanted)
    if state.phase == "running":
        return Status(word, _refining(runner, earlier), runner.share)
    if result is None or state.phase == "idle":
        return Status(word, earlier)
    if state.phase == "done":
        nodes, progress = result.landscape["evaluated"], runner.progress
        spent = f"in {progress.seconds:.1f} s" if progress.evaluated else "known from before"
        return Status(word, f"{int(nodes.sum()):,} of {nodes.size:,} nodes {spent}")
    return Status(word, earlier or "the picture is what was found until then")


def _refining(runner: Runner, earlier: str) -> str:
    progress = runner.progress
    if not progress.evaluated:
        return earlier
    rate = f"{format_number(progress.evaluated / max(progress.seconds, 1e-3), 2)} evaluations/s"
    return f"{min(100 * runner.share, 99):.0f} %, {cost.duration(runner.left)} left, {earlier or rate}"
