"""Searches that take many steps: they can be watched, stopped and resumed, and they end with an outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, final

from .errors import SearchError


@final
class Outcome(StrEnum):
    """How a search ended. What it had reached by then is returned whatever the outcome."""

    CONVERGED = "converged"
    """What was asked for was reached."""
    LIMIT = "limit"
    """All steps that were allowed were taken; more may help."""
    STOPPED = "stopped"
    """The watcher stopped it; pass the result as ``start`` to go on."""
    FAILED = "failed"
    """It cannot go on: values are not finite, or no step makes progress."""


@final
@dataclass(frozen=True)
class Step:
    """How far a search has come.

    Attributes:
        count: Steps taken, those before it was resumed included.
        limit: Steps allowed.
        value: What the search makes small, at this step.
    """

    count: int
    limit: int
    value: float


Watch = Callable[[Step], object]
"""Called after each step of a search; one that returns False stops it."""


def goes_on(watch: Watch | None, step: Step) -> bool:
    """Tell the watcher of a step; whether it lets the search go on."""
    return watch is None or watch(step) is not False


def settle(result: Any, what: str, throw: bool) -> Any:
    """The result of a search, or an error if it has not converged and the caller wants one.

    Args:
        result: With an ``outcome``.
        what: What was searched, for the message.
        throw: Whether anything but convergence is an error.

    Raises:
        SearchError: With the result as a field.
    """
    if throw and result.outcome is not Outcome.CONVERGED:
        raise SearchError(
            f"{what} has not converged (outcome: {result.outcome}). Allow more steps, loosen the tolerance, or pass "
            "throw=False and look at what was found.",
            outcome=result.outcome,
            result=result,
        )
    return result
