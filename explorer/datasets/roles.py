"""Which of several arrays or columns are the inputs and which the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from landscape_engine import ChoiceError, MismatchError

from .data import DataChoices

PICTURES = ("images", "image", "img", "pixel_values")
TOKENS = ("input_ids", "tokens", "ids")
INPUTS = ("x", "inputs", "input", *PICTURES, "data", "features", *TOKENS)
TARGETS = ("label", "labels", "target", "targets", "y", "class", "classes")
CLASS_NAMES = ("classes", "class_names", "target_names", "label_names", "names")
COUNTERS = ("", "id", "index", "unnamed: 0")
"""Columns that may only count the rows."""


class Roles(NamedTuple):
    """What is used as what.

    Attributes:
        inputs: Names of the inputs: one array, or columns.
        targets: The same; none if they are the tokens that come next.
        left_out: Columns that are neither.
    """

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    left_out: tuple[str, ...] = ()


Entries = Mapping[str, Mapping[str, np.ndarray]]


def roles(entries: Entries, names: Mapping[str, str], choices: DataChoices, where: Path) -> Roles:
    """The inputs and targets: as chosen, or by usual names; of a table, all other columns are inputs.

    Args:
        entries: The arrays.
        names: Each with its form, for the sentence.
        choices: May name them.
        where: For the sentence.

    Raises:
        ChoiceError: If a chosen one is not there.
        MismatchError: If they are not found.
    """
    usable = [n for n, parts in entries.items() if all(a.ndim for a in parts.values())]
    table = all(a.ndim == 1 for n in usable for a in entries[n].values())
    inputs = _chosen("inputs", choices.inputs, entries)
    targets = _chosen("targets", choices.targets, entries)
    targets = targets or _usual_targets([n for n in usable if n not in inputs], table)
    rest = [n for n in usable if n not in targets]
    if table and not inputs:
        counting = tuple(n for n in rest if _counts_rows(n, entries[n]))
        return _complete(Roles(tuple(n for n in rest if n not in counting), targets, counting), names, where)
    inputs = inputs or _usual(rest, INPUTS) or (tuple(rest) if len(rest) == 1 else ())
    tokens = not targets and len(inputs) == 1 and inputs[0].lower() in TOKENS
    return Roles(inputs, ()) if tokens else _complete(Roles(inputs, targets), names, where)


def _complete(found: Roles, names: Mapping[str, str], where: Path) -> Roles:
    if found.inputs and found.targets:
        return found
    missing = " and ".join(what for what in ("inputs", "targets") if not getattr(found, what))
    some = "; ".join(f"'{name}' of {form}" for name, form in list(names.items())[:8]) or "nothing"
    raise MismatchError(
        f"The {missing} were not found in {where}, which holds {some}. Choose them by name: inputs=, targets=.",
        expected=missing,
        found=list(names),
    )


def _chosen(what: str, chosen: str | Sequence[str], entries: Entries) -> tuple[str, ...]:
    names = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    names = tuple(name for name in names if name)
    for name in names:
        if name not in entries:
            raise ChoiceError(what, name, f"among {', '.join(map(repr, list(entries)[:20]))}")
    return names


def _usual(names: Sequence[str], usual: Sequence[str]) -> tuple[str, ...]:
    by_lower = {name.strip().lower(): name for name in names}
    return next(((by_lower[name],) for name in usual if name in by_lower), ())


def _usual_targets(names: Sequence[str], table: bool) -> tuple[str, ...]:
    """By usual names, where y may be a coordinate in a table; else its last column."""
    found = _usual(names, sorted(TARGETS, key=lambda name: table and name == "y"))
    return found or (tuple(names[-1:]) if table and len(names) > 1 else ())


def _counts_rows(name: str, parts: Mapping[str, np.ndarray]) -> bool:
    columns = [a for a in parts.values() if len(a)]
    if name.strip().lower() not in COUNTERS or not all(a.dtype.kind in "iu" for a in columns):
        return False
    return all(bool((np.diff(a) == 1).all()) for a in columns)
