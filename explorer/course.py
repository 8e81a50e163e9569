"""Models that are named on the command line, or in a file for a course or a lab."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import DataLoader, Dataset

import landscape_engine as le
from explorer.own import Own
from explorer.state import MODELS
from explorer.subjects import offer
from explorer.weights import huggingface

KEYS = ("name", "model", "checkpoints", "data", "loss")
LIVE = (nn.Module, le.ModelWrapper, Dataset, DataLoader)  # what is used as it is, even if it can be called


def read(path: str | Path) -> list[str]:
    """The models that a TOML file names, ready to be explored.

    Each has a table ``[[model]]``, with the keys of ``entry``. Paths and modules are looked for in the file's folder.

    Args:
        path: The file.

    Returns:
        Their keys, in their order.

    Raises:
        LandscapeError: If the file or something in it cannot be used; it says which model it is about.
    """
    path = Path(path)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise le.FileFormatError(f"{path} cannot be read: {why}. Name a TOML file of models.", path=path) from error
    tables = found.get("model")
    if set(found) != {"model"} or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        keys = ", ".join(f"'{key}'" for key in found) or "nothing"
        raise le.FileFormatError(f"{path} must hold tables [[model]] and no more, but it holds {keys}.", path=path)
    return [_placed(table, f"model {k + 1} of {path}", path.parent) for k, table in enumerate(tables)]


def _placed(table: Mapping[str, Any], where: str, folder: Path) -> str:
    try:
        return entry(table, folder)
    except le.LandscapeError as error:
        raise le.LandscapeError(f"In {where}: {error}") from error


def entry(table: Mapping[str, Any], folder: Path) -> str:
    """A model, ready to be explored.

    Args:
        table: ``model``: the name of a sample model, ``"module:object"``, or a folder of Hugging Face's. ``data``:
            ``"module:object"`` or a data file. ``checkpoints``: a file or folder, or several. ``loss``: a name or
            ``"module:object"``; the one that fits when left out. ``name``: what the page calls it.
        folder: In which modules and relative paths are looked for.

    Returns:
        Its key.

    Raises:
        LandscapeError: If something in it cannot be used.
    """
    wrong = [key for key in table if key not in KEYS]
    if wrong:
        raise le.ChoiceError("a key", wrong[0], f"one of {', '.join(KEYS)}")
    if "model" not in table:
        raise le.ChoiceError("model", None, "'module:object', a folder, or the name of a sample model")
    for key, value in table.items():
        if not (isinstance(value, str) or (key == "checkpoints" and _are_texts(value))):
            raise le.ChoiceError(key, value, "text in quotes")
    if table["model"] in MODELS:
        if others := [key for key in table if key != "model"]:
            raise le.ChoiceError(
                f"{others[0]} of {table['model']}", table[others[0]], "left out, since a sample model has its own"
            )
        return str(table["model"])
    own = Own(
        _model(table["model"], folder),
        _data(table.get("data"), folder),
        _loss(table.get("loss"), folder),
        _paths(table.get("checkpoints"), folder),
        name=table.get("name", ""),
    )
    return offer(own)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _model(text: str, folder: Path) -> Any:
    if (folder / text).is_dir():
        return huggingface.load(folder / text)
    if ":" not in text:
        expected = f"'module:object', a folder of a model, or one of {', '.join(MODELS)}"
        raise le.ChoiceError("model", text, expected)
    return _made(text, folder, "model")


def _data(text: str | None, folder: Path) -> Any:
    if text is None or ":" not in text or (folder / text).exists():
        return text if text is None else folder / text
    return _made(text, folder, "data")


def _loss(text: str | None, folder: Path) -> Any:
    return text if text is None or ":" not in text else _named(text, folder, "loss")


def _paths(given: str | Sequence[str] | None, folder: Path) -> list[Path] | None:
    return None if given is None else [folder / one for one in ([given] if isinstance(given, str) else given)]


def _made(text: str, folder: Path, what: str) -> Any:
    """The object of a name, or what it returns when it is called without arguments."""
    found = _named(text, folder, what)
    if isinstance(found, LIVE) or not callable(found):
        return found
    try:
        return found()
    except Exception as error:  # whatever the code of others raises
        raise le.LandscapeError(
            f"{what} {text} fails when it is called without arguments: {_said(error)}. Name a function without "
            "arguments, or what it should return."
        ) from error


def _named(text: str, folder: Path, what: str) -> Any:
    """The object of ``"module:object"``; the folder's modules can be imported."""
    module, _, name = text.partition(":")
    if str(folder.resolve()) not in sys.path:
        sys.path.insert(0, str(folder.resolve()))
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # whatever the code of others raises
        raise le.LandscapeError(
            f"{what} {text}: the module '{module}' cannot be imported from {folder.resolve()} or what is installed: "
            f"{_said(error)}."
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            names = [n for n in vars(found) if not n.startswith("_")] if hasattr(found, "__dict__") else []
            raise le.ChoiceError(f"the name after ':' in {what} {text}", part, f"one of {', '.join(names[:12])}")
        found = getattr(found, part)
    return found


def _said(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
