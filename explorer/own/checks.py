"""Whether a model, its data and its loss fit each other, before anything runs."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

import landscape_engine as le
from explorer.datasets import Data
from landscape_engine import LandscapeError, MismatchError
from landscape_engine.errors import first_line

from .losses import IGNORED, Inferred, LossFunction, chosen, form
from .preview import Preview, preview

SAMPLE = 64
"""Examples from which the loss is inferred."""


def check(
    model: nn.Module | le.ModelWrapper,
    data: Data,
    loss: str | LossFunction | None = None,
    states: Sequence[Mapping[str, Tensor]] = (),
) -> Preview:
    """Look at everything that could go wrong later, and at what there is.

    Args:
        model: The network.
        data: Its examples.
        loss: A name, a function or module; inferred when left out.
        states: Checkpoints, which must be finite.

    Returns:
        What is about to be explored, with the data in the model's type.

    Raises:
        LandscapeError: One sentence on the first thing that does not fit.
    """
    wrapper = le.wrap_model(model).private_copy()
    for part, (inputs, targets) in data.parts.items():
        _check_lengths(data.called[part], inputs, targets)
        for what, values in (("inputs", inputs), ("targets", targets)):
            _check_finite(data, part, what, values)
    _check_weights(wrapper.parameters, "The model holds")
    check_states(wrapper.parameters, states)
    data, casts = fitted(wrapper, data)
    inputs, targets = data.train
    _outputs(wrapper, inputs[:2])
    rows = _telling(inputs, targets)
    outputs = _outputs(wrapper, inputs[rows])
    found = chosen(loss, outputs, targets[rows])
    for part in data.parts if found.of_indices else ():
        _check_labels(data, part, found)
    _check_loss(found, outputs, targets[rows])
    return preview(wrapper, data, found, outputs, casts)


def check_states(parameters: Collection[str], states: Sequence[Mapping[str, Tensor]]) -> None:
    """Checkpoints are finite in these parameters; buffers may be infinite, as masks of attention are.

    Raises:
        LandscapeError: One sentence on the first that is not.
    """
    for k, state in enumerate(states):
        own = {n: state[n] for n in parameters if n in state}
        _check_weights(own, f"Checkpoint {k + 1} of {len(states)} holds")


def fitted(wrapper: le.ModelWrapper, data: Data) -> tuple[Data, tuple[str, ...]]:
    """The data in the type that the model computes in, and sentences on what was cast.

    Whole-number inputs stay so for a model that looks them up in an embedding.

    Args:
        wrapper: The model.
        data: Its examples.
    """
    dtype = next(p.dtype for p in wrapper.parameters.values() if p.is_floating_point())
    tokens = data.kind == "tokens" or any(isinstance(m, nn.Embedding) for m in wrapper.modules().values())
    x, y = data.train
    casts = []
    if x.dtype != dtype and (x.is_floating_point() or not tokens):
        scale = "" if x.is_floating_point() else " Their scale is as it was: divide them if the model was trained so."
        casts.append(f"Inputs were cast from {_name(x.dtype)} to {_name(dtype)}, the type of the model.{scale}")
    if y.is_floating_point() and y.dtype != dtype:
        casts.append(f"Targets were cast from {_name(y.dtype)} to {_name(dtype)}, the type of the model.")

    def cast(values: Tensor, whole: bool) -> Tensor:
        return values.to(dtype) if values.is_floating_point() or not whole else values

    parts = {part: (cast(x, tokens), cast(y, True)) for part, (x, y) in data.parts.items()}
    return replace(data, train=parts["train"], test=parts.get("test")), tuple(casts)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check_lengths(part: str, inputs: Tensor, targets: Tensor) -> None:
    if not (inputs.ndim and targets.ndim) or len(inputs) != len(targets):
        counts = [len(t) if t.ndim else "a single number" for t in (inputs, targets)]
        raise MismatchError(
            f"Inputs and targets of the {part} data do not fit each other: there are {counts[0]} inputs, but "
            f"{counts[1]} targets. There must be one target for each input.",
            expected=counts[0],
            found=counts[1],
        )
    if not inputs.numel():
        raise MismatchError(
            f"The {part} data are empty: their inputs have shape {tuple(inputs.shape)}. Choose data with an example.",
            found=tuple(inputs.shape),
        )


def _check_finite(data: Data, part: str, what: str, values: Tensor) -> None:
    count, place = _not_finite(values)
    if count:
        row, at = data.row(part, place[0]), f" at {place[1:]}" if place[1:] else ""
        raise LandscapeError(
            f"The {data.called[part]} {what} are not finite in {_times(count)}, first in row {row}{at}, which holds "
            f"{float(values[place])}. Rows are counted from 0. Replace such values or leave their rows out.",
            count=count,
            row=row,
        )


def _check_weights(state: Mapping[str, Tensor], holder: str) -> None:
    for name, tensor in state.items():
        count, place = _not_finite(tensor)
        if count:
            raise LandscapeError(
                f"{holder} weights that are not finite: '{name}' in {_times(count)}, first at {place}, which holds "
                f"{float(tensor[place])}. Take a checkpoint from before training diverged.",
                parameter=name,
                count=count,
            )


def _not_finite(values: Tensor) -> tuple[int, tuple[int, ...]]:
    """How many numbers are not finite, and where the first one is."""
    if not values.is_floating_point() or not values.numel():
        return 0, ()
    if bool(torch.isfinite(torch.stack(values.aminmax())).all()):  # needs no memory, as isfinite of all does
        return 0, ()
    bad = ~torch.isfinite(values)
    return int(bad.sum()), tuple(bad.nonzero()[0].tolist())


def _times(count: int) -> str:
    return "1 place" if count == 1 else f"{count:,} places"


def _outputs(wrapper: le.ModelWrapper, inputs: Tensor) -> object:
    """What the model gives, or why it gives nothing, in a sentence."""
    try:
        with torch.no_grad():
            return wrapper.forward(inputs.clone())
    except Exception as error:  # a model may raise anything
        weight = next(((n, p) for n, p in wrapper.parameters.items() if p.ndim > 1), None)
        its = f", while its first weight, '{weight[0]}', has shape {tuple(weight[1].shape)}" if weight else ""
        raise MismatchError(
            f"The model cannot be called with inputs of {form(inputs)}{_range(inputs)}{its}: {_reason(error)}. "
            f"{_advice(wrapper, inputs)}",
            found=tuple(inputs.shape),
        ) from error


def _range(inputs: Tensor) -> str:
    return "" if inputs.is_floating_point() else f" from {int(inputs.min())} to {int(inputs.max())}"


def _reason(error: Exception) -> str:
    return first_line(error).split(". ")[0]


def _advice(wrapper: le.ModelWrapper, inputs: Tensor) -> str:
    if inputs.ndim > 2:
        try:
            with torch.no_grad():
                wrapper.forward(inputs.flatten(1))
        except Exception:
            pass
        else:
            return "It can be called with flat inputs: choose the shape (-1,)."
    return "Choose the data that it was made for, or another shape of the inputs."


def _telling(inputs: Tensor, targets: Tensor) -> Tensor:
    """Some rows, those with the least and the largest whole number among them, which tell most."""
    rows = list(range(min(SAMPLE, len(inputs))))
    for values in (v for v in (inputs, targets) if not v.is_floating_point() and v.numel() and v.dtype != torch.bool):
        each = values.numel() // len(values)
        rows += [int(values.flatten().argmin()) // each, int(values.flatten().argmax()) // each]
    return torch.tensor(list(dict.fromkeys(rows)))


def _check_labels(data: Data, part: str, found: Inferred) -> None:
    targets, ignored = data.parts[part][1], getattr(found.function, "ignore_index", IGNORED)
    bad = ((targets < 0) | (targets >= found.classes)) & (targets != ignored)
    if not bool(bad.any()):
        return
    place = tuple(bad.nonzero()[0].tolist())
    label, row, kept = int(targets[place]), data.row(part, place[0]), targets[targets != ignored]
    part = data.called[part]
    others = f", as are {int(bad.sum()) - 1:,} more" if int(bad.sum()) > 1 else ""
    from_one = int(kept.min()) == 1 and int(kept.max()) == found.classes
    raise MismatchError(
        f"Label {label} in row {row} of the {part} targets is outside of what the model tells apart{others}: "
        f"expected 0 to {found.classes - 1}. Rows are counted from 0. "
        + (
            "Subtract 1 from all labels."
            if from_one
            else "Number the labels from 0, or choose the model of these data."
        ),
        row=row,
        expected=found.classes,
        found=label,
    )


def _check_loss(found: Inferred, outputs: object, targets: Tensor) -> None:
    """The loss of the examples looked at is one finite number, or one for each."""
    if found.function is None:
        return
    predicted = getattr(outputs, "logits", outputs)
    forms = f"outputs of {form(predicted)} and targets of {form(targets)}"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Using a target size")  # torch's, where it compares each with each
            value = torch.as_tensor(found.function(predicted, targets))
    except Exception as error:  # a loss may raise anything
        raise MismatchError(
            f"The loss {found.name} cannot be computed of {forms}: {_reason(error)}. Choose another loss.",
            found=forms,
        ) from error
    if value.ndim and len(value) != len(targets):
        raise MismatchError(
            f"The loss {found.name} gives numbers of {form(value)} for {forms}. "
            "It must give one number, or one for each example.",
            found=tuple(value.shape),
        )
    if not bool(torch.isfinite(value).all()):
        raise LandscapeError(
            f"The loss {found.name} is {float(value.double().mean())} at the model's own weights. "
            "Choose the loss that it was trained with, or check the scale of the inputs.",
        )
