"""What is understood of dropped files: which network, which data, and whether they fit each other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

import landscape_engine as le
from explorer import weights
from explorer.datasets import Contents, Data, DataChoices, assemble, look_into
from explorer.datasets.roles import roles
from explorer.own import Preview, check
from explorer.weights import Checkpoints
from sample_models.architectures import ARCHITECTURES, Architecture, Match, recognize
from sample_models.data import DIGITS, SPIRALS

from .inbox import Inbox

log = logging.getLogger("explorer")

SAMPLE_DATA = {"digits": DIGITS, "spirals": SPIRALS}
LARGE = 500_000_000
"""Bytes of weights of which it is said how much memory they take."""


class Wanted(NamedTuple):
    """What a person has chosen.

    Attributes:
        architecture: Its name; empty for the one that is recognized.
        options: Of the architecture.
        source: ``"files"``, or one of ``SAMPLE_DATA``.
        data: Of inputs, targets and parts.
        loss: Its name; empty for the one that fits.
    """

    architecture: str = ""
    options: Mapping[str, Any] = {}
    source: str = "files"
    data: DataChoices = DataChoices()
    loss: str = ""


class Network(NamedTuple):
    """An architecture with all of its options.

    Attributes:
        architecture: Which.
        options: All of them.
        open: Those that a person can choose: what the weights do not tell.
        match: How it was recognized; None if it was chosen.
    """

    architecture: Architecture
    options: dict[str, Any]
    open: tuple[str, ...]
    match: Match | None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example."""
        return self.architecture.input_shape(**self.options)

    def fitted(self, state: Mapping[str, Tensor], model: nn.Module | None = None) -> nn.Module:
        """A network with these weights, in evaluation mode."""
        model = self.architecture.build(**self.options).eval() if model is None else model
        weights.fit(model, state if self.match is None else self.match.renamed(state))
        return model


class Findings(NamedTuple):
    """What is known so far; each step adds to it what it can.

    Attributes:
        said: Sentences of the steps ``"weights"``, ``"data"`` and ``"check"``.
        wrong: One sentence for a step that does not work.
        checkpoints: The weights, in the order of the run.
        recognized: Architectures that have such weights, best first.
        network: The network, if it is known.
        model: The same with the final weights.
        run: All checkpoints, if there are several.
        contents: What the data hold by name.
        usual: Names of the inputs and of the targets, as chosen or found.
        data: The examples.
        preview: Of what can be explored, if all fits.
    """

    said: Mapping[str, tuple[str, ...]] = {}
    wrong: Mapping[str, str] = {}
    checkpoints: Checkpoints | None = None
    recognized: tuple[Match, ...] = ()
    network: Network | None = None
    model: nn.Module | None = None
    run: le.Trajectory | None = None
    contents: Contents | None = None
    usual: tuple[str, str] = ("", "")
    data: Data | None = None
    preview: Preview | None = None

    def telling(self, step: str, *sentences: str, **known: Any) -> Findings:
        """The same, and more: sentences of a step, and what it has found."""
        told = (*self.said.get(step, ()), *(sentence for sentence in sentences if sentence))
        return self._replace(said={**self.said, step: told}, **known)


@final
class Reader:
    """Reads what was dropped, each thing once, and understands it as it is wanted.

    Args:
        weights: Dropped weights.
        data: Dropped data.
    """

    def __init__(self, weights: Inbox, data: Inbox) -> None:
        self.inboxes = {"weights": weights, "data": data, "check": data}
        self._known: dict[str, tuple[Any, Any]] = {}
        self._lock = Lock()

    def look(self, wanted: Wanted) -> Findings:
        """Everything that can be said. It takes as long as to read all, and some evaluations.

        Args:
            wanted: The choices.
        """
        torch.set_num_threads(1)  # two threads of a small product wait for each other on a busy machine
        steps = [("weights", self._weights), ("weights", _network), ("weights", _fitted)]
        steps += [("data", self._contents), ("data", _examples), ("check", _checked)]
        found = Findings()
        with self._lock:
            for name, step in steps:
                try:
                    found = step(found, wanted)
                except Exception as error:  # of a LandscapeError its sentence
                    wrong = self.inboxes[name].told(sentence(error))
                    found = found._replace(wrong={**found.wrong, name: wrong})
        return found

    def forget(self) -> None:
        """Keep nothing in memory."""
        with self._lock:
            self._known.clear()

    def _once(self, what: str, key: Any, read: Callable[[], Any]) -> Any:
        """What was read before, if it is still the same."""
        if what not in self._known or self._known[what][0] != key:
            self._known.pop(what, None)
            self._known[what] = (key, read())
        return self._known[what][1]

    def _weights(self, found: Findings, wanted: Wanted) -> Findings:
        inbox = self.inboxes["weights"]
        revision, files = inbox.revision, inbox.files  # in this order: a file that comes meanwhile is read again
        if not files:
            return found
        parts = any(weights.SHARD.search(path.name) for path in files)
        places = [inbox.folder] if parts else files
        read = self._once("weights", revision, lambda: weights.checkpoints(places))
        return found.telling("weights", *_of_weights(read, inbox.size), checkpoints=read)

    def _contents(self, found: Findings, wanted: Wanted) -> Findings:
        if wanted.source in SAMPLE_DATA:
            return found._replace(contents=_sample(wanted.source))
        inbox, shape = self.inboxes["data"], found.network.input_shape if found.network else ()
        if not inbox.files:
            return found
        size = (shape[1], shape[2]) if len(shape) == 3 else None
        return found._replace(contents=self._once("data", (inbox.revision, size), lambda: look_into(inbox.place, size)))


def sentence(error: Exception) -> str:
    """What went wrong, for the page; what was not foreseen goes to the log as well."""
    if isinstance(error, le.LandscapeError):
        return str(error)
    log.error("Dropped files could not be understood", exc_info=error)
    return f"This could not be understood: {type(error).__name__}: {error}"


def _of_weights(read: Checkpoints, size: int) -> list[str]:
    said = []
    if len(read.names) > 1:
        names = read.names if len(read.names) < 8 else [*read.names[:4], "…", *read.names[-2:]]
        said.append(f"{len(read.names)} checkpoints of one run, in this order: {', '.join(names)}.")
    if isinstance(read.states[-1], weights.Weights):
        said.append(read.states[-1].report)
    if size > LARGE:
        said.append(f"The files hold {size / 1e9:.1f} GB; exploring them takes about three times that in memory.")
    return said


def _network(found: Findings, wanted: Wanted) -> Findings:
    """The architecture that was chosen, or else recognized, and its options."""
    if found.checkpoints is None:
        return found
    state = found.checkpoints.states[-1]
    matches = tuple(recognize({name: tuple(tensor.shape) for name, tensor in state.items()}))
    match = next((m for m in matches if wanted.architecture in ("", m.architecture.name)), None)
    found = found._replace(recognized=matches)
    if match is not None:
        chosen = {name: value for name, value in wanted.options.items() if name in match.open}
        network = Network(match.architecture, {**match.options, **chosen}, match.open, match)
        told = f"What the shapes do not tell: {', '.join(match.open)}. Choose as it was trained." if match.open else ""
        text = f"Recognized from names and shapes: {match.architecture.title}, {_facts(network, state)}."
        return found.telling("weights", text, told, network=network)
    if wanted.architecture:
        known = ARCHITECTURES[wanted.architecture]
        options = {name: value for name, value in wanted.options.items() if name in known.options}
        return found._replace(network=Network(known, known.complete(**options), tuple(known.options), None))
    some = [f"'{name}' {tuple(tensor.shape)}" for name, tensor in list(state.items())[:3]] + ["…"] * (len(state) > 3)
    raise le.LandscapeError(
        f"The architecture was not recognized from the weights: {', '.join(some)}. Choose it below."
    )


def _facts(network: Network, state: Mapping[str, Tensor]) -> str:
    closed = [f"{name} {_shown(value)}" for name, value in network.options.items() if name not in network.open]
    return ", ".join([f"{sum(t.numel() for t in state.values()):,} numbers", *closed])


def _shown(value: Any) -> str:
    """An option as a sentence has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " → ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _fitted(found: Findings, wanted: Wanted) -> Findings:
    """The network with its weights, and the run if there are several."""
    if found.checkpoints is None or found.network is None:
        return found
    states, network = found.checkpoints.states, found.network
    model = network.fitted(states[0])
    if len(states) == 1:
        return found._replace(model=model)
    names = {**(wrapper := le.wrap_model(model)).parameters, **wrapper.buffers}.keys() & model.state_dict().keys()
    own = {name: tensor for name, tensor in model.state_dict().items() if name in names}
    kept = {name: torch.empty(len(states), *tensor.shape, dtype=tensor.dtype) for name, tensor in own.items()}
    for k, state in enumerate(states):
        network.fitted(state, model)
        for name, tensor in model.state_dict().items():
            if name in kept:
                kept[name][k] = tensor
    return found._replace(model=model, run=le.Trajectory(kept, found.checkpoints.steps))


def _sample(source: str) -> Contents:
    """A data set of the samples under the usual names."""
    parts = {part: SAMPLE_DATA[source].split(part) for part in ("train", "test")}
    entries = {
        "x": {part: split.inputs.numpy() for part, split in parts.items()},
        "y": {part: split.targets.numpy() for part, split in parts.items()},
    }
    return Contents(Path(source), entries)


def _examples(found: Findings, wanted: Wanted) -> Findings:
    """Examples, in the shape that the network reads if they have as many numbers."""
    contents, choices = found.contents, wanted.data
    if contents is None:
        return found
    inputs, targets, _ = roles(contents.entries, contents.names, choices, contents.where)
    found = found._replace(usual=(_some(inputs), _some(targets) or "the tokens that come next"))
    data = assemble(contents, choices)
    shape, has = (found.network.input_shape if found.network else ()), tuple(data.train[0].shape[1:])
    told = ""
    if shape and has != shape and prod(has) == prod(shape) and data.kind != "tokens":
        data = assemble(contents, replace(choices, shape=shape))
        told = f"Each input was brought from shape {has} to {shape}."
    return found.telling("data", *data.facts, told, data=data)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]} ({len(names)})"


def _checked(found: Findings, wanted: Wanted) -> Findings:
    """The preview, if model, data and loss fit each other."""
    if found.model is None or found.data is None:
        return found
    states = [] if found.run is None else [found.run[k] for k in range(len(found.run))]
    preview = check(found.model, replace(found.data, facts=()), wanted.loss or None, states)
    return found.telling("check", *preview.sentences, preview=preview)
