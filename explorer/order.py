"""The order of a run's checkpoints, from the names of their files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

FIRST, LAST = ("init", "initial", "start"), ("best", "last", "final")
"""Words that say where a checkpoint belongs among those with numbers alone, in this order."""


def in_order(names: Sequence[str]) -> tuple[list[str], list[int]]:
    """File names in the order of a run, and the step of each.

    Numbers count as numbers. Steps are the first number in the names that increases from each to the next; without
    one, 0, 1, 2 and so on. A name with a word instead (``final``) follows by one, or precedes (``init``).
    """
    ordered = sorted(names, key=lambda name: (_rank(name), _parts(name)))
    numbers = [_parts(name)[1::2] for name in ordered if _rank(name) == 0]
    early = sum(_rank(name) < 0 for name in ordered)
    late = len(ordered) - len(numbers) - early
    rising = (column for column in zip(*numbers, strict=False) if all(a < b for a, b in pairwise(column)))
    steps = list(next(rising, range(len(numbers))))
    first, last = (steps[0], steps[-1]) if steps else (0, -1)
    return ordered, [*range(first - early, first), *steps, *range(last + 1, last + 1 + late)]


def _rank(name: str) -> int:
    """0 without such a word, less with an early one, more with a late one."""
    words = re.findall(r"[a-z]+", name.lower())
    early = next((FIRST.index(word) - len(FIRST) for word in words if word in FIRST), 0)
    return early or next((LAST.index(word) + 1 for word in words if word in LAST), 0)


def _parts(name: str) -> list[str | int]:
    """Texts and the numbers between them, so that those of two names are compared in turn."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
