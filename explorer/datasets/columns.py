"""The arrays of one role put together: columns side by side, text as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from landscape_engine import MismatchError

from .contents import Contents, form
from .roles import CLASS_NAMES
from .tensors import are_labels

MOST_WORDS = 100
"""Different texts in a column of inputs, above which it is taken for names or remarks."""

Parts = dict[str, np.ndarray]


class Column(NamedTuple):
    """What inputs or targets are made of.

    Attributes:
        name: Of its arrays.
        parts: One array for each part of the rows.
        classes: Names of the classes, if its numbers stand for some.
        facts: Sentences on what was done.
    """

    name: str
    parts: Parts
    classes: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()


def inputs_of(contents: Contents, names: Sequence[str]) -> Column:
    """The inputs, texts in them numbered.

    Raises:
        MismatchError: If a column holds more different texts than classes may be, or columns do not fit each other.
    """
    numbered = [_numbered(contents, name) for name in names]
    for name, (_, words) in zip(names, numbered, strict=True):
        if len(words) > MOST_WORDS:
            raise MismatchError(
                f"Column '{name}' of {contents.where} is text with {len(words)} different values. "
                "Choose inputs= without it.",
                expected=MOST_WORDS,
                found=len(words),
            )
    facts = [
        f"Text in '{n}' was numbered: {_order(words)}." for n, (_, words) in zip(names, numbered, strict=True) if words
    ]
    return Column(_name(names), _beside(names, [parts for parts, _ in numbered]), (), tuple(facts))


def targets_of(contents: Contents, names: Sequence[str]) -> Column:
    """The targets: texts, and floating-point numbers that can only be classes, as whole numbers.

    Raises:
        MismatchError: If columns do not fit each other.
    """
    numbered = [_numbered(contents, name) for name in names]
    parts, name = _beside(names, [parts for parts, _ in numbered]), _name(names)
    if len(names) > 1:
        return Column(name, parts)
    words = numbered[0][1] or _named_classes(contents, names[0], parts)
    if words:
        return Column(name, parts, words, (f"Classes in the order of their numbers: {_order(words)}.",))
    if are_labels(np.concatenate(list(parts.values()))):
        whole = {part: array.astype(np.int64) for part, array in parts.items()}
        return Column(name, whole, (), (f"'{name}' holds whole numbers from 0 on, taken as classes.",))
    return Column(name, parts)


def next_tokens(tokens: Column) -> tuple[Column, Column]:
    """Tokens but the last, and those that come next."""
    fact = ("Targets are the tokens that come next.",)
    inputs = {part: array[:, :-1] for part, array in tokens.parts.items()}
    targets = {part: array[:, 1:] for part, array in tokens.parts.items()}
    return tokens._replace(parts=inputs), Column(tokens.name, targets, (), fact)


def _numbered(contents: Contents, name: str) -> tuple[Parts, tuple[str, ...]]:
    """An entry with its texts, if it is of text, replaced by their places among all of them in order."""
    parts = dict(contents.entries[name])
    if any(a.dtype.kind != "U" for a in parts.values()):
        return parts, ()
    words = np.unique(np.concatenate([a.ravel() for a in parts.values()]))
    return {part: np.searchsorted(words, a) for part, a in parts.items()}, tuple(map(str, words))


def _named_classes(contents: Contents, name: str, parts: Parts) -> tuple[str, ...]:
    """Names that the file gives to classes that are numbers: as a property of the entry, or as an array of text."""
    if name in contents.classes:
        return contents.classes[name]
    arrays = [next(iter(p.values())) for n, p in contents.entries.items() if n in CLASS_NAMES and n != name]
    words = next((a for a in arrays if a.ndim == 1 and a.dtype.kind == "U"), None)
    known = words is not None and all(
        a.dtype.kind in "iu" and (a.size == 0 or a.max() < len(words)) for a in parts.values()
    )
    return tuple(map(str, words)) if words is not None and known else ()


def _beside(names: Sequence[str], columns: Sequence[Parts]) -> Parts:
    """One array alone as it is; several as the columns of one."""
    if len(columns) == 1:
        return columns[0]
    found = {}
    for part in (p for p in columns[0] if all(p in c for c in columns)):
        arrays = [c[part] for c in columns]
        odd = next((k for k, a in enumerate(arrays) if a.ndim > 2 or len(a) != len(arrays[0])), None)
        if odd is not None:
            raise MismatchError(
                f"'{names[0]}' of {form(arrays[0])} and '{names[odd]}' of {form(arrays[odd])} cannot be columns "
                "of one table. Choose one of them, or columns of one length.",
                expected=arrays[0].shape,
                found=arrays[odd].shape,
            )
        found[part] = np.column_stack(arrays)
    return found


def _name(names: Sequence[str]) -> str:
    return _few([str(name) for name in names], 8)


def _few(words: Sequence[str], most: int) -> str:
    """The first of several words, and how many more there are."""
    return ", ".join(words[:most]) + (f" and {len(words) - most:,} more" if len(words) > most else "")


def _order(words: Sequence[str]) -> str:
    return _few([f"{word} {k}" for k, word in enumerate(words)], 20)
