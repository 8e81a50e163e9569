"""Weights from files of any program: one set, or the checkpoints of a run in their order."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, final

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

import landscape_engine as le
from landscape_engine.trajectories.checkpoints import check_alike
from landscape_engine.trajectories.files import LARGEST_HEADER, MOST_TENSORS
from landscape_engine.trajectories.trajectory import FORMAT

from . import layouts
from .layouts import Layout
from .order import in_order
from .unpickling import unpickle

PICKLED = (".pt", ".pth", ".th", ".ckpt")
SUFFIXES = (".safetensors", *PICKLED)
SHARD = re.compile(r"-(\d+)-of-(\d+)\.safetensors$")


@final
class Weights(dict[str, Tensor]):
    """Parameters and buffers by name, and what was around them in their file.

    Args:
        layout: What was found.
        path: The file or folder.

    Attributes:
        entries: The entries that held the state, from the outside in: ``("state_dict",)``.
        prefixes: What was cut off all names, from the outside in: ``("model.",)``.
        left_out: The names of what lay beside it, such as an optimizer's state.
        path: The file or folder.
    """

    def __init__(self, layout: Layout, path: Path) -> None:
        super().__init__(layout.state)
        self.entries, self.prefixes, self.left_out = layout.entries, layout.prefixes, layout.left_out
        self.path = path

    @property
    def report(self) -> str:
        """What was done to read them, in a sentence; empty if they lay there as such."""
        said = [f"taken from {'.'.join(self.entries)}"] if self.entries else []
        said += [f"'{''.join(self.prefixes)}' cut off all names"] if self.prefixes else []
        said += [f"left out: {_some(self.left_out)}"] if self.left_out else []
        text = "; ".join(said)
        return f"{text[0].upper()}{text[1:]}." if said else ""


class Checkpoints(NamedTuple):
    """The checkpoints of a run in their order.

    Attributes:
        names: Of the files.
        steps: The training step of each, increasing: a number in its name, or its place.
        states: The weights of each.
    """

    names: list[str]
    steps: list[int]
    states: list[dict[str, Tensor]]


def read(path: str | Path) -> Weights:
    """The weights in a file of any program, or in a folder that holds one set.

    A safetensors file is mapped, not copied: do not overwrite it while its weights are in use. Of a file of checkpoints
    that ``Trajectory.save`` wrote, these are the last ones.

    Args:
        path: A safetensors file, one of ``torch.save`` (.pt, .pth, .th, .ckpt), or a folder with one of them, or with a
            safetensors file in numbered parts.

    Returns:
        The model's state, without what programs put around it: ``layouts`` says what.

    Raises:
        FileFormatError: If it cannot be read, would run code, or holds no weights or several.
    """
    return _read_all([Path(path)])[0]


def checkpoints(paths: str | Path | Sequence[str | Path]) -> Checkpoints:
    """The checkpoints in files, in the order of the steps in their names.

    Numbers count as numbers (``epoch_2`` before ``epoch_10``); ``best``, ``last`` and ``final`` come after them,
    ``init`` and ``start`` before.

    Args:
        paths: Files or folders as of ``read``; or one file of ``Trajectory.save``; or one folder of files.

    Raises:
        FileFormatError: If one cannot be read.
        MismatchError: If one has other names or shapes than the first.
    """
    if not paths:
        raise le.ChoiceError("paths", [], "one file or folder, or more")
    places = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if len(places) == 1 and _is_stacked(places[0]):
        run = le.Trajectory.load(places[0])
        return Checkpoints([f"step {step}" for step in run.steps], list(run.steps), [run[k] for k in range(len(run))])
    if len(places) == 1 and places[0].is_dir():
        places = _members(places[0])
    common = Path(os.path.commonpath([place.absolute().parent for place in places]))
    named = {place.absolute().relative_to(common).as_posix(): place for place in places}
    names, steps = in_order(list(named), str(common))
    states = _read_all([named[name] for name in names])
    for state in states[1:]:
        check_alike(state, states[0], state.path, states[0].path)
    return Checkpoints(names, steps, list(states))


def _members(folder: Path) -> list[Path]:
    """The checkpoints in a folder: its files, itself if these are parts of one, or else its folders that have some."""
    files = _files(folder)
    if not files:
        return [inner for inner in sorted(folder.iterdir()) if inner.is_dir() and _files(inner)] or [folder]
    return [folder] if any(SHARD.search(file.name) for file in files) else files


def _files(folder: Path) -> list[Path]:
    """The files of weights in a folder; safetensors files only, where there are any."""
    files = [f for f in sorted(folder.iterdir()) if f.is_file() and f.suffix in SUFFIXES and f.name[0] != "."]
    return [f for f in files if f.suffix == ".safetensors"] or files


def _read_all(paths: Sequence[Path]) -> list[Weights]:
    """The weights of each, those of ``torch.save`` together, since it takes seconds to start what reads them."""
    files = {path: _single(path) for path in paths}
    pickled = [path for path, parts in files.items() if parts[0].suffix in PICKLED]
    found = dict(zip(pickled, unpickle([files[path][0] for path in pickled]) if pickled else [], strict=True))
    return [Weights(found[path] if path in found else _mapped(files[path]), path) for path in paths]


def _single(path: Path) -> list[Path]:
    """The file of a set of weights, or its parts."""
    if path.is_dir():
        files = _files(path)
        parts = [SHARD.search(file.name) for file in files]
        if len(files) == 1 or (files and all(p and int(p[2]) == len(files) for p in parts)):
            return files
        what = "only some parts of a file" if any(parts) else f"{len(files)} files of weights"
        raise le.FileFormatError(
            f"{path} holds {what}: expected one that ends in {', '.join(SUFFIXES)}. Choose a file in it.", path=path
        )
    if path.is_file() and path.suffix in SUFFIXES:
        return [path]
    what = "is no file of weights" if path.exists() else "is not there"
    raise le.FileFormatError(f"{path} {what}: expected one that ends in {', '.join(SUFFIXES)}.", path=path)


def _mapped(paths: Sequence[Path]) -> Layout:
    """The state in the parts of a safetensors file."""
    tensors: dict[str, Tensor] = {}
    for path in paths:
        try:
            tensors |= _tensors(path)
        except (OSError, SafetensorError, ValueError) as error:
            raise le.FileFormatError(
                f"{path} cannot be read as safetensors ({error}). Save the model's state_dict() again.", path=path
            ) from error
    if _is_stacked(paths[0]):
        tensors = {name: stack[-1] for name, stack in tensors.items()}
    layout = layouts.find(tensors)
    if layout is None:
        raise le.FileFormatError(f"{paths[0]} holds no weights. Save the model's state_dict() again.", path=paths[0])
    return layout


def _tensors(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as raw:
        if int.from_bytes(raw.read(8), "little") > LARGEST_HEADER:
            raise ValueError("its header is too large")
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        if len(names) > MOST_TENSORS:
            raise ValueError(f"it holds {len(names)} tensors, more than {MOST_TENSORS}")
        return {name: file.get_tensor(name) for name in names}


def _is_stacked(path: Path) -> bool:
    """Whether ``Trajectory.save`` wrote it."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (OSError, SafetensorError):
        return False


def fit(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights into a model; nothing is changed if they do not fit.

    Args:
        model: Whose weights these are.
        state: By name.

    Raises:
        MismatchError: As ``matched`` says.
    """
    model.load_state_dict(matched(model.state_dict(keep_vars=True), state), strict=False)


def matched(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Weights under the names that a model has for them, once it is sure that they fit.

    A prefix that ``read`` has cut off is put back where the model has it. What is tied may be there once, and is then
    found under each of its names; counts of batch norm may be missing, as in old files.

    Args:
        own: The model's parameters and buffers; a tied one is the same object under each of its names.
        state: By name.

    Raises:
        MismatchError: If names or shapes differ, with the first of them.
    """
    tied: dict[int, list[str]] = defaultdict(list)
    own = {name: tensor for name, tensor in own.items() if isinstance(tensor, Tensor)}
    for name, tensor in own.items():
        if tensor.ndim or tensor.is_floating_point():  # no count
            tied[id(tensor)].append(name)
    state = _named_for(own, state)
    missing = [names[0] for names in tied.values() if not any(name in state for name in names)]
    check_fit(
        missing,
        [name for name in state if name not in own],
        {n: (tuple(t.shape), tuple(own[n].shape)) for n, t in state.items() if n in own and t.shape != own[n].shape},
    )
    given = {name: next(state[n] for n in names if n in state) for names in tied.values() for name in names}
    return {**given, **state}


def _named_for(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    prefixes = state.prefixes if isinstance(state, Weights) else ()
    put_back = ["".join(prefixes[k:]) for k in range(len(prefixes), -1, -1)]
    best = max(put_back, key=lambda prefix: sum(f"{prefix}{name}" in own for name in state))
    return {f"{best}{name}": tensor for name, tensor in state.items()}


def check_fit(
    missing: Sequence[str], unexpected: Sequence[str], others: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
) -> None:
    """Raise one sentence on weights that do not fit a model, unless they do.

    Args:
        missing: Names in the model only.
        unexpected: Names in the weights only.
        others: Names whose shapes differ, with that of the weights and that of the model.
    """
    shapes = [f"{name} {found}, expected {expected}" for name, (found, expected) in others.items()]
    said = {"missing are": missing, "not expected are": unexpected, "of another shape are": shapes}
    text = "; ".join(f"{what} {_some(names)}" for what, names in said.items() if names)
    if text:
        raise le.MismatchError(
            f"the weights do not fit the model: {text}. Choose the weights of this model, or the model they came from.",
            what="weights",
            parameter=next(iter([*missing, *unexpected, *others])),
        )


def _some(names: Sequence[str]) -> str:
    """The first five, and how many more."""
    more = [f"{len(names) - 5} more"] if len(names) > 5 else []
    return ", ".join([*names[:5], *more])
