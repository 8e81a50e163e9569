"""The color bar: a figure of its own, because it carries a pointer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bokeh.models import ColumnDataSource, FixedTicker, Range1d
from bokeh.plotting import figure

from explorer.numbers import format_level
from explorer.theme import CLEAN, DARK, LIGHT, MAP_HERE, MAP_INK, apply_theme
from explorer.views.layers import color_alone
from explorer.views.picture import Picture

WIDTH, LEFT = 68, 4  # px: the frame takes 22, of which the bands take the right 14 and the pointer the rest and LEFT
POINTER = -0.33  # where the pointer stands, left of the bands from 0 to 1
SHORT = 7  # letters of a title beside which there is room for ", log"
LOWEST_HEIGHT = 180  # px of the frame on a phone, where labels must not touch


class ColorBar:
    """Bands, labeled levels and a pointer.

    Attributes:
        figure: As high as the map, with the same borders above and below.
        pointer: Columns ``x`` and ``y``; ``y`` in the units of ``Picture.z``.
    """

    def __init__(self, top: int, height: int, bottom: int) -> None:
        self.pointer = ColumnDataSource({"x": [], "y": []})
        self._bands = ColumnDataSource({"bottom": [], "top": [], "color": []})
        self._range = ColumnDataSource({"bottom": [], "top": []})
        self.figure = figure(
            stylesheets=[CLEAN],
            width=WIDTH,
            height=top + height + bottom,
            x_range=Range1d(-8 / 14, 1),
            y_range=Range1d(0, 1),
            min_border_top=top,
            min_border_bottom=bottom,
            min_border_left=LEFT,
            min_border_right=WIDTH - LEFT - 22,
            y_axis_location="right",
            tools=[],
            toolbar_location=None,
            title="",
        )
        self.figure.grid.visible = False
        self.figure.xaxis.visible = False
        self.figure.title.update(standoff=14, offset=-LEFT)
        (self._axis,) = self.figure.right
        self._axis.update(ticker=FixedTicker(ticks=[]), major_label_standoff=2)
        bands = {"left": 0, "right": 1}
        self.figure.quad(source=self._bands, fill_color="color", line_color=MAP_INK, line_alpha=0.3, **bands)
        self._frame = self.figure.quad(source=self._range, fill_color=None, **bands)
        self._mark = self.figure.scatter(
            source=self.pointer, marker="triangle", angle=-math.pi / 2, size=11, fill_color=MAP_HERE, level="overlay"
        )

    def show(self, picture: Picture, alone: Sequence[str] | None = None) -> None:
        """Draw the bands of a picture; the pointer stays.

        Args:
            picture: What is drawn.
            alone: See ``layers.line_columns``; the bar has the colors that the lines have.
        """
        edges = picture.edges
        pairs = zip(edges[:-1], edges[1:], strict=True)
        colors = [color_alone(picture, (low + high) / 2, alone) for low, high in pairs] if alone else None
        self._bands.data = {"bottom": edges[:-1], "top": edges[1:], "color": colors or list(picture.band_colors)}
        self._range.data = {"bottom": [picture.low], "top": [picture.high]}
        self.figure.y_range.update(start=picture.low, end=picture.high)
        ticks = _ticks(picture)
        self._axis.ticker.ticks = list(ticks)
        self._axis.major_label_overrides = ticks
        log = picture.scale == "log" and len(picture.z_title) <= SHORT and not picture.z_title.endswith("log")
        self.figure.title.text = f"{picture.z_title}, log" if log else picture.z_title

    def paint(self, dark: bool) -> None:
        """Set the colors of the light or the dark theme."""
        colors = DARK if dark else LIGHT
        apply_theme(self.figure, dark)
        self.figure.outline_line_color = None
        self._axis.update(axis_line_color=None, major_tick_line_color=None)
        self._frame.glyph.line_color = colors["edge"]
        self._mark.glyph.line_color = colors["card"]


def _ticks(picture: Picture) -> dict[float, str]:
    """Labels of the major levels, never nearer than 14 px to each other."""
    apart = 14 * (picture.high - picture.low) / LOWEST_HEIGHT
    ticks: dict[float, str] = {}
    for level in filter(picture.is_major, picture.levels):
        z = picture.transform(level)
        if not ticks or z - max(ticks) >= apart:
            ticks[z] = format_level(level)
    return ticks
