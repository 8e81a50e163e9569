"""From named arrays to training and test examples."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from landscape_engine import MismatchError

from .columns import Column, inputs_of, next_tokens, targets_of
from .contents import Contents, look_into
from .data import Data, DataChoices
from .names import WHOLE
from .roles import Roles, roles
from .tensors import FULL_SCALE, inputs_as, kind_of, shaped, standardized, targets_as


def read(path: str | Path, choices: DataChoices | None = None) -> Data:
    """Inputs and targets from a file, a folder or a zip archive.

    Formats: ``.npz``, ``.npy``, ``.csv`` (``.tsv``, ``.data``), ``.safetensors``, folders of images, MNIST's IDX and
    CIFAR's binary files, folders that Hugging Face's ``save_to_disk`` wrote, and zip archives or folders of those.

    Args:
        path: Where it is.
        choices: Which of the contents, and how.

    Raises:
        FileFormatError: If it cannot be read.
        MismatchError: If inputs or targets are not found, or do not fit each other.
        ChoiceError: If something was chosen that is not there.
    """
    choices = choices or DataChoices()
    return assemble(look_into(path, choices.size), choices)


def assemble(contents: Contents, choices: DataChoices | None = None) -> Data:
    """Inputs and targets of the training and the test part, in a random order.

    Args:
        contents: What there is.
        choices: What is used of it.

    Raises:
        MismatchError: If inputs or targets are not found, or do not fit each other.
        ChoiceError: If something was chosen that is not there.
        FileFormatError: If what was chosen is not numbers.
    """
    choices = choices or DataChoices()
    found = roles(contents.entries, contents.names, choices, contents.where)
    inputs, targets = _columns(contents, found)
    sources = _sources(inputs, targets, contents.where)
    kind = choices.kind or kind_of(inputs.name, *sources[0][1:])
    drawn, split = _drawn(sources, choices)
    unused = [part or "unnamed" for part in inputs.parts if part not in {d.source for d in drawn}]
    pairs = {d.part: (inputs_as(kind, d.inputs, inputs.name), targets_as(d.targets, targets.name)) for d in drawn}
    facts = [_said(found, inputs, targets), *inputs.facts, *targets.facts, split]
    facts += [f"The {part} part is not used." for part in unused]
    if kind == "images" and drawn[0].inputs.dtype in FULL_SCALE:
        facts.append("The values of the images were scaled to lie between 0 and 1.")
    if choices.standardize != "none":
        pairs, fact = standardized(pairs, choices.standardize)
        facts.append(fact)
    pairs = {part: (shaped(x, choices), y) for part, (x, y) in pairs.items()}
    rows = {d.part: d.rows for d in drawn}
    return Data(pairs["train"], pairs.get("test"), targets.classes, kind, tuple(facts), rows)


def _columns(contents: Contents, found: Roles) -> tuple[Column, Column]:
    inputs = inputs_of(contents, found.inputs)
    return (inputs, targets_of(contents, found.targets)) if found.targets else next_tokens(inputs)


class _Source(NamedTuple):
    """Rows that belong together."""

    part: str
    inputs: np.ndarray
    targets: np.ndarray


class _Drawn(NamedTuple):
    """Rows of a part in their order, the part of the files that they are from, and where they were in it."""

    part: str
    source: str
    inputs: np.ndarray
    targets: np.ndarray
    rows: Tensor


def _sources(inputs: Column, targets: Column, where: Path) -> list[_Source]:
    """The parts that have both, with one target for each input."""
    shared = [_Source(p, inputs.parts[p], targets.parts[p]) for p in inputs.parts if p in targets.parts]
    if not shared:
        raise MismatchError(
            f"'{inputs.name}' and '{targets.name}' in {where} are not of the same part of the data: "
            f"{_listed(inputs)}, and {_listed(targets)}. Put both parts in one folder, and open that.",
            expected=list(inputs.parts),
            found=list(targets.parts),
        )
    for source in shared:
        if len(source.inputs) != len(source.targets):
            raise MismatchError(
                f"Inputs and targets in {where} do not fit each other: '{inputs.name}' has {len(source.inputs)} rows, "
                f"but '{targets.name}' has {len(source.targets)}. There must be one target for each input.",
                expected=len(source.inputs),
                found=len(source.targets),
            )
    return shared


def _listed(column: Column) -> str:
    return " and ".join(part or "no part named" for part in column.parts)


def _drawn(sources: list[_Source], choices: DataChoices) -> tuple[list[_Drawn], str]:
    """Rows of the training and the test part at random, and a sentence on what they are."""
    generator = torch.Generator().manual_seed(choices.seed)
    by_part = {s.part: s for s in sources}
    train = by_part.get("train", by_part.get(WHOLE))
    test = by_part.get("test", by_part.get("validation"))
    if train and test:
        parts = [
            (part, source, torch.randperm(len(source.inputs), generator=generator))
            for part, source in (("train", train), ("test", test))
        ]
        said = f"The files name the test part: {test.part}."
    else:
        only = train or test or sources[0]
        order = torch.randperm(len(only.inputs), generator=generator)
        held = round(choices.split * len(order))
        parts = [("train", only, order[held:]), ("test", only, order[:held])][: 2 if held else 1]
        said = f"{held} of {len(order)} rows, drawn at random with seed {choices.seed}, are the test part."
        said = said if held else "There is no test part."
    few = choices.samples or None
    return [_take(part, source, order[:few]) for part, source, order in parts], said


def _take(part: str, source: _Source, rows: Tensor) -> _Drawn:
    return _Drawn(part, source.part, source.inputs[rows.numpy()], source.targets[rows.numpy()], rows)


def _said(found: Roles, inputs: Column, targets: Column) -> str:
    said = f"Inputs: {inputs.name}. Targets: {targets.name}."
    left = ", ".join(f"'{name}'" for name in found.left_out)
    return said + (f" {left} only counts the rows and was left out." if left else "")
