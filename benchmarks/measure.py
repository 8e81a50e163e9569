"""A row of the table, and how its ratio is taken: turn by turn, so that what the machine does besides falls on both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

TURNS = 5


@dataclass(frozen=True)
class Row:
    """One ratio.

    Attributes:
        what: What is measured.
        against: What it is compared with.
        ratio: Found.
        limit: Wanted.
        at_most: Whether the limit is one from above.
        note: How it came about, or why it falls short.
    """

    what: str
    against: str
    ratio: float
    limit: float
    at_most: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the ratio is within its limit."""
        return self.ratio <= self.limit if self.at_most else self.ratio >= self.limit


def seconds(function: Callable[[], object], device: str = "cpu") -> float:
    """The time of a call, what it has started on the device included."""
    start = time.perf_counter()
    function()
    if device != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - start


def ratio(
    theirs: Callable[[], object],
    ours: Callable[[], object],
    scale: float = 1.0,
    device: str = "cpu",
    turns: int = TURNS,
) -> float:
    """Their time, scaled, by ours: the median of turns, after one that does not count."""
    found = [scale * seconds(theirs, device) / seconds(ours, device) for _ in range(turns + 1)]
    return statistics.median(found[1:])
