"""Folders that Hugging Face's ``save_pretrained`` writes: a model from its configuration, and its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

import landscape_engine as le
from landscape_engine.errors import first_line

from .files import check_fit

CONFIG = "config.json"


def load(path: str | Path) -> nn.Module:
    """The model in a folder, with its weights, in evaluation mode; only what is in the folder is read.

    It is built by the transformers library. Code in the folder is not run, and of files of weights only safetensors
    are read. Attention is computed step by step (``"eager"``), so that it has derivatives of any order.

    Args:
        path: The folder, with ``config.json`` and safetensors files.

    Raises:
        LandscapeError: If transformers is not installed.
        FileFormatError: If the folder holds no such model, or transformers cannot build it.
        MismatchError: If weights are missing, or of another shape: transformers itself would draw them at random.
    """
    folder = Path(path)
    kind = _kind(folder, _transformers())
    try:
        model, found = kind.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            attn_implementation="eager",
            output_loading_info=True,
        )
    except Exception as error:  # of many kinds, by what does not go together in the configuration
        raise le.FileFormatError(
            f"transformers cannot build the model in {folder} ({first_line(error)}). Save it again with "
            "save_pretrained.",
            path=folder,
        ) from error
    others = {name: (tuple(theirs), tuple(own)) for name, theirs, own in sorted(found["mismatched_keys"])}
    check_fit(sorted(found["missing_keys"]), sorted(found["unexpected_keys"]), others)
    return model.eval()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise le.LandscapeError(
            "A model of Hugging Face needs transformers, which is not installed: pip install transformers."
        ) from error
    return transformers


def _classes(folder: Path) -> list[str]:
    """The classes that the configuration names."""
    try:
        facts = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return [str(name) for name in facts["architectures"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _kind(folder: Path, transformers: Any) -> Any:
    """The class of the model, which must be one of the library's own."""
    names = _classes(folder)
    kinds = [getattr(transformers, name, None) for name in names]
    if not kinds or not (isinstance(kinds[0], type) and issubclass(kinds[0], transformers.PreTrainedModel)):
        what = f"{names[0]}, which transformers {transformers.__version__} does not know" if names else "no class"
        raise le.FileFormatError(
            f"{CONFIG} in {folder} names {what}: expected a model's class under 'architectures'. Choose a folder that "
            "save_pretrained wrote.",
            path=folder,
        )
    return kinds[0]
