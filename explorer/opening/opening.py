"""What a person has brought to be explored, and what was chosen for it; no widget in it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from itertools import count
from threading import Thread
from typing import Any

import param

import landscape_engine as le
from explorer.datasets.data import STANDARDIZE, DataChoices
from explorer.own import Own
from explorer.own.losses import LOSSES
from sample_models.architectures import ARCHITECTURES, Option

from .findings import SAMPLE_DATA, Findings, Reader, Wanted
from .inbox import Inbox

KINDS = ("weights", "data")
SHARES = [0.0, 0.1, 0.2, 0.3, 0.5]
MOST = [0, 10_000, 5_000, 2_000, 1_000, 500, 200]


class Opening(param.Parameterized):
    """Dropped files, the choices that go with them, and what was understood of both."""

    architecture = param.Selector(default="", objects=["", *ARCHITECTURES], doc="Empty for the recognized one.")
    options = param.Dict(default={}, doc="Of the architecture, those that were chosen.")
    source = param.Selector(default="files", objects=["files", *SAMPLE_DATA], doc="Where the data come from.")
    inputs = param.Selector(default="", objects=[""], check_on_set=False, doc="Name of the inputs; empty as found.")
    targets = param.Selector(default="", objects=[""], check_on_set=False, doc="The same of the targets.")
    split = param.Selector(default=0.2, objects=SHARES, doc="Share of the examples held out as test part.")
    samples = param.Selector(default=0, objects=MOST, doc="At most so many examples of each part; 0 is all.")
    standardize = param.Selector(default="none", objects=list(STANDARDIZE), doc="Inputs of mean 0 and deviation 1.")
    loss = param.Selector(default="", objects=["", *sorted(LOSSES)], doc="Empty for the one that fits.")

    arriving = param.Dict(default={}, doc="The share of each file that is still coming.")
    contents = param.Integer(default=0, doc="Changes when a file has come or gone.")
    looking = param.Boolean(default=False, doc="Whether the files are being looked at.")
    findings = param.Parameter(default=Findings(), doc="The newest findings.Findings.")
    message = param.String(default="", doc="One sentence about what went wrong with a file on its way.")

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.inboxes = {kind: Inbox() for kind in KINDS}
        self._reader = Reader(self.inboxes["weights"], self.inboxes["data"])

    @property
    def wanted(self) -> Wanted:
        """The choices as one value."""
        inputs, targets = (self.inputs, self.targets) if self.source == "files" else ("", "")
        choices = DataChoices(inputs, targets, self.split, self.samples, self.standardize)
        return Wanted(self.architecture, dict(self.options), self.source, choices, self.loss)

    def take(self, kind: str, name: str, piece: int, pieces: int, data: bytes) -> None:
        """Take a piece of a dropped file.

        Args:
            kind: ``"weights"`` or ``"data"``.
            name: Of the file, with the folders that were dropped with it.
            piece: Its number, from 1.
            pieces: How many there are.
            data: Its bytes.
        """
        try:
            self.inboxes[kind].take(name, piece, pieces, data)
        except (le.LandscapeError, OSError) as error:
            self.message = f"{name} could not be kept: {error}"
            return
        self._arrived(piece == pieces)

    def remove(self, kind: str, name: str) -> None:
        """Forget a dropped file."""
        try:
            self.inboxes[kind].remove(name)
        except le.LandscapeError:
            pass  # a name that was refused: there is no such file
        except OSError as error:
            self.message = f"{name} could not be removed: {error}"
            return
        self._arrived(True)

    def _arrived(self, changed: bool) -> None:
        arriving = {name: share for inbox in self.inboxes.values() for name, share in inbox.arriving.items()}
        self.param.update(arriving=arriving, message="", contents=self.contents + changed)

    @param.depends("architecture", watch=True)
    def _other_architecture(self) -> None:
        self.options = {}  # those of the one before

    def choose_option(self, name: str, value: Any) -> None:
        """An option of the architecture, numbers as text; what cannot be used becomes ``message``."""
        network = self.findings.network
        if network is None:
            return
        try:
            option = network.architecture.options[name]
            option.check(name, value := _parsed(option, value))
        except (le.LandscapeError, ValueError) as error:
            self.message = f"{str(error)[:1].upper()}{str(error)[1:]}"
            return
        self.param.update(options={**self.options, name: value}, message="")

    def look(self) -> Findings:
        """Understand everything anew, for ``settle``. It may take seconds: call it in a thread."""
        return self._reader.look(self.wanted)

    def settle(self, findings: Findings) -> None:
        """Take what ``look`` has found, on the event loop."""
        self.param.update(findings=findings, looking=False)

    def own(self, taken: Collection[str] = ()) -> Own:
        """What was understood, ready for the page. It may take seconds: call it in a thread.

        Args:
            taken: Names that others have.

        Raises:
            LandscapeError: If nothing was understood yet, or it cannot be used.
        """
        model, run, preview = self.findings.model, self.findings.run, self.findings.preview
        if model is None or preview is None:
            raise le.LandscapeError("Nothing can be explored yet. Drop weights and data that fit each other.")
        name = self._name()
        free = (f"{name} ({k})" if k > 1 else name for k in count(1))
        loss = self.loss or None
        return Own(model, preview.data.parts, loss, run, name=next(one for one in free if one not in taken))

    def _name(self) -> str:
        """As its files are called, or its architecture."""
        stems = [path.stem for path in self.inboxes["weights"].files]
        common = os.path.commonprefix(stems).rstrip(" _-.0123456789") if len(stems) > 1 else stems[0]
        return common or self.findings.network.architecture.name

    def explored(self) -> None:
        """Keep files and choices, but nothing in memory that the page has now."""
        self._reader.forget()
        self.findings = Findings()

    def close(self) -> None:
        """Remove the files: the session has ended."""
        for inbox in self.inboxes.values():
            inbox.close()
        Thread(target=self._reader.forget, daemon=True).start()  # it waits until nothing is being read


def _parsed(option: Option, value: Any) -> Any:
    """A value as the option has it, from what was typed."""
    if option.choices or not isinstance(value, str):
        return value
    several = isinstance(option.default, tuple)
    try:
        numbers = tuple(int(part) for part in re.split(r"[\s,;×→]+", value.strip(" ()[],")))
    except ValueError:
        return value
    return numbers if several else numbers[0] if len(numbers) == 1 else value
