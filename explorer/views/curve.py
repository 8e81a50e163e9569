"""A metric along a line: one curve at full width, instead of map and surface."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, final

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, FixedTicker, Range1d, Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from explorer.numbers import format_error, format_number, said_error
from explorer.spread import DIRECTIONS, DISTANCES, INSIDE, Spread
from explorer.theme import CLEAN, DARK, LIGHT, apply_theme, without_press
from explorer.views.key import BAND, BEST, DASHED
from explorer.views.ticks import drawn, tick_values, undrawn
from explorer.views.tip import tell_above

Array = NDArray[np.float64]
_SHARE = f"{100 * (INSIDE[1] - INSIDE[0]):.0f} %"
_AROUND = ("x", "low", "middle", "high")

HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 260, 28, 46, 66, 24  # pixels of the frame and around it
_TOLD = "<b>@value</b><br><span style='white-space: pre'>@origin@others</span><br>α @place"


@final
@dataclass(frozen=True, eq=False)
class CurvePicture:
    """One state of a curve, ready to be drawn.

    Attributes:
        x: Coordinates of the nodes, ascending, of shape (n,).
        values: The metric, of shape (n,).
        error: Estimated error of the transformed metric, 0 where computed, of shape (n,).
        evaluated: Whether a node was computed, of shape (n,).
        scale: Of the value axis.
        x_title: Title of the coordinate's axis.
        z_title: Name of the metric.
        title: Name and unit of the metric.
        units: Unit of the metric, or "".
        high_is_better: Whether the best node is the highest.
        around: What other random directions meet, or None.
    """

    x: Array
    values: Array
    error: Array
    evaluated: NDArray[np.bool_]
    scale: Literal["log", "linear"] = "linear"
    x_title: str = "α"
    z_title: str = "Loss"
    title: str = "Loss"
    units: str = ""
    high_is_better: bool = False
    around: Spread | None = None

    @cached_property
    def z(self) -> Array:
        """The transformed metric, NaN where it is not finite."""
        return drawn(np.where(np.isfinite(self.values), self.values, np.nan), self.scale)

    @cached_property
    def band(self) -> Array:
        """What other directions meet, (4, m): coordinates, lower bound, median and upper bound, as ``z``.

        It is the same on both sides, since a direction is as likely as its opposite, and ends before the distance at
        which so many are not finite that a bound is not.
        """
        if self.around is None:
            return np.zeros((4, 0))
        half = np.vstack([self.around.radii, drawn(self.around.quantiles, self.scale)])
        half = half[:, np.logical_and.accumulate(np.isfinite(half).all(axis=0))]
        return np.hstack([half[:, :0:-1] * [[-1], [1], [1], [1]], half])

    @property
    def error_share(self) -> float:
        """The largest estimated error as a share of the range; NaN where there is none."""
        finite = self.z[np.isfinite(self.z)]
        span = float(np.ptp(finite)) if finite.size else 0.0
        return float(self.error.max()) / span if span else 0.0

    @property
    def said_error(self) -> str:
        """The largest estimated error in words."""
        return said_error(float(self.error.max()), self.error_share, self.scale)

    def best(self) -> tuple[float, float]:
        """Coordinate and value of the lowest node, of the highest if high is better."""
        height = -self.values if self.high_is_better else self.values
        k = int(np.nanargmin(height)) if np.isfinite(height).any() else 0
        return float(self.x[k]), float(self.values[k])

    def height_at(self, points: Array) -> Array:
        """``z`` at coordinates, of shape (m, 1), interpolated linearly; NaN outside."""
        at = np.asarray(points, float).reshape(-1)
        return np.interp(at, self.x, self.z, left=np.nan, right=np.nan)

    def value_at(self, points: Array) -> tuple[Array, Array]:
        """The metric and its estimated error at coordinates, of shape (m, 1); NaN outside."""
        at = np.asarray(points, float).reshape(-1)
        z, error = self.height_at(points), np.interp(at, self.x, self.error, left=np.nan, right=np.nan)
        return undrawn(z, self.scale), error


class CurveView:
    """The curve, its estimated error as a band, other directions as another, its computed nodes and the marker.

    Attributes:
        marker: Where the marker is, columns ``x`` and ``y``, in the units of ``CurvePicture.z``.
        view: Empty until there is a curve: a page that shows planes has no figure for it.
    """

    def __init__(self) -> None:
        self.marker = ColumnDataSource({"x": [], "y": []})
        names = ("x", "y", "low", "high", "value", "origin", "others", "place")
        self._table = ColumnDataSource({name: [] for name in names})
        self._nodes, self._best = (ColumnDataSource({"x": [], "y": []}) for _ in range(2))
        self.figure = figure(
            stylesheets=[CLEAN],
            sizing_mode="stretch_width",
            height=TOP + HEIGHT + BOTTOM,
            x_range=Range1d(-1, 1),
            y_range=Range1d(0, 1),
            min_border_top=TOP,
            min_border_bottom=BOTTOM,
            min_border_left=LEFT,
            min_border_right=RIGHT,
            tools=[],
            toolbar_location=None,
            title="",
        )
        without_press(self.figure)
        self.figure.xgrid.visible = False
        self.figure.yaxis[0].ticker = FixedTicker(ticks=[])
        self.figure.ygrid[0].ticker = FixedTicker(ticks=[])
        self._around = ColumnDataSource({name: [] for name in _AROUND})
        self._others = self.figure.varea(source=self._around, x="x", y1="low", y2="high", fill_alpha=0.22)
        self._median = self.figure.line(source=self._around, x="x", y="middle", line_width=1.4, line_dash=[4, 3])
        self._band = self.figure.varea(source=self._table, x="x", y1="low", y2="high", fill_alpha=0.14)
        self._line = self.figure.line(source=self._table, line_width=2.2, line_join="round")
        self._dots = self.figure.scatter(source=self._nodes, size=5, line_width=1, visible=False)
        self._spans = [Span(location=x, dimension="height", line_dash=[4, 3]) for x in (0, 1)]
        self._lowest = self.figure.scatter(source=self._best, marker="cross", size=12, line_width=2, level="overlay")
        self._here = self.figure.scatter(source=self.marker, size=12, line_width=2, level="overlay")
        for span in self._spans:
            self.figure.add_layout(span)
        tell_above(self.figure, self._table, "x", "top", _TOLD)
        self.view = pn.Column(sizing_mode="stretch_width", margin=0)
        self.paint(dark=False)

    def show(self, picture: CurvePicture) -> None:
        """Draw a picture; the marker stays."""
        if not self.view.objects:
            self.view.append(pn.pane.Bokeh(self.figure, sizing_mode="stretch_width", margin=0))
        z = picture.z
        self._nodes.data = {"x": picture.x[picture.evaluated], "y": z[picture.evaluated]}
        best = picture.x == picture.best()[0]
        self._best.data = {"x": picture.x[best], "y": z[best]}
        self._around.data = dict(zip(_AROUND, picture.band, strict=True))
        finite = np.concatenate([z[np.isfinite(z)], *picture.band[1:]])
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        pad = 0.06 * (high - low or 1)
        self._table.data = {
            "x": picture.x,
            "y": z,
            "low": z - picture.error,
            "high": z + picture.error,
            "top": np.full(len(z), high + pad),  # above which the tooltip covers no line
            **_texts(picture),
        }
        self.figure.x_range.update(start=float(picture.x[0]), end=float(picture.x[-1]))
        self.figure.y_range.update(start=low - pad, end=high + pad)
        tick_values(self.figure, low - pad, high + pad, picture.scale)
        self.figure.title.text = picture.title
        self.figure.xaxis[0].axis_label = picture.x_title

    def show_nodes(self, visible: bool) -> None:
        """Show or hide the nodes that were computed."""
        self._dots.visible = visible

    def paint(self, dark: bool) -> None:
        """Set the colors of the light or the dark theme."""
        colors = DARK if dark else LIGHT
        apply_theme(self.figure, dark)
        self.figure.outline_line_color = None
        self._line.glyph.line_color = self._band.glyph.fill_color = colors["ink"]
        self._dots.glyph.update(fill_color=colors["card"], line_color=colors["ink"])
        self._lowest.glyph.line_color = colors["ink"]
        self._others.glyph.fill_color = self._median.glyph.line_color = colors["line3"]
        self._here.glyph.update(fill_color=colors["here"], line_color=colors["card"])
        for span in self._spans:
            span.line_color = colors["edge"]


def _texts(picture: CurvePicture) -> dict[str, list[str]]:
    origins, values = [], []
    for value, error, computed in zip(picture.values, picture.error, picture.evaluated, strict=True):
        is_known = bool(np.isfinite(value) and np.isfinite(error))
        size = abs(value) * np.expm1(error) if picture.scale == "log" and is_known else error
        doubt = format_error(size, value) if is_known else "not known"
        about = doubt if not is_known or doubt.startswith("<") else f"about {doubt}"
        origins.append("computed here" if computed else f"predicted, error {about}")
        values.append(f"{format_number(value)} {picture.units if np.isfinite(value) else ''}".strip())
    others = [""] * len(values)
    if picture.band.size:
        at, *rows = picture.band
        near = [undrawn(np.interp(picture.x, at, row, np.nan, np.nan), picture.scale) for row in rows]
        words = zip(*([format_number(float(v)) for v in row] for row in near), strict=True)
        told = [f"\n{_SHARE} of {DIRECTIONS} directions:\n{low} to {high}, median {mid}" for low, mid, high in words]
        others = [words * bool(np.isfinite(value)) for words, value in zip(told, near[0], strict=True)]
    return {"value": values, "origin": origins, "others": others, "place": [format_number(float(x)) for x in picture.x]}


def curve_key(picture: CurvePicture, waits: bool = False) -> str:
    """The lines under the curve as HTML.

    Args:
        picture: The curve.
        waits: Whether other directions are being evaluated.
    """
    where, value = picture.best()
    extreme = "highest" if picture.high_is_better else "lowest"
    nodes = f"{int(picture.evaluated.sum()):,} of {picture.evaluated.size:,} nodes computed"
    edge = ", on the edge" * (where in (picture.x[0], picture.x[-1]))
    return (
        f"<div class='row'><span>{BEST}{extreme}, {format_number(value)} at α {format_number(where, 2)}{edge}</span>"
        f"<span>{nodes}, estimated error {picture.said_error}</span></div>{_others_key(picture, waits)}"
    )


def _others_key(picture: CurvePicture, waits: bool) -> str:
    """What the band of other directions is, and how far it has come."""
    known = 0 if picture.around is None else picture.around.distances
    if not known:
        return "<div class='row'><span>Evaluating other random directions …</span></div>" * waits
    come = f"{known} of {DISTANCES}" if known < DISTANCES else f"{DISTANCES}"
    ends = f", up to α {format_number(picture.band[0].max(initial=0), 2)}: beyond, some are not finite"
    come += f" distances{ends if picture.band.shape[1] <= 2 * known else ', linear in between'}"
    return (
        f"<div class='row'><span>{BAND}middle {_SHARE} of {DIRECTIONS} random directions, this one among them</span>"
        f"<span>{DASHED}their median</span><span>at {come}</span></div>"
    )


def as_table(path: Array, picture: Any) -> dict[str, Array]:
    """Coordinates and heights of a path on a picture, for the marker in the browser; beta is 0 on a line."""
    beta = path[:, 1] if path.shape[1] > 1 else np.zeros(len(path))
    return {"alpha": path[:, 0], "beta": beta, "z": picture.height_at(path)}
