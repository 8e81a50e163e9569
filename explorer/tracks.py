"""What the slider follows: networks one after another, from stop to stop, and the lines that are drawn with them."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

import numpy as np
from torch import Tensor

import landscape_engine as le
from explorer.numbers import format_number
from explorer.state import Marker

PER_INTERVAL = 4  # exact values between two stops


@dataclass(frozen=True, eq=False)
class Track(abc.ABC):
    """Networks one after another.

    A place on it is counted in stops: 0 is the first, 1.5 half way from the second to the third.

    Args:
        lines: Of one coordinate each at most, by name; the first is the one that is followed, the others lie beside it.
        stops: What the axis says at each stop.

    Attributes:
        title: Of the card that shows it.
        slider: What the slider is, for those who cannot see it.
        saying: What is said of a place, with room for what the axis says there.
        digits: Decimals of it.
        unit: Of the axis.
        ends: What its first and its last network are.
        stop: What a stop is called, where it is a network that was recorded.
        landmarks: Ends of lines to be named: the line, 0 or -1, a sign, a text.
    """

    title: ClassVar[str]
    slider: ClassVar[str]
    saying: ClassVar[str]
    digits: ClassVar[int] = 0
    unit: ClassVar[str]
    ends: ClassVar[tuple[str, str]]
    stop: ClassVar[str] = ""
    landmarks: ClassVar[tuple[tuple[str, int, str, str], ...]]

    lines: Mapping[str, le.Curve | le.Line | le.Point]
    stops: tuple[float, ...]

    @property
    def followed(self) -> str:
        """Name of the line that the marker moves along."""
        return next(iter(self.lines))

    @property
    def home(self) -> float:
        """Where the marker is at first."""
        return float(len(self.stops) - 1)

    @cached_property
    def positions(self) -> np.ndarray:
        """The places whose exact values are computed, of shape (m,)."""
        return np.arange(PER_INTERVAL * (len(self.stops) - 1) + 1) / PER_INTERVAL

    def nearest(self, place: float) -> int:
        """The number of the nearest of these places."""
        return min(max(round(place * PER_INTERVAL), 0), len(self.positions) - 1)

    def coordinates(self, line: str, place: float) -> tuple[float, ...]:
        """The coordinate of a place on one of the lines; none where the line is a single network."""
        parts = max(len(self.stops) - 1, 1)
        return tuple(min(low + place * ((high - low) / parts), high) for low, high in self.lines[line].bounds)

    def state_at(self, line: str, place: float) -> Mapping[str, Tensor]:
        """The parameters (and buffers, if they move) at a place on one of the lines."""
        return self.lines[line].state_at(self.coordinates(line, place))

    def model_at(self, place: float) -> le.ModelWrapper:
        """The network at a place on the line that is followed."""
        return self.lines[self.followed].model.at(self.state_at(self.followed, place))

    def value(self, place: float) -> float:
        """What the axis says at a place, linear between stops."""
        return float(np.interp(place, np.arange(len(self.stops)), self.stops))

    def tick(self, value: float) -> str:
        """A stop's label on the axis."""
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"

    def said(self, place: float) -> str:
        """What is said of a place: "step 29"."""
        return self.saying.format(f"{self.value(place):,.{self.digits}f}")

    @abc.abstractmethod
    def where(self, place: float) -> str:
        """The same in full: "checkpoint 19 of 43, step 29"."""


LINE_NAMES = {"curve": "connecting curve", "straight": "straight line", "aligned": "aligned line"}
TENTHS = tuple(k / 10 for k in range(11))


@final
class Connection(Track):
    """Ways from one network to another; a stop is a tenth of the way."""

    title = "Between the two networks"
    slider = "Position between the two networks"
    saying = "t = {}"
    digits = 3
    unit = "t"
    ends = ("network A", "network B")
    landmarks = (
        ("straight", 0, "final", "network A"),
        ("straight", -1, "final", "network B"),
        ("aligned", -1, "shadow", "B aligned"),
    )

    @property
    def home(self) -> float:
        """A quarter of the way: beside the barrier, which is marked near the middle."""
        return (len(self.stops) - 1) / 4

    def where(self, place: float) -> str:
        """The line, and t."""
        return f"on the {LINE_NAMES[self.followed]}, {self.said(place)}"


@final
class TrainingPath(Track):
    """The checkpoints of a training; a stop is a checkpoint."""

    title = "Along the training path"
    slider = "Position on the training path"
    saying = "step {}"
    unit = "training step"
    ends = ("initialization", "trained")
    stop = "checkpoint"
    landmarks = (("path", 0, "start", "start"), ("path", -1, "final", "final"))

    @classmethod
    def of(cls, model: le.ModelWrapper, trajectory: le.Trajectory) -> TrainingPath:
        """The path of a trajectory, with the code of a model."""
        return cls({"path": le.Curve.along(model, trajectory)}, tuple(trajectory.steps))

    def where(self, place: float) -> str:
        """The checkpoint or the two neighbors, and the training step."""
        k, count = int(place), len(self.stops)
        at = f"checkpoint {k + 1} of {count}" if k == place else f"between checkpoints {k + 1} and {k + 2}"
        return f"{at}, {self.said(place)}"


@final
class Alone(Track):
    """A single network: there is nothing to move along."""

    title = "The network"
    slider = "The network"
    saying = "the network as it is"
    unit = ""
    ends = ("", "")
    landmarks = (("network", 0, "final", "network"),)

    @classmethod
    def of(cls, model: le.ModelWrapper) -> Alone:
        """The one stop is the model."""
        return cls({"network": le.Point.of(model)}, (0.0,))

    def where(self, place: float) -> str:
        """The same wherever."""
        return self.said(place)


def network_at(at: Marker, track: Track, subspace: le.Line | le.Plane) -> le.ModelWrapper:
    """The network at a marker.

    Args:
        at: The marker.
        track: What the slider follows.
        subspace: What is drawn.
    """
    return track.model_at(at.t) if at.picked is None else subspace.model.at(subspace.state_at(at.picked))


def said(at: Marker, track: Track) -> str:
    """Where a marker is: "step 29", "at α −1.20, β 0.500"."""
    if at.picked is None:
        return track.said(at.t)
    return "at " + ", ".join(f"{name} {format_number(x)}" for name, x in zip("αβ", at.picked, strict=False))
