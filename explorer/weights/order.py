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
    everywhere = set.intersection(*map(_words, names)) if len(names) > 1 else set()  # these tell nothing
    ranks = {name: _rank(_words(name) - everywhere) for name in names}
    numbered = [name for name in names if ranks[name] == 0]
    ordered, steps = files.in_order(numbered, where, REMEDY) if numbered else ([], [])
    others = sorted((name for name in names if ranks[name]), key=lambda name: (ranks[name], files.natural(name)))
    early, late = [n for n in others if ranks[n] < 0], [n for n in others if ranks[n] > 0]
    first, last = (steps[0], steps[-1]) if steps else (0, -1)
    before, after = range(first - len(early), first), range(last + 1, last + 1 + len(late))
    return [*early, *ordered, *late], [*before, *steps, *after]


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", name.lower()))


def _rank(words: set[str]) -> int:
    """0 without such a word, less with an early one, more with a late one."""
    early = min((FIRST.index(word) - len(FIRST) for word in words if word in FIRST), default=0)
    return early or min((LAST.index(word) + 1 for word in words if word in LAST), default=0)
