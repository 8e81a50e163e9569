"""Data sets that Hugging Face's ``save_to_disk`` wrote. Nothing is asked of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from landscape_engine import FileFormatError, LandscapeError
from landscape_engine.errors import first_line

from .names import PARTS, WHOLE

Found = tuple[dict[str, dict[str, np.ndarray]], dict[str, tuple[str, ...]]]


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder is a data set, or several by the names of their parts."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def read_saved_dataset(path: Path) -> Found:
    """The columns by name and part, and the names of classes.

    Raises:
        FileFormatError: If it cannot be read.
        LandscapeError: If the package is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise LandscapeError(
            f"{path} was saved by the package datasets, which is not installed. Install it: pip install datasets."
        ) from error
    try:
        loaded = datasets.load_from_disk(str(path))
        named = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"all": loaded}
        parts = {PARTS[n]: rows for n, rows in named.items() if n in PARTS} or {WHOLE: next(iter(named.values()))}
        entries: dict[str, dict[str, np.ndarray]] = {}
        for part, rows in parts.items():
            for name, column in rows.with_format("numpy")[:].items():
                entries.setdefault(name, {})[part] = _plain(name, column)
        return entries, _class_names(next(iter(parts.values())).features)
    except LandscapeError:
        raise
    except Exception as error:  # Arrow has its own kinds for one thing: it cannot be read
        raise FileFormatError(
            f"{path} cannot be read as a data set ({first_line(error)}). Save it again.", path=path
        ) from error


def _class_names(features: Any) -> dict[str, tuple[str, ...]]:
    return {name: tuple(f.names) for name, f in features.items() if hasattr(f, "names")}


def _plain(name: str, column: Any) -> np.ndarray:
    array = np.asarray(column)
    if array.dtype != object:
        return array
    if all(isinstance(value, str) for value in array):
        return array.astype(str)
    raise FileFormatError(f"The rows of '{name}' are not all of one shape. Make them so, and save it again.")
