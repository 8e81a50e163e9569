"""The checkpoints of one run, as points of parameter space and as a path through them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, final

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..errors import ChoiceError, FileFormatError, MismatchError
from ..models import ModelWrapper
from ..parameters import check_match
from .checkpoints import CheckpointFiles, Checkpoints, Stacks, as_step
from .files import SUFFIXES, in_order, read_tensors

FORMAT = "landscape-trajectory-1"


@final
@dataclass(frozen=True)
class Trajectory:
    """The checkpoints of one run.

    Args:
        states: Each parameter and buffer under its state-dict name, the K checkpoints stacked: ``(K, *shape)``. From
            a folder (``from_folder``), a stack is read when it is asked for, and so is a checkpoint.
        steps: The training step of each checkpoint, increasing.
    """

    states: Mapping[str, Tensor]
    steps: Sequence[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(map(as_step, self.steps)))
        count = len(self.steps)
        if count < 2:
            raise ChoiceError("steps", list(self.steps), "two checkpoints or more")
        if any(b <= a for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise ChoiceError("steps", list(self.steps), "increasing")
        if not isinstance(self.states, Checkpoints):
            for name, stack in self.states.items():
                _check_stack(name, stack, count)
            object.__setattr__(self, "states", Stacks(self.states))

    @property
    def _checkpoints(self) -> Checkpoints:
        return cast(Checkpoints, self.states)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The state dict of one checkpoint; -1 is the final one."""
        return self._checkpoints.state(range(len(self))[index])

    def part(self, index: int, names: Sequence[str]) -> dict[str, Tensor]:
        """Some entries of one checkpoint, and only these are read."""
        return self._checkpoints.state(range(len(self))[index], names)

    @property
    def entries(self) -> Mapping[str, Tensor]:
        """Each parameter and buffer as a tensor of its shape and type without values; nothing is read."""
        return self._checkpoints.entries

    def at(self, t: float, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        r"""The state at :math:`t \in [0, K-1]`: linear between neighbouring checkpoints, exact at each of them.

        Integer buffers (batch counters) are those of the earlier checkpoint. Between checkpoints of half precision
        the state is formed in float32.

        Args:
            t: Which checkpoint, or where between two.
            dtype: Type in which a state between checkpoints is formed at least.
        """
        self._check_place(t)
        k = min(int(t), len(self) - 2)
        w = t - k
        if w in (0, 1):
            return self[k + int(w)]
        a, b = self[k], self[k + 1]
        return {n: _between(a[n], b[n], w, dtype) if a[n].is_floating_point() else a[n] for n in a}

    def step_at(self, t: float) -> float:
        """The training step at ``t``, linear between checkpoints.

        Raises:
            ChoiceError: If ``t`` is outside [0, K - 1].
        """
        self._check_place(t)
        k = min(int(t), len(self) - 2)
        return self.steps[k] + (self.steps[k + 1] - self.steps[k]) * (t - k)

    def _check_place(self, t: float) -> None:
        if not 0 <= t <= len(self) - 1:
            raise ChoiceError("t", t, f"between 0 and {len(self) - 1}")

    def average(
        self,
        last: int | None = None,
        start: int | None = None,
        weights: Sequence[float] | None = None,
        decay: float | None = None,
    ) -> dict[str, Tensor]:
        r"""A weighted mean of checkpoints, :math:`\bar\theta = \sum_k w_k \theta_k / \sum_k w_k`, as a state.

        It is a point like any other, ``wrap_model(model).at(trajectory.average(last=5))``. Batch-norm statistics of a
        mean of networks are not the mean of theirs, which this state holds: wrap the model with
        ``batch_norm="re-estimated"`` to have them measured there. Integer buffers are those of the final checkpoint.
        Sums are float64, one checkpoint in memory at a time.

        Args:
            last: How many checkpoints, the final one included; all by default.
            start: Instead, the training step from which on checkpoints count.
            weights: Of each of them, 0 or greater; equal by default, as in stochastic weight averaging.
            decay: Instead, the factor between 0 and 1 of an exponential moving average: from the first of them on,
                :math:`\bar\theta \leftarrow \gamma \bar\theta + (1 - \gamma) \theta_k`.

        Raises:
            ChoiceError: If no checkpoint is chosen, or the weights are not theirs.

        References:
            Izmailov et al. 2018, Averaging Weights Leads to Wider Optima and Better Generalization, section 3.2.
            Polyak, Juditsky 1992, Acceleration of Stochastic Approximation by Averaging.
        """
        chosen = self._chosen(last, start)
        shares = _shares(len(chosen), weights, decay)
        floating = [n for n, t in self.entries.items() if t.is_floating_point()]
        total = {n: torch.zeros(self.entries[n].shape, dtype=torch.float64) for n in floating}
        for k, share in zip(chosen, shares, strict=True):
            if share:
                state = self.part(k, floating)
                total = {n: t.add_(state[n].detach().cpu().double(), alpha=share) for n, t in total.items()}
        state = self[-1]
        return {n: total[n].to(t.device, _working(t.dtype)) if n in total else t for n, t in state.items()}

    def _chosen(self, last: int | None, start: int | None) -> list[int]:
        if last is not None and start is not None:
            raise ChoiceError("start", start, "None where last is given")
        if last is not None and not 1 <= last <= len(self):
            raise ChoiceError("last", last, f"between 1 and {len(self)}, the number of checkpoints")
        if start is not None and start > self.steps[-1]:
            raise ChoiceError("start", start, f"at most {self.steps[-1]}, the step of the final checkpoint")
        first = len(self) - last if last is not None else 0
        return [k for k in range(first, len(self)) if start is None or self.steps[k] >= start]

    def check_fits(self, model: ModelWrapper) -> None:
        """Raise ``MismatchError`` unless each parameter of the model is here, in the same shape."""
        names = model.names()
        found = {n: t for n, t in self.entries.items() if n in model.parameters or n not in names}
        remedy = "Load the checkpoints of this model, or choose the model they came from."
        check_match(found, model.parameters, "the checkpoints do", remedy)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, with ``format`` and JSON ``steps`` in its metadata.

        All checkpoints are in memory meanwhile. An existing file is replaced only when the new one is whole.
        """
        tensors = {n: s.contiguous() for n, s in self.states.items()}
        partial = Path(f"{path}.part")
        save_file(tensors, partial, metadata={"format": FORMAT, "steps": json.dumps(list(self.steps))})
        os.replace(partial, path)

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """Read what ``save`` wrote.

        Raises:
            FileFormatError: If the file is missing, damaged, or something else.
        """
        states, metadata = read_tensors(path, FORMAT, "trajectory", "Write one with Trajectory.save.")
        try:
            return cls(states, json.loads(metadata["steps"]))
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(
                f"{path} cannot be read as a trajectory ({error}). Write it again with Trajectory.save.", path=path
            ) from error

    @classmethod
    def from_folder(cls, path: str | Path, key: str | None = None, pattern: str | None = None) -> Trajectory:
        """The checkpoints in a folder, one a file: of ``TrajectoryRecorder``, safetensors files, or ``torch.save``'s.

        They are taken in natural order (``epoch_2`` before ``epoch_10``); the number in the names that increases is
        the step, or 0, 1, 2 if none does. Only names and shapes are read now, each state when it is used.

        Args:
            path: The folder.
            key: The entry of each file that holds the state dict, or a prefix of the names to be chosen and cut off;
                by default ``"state_dict"``, ``"model_state_dict"``, ``"model"``, or the whole.
            pattern: Which files, such as ``"epoch_*.pt"`` or ``"checkpoint-*/model.safetensors"``; by default those
                whose suffix is safetensors, pt, pth or ckpt.

        Raises:
            FileFormatError: If there is no such folder, no checkpoint in it, or one cannot be read.
            MismatchError: If checkpoints do not fit each other, or their order is not known.
            ChoiceError: If there is only one.
        """
        folder = Path(path)
        if pattern is not None and Path(pattern).is_absolute():
            raise ChoiceError("pattern", pattern, "relative to the folder, such as 'epoch_*.pt'")
        found = sorted(folder.glob(pattern or "*")) if folder.is_dir() else []
        names = [
            p.relative_to(folder).as_posix()
            for p in found
            if p.is_file() and not p.name.startswith(".") and (pattern or p.suffix in SUFFIXES)
        ]
        if not names:
            wanted = f"files like {pattern!r}" if pattern else f"files that end in {', '.join(SUFFIXES)}"
            what = "holds no checkpoints" if folder.is_dir() else "is no folder"
            raise FileFormatError(f"{folder} {what}: expected {wanted}. Choose the folder of one run.", path=path)
        ordered, steps = in_order(names, str(folder))
        return cls.from_files([folder / n for n in ordered], steps, key)

    @classmethod
    def from_files(
        cls, paths: Sequence[str | Path], steps: Sequence[int] | None = None, key: str | None = None
    ) -> Trajectory:
        """The checkpoints in files that are given in their order; see ``from_folder``.

        Args:
            paths: Of the files, one a checkpoint.
            steps: The training step of each, increasing; 0, 1, 2 and so on by default.
            key: See ``from_folder``.
        """
        if len(paths) < 2:
            raise ChoiceError("paths", [str(p) for p in paths], "two checkpoints or more")
        if steps is not None and len(steps) != len(paths):
            raise ChoiceError("steps", list(steps), f"one for each of the {len(paths)} checkpoints")
        files = CheckpointFiles([Path(p) for p in paths], key)
        return cls(files, tuple(steps) if steps is not None else tuple(range(len(paths))))


def _check_stack(name: str, stack: Tensor, count: int) -> None:
    if stack.ndim == 0 or len(stack) != count:
        raise MismatchError(
            f"the trajectory does not fit its steps: '{name}' has shape {tuple(stack.shape)}, but there are "
            f"{count} steps. Stack one tensor for each step along dimension 0.",
            what="trajectory",
            parameter=name,
            expected=count,
            found=tuple(stack.shape),
        )


def _working(dtype: torch.dtype) -> torch.dtype:
    """The type in which points between checkpoints of a type are formed."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _between(a: Tensor, b: Tensor, w: float, least: torch.dtype) -> Tensor:
    dtype = torch.promote_types(torch.promote_types(_working(a.dtype), _working(b.dtype)), least)
    return torch.lerp(a.to(dtype), b.to(dtype), w)


def _shares(count: int, weights: Sequence[float] | None, decay: float | None) -> list[float]:
    if weights is not None and decay is not None:
        raise ChoiceError("decay", decay, "None where weights are given")
    if decay is not None:
        if not 0 <= decay <= 1:
            raise ChoiceError("decay", decay, "between 0 and 1")
        return [(1.0 if k == 0 else 1 - decay) * decay ** (count - 1 - k) for k in range(count)]
    given = [1.0] * count if weights is None else [float(w) for w in weights]
    if len(given) != count or not all(math.isfinite(w) and w >= 0 for w in given) or not sum(given):
        raise ChoiceError("weights", weights, f"{count} finite numbers, one a checkpoint, 0 or greater, not all 0")
    return [w / sum(given) for w in given]
