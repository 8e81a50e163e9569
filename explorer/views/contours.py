"""The map: filled bands, contour lines, the training path and the marker, with a color bar beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn
from bokeh.core.properties import value
from bokeh.events import PanEnd, PanStart
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    HoverTool,
    PanTool,
    Range1d,
    ResetTool,
    WheelZoomTool,
)
from bokeh.plotting import figure

from explorer.theme import (
    CLEAN,
    DARK,
    FONT,
    LIGHT,
    MAP_HERE,
    MAP_INK,
    MAP_LIGHT,
    apply_theme,
    without_press,
    without_selection,
)
from explorer.views import colorbar
from explorer.views.labels import HEIGHT, Label, contour_labels
from explorer.views.layers import (
    COLORS_ALONE,
    LINE,
    SIGN,
    STROKES,
    fill,
    image_columns,
    line_columns,
    node_columns,
    sign_columns,
    stroke_columns,
)
from explorer.views.names import Name, covered, names
from explorer.views.picture import MOST_LEVELS, Picture
from explorer.views.tip import tip

TOP, BOTTOM, LEFT, RIGHT = 28, 42, 60, 24  # px around the frame; the bar has the same top and bottom
NARROW_LEFT, NARROW_RIGHT = 36, 8  # px on a phone
KEY_LINE = 18  # px: of the key's second line, which a wide frame makes room for
CARD_ASPECT = 1.3  # of the frame of a trajectory plane; square planes get the same height

# Width / CARD_ASPECT less a line is the frame's height whatever the plane, so that cards side by side are equally high.
# All is set in silence, and the page laid out once: Bokeh 3.9 lays all of it out anew for each size that changes.
_FIT = """
const aspect = plane.data.aspect[0]
const slim = figure.outer_width < 330
const [left, right] = slim ? [narrow_left, narrow_right] : [wide_left, wide_right]
const room = figure.outer_width - left - right
if (!(room > 40)) return
let height = room / card_aspect - (slim ? 0 : key_line)
const width = Math.min(room, height * aspect)
height = width / aspect
const spare = Math.max(0, room - width)
const total = Math.round(height) + top + bottom
const min_border_left = Math.round(left + spare / 2), min_border_right = Math.round(right + spare / 2)
const known = (figure.height === total) && (bar.height === total)
if (known && figure.min_border_left === min_border_left && figure.min_border_right === min_border_right) return
figure.setv({min_border_left, min_border_right, height: total}, {silent: true})
bar.setv({height: total}, {silent: true})
Bokeh.index.find_one(figure)?.invalidate_layout()
"""

_TOOLTIP = tip("""<b>@value{custom}</b> @units<br>
<span style="white-space: pre">@origin{custom}@sampling{custom}</span><br>
α $x{custom}, β $y{custom}""")

# Between four nodes as the picture is: bilinear, of logarithms on a log scale; beside what is not finite the nearest.
_VALUE = """
const {value: [nodes], x: [left], y: [bottom], dw: [width], dh: [height]} = image.data, [rows, columns] = nodes.shape
const log = shares.data.log[0]
const place = (share, count) => Math.min(Math.max(share * count - 0.5, 0), count - 1)
const u = place((special_vars.x - left) / width, columns), v = place((special_vars.y - bottom) / height, rows)
const i = Math.min(Math.floor(u), columns - 2), j = Math.min(Math.floor(v), rows - 2), right = u - i, up = v - j
const at = (row, column) => log ? Math.log(nodes[row * columns + column]) : nodes[row * columns + column]
const along = (row) => (1 - right) * at(row, i) + right * at(row, i + 1)
const between = (1 - up) * along(j) + up * along(j + 1)
if (Number.isFinite(between)) value = log ? Math.exp(between) : between
if (!Number.isFinite(value)) return "not finite"
if (value === 0) return "0"
const size = Math.abs(value), sign = value < 0 ? "−" : ""
let [mantissa, power] = size.toExponential(2).split("e")
power = Number(power)
if (power >= 5 || power < -3) {
  const raised = String(power).replace(/[-0-9]/g, (c) => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])
  return sign + mantissa + " × 10" + raised
}
const text = size.toFixed(Math.max(0, 2 - power))
return sign + (size >= 9999.5 ? text.replace(/\\B(?=(\\d{3})+$)/g, ",") : text)
"""

# The column holds -1 where computed, -2 where not finite, else the error: a share on a log scale. A mark tells more.
_ORIGIN = """
const {x_range, y_range, inner_width, inner_height} = figure
const {x, y, note} = marks.data
const apart = (place, other, {start, end}, size) => Math.abs((place - other) / (end - start)) * size
const away = note.map((text, k) => text ? Math.max(apart(special_vars.x, x[k], x_range, inner_width),
  apart(special_vars.y, y[k], y_range, inner_height)) : Infinity)
const nearest = Math.min(...away), k = nearest < 9 ? away.indexOf(nearest) : -1
const told = k < 0 ? "" : note[k] + "\\n"
if (value === -2) return told + "nothing to draw here"
if (value < 0) return told + "computed here"
if (!Number.isFinite(value)) return told + "predicted, error not known"
if (!shares.data.log[0]) return told + "predicted, error ≈ " + Number(value.toPrecision(2))
const percent = 100 * Math.expm1(value)
return told + "predicted, error " + (percent < 0.1 ? "below 0.1 %" : "≈ " + Number(percent.toPrecision(2)) + " %")
"""

_SAMPLING = """return Number.isFinite(value) ? "\\n± " + Number(value.toPrecision(2)) + " from sampling" : ''"""

_COORDINATE = """return (value < 0 ? "−" : "") + Number(Math.abs(value).toPrecision(3))"""


def _source(*columns: str) -> ColumnDataSource:
    return ColumnDataSource({column: [] for column in columns})


class MapView:
    """The map of a landscape and its color bar.

    Attributes:
        figure: The map.
        bar: The color bar.
        marker: Where the marker is, columns ``x`` and ``y``; a ``CustomJS`` may set ``marker.data``.
        view: Both, as a Panel row.
    """

    def __init__(self, dark: bool = False) -> None:
        self.marker = _source("x", "y")
        self._plane = ColumnDataSource({"aspect": [CARD_ASPECT]})
        self._scale = ColumnDataSource({"log": [True]})
        self._bounds: tuple[tuple[float, float], tuple[float, float]] | None = None
        self._picture: Picture | None = None
        self._only_lines, self._dark = False, dark
        self.figure = _map_figure()
        self.bar = colorbar.ColorBar(TOP, HEIGHT, BOTTOM)
        self._draw_surface()
        self._draw_strokes()
        self._draw_marker()
        self._add_hover()
        self._fit_in_browser()
        without_selection(self.figure)
        self.paint(dark)
        self.view = pn.Row(
            pn.pane.Bokeh(self.figure, sizing_mode="stretch_width", margin=0),
            pn.pane.Bokeh(self.bar.figure, width=colorbar.WIDTH, margin=0),
            sizing_mode="stretch_width",
            margin=0,
        )

    def __panel__(self) -> pn.Row:
        return self.view

    def show(self, picture: Picture, whole: bool = True) -> None:
        """Draw a picture; zoom and marker stay, unless the plane is another one.

        Args:
            picture: Of a plane, or of a part of it.
            whole: Whether it is the plane: to which one comes back from a part.
        """
        self._show_plane(picture, whole)
        bands = picture.bands()
        fill(self._bands, {"xs": bands.xs, "ys": bands.ys, "color": bands.colors})
        self._written = names(picture)
        self._picture = picture
        self._paint_lines()
        fill(self._names, {name: [getattr(one, name) for one in self._written] for name in Name._fields})
        self._nodes.data = node_columns(picture)
        self._image.data = image_columns(picture)
        self._scale.data = {"log": [picture.scale == "log"]}
        fill(self._strokes, stroke_columns(picture), 2 * len(STROKES))
        fill(self._signs, sign_columns(picture))

    def is_whole(self, seen: tuple[tuple[float, float], tuple[float, float]]) -> bool:
        """Whether a part of the plane is all of it."""
        ranges = self.figure.x_range, self.figure.y_range
        return all(
            np.allclose(part, (r.reset_start, r.reset_end), rtol=0, atol=1e-3 * abs(r.reset_end - r.reset_start))
            for part, r in zip(seen, ranges, strict=True)
        )

    def show_whole(self) -> None:
        """Zoom out to the whole plane."""
        for axis_range in (self.figure.x_range, self.figure.y_range):
            axis_range.update(start=axis_range.reset_start, end=axis_range.reset_end)

    def show_nodes(self, visible: bool) -> None:
        """Show or hide the nodes that were computed."""
        self._node_dots.visible = visible

    def draw_lines_only(self, only: bool) -> None:
        """Draw contour lines in the colors of their levels instead of bands, or bands."""
        self._only_lines = only
        self.paint(self._dark)

    def paint(self, dark: bool) -> None:
        """Set the colors of the light or the dark theme."""
        apply_theme(self.figure, dark)
        self._dark = dark
        color = (DARK if dark else LIGHT)["card"] if self._only_lines else "color"
        self._filled.glyph.update(fill_color=color, line_color=color)
        self._paint_lines()
        self.bar.paint(dark)
        colors = DARK if dark else LIGHT
        for axis in self.figure.axis:
            axis.update(axis_line_color=None, minor_tick_line_color=None)  # the frame is there
        self._hatch.glyph.update(hatch_color=colors["edge"], fill_color=colors["sunken"])

    def _paint_lines(self) -> None:
        """Draw the contour lines and their labels, and the bar in their colors."""
        if self._picture is None:
            return
        picture, alone = self._picture, COLORS_ALONE[self._dark] if self._only_lines else None
        self.bar.show(picture, alone)
        fill(self._lines, line_columns(picture, alone), 2 * (MOST_LEVELS + 1))
        labels = contour_labels(picture, covered(picture, self._written))
        columns = {name: [getattr(label, name) for label in labels] for name in Label._fields}
        if alone is not None:
            colors = DARK if self._dark else LIGHT
            columns |= {"color": [colors["ink"]] * len(labels), "halo": [colors["card"]] * len(labels)}
        fill(self._labels, columns)

    def _show_plane(self, picture: Picture, whole: bool) -> None:
        """Titles always; ranges and aspect only when the bounds change, so that the zoom survives."""
        self.figure.title.text = picture.y_title
        self.figure.xaxis[0].axis_label = picture.x_title
        bounds = picture.x_bounds, picture.y_bounds
        if bounds == self._bounds:
            return
        self._bounds = bounds
        pairs = zip((self.figure.x_range, self.figure.y_range), bounds, strict=True)
        for axis_range, (start, end) in pairs:
            home = {"reset_start": start, "reset_end": end, "bounds": (start, end)} if whole else {}
            axis_range.update(**home, start=start, end=end)  # in this order: BokehJS keeps ends within known bounds
        (left, right), (bottom, top) = bounds
        self._frame.data = {"left": [left], "right": [right], "bottom": [bottom], "top": [top]}
        self._plane.data = {"aspect": [(right - left) / (top - bottom)]}

    def _draw_surface(self) -> None:
        """Everything that follows the metric, from the back to the front."""
        plot = self.figure
        self._frame = _source("left", "right", "bottom", "top")
        self._hatch = plot.quad(source=self._frame, line_color=None, hatch_pattern="/", hatch_scale=9, hatch_weight=1)
        self._bands = _source("xs", "ys", "color")
        self._filled = plot.multi_polygons(
            source=self._bands, fill_color="color", line_color="color", line_width=0.6, line_join="round"
        )
        self._image = _source("image", "value", "origin", "sampling", "x", "y", "dw", "dh", "units")
        self._hover_target = plot.image(source=self._image, palette=[MAP_INK], global_alpha=0)
        self._lines = _source(*LINE)
        _draw_lines(plot, self._lines)
        self._labels = _source("x", "y", "text", "angle", "color", "halo")
        style = {"halo": "halo", "width": 6, "color": "color", "angle": "angle"}
        _haloed(plot, self._labels, text_baseline="middle", **style)
        self._nodes = _source("x", "y")
        dots = {"fill_color": MAP_INK, "line_color": MAP_LIGHT, "line_alpha": 0.85, "line_width": 0.9}
        self._node_dots = plot.scatter(source=self._nodes, size=3.3, visible=False, **dots)

    def _draw_strokes(self) -> None:
        """Lines, cased, with their dots; marks with their names."""
        plot = self.figure
        self._strokes, self._signs, self._names = _source(*LINE, "style"), _source(*SIGN), _source(*Name._fields)
        _draw_lines(plot, self._strokes, line_join="round")
        plot.scatter(
            source=self._signs,
            marker="marker",
            size="size",
            fill_color="fill",
            line_color="line",
            line_width="width",
            line_cap="round",
        )
        place = {"x_offset": "right", "y_offset": "down", "text_align": "align", "text_baseline": "middle"}
        _haloed(plot, self._names, text_font_size="13px", text_font_style="bold", **place)

    def _draw_marker(self) -> None:
        """A disc told by its rings, not by its color alone; one source moves both."""
        disc = {"source": self.marker, "level": "overlay"}
        self.figure.scatter(size=20.4, color=MAP_INK, line_color=None, **disc)
        self.figure.scatter(size=15.2, color=MAP_HERE, line_color=MAP_LIGHT, line_width=2.8, **disc)

    def _add_hover(self) -> None:
        coordinate = CustomJSHover(code=_COORDINATE)
        told = {"shares": self._scale, "figure": self.figure, "marks": self._signs}
        tool = HoverTool(
            renderers=[self._hover_target],
            tooltips=_TOOLTIP,
            formatters={
                "@value": CustomJSHover(code=_VALUE, args={"shares": self._scale, "image": self._image}),
                "@origin": CustomJSHover(code=_ORIGIN, args=told),
                "@sampling": CustomJSHover(code=_SAMPLING),
                "$x": coordinate,
                "$y": coordinate,
            },
            show_arrow=False,
            attachment="horizontal",
            point_policy="follow_mouse",
            visible=False,
        )
        self.figure.add_tools(tool)
        told = {"tool": tool, "target": self._hover_target}
        for event, targets in ((PanStart, "[]"), (PanEnd, "[target]")):  # it would cover what is being dragged
            self.figure.js_on_event(event, CustomJS(args=told, code=f"tool.renderers = {targets}"))

    def _fit_in_browser(self) -> None:
        names = {"card_aspect": CARD_ASPECT, "top": TOP, "bottom": BOTTOM, "wide_left": LEFT, "wide_right": RIGHT}
        names |= {"key_line": KEY_LINE, "narrow_left": NARROW_LEFT, "narrow_right": NARROW_RIGHT}
        args = {"figure": self.figure, "bar": self.bar.figure, "plane": self._plane}
        constants = "".join(f"const {name} = {size}\n" for name, size in names.items())
        fit = CustomJS(args=args, code=constants + _FIT)
        self.figure.js_on_change("outer_width", fit)
        self._plane.js_on_change("data", fit)
        # Bokeh 3.9 takes a box zoom back when the map is tapped twice, to bounds that may be another plane's.
        forget = "Bokeh.index.find_one(figure)?.state.clear()"
        self.figure.js_on_event("rangesupdate", CustomJS(args={"figure": self.figure}, code=forget))


def _map_figure() -> figure:
    plot = figure(
        stylesheets=[CLEAN],
        sizing_mode="stretch_width",
        height=HEIGHT + TOP + BOTTOM,
        x_range=Range1d(-1, 1),
        y_range=Range1d(-1, 1),
        min_border_top=TOP,
        min_border_bottom=BOTTOM,
        min_border_left=LEFT,
        min_border_right=RIGHT,
        tools=[zoom := BoxZoomTool(match_aspect=True), PanTool(), WheelZoomTool(), ResetTool()],
        active_drag=zoom,
        toolbar_location="above",  # shares the row of the title
        title="",
    )
    without_press(plot)
    plot.toolbar.update(logo=None, autohide=True)
    plot.title.standoff = 14  # as that of the bar: both fill the upper border
    plot.grid.visible = False
    for axis in plot.axis:
        axis.ticker.desired_num_ticks = 5
    plot.xaxis[0].axis_label_standoff = 3
    return plot


def _haloed(plot: figure, source: ColumnDataSource, **given: Any) -> None:
    """Text twice: its outline in the color of the halo, then itself."""
    halo = given.pop("halo", MAP_LIGHT)
    width = given.pop("width", 3.5)
    color = given.pop("color", MAP_INK)
    given = {"text_font": value(FONT), "text_font_size": "12px", "text_align": "center", **given}
    given.setdefault("text_baseline", "top")
    plot.text(source=source, text_color=halo, text_outline_color=halo, text_outline_width=width, **given)
    plot.text(source=source, text_color=color, **given)


def _draw_lines(plot: figure, source: ColumnDataSource, **given: Any) -> None:
    style = {
        "color": "color",
        "width": "width",
        "alpha": "alpha",
        "dash": "dash",
        "dash_offset": "offset",
        "cap": "cap",
    }
    plot.multi_line(source=source, **{f"line_{name}": column for name, column in style.items()}, **given)
