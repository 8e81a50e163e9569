"""Where the states of a trajectory are: stacked in memory, or in files that are read when they are asked for."""

from __future__ import annotations

import abc
import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from ..errors import ChoiceError, MismatchError
from .files import read_checkpoint


class Checkpoints(Mapping[str, Tensor]):
    """The states of K checkpoints: a mapping from each name to a stack ``(K, *shape)``, or one state at a time.

    Attributes:
        entries: Each name with a tensor of its shape and type, without values.
    """

    entries: Mapping[str, Tensor]

    @abc.abstractmethod
    def state(self, index: int, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """One checkpoint by name, or some entries of it."""

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


@final
class Stacks(Checkpoints):
    """Checkpoints in memory.

    Args:
        stacks: Each parameter and buffer, the K checkpoints stacked: ``(K, *shape)``.
    """

    def __init__(self, stacks: Mapping[str, Tensor]) -> None:
        self._stacks = dict(stacks)
        self.entries = {n: _empty(s.shape[1:], s.dtype) for n, s in self._stacks.items()}

    def __getitem__(self, name: str) -> Tensor:
        return self._stacks[name]

    def state(self, index: int, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """One checkpoint, as views of the stacks."""
        return {n: self._stacks[n][index] for n in (self._stacks if names is None else names)}


@final
class CheckpointFiles(Checkpoints):
    """Checkpoints in files, one each; only names and shapes are read before a state is asked for.

    Tensors are maps of their file: do not overwrite one while they are in use. An entry of different types in
    different files, as ``TrajectoryRecorder`` writes where float16 is too narrow, is stacked in the wider type.

    Args:
        paths: The files, in the order of the checkpoints.
        key: See ``read_checkpoint``.

    Raises:
        FileFormatError: If a file cannot be read.
        MismatchError: If a file has other parameters than the first, or of other shapes.
    """

    def __init__(self, paths: Sequence[Path], key: str | None = None) -> None:
        self.paths, self._key = tuple(paths), key
        first = read_checkpoint(self.paths[0], key)
        types = {n: t.dtype for n, t in first.items()}
        for path in self.paths[1:]:
            state = read_checkpoint(path, key)
            check_alike(state, first, path, self.paths[0])
            types = {n: torch.promote_types(types[n], t.dtype) for n, t in state.items()}
        self.entries = {n: _empty(t.shape, types[n]) for n, t in first.items()}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.entries:
            raise KeyError(name)
        return torch.stack([self.state(k, [name])[name] for k in range(len(self.paths))])

    def state(self, index: int, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """One checkpoint, mapped from its file."""
        wanted = self.entries if names is None else {n: self.entries[n] for n in names}
        state = read_checkpoint(self.paths[index], self._key, list(wanted))
        check_alike(state, wanted, self.paths[index], self.paths[0])  # again: the file may be another by now
        return {n: state[n] for n in wanted}


def check_alike(state: Mapping[str, Tensor], first: Mapping[str, Tensor], path: Path, where: Path) -> None:
    """Raise unless a state has the names and shapes of the first, with the file and the parameter."""
    name = next((n for n in (*first, *state) if n not in state or n not in first), None)
    if name is not None:
        lacking, having = (path, where) if name in first else (where, path)
        raise MismatchError(
            f"the checkpoints do not fit each other: parameter '{name}' is in {having}, but not in {lacking}. "
            "Choose those of one run.",
            what="checkpoints",
            parameter=name,
        )
    for name, tensor in first.items():
        found, expected = tuple(state[name].shape), tuple(tensor.shape)
        if found != expected:
            raise MismatchError(
                f"the checkpoints do not fit each other: parameter '{name}' has shape {found} in {path}, but "
                f"{expected} in {where}. Choose those of one run.",
                what="checkpoints",
                parameter=name,
                expected=expected,
                found=found,
            )


def as_step(step: Any) -> int:
    """A training step as a plain number, whatever library counts it, so that it can name a file and be written."""
    try:
        return operator.index(step)
    except TypeError:
        raise ChoiceError("step", step, "a whole number") from None


def _empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    return torch.empty(tuple(shape), dtype=dtype, device="meta")
