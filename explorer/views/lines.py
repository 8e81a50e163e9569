"""What is drawn along a track: lines in their styles, a height that is marked, and what is told of each place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Literal, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from explorer.numbers import format_number, plus_minus

Array = NDArray[np.float64]


class Style(NamedTuple):
    """How a line is drawn: a color of the theme, a width in pixels, dashes."""

    color: str
    width: float
    dash: tuple[int, ...] = ()


STYLES = {  # from the lowest to the topmost line
    "on_map": Style("line3", 1.6, (5, 4)),
    "test": Style("line2", 1.6),
    "train": Style("ink", 2.2),
    "all": Style("ink", 2.2),
    "other": Style("line2", 1.4),
    "aligned": Style("line3", 1.8, (4, 4)),
    "straight": Style("ink", 1.8, (9, 6)),
    "curve": Style("ink", 2.2),
}


class Drawn(NamedTuple):
    """One line: its values, of shape (m,), its name at its end, and where there is no room for that."""

    values: Array
    name: str
    brief: str


class Bracket(NamedTuple):
    """A height marked between two values at a place."""

    place: float
    low: float
    high: float
    text: str


@final
@dataclass(frozen=True, eq=False)
class ProfilePicture:
    """Values along a track, ready to be drawn.

    Attributes:
        t: Places on it, in quarters of stops, of shape (m,).
        lines: What is drawn, by style.
        hollow: The lines that do not show the networks at the marker.
        places: What is said of each place.
        residual: Distances from the picture, of shape (m,).
        off: What they are.
        apart: What is said of one, with room for it.
        exact: Whether all lines but the picture's are exact at a place, of shape (m,).
        ticks: What the axis says at each stop.
        unit: Of that.
        title: Of the value axis: what is measured and, after a comma, its unit.
        scale: Of the value axis.
        gap: Two lines whose difference is shaded.
        stderr: Standard errors of the values at the stops, by line; drawn as bars.
        bracket: A height to be marked.
        is_whole: Whether exact values are known all along; as long as they are not, their lines are faint.
    """

    t: Array
    lines: Mapping[str, Drawn]
    hollow: frozenset[str]
    places: list[str]
    residual: Array
    off: str
    apart: str
    exact: NDArray[np.bool_]
    ticks: list[str]
    unit: str
    title: str
    scale: Literal["log", "linear"] = "linear"
    gap: tuple[str, str] | None = None
    stderr: Mapping[str, Array] = field(default_factory=dict)
    bracket: Bracket | None = None
    is_whole: bool = True


def told(picture: ProfilePicture) -> list[str]:
    """What the tooltip tells of each place, as HTML: the values of all lines, the topmost first, and the distance."""
    unknown, rows = np.full(len(picture.t), np.nan), []
    lines = [(n, picture.lines[n], picture.stderr.get(n, unknown)) for n in [*STYLES][::-1] if n in picture.lines]
    for k, (place, apart) in enumerate(zip(picture.places, picture.residual, strict=True)):
        said = []
        for name, line, doubt in lines:
            value, is_known = float(line.values[k]), bool(picture.exact[k]) and name != "on_map"
            if is_known or not np.isnan(value):
                about = escape(plus_minus(value, float(doubt[k])))
                said.append(" ".join(filter(None, [f"<b>{format_number(value)}</b>", about, escape(line.name)])))
        said.append(f"{place}, {picture.apart.format(format_number(float(apart), 2))}")
        rows.append("<br>".join([*said, *["between exact values: interpolated"] * (not picture.exact[k])]))
    return rows
