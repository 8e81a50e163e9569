"""A model of the caller's, with its data and checkpoints, as the page wants it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

import landscape_engine as le
from explorer import datasets, weights
from explorer.datasets.data import CALLED, Data, Pair
from landscape_engine.errors import first_line
from landscape_engine.metrics import Accuracy, Examples, Loss, Metric

from .checks import check, check_states
from .losses import Inferred, LossFunction, chosen

SETS = ("train", "test")
SINGLE = (str, Path, Mapping, nn.Module, le.ModelWrapper)  # what is one checkpoint, or one place of them
BATCH = 256  # examples of a data set in one forward pass
FEW = 64  # examples that tell which loss fits
LOSS_LABELS = {
    "cross_entropy": "Cross-entropy loss",
    "token_cross_entropy": "Cross-entropy loss",
    "nll_loss": "Negative log-likelihood",
    "token_nll_loss": "Negative log-likelihood",
    "probability_nll_loss": "Negative log-likelihood",
    "mse_loss": "Mean squared error",
    "l1_loss": "Mean absolute error",
    "binary_cross_entropy": "Binary cross-entropy",
    "binary_cross_entropy_with_logits": "Binary cross-entropy",
    "model": "The model's own loss",
}


@final
class Own:
    """A model that somebody has in hand, ready to be explored.

    Neither the model nor the data are changed, and later training does not move what is shown.

    Args:
        model: Any ``torch.nn.Module``, or a ``ModelWrapper``.
        data: What it is measured on: a pair of tensors or arrays (inputs, targets), a ``Dataset``, a ``DataLoader``, or
            batches, which may be dicts; a data file or folder, or what ``datasets.read`` made of one; or a dict of two
            of these, ``"train"`` and ``"test"``.
        loss: A function of (outputs, targets), a name such as ``"cross_entropy"``, or None: the one that fits.
        checkpoints: Of its training, the final one last: a ``Trajectory``, a list of state dicts or models, files, or
            the folder of a run (see ``weights``). The final one is then what is shown. None, or only one: there is no
            path to follow.
        forward: ``forward(model, batch)``, if the model is to be called in another way than
            ``landscape_engine.metrics.Examples`` does.
        name: What the page calls it; its class by default.

    Attributes:
        model: A copy of its parameters with its code.
        trajectory: Its checkpoints; None if there is at most one.
        second: None: it has no second run.
        unit: Of what ``splits`` counts.
        weight_decay: 0, since it is not known.

    Raises:
        LandscapeError: If something given cannot be used.
    """

    second: None = None
    unit = "examples"
    weight_decay = 0.0

    def __init__(
        self,
        model: nn.Module | le.ModelWrapper,
        data: Any,
        loss: str | LossFunction | None = None,
        checkpoints: Any = None,
        forward: Callable[[Any, Any], Any] | None = None,
        name: str = "",
    ) -> None:
        wrapper = le.wrap_model(model)
        self.trajectory, state = _checkpoints(wrapper, checkpoints)
        own = {**wrapper.parameters, **wrapper.buffers}
        shown = {n: state.get(n, tensor).detach().to(tensor.device, copy=True) for n, tensor in own.items()}
        self.model = wrapper.at(shown)
        if self.trajectory is not None:
            check_states(wrapper.parameters, [self.trajectory[k] for k in range(len(self.trajectory))])
        data, self._loss = datasets.read(data) if isinstance(data, str | Path) else data, loss
        sets = data.parts if isinstance(data, Data) else _sets(data)
        if forward is None and all(map(_is_pair, sets.values())):
            sets = self._checked(sets, data)
        self._examples = {name: _examples(given, wrapper, forward) for name, given in sets.items()}
        self.name = self.title = name or type(wrapper.get_model()).__name__
        self.inferred  # noqa: B018  # what does not fit is said now
        for part, given in sets.items():
            if forward is None and not (_is_pair(given) or isinstance(given, Examples)):
                self._check_batch(_first_batch(self._examples[part]))

    def _checked(self, sets: Mapping[str, Any], data: Any) -> dict[str, Any]:
        """Pairs of tensors in the type of the model, once it is sure that all fits."""
        first, *others = (_pair(given, self.model) for given in sets.values())
        called = dict(zip(SETS, (CALLED.get(name, "given") for name in sets), strict=False))
        known = data if isinstance(data, Data) else Data(first, called=called)  # of files, the rows are known
        found = check(self.model, replace(known, train=first, test=next(iter(others), None)), self._loss).data
        return dict(zip(sets, found.parts.values(), strict=True))

    def _check_batch(self, batch: Any) -> None:
        """Look at a first batch, where it is as many inputs as targets."""
        if _is_pair(batch) and len({t.shape[:1] for t in batch}) == 1:
            check(self.model, Data(_pair(batch, self.model), called={"train": "first batch's"}), self._loss)

    @property
    def parameter_count(self) -> int:
        """How many numbers span the space."""
        return sum(p.numel() for p in self.model.parameters.values())

    @property
    def description(self) -> str:
        """How its loss was found, and what is missing, in a sentence each."""
        if self.trajectory is not None:
            return self.inferred.why
        return f"{self.inferred.why} Give checkpoints of the training to see its path."

    @cached_property
    def splits(self) -> dict[str, int]:
        """How many examples each set has."""
        return {name: examples.count for name, examples in self._examples.items()}

    @cached_property
    def inferred(self) -> Inferred:
        """Its loss."""
        examples = next(iter(self._examples.values()))
        batch = _first_batch(examples)
        if isinstance(batch, tuple) and all(isinstance(t, Tensor) for t in batch):
            batch = tuple(t[:FEW] for t in batch)
        try:
            with torch.no_grad():
                outputs = examples.outputs(self.model.private_copy(), batch)
        except Exception as error:  # whatever the model's own code raises
            raise le.LandscapeError(
                f"The model cannot be called with the data: {first_line(error)}. The first batch is {_form(batch)}. "
                "Give data that fit, or forward= a function of (model, batch)."
            ) from error
        return chosen(self._loss, outputs, examples.targets(batch))

    def metrics(self, split: str, count: int = 0) -> list[Metric]:
        """Its loss and, if it tells classes apart, its accuracy.

        Args:
            split: One of ``splits``; the names of the metrics begin with it.
            count: How many examples, drawn at random; 0 means all.
        """
        examples = self._examples[split] if not count else self._examples[split].subset(count)
        label = LOSS_LABELS.get(self.inferred.name, f"Loss, {self.inferred.name}")
        loss = Loss(self.inferred.function, data=examples, name=f"{split}_loss", long_name=label)
        return [loss, *([Accuracy(data=examples, name=f"{split}_accuracy")] if self.inferred.classes else [])]


def _sets(data: Any) -> dict[str, Any]:
    """The sets of examples by their names."""
    if data is None:
        raise le.ChoiceError("data", None, "a pair of tensors (inputs, targets), a Dataset, a DataLoader or batches")
    if not isinstance(data, Mapping):
        return {"all": data}
    if not set(data) & set(SETS):
        return {"all": [data]}  # one batch
    if set(data) - set(SETS):
        raise le.ChoiceError("the keys of data", ", ".join(map(str, data)), "'train' and 'test'")
    return {name: data[name] for name in SETS if name in data}


def _is_pair(data: Any) -> bool:
    return isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(t, Tensor | np.ndarray) for t in data)


def _pair(data: Any, model: le.ModelWrapper) -> Pair:
    try:
        inputs, targets = (torch.as_tensor(t).to(_device(model)) for t in data)
    except (TypeError, ValueError) as error:  # objects, or strides that are no tensor's
        raise le.LandscapeError(
            f"The data are no tensors: {first_line(error)}. Give tensors, or arrays of numbers."
        ) from error
    return inputs, targets


def _first_batch(examples: Examples) -> Any:
    try:
        return next(iter(examples.batches()))
    except le.LandscapeError:
        raise
    except Exception as error:  # whatever the code of a data set raises
        raise le.LandscapeError(
            f"The data cannot be read: {first_line(error)}. Give a data set whose examples are tensors or arrays."
        ) from error


def _examples(data: Any, model: le.ModelWrapper, forward: Callable[[Any, Any], Any] | None) -> Examples:
    if not _is_pair(data):
        return data if isinstance(data, Examples) else Examples(data, BATCH, forward)
    tensors = (t.to(model.dtype) if t.is_floating_point() else t for t in _pair(data, model))
    return Examples(tuple(tensors), forward=forward)


def _device(model: le.ModelWrapper) -> torch.device:
    return next(iter(model.parameters.values())).device


def _checkpoints(model: le.ModelWrapper, given: Any) -> tuple[le.Trajectory | None, Mapping[str, Tensor]]:
    """The checkpoints as a trajectory, if there are several, and the final one."""
    if given is None:
        return None, {}
    if not isinstance(given, le.Trajectory):
        steps, found = _listed(given)
        module, spanned = model.get_model(), {**model.parameters, **model.buffers}
        own = module.state_dict(keep_vars=True) if isinstance(module, nn.Module) else model.tensors()
        states = [weights.matched(own, state) for state in found]
        states = [{n: tensor for n, tensor in state.items() if n in spanned} for state in states]
        if len(states) < 2:
            return None, states[0] if states else {}
        given = _stacked(states, steps)
    given.check_fits(model)
    if any(tensor.device != _device(model) for tensor in given[-1].values()):
        given = le.Trajectory({n: stack.to(_device(model)) for n, stack in given.states.items()}, given.steps)
    return given, given[-1]


def _listed(given: Any) -> tuple[Sequence[int], Sequence[Mapping[str, Tensor]]]:
    """The steps and states of what is in files, or given one by one."""
    ones: list[Any] = [given] if isinstance(given, SINGLE) else list(given)
    if ones and all(isinstance(one, str | Path) for one in ones):
        found = weights.checkpoints(ones)
        return found.steps, found.states
    return range(len(ones)), [_state(one) for one in ones]


def _state(one: Any) -> Mapping[str, Tensor]:
    """A checkpoint as named tensors."""
    if isinstance(one, le.ModelWrapper):
        module, own = one.get_model(), {**one.parameters, **one.buffers}
        kept = module.state_dict() if isinstance(module, nn.Module) else own  # and not what only code makes
        return {n: tensor for n, tensor in own.items() if n in kept}
    if isinstance(one, nn.Module):
        return one.state_dict()
    if not isinstance(one, Mapping) or not all(isinstance(t, Tensor) for t in one.values()):
        raise le.ChoiceError("a checkpoint", type(one).__name__, "a state dict or a model")
    return one


def _stacked(states: Sequence[Mapping[str, Tensor]], steps: Sequence[int]) -> le.Trajectory:
    first = states[0]
    for k, state in enumerate(states):
        odd = sorted(set(first) ^ set(state)) or [n for n in first if first[n].shape != state[n].shape]
        if odd:
            raise le.MismatchError(
                f"checkpoint {k} does not fit checkpoint 0: '{odd[0]}' is missing or has another shape. "
                "Give those of one run.",
                parameter=odd[0],
            )
    return le.Trajectory({n: torch.stack([s[n].detach().cpu() for s in states]) for n in first}, steps)


def _form(batch: Any) -> str:
    """What a batch is made of, in words."""
    if isinstance(batch, Tensor):
        return f"a tensor of shape {tuple(batch.shape)}"
    if isinstance(batch, Mapping):
        return "a dict of " + ", ".join(f"'{k}': {_form(v)}" for k, v in batch.items())
    if isinstance(batch, tuple | list):
        return f"a {type(batch).__name__} of {', '.join(_form(v) for v in batch)}"
    return f"a {type(batch).__name__}"
