"""Arrays as tensors in the types that models want."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from landscape_engine import ChoiceError, FileFormatError

from .data import DataChoices, Pair
from .roles import PICTURES, TOKENS

FULL_SCALE = {np.dtype("uint8"): 255.0, np.dtype("uint16"): 65535.0}
FEW = 4
"""Numbers that a sentence lists."""


def kind_of(name: str, inputs: np.ndarray, targets: np.ndarray | None) -> str:
    """What inputs are: images by their dimensions, tokens by their name or by targets of their shape, else vectors."""
    whole = inputs.dtype.kind in "iu"
    if inputs.ndim == 4 or (inputs.ndim == 3 and (inputs.dtype == np.uint8 or name.lower() in PICTURES)):
        return "images"
    if whole and (name.lower() in TOKENS or (targets is not None and inputs.ndim == 2 and _is_same(inputs, targets))):
        return "tokens"
    return "vectors"


def _is_same(inputs: np.ndarray, targets: np.ndarray) -> bool:
    return targets.shape == inputs.shape and targets.dtype.kind in "iu" and inputs.shape[1] > 1


def inputs_as(kind: str, array: np.ndarray, name: str) -> Tensor:
    """Inputs as float32, images with channels first and whole numbers in them scaled to [0, 1]; tokens as int64.

    Raises:
        FileFormatError: If they are not numbers.
    """
    if array.dtype.kind not in "biuf":
        raise FileFormatError(
            f"'{name}' holds {array.dtype}, which is no input of a model. Choose numbers, or save it as numbers."
        )
    if kind == "tokens":
        return torch.from_numpy(array.astype(np.int64))
    scale = FULL_SCALE.get(array.dtype, 1.0) if kind == "images" else 1.0
    found = torch.from_numpy(array.astype(np.float32)) / scale
    return _channels_first(found) if kind == "images" else found.reshape(len(found), -1) if found.ndim == 1 else found


def _channels_first(images: Tensor) -> Tensor:
    if images.ndim == 3:
        return images[:, None]
    few = (1, 3, 4)
    if images.ndim < 4 or images.shape[1] in few or images.shape[3] not in few:
        return images
    return images.movedim(3, 1).contiguous() if images.shape[3] < min(images.shape[1:3]) else images


def targets_as(array: np.ndarray, name: str) -> Tensor:
    """Whole numbers as int64, others as float32; a single column as (n,).

    Raises:
        FileFormatError: If they are not numbers.
    """
    if array.dtype.kind not in "biuf":
        raise FileFormatError(
            f"'{name}' holds {array.dtype}, which is no target. Choose numbers or text, or save it as numbers."
        )
    found = array.reshape(len(array)) if array.ndim == 2 and array.shape[1] == 1 else array
    return torch.from_numpy(found.astype(np.float32 if found.dtype.kind == "f" else np.int64))


def are_labels(array: np.ndarray) -> bool:
    """Whether floating-point numbers are classes: 0, 1, ... up to some number, with none left out, often repeated."""
    if array.dtype.kind != "f" or (array.ndim == 2 and array.shape[1] > 1):
        return False
    values = np.unique(array)
    return 1 < len(values) <= array.size / 2 and bool(np.array_equal(values, np.arange(len(values))))


def standardized(parts: Mapping[str, Pair], how: str) -> tuple[dict[str, Pair], str]:
    """Inputs of mean 0 and standard deviation 1 over the training part, and a sentence on it.

    What is the same in all training examples is only centered.

    Args:
        parts: Inputs and targets by part.
        how: ``"feature"`` or ``"channel"``.

    Raises:
        ChoiceError: If the inputs are tokens.
    """
    inputs = parts["train"][0]
    if not inputs.is_floating_point():
        raise ChoiceError("standardize", how, "'none' for tokens")
    dims = [0] if how == "feature" or inputs.ndim < 3 else [0, *range(2, inputs.ndim)]
    mean, deviation = inputs.mean(dims, keepdim=True), inputs.std(dims, correction=0, keepdim=True)
    scale = torch.where(deviation > 0, deviation, 1.0)
    changed = {part: ((x - mean) / scale, y) for part, (x, y) in parts.items()}
    said = f"means {_listed(mean)}; standard deviations {_listed(deviation)}"
    return changed, f"Each {how} was standardized by the training part: {said}."


def _listed(values: Tensor) -> str:
    numbers = values.flatten().tolist()
    if len(numbers) <= FEW:
        return ", ".join(f"{v:.4g}" for v in numbers)
    return f"from {min(numbers):.4g} to {max(numbers):.4g}"


def shaped(inputs: Tensor, choices: DataChoices) -> Tensor:
    """Inputs in the shape that was chosen for each.

    Raises:
        ChoiceError: If it has another number of entries.
    """
    if choices.shape is None:
        return inputs
    try:
        return inputs.reshape(len(inputs), *choices.shape)
    except RuntimeError:
        count = inputs[0].numel() if len(inputs) else 0
        raise ChoiceError("shape", choices.shape, f"a shape of the {count} numbers of an input") from None
