"""The order of a run's checkpoints, from the names of their files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from landscape_engine.trajectories import files

FIRST, LAST = ("init", "initial", "start"), ("best", "last", "final")
"""Words that say where a checkpoint belongs among those with numbers alone, in this order."""
REMEDY = "Bring those of one run, whose names differ in the number of the step alone."


def in_order(names: Sequence[str], where: str) -> tuple[list[str], list[int]]:
    """File names in the order of a run, and the step of each.

    Numbers count as numbers, as they do in the engine, and give the steps. A name with a word instead (``final``)
    follows by one, or precedes (``init``).

    Args:
        names: Of the files.
        where: Where they are, for a sentence.

    Raises:
        MismatchError: If the order of those with numbers is not known.
    """
    numbered = [name for name in names if _rank(name) == 0]
    ordered, steps = files.in_order(numbered, where, REMEDY) if numbered else ([], [])
    others = sorted((name for name in names if _rank(name)), key=lambda name: (_rank(name), files.natural(name)))
    early, late = [n for n in others if _rank(n) < 0], [n for n in others if _rank(n) > 0]
    first, last = (steps[0], steps[-1]) if steps else (0, -1)
    before, after = range(first - len(early), first), range(last + 1, last + 1 + len(late))
    return [*early, *ordered, *late], [*before, *steps, *after]


def _rank(name: str) -> int:
    """0 without such a word, less with an early one, more with a late one."""
    words = re.findall(r"[a-z]+", name.lower())
    early = next((FIRST.index(word) - len(FIRST) for word in words if word in FIRST), 0)
    return early or next((LAST.index(word) + 1 for word in words if word in LAST), 0)
