"""What a file, folder or archive holds, before anything is chosen of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np

from landscape_engine import MismatchError

from .formats import Arrays, class_names, read_file, refusal
from .hub import is_saved_dataset, read_saved_dataset
from .names import PARTS, WHOLE, part_of
from .pictures import is_picture, read_pictures
from .tree import File, tree


@final
@dataclass(frozen=True, eq=False)
class Contents:
    """Arrays by name, each in one or more parts.

    Args:
        where: The file or folder.
        entries: Of each name its arrays by part: ``"train"``, ``"test"``, ``"validation"`` or ``WHOLE``.
        classes: Names of the classes that the numbers of an entry stand for, where the files say so.
    """

    where: Path
    entries: Mapping[str, Mapping[str, np.ndarray]]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def names(self) -> dict[str, str]:
        """Each name with its shape and type, to choose from."""
        return {name: form(next(iter(parts.values()))) for name, parts in self.entries.items()}


def form(array: np.ndarray) -> str:
    """Shape and type in words."""
    kind = "text" if array.dtype.kind == "U" else str(array.dtype)
    return f"shape {array.shape} in {kind}"


def look_into(path: str | Path, size: tuple[int, int] | None = None) -> Contents:
    """What is in a file, a folder or a zip archive.

    Args:
        path: Where it is.
        size: Height and width of pictures, if they are to be brought to one.

    Raises:
        FileFormatError: If it cannot be read.
    """
    path = Path(path)
    if is_saved_dataset(path):
        return Contents(path, *read_saved_dataset(path))
    with tree(path) as files:
        pictures = [f for f in files if is_picture(f)]
        found = _of_pictures(pictures, size) if pictures else _of_arrays(files)
        names = class_names({f.name: f for f in files})
    if not found:
        raise refusal(files, str(path))
    return Contents(path, found, {"labels": names} if names else {})


Entries = dict[str, dict[str, np.ndarray]]


def _of_pictures(files: list[File], size: tuple[int, int] | None) -> Entries:
    images, folders = read_pictures(files, size)
    parts = np.array([_part_of_folders(f) for f in files])
    chosen = {part: parts == part for part in dict.fromkeys(parts.tolist())}
    return {
        "images": {part: images[rows] for part, rows in chosen.items()},
        "labels": {part: folders[rows] for part, rows in chosen.items()},
    }


def _of_arrays(files: list[File]) -> Entries:
    """The arrays of all files; those of one name and part one after another, as files of a part of the rows are."""
    pieces: dict[str, dict[str, list[np.ndarray]]] = {}
    for file in files:
        if (content := read_file(file)) is not None:
            for (name, part), array in _parted(file, *content).items():
                pieces.setdefault(name, {}).setdefault(part, []).append(array)
    found = {name: {part: _joined(name, arrays) for part, arrays in parts.items()} for name, parts in pieces.items()}
    (alone, *others) = [array for parts in found.values() for array in parts.values()] or [np.empty(0)]
    if files[0].name.lower().endswith(".npy") and alone.ndim == 2 and not others:  # a table without names
        return {f"column {k + 1}": {WHOLE: column} for k, column in enumerate(alone.T)}
    return found


def _joined(name: str, arrays: list[np.ndarray]) -> np.ndarray:
    odd = next((a for a in arrays if a.shape[1:] != arrays[0].shape[1:] or not a.ndim), None)
    if odd is not None and len(arrays) > 1:
        raise MismatchError(
            f"'{name}' is in several files, of {form(arrays[0])} and of {form(odd)}, which cannot be put together. "
            "Open the file that you mean.",
            expected=arrays[0].shape,
            found=odd.shape,
        )
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _parted(file: File, arrays: Arrays, table: bool) -> dict[tuple[str, str], np.ndarray]:
    """The arrays by name and part; the name of an array says more of its part than that of its file."""
    of_file = part_of(file.path.stem)[1] or _part_of_folders(file)
    if table:
        return {(name, of_file): array for name, array in arrays.items()}
    named = {part_of(name): array for name, array in arrays.items()}
    return {(base, part or of_file): array for (base, part), array in named.items()}


def _part_of_folders(file: File) -> str:
    return next((PARTS[p.lower()] for p in file.path.parts[:-1] if p.lower() in PARTS), WHOLE)
