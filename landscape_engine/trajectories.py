"""Checkpoints of a training run: recorded while it runs, kept in one file, loaded again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .errors import ChoiceError, FileFormatError, MismatchError
from .models import ModelWrapper
from .parameters import check_match

FORMAT = "landscape-trajectory-1"


@final
@dataclass(frozen=True)
class Trajectory:
    """The checkpoints of one run.

    Args:
        states: Each parameter and buffer under its state-dict name, the K checkpoints stacked: ``(K, *shape)``.
        steps: The training step of each checkpoint, increasing.
    """

    states: Mapping[str, Tensor]
    steps: Sequence[int]

    def __post_init__(self) -> None:
        count = len(self.steps)
        if count < 2:
            raise ChoiceError("steps", list(self.steps), "two checkpoints or more")
        if any(b <= a for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise ChoiceError("steps", list(self.steps), "increasing")
        for name, stack in self.states.items():
            if stack.ndim == 0 or len(stack) != count:
                raise MismatchError(
                    f"the trajectory does not fit its steps: '{name}' has shape {tuple(stack.shape)}, but there are "
                    f"{count} steps. Stack one tensor for each step along dimension 0.",
                    what="trajectory",
                    parameter=name,
                    expected=count,
                    found=tuple(stack.shape),
                )

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The state dict of one checkpoint; -1 is the final one."""
        return {name: stack[index] for name, stack in self.states.items()}

    def at(self, t: float) -> dict[str, Tensor]:
        r"""The state at :math:`t \in [0, K-1]`: linear between neighbouring checkpoints, exact at each of them.

        Integer buffers (batch counters) are those of the earlier checkpoint.
        """
        if not 0 <= t <= len(self) - 1:
            raise ChoiceError("t", t, f"between 0 and {len(self) - 1}")
        k = min(int(t), len(self) - 2)
        w = t - k
        if w in (0, 1):
            return self[k + int(w)]
        return {n: torch.lerp(s[k], s[k + 1], w) if s.is_floating_point() else s[k] for n, s in self.states.items()}

    def step_at(self, t: float) -> float:
        """The training step at ``t``, linear between checkpoints."""
        k = min(int(t), len(self) - 2)
        return self.steps[k] + (self.steps[k + 1] - self.steps[k]) * (t - k)

    def check_fits(self, model: ModelWrapper) -> None:
        """Raise ``MismatchError`` unless each parameter of the model is here, in the same shape."""
        found = {n: s[0] for n, s in self.states.items() if n in model.parameters or n not in model.buffers}
        names = model.names()
        found = {n: t for n, t in found.items() if n in model.parameters or n not in names}
        remedy = "Load the checkpoints of this model, or choose the model they came from."
        check_match(found, model.parameters, "the checkpoints do", remedy)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, with ``format`` and JSON ``steps`` in its metadata."""
        tensors = {n: s.contiguous() for n, s in self.states.items()}
        save_file(tensors, path, metadata={"format": FORMAT, "steps": json.dumps(list(self.steps))})

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


def read_tensors(path: str | Path, form: str, what: str, remedy: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file whose metadata name a format.

    Raises:
        FileFormatError: If the file is missing, damaged, or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise FileFormatError(f"{path} cannot be read as {what} ({error}). {remedy}", path=path) from error
    if metadata.get("format") != form:
        raise FileFormatError(
            f"{path} holds no {what}: its metadata names the format {metadata.get('format')!r}, expected {form!r}. "
            f"{remedy}",
            path=path,
        )
    return tensors, metadata


@final
class TrajectoryRecorder:
    """Records checkpoints of a model while it is trained.

    >>> recorder = TrajectoryRecorder(model)
    >>> recorder.record(step)      # in the training loop, as often as wanted
    >>> recorder.trajectory().save("run.safetensors")

    Args:
        model: A module, a wrapper, or a function that wraps a model anew, which one of another framework needs:
            ``lambda: wrap_keras(model)``.
    """

    def __init__(self, model: nn.Module | ModelWrapper | Callable[[], ModelWrapper]) -> None:
        self._model = model
        self._states: list[dict[str, Tensor]] = []
        self._steps: list[int] = []

    def record(self, step: int) -> None:
        """Keep a copy of every parameter and buffer. Steps must increase."""
        if self._steps and step <= self._steps[-1]:
            raise ChoiceError("step", step, f"greater than {self._steps[-1]}, the step recorded before it")
        model = self._model if isinstance(self._model, nn.Module | ModelWrapper) else self._model()
        state = model.state_dict() if isinstance(model, nn.Module) else {**model.parameters, **model.buffers}
        self._states.append({n: t.detach().cpu().clone() for n, t in state.items()})
        self._steps.append(step)

    def trajectory(self) -> Trajectory:
        """What has been recorded so far."""
        names = self._states[0] if self._states else ()
        return Trajectory({n: torch.stack([s[n] for s in self._states]) for n in names}, tuple(self._steps))
