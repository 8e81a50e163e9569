"""Recording checkpoints while a model is trained."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import ChoiceError
from ..models import ModelWrapper
from .checkpoints import as_step, check_alike
from .files import SUFFIXES, read_checkpoint
from .trajectory import Trajectory

NAME = re.compile(r"step_(\d+)\.safetensors")


@final
class TrajectoryRecorder:
    """Records checkpoints of a model while it is trained, in memory or, one file each, in a folder.

    >>> recorder = TrajectoryRecorder(model, every=10, path="run")
    >>> recorder.record(step)      # in the training loop, each time; every tenth step is kept
    >>> recorder.trajectory()

    A folder holds what was recorded whenever the process ends: a file is there when it is whole. A recorder of the same
    folder goes on after ``steps[-1]``, the last step recorded; if training resumes from before it, call ``rewind``.

    Args:
        model: A module, a wrapper, or a function that wraps a model anew, which one of another framework needs:
            ``lambda: wrap_keras(model)``.
        every: Keep the steps (or epochs, whatever ``record`` counts) that are multiples of it.
        path: The folder; it is made. In memory by default. At most one checkpoint is in memory at a time.
        dtype: Floating-point type to keep wider entries in, such as ``torch.float16``: half of the size for a relative
            error of 5e-4. An entry with a value that is too large for it (above 65504) is kept as it is, integer
            buffers always are.
    """

    def __init__(
        self,
        model: nn.Module | ModelWrapper | Callable[[], ModelWrapper],
        every: int = 1,
        path: str | Path | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if every < 1:
            raise ChoiceError("every", every, "1 or greater")
        if dtype is not None and not dtype.is_floating_point:
            raise ChoiceError("dtype", dtype, "a floating-point type, such as torch.float16")
        self._model, self._every, self._dtype = model, every, dtype
        self._kept: _Memory | _Folder = _Memory() if path is None else _Folder(Path(path))

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps recorded so far, those included that were in the folder before."""
        return tuple(self._kept.steps)

    def record(self, step: int, always: bool = False) -> bool:
        """Keep a copy of every parameter and buffer, if the step is a multiple of ``every``.

        Args:
            step: The training step or epoch, greater than the last one recorded.
            always: Keep it whatever ``every`` says, as a run's final state.

        Returns:
            Whether it was kept.
        """
        step = as_step(step)
        if step % self._every and not always:
            return False
        if self._kept.steps and step <= self._kept.steps[-1]:
            last = self._kept.steps[-1]
            raise ChoiceError("step", step, f"greater than {last}, the step recorded before it")
        model = self._model if isinstance(self._model, nn.Module | ModelWrapper) else self._model()
        state = model.state_dict() if isinstance(model, nn.Module) else {**model.parameters, **model.buffers}
        self._kept.add(step, {n: _copy(t.detach(), self._dtype) for n, t in state.items() if isinstance(t, Tensor)})
        return True

    def rewind(self, step: int) -> None:
        """Forget, in the folder too, what was recorded after a step: training goes on from there."""
        for later in [s for s in self._kept.steps if s > step]:
            self._kept.drop(later)

    def trajectory(self) -> Trajectory:
        """What has been recorded so far; of a folder, a checkpoint is read when it is used."""
        return self._kept.trajectory()


def _copy(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if dtype is None or not tensor.is_floating_point() or tensor.dtype.itemsize <= dtype.itemsize:
        return tensor.to("cpu", copy=True).contiguous()
    narrow = tensor.to("cpu", dtype).contiguous()
    overflows = bool((narrow.isinf() & tensor.isfinite().cpu()).any())
    return tensor.to("cpu", copy=True).contiguous() if overflows else narrow


class _Memory:
    def __init__(self) -> None:
        self._states: dict[int, dict[str, Tensor]] = {}

    @property
    def steps(self) -> list[int]:
        return list(self._states)

    def add(self, step: int, state: dict[str, Tensor]) -> None:
        self._states[step] = state

    def drop(self, step: int) -> None:
        del self._states[step]

    def trajectory(self) -> Trajectory:
        states = list(self._states.values())
        names = states[0] if states else ()
        return Trajectory({n: torch.stack([s[n] for s in states]) for n in names}, tuple(self._states))


class _Folder:
    def __init__(self, folder: Path) -> None:
        if folder.suffix in SUFFIXES or (folder.exists() and not folder.is_dir()):
            raise ChoiceError("path", str(folder), "a folder (trajectory().save(path) writes one file)")
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob("step_*.safetensors.part"):
            unfinished.unlink()
        self._folder = folder
        self.steps = sorted(int(m[1]) for p in folder.iterdir() if (m := NAME.fullmatch(p.name)))
        self._first: Mapping[str, Tensor] | None = None

    def _path(self, step: int) -> Path:
        return self._folder / f"step_{step:09d}.safetensors"

    def add(self, step: int, state: dict[str, Tensor]) -> None:
        if step < 0:
            raise ChoiceError("step", step, "0 or greater, where it names a file")
        if self.steps and self._first is None:
            self._first = read_checkpoint(self._path(self.steps[0]))
        if self._first is not None:
            check_alike(state, self._first, self._path(step), self._path(self.steps[0]))
        partial = Path(f"{self._path(step)}.part")
        save_file(state, partial)
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(partial, self._path(step))
        self.steps.append(step)

    def drop(self, step: int) -> None:
        self._path(step).unlink()
        self.steps.remove(step)
        self._first = None

    def trajectory(self) -> Trajectory:
        return Trajectory.from_files([self._path(s) for s in self.steps], self.steps)
