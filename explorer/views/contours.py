"""The map: filled bands, contour lines, the training path and the marker, with a color bar beside it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import panel as pn
from bokeh.core.properties import value
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

from explorer.theme import DARK, FONT, LIGHT, MAP_HERE, MAP_INK, MAP_LIGHT, apply_theme
from explorer.views import colorbar
from explorer.views.labels import HEIGHT, Label, contour_labels, luminance, pixels
from explorer.views.names import Name, covered, names
from explorer.views.picture import MOST_LEVELS, Array, Picture

TOP, BOTTOM, LEFT, RIGHT = 28, 42, 60, 24  # px around the frame; the bar has the same top and bottom
NARROW_LEFT, NARROW_RIGHT = 36, 8  # px on a phone
KEY_LINE = 18  # px: of the key's second line, which a wide frame makes room for
CARD_ASPECT = 1.3  # of the frame of a trajectory plane; square planes get the same height

# Width / CARD_ASPECT less a line is the frame's height whatever the plane, so that cards side by side are equally high.
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
figure.min_border_left = Math.round(left + spare / 2)
figure.min_border_right = Math.round(right + spare / 2)
if (figure.height !== total) figure.height = total
if (bar.height !== total) bar.height = total
"""

_TOOLTIP = """
<div class="map-tip" style="margin: -6px; padding: 6px 8px; border-radius: 3px; background: var(--card, #fff);
  box-shadow: 0 0 0 1px var(--hair, #dfe2e6); font: 12px/1.45 var(--font, sans-serif);
  color: var(--ink-2, #48515b); white-space: nowrap">
<b style="color: var(--ink, #14181d)">@value{custom}</b> @units<br>
<span style="white-space: pre">@origin{custom}</span><br>
α $x{custom}, β $y{custom}</div>
"""

_VALUE = """
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

# The column holds -1 where computed, -2 where not finite, else the error: a share on a log scale. A mark tells its own.
_ORIGIN = """
const {x_range, y_range, inner_width, inner_height} = figure
const near = (place, other, {start, end}, size) => Math.abs((place - other) / (end - start)) * size < 9
for (const {data} of marks) {
  const k = data.x.findIndex((x, k) => data.note[k] && near(special_vars.x, x, x_range, inner_width)
    && near(special_vars.y, data.y[k], y_range, inner_height))
  if (k >= 0) return data.note[k]
}
if (value === -2) return "nothing to draw here"
if (value < 0) return "computed here"
if (!Number.isFinite(value)) return "predicted, error not known"
if (!shares.data.log[0]) return "predicted, error about " + Number(value.toPrecision(2))
const percent = 100 * Math.expm1(value)
return "predicted, error about " + (percent < 0.1 ? "0.1 % or less" : Number(percent.toPrecision(2)) + " %")
"""

_COORDINATE = """return (value < 0 ? "−" : "") + Number(Math.abs(value).toPrecision(3))"""

_EMPTY: dict[str, Any] = {
    **{"xs": [], "ys": [], "x": math.nan, "y": math.nan, "text": "", "angle": 0.0},
    **{"color": MAP_INK, "halo": MAP_INK, "width": 0.0, "alpha": 0.0},
}
_STROKES = {  # core and casing of each style: width, dashes and where in them it begins, all in px
    "path": ((2.4, [], 0), (5.2, [], 0)),
    "straight": ((2, [9, 9], 17), (4.6, [11, 7], 0)),
    "aligned": ((1.8, [4, 6], 9), (4.4, [6, 4], 0)),
    "curve": ((3.4, [0, 9], 0), (6, [0, 9], 0)),
}
_SIGNS: dict[str, dict[str, Any]] = {  # of the marks
    "start": {"marker": "square", "size": 10, "fill_color": MAP_LIGHT, "line_color": MAP_INK},
    "final": {"marker": "diamond", "size": 17, "fill_color": MAP_INK, "line_color": MAP_LIGHT},
    "shadow": {"marker": "diamond", "size": 14, "fill_color": MAP_LIGHT, "line_color": MAP_INK},
    "barrier": {"marker": "triangle", "size": 11, "fill_color": MAP_LIGHT, "line_color": MAP_INK},
    "drop": {"marker": "inverted_triangle", "size": 11, "fill_color": MAP_LIGHT, "line_color": MAP_INK},
}
_CROSSES = {"best": "cross", "minimum": "cross", "maximum": "cross", "saddle": "x"}  # cased as lines are
_LINE_WIDTHS = {True: 1.15, False: 0.75}
_LINE_ALPHAS = {True: 0.62, False: 0.30}


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
        self.figure = _map_figure()
        self.bar = colorbar.ColorBar(TOP, HEIGHT, BOTTOM)
        self._draw_surface()
        self._draw_strokes()
        self._draw_marker()
        self._add_hover()
        self._fit_in_browser()
        self.paint(dark)
        self.view = pn.Row(
            pn.pane.Bokeh(self.figure, sizing_mode="stretch_width", margin=0),
            pn.pane.Bokeh(self.bar.figure, width=colorbar.WIDTH, margin=0),
            sizing_mode="stretch_width",
            margin=0,
        )

    def __panel__(self) -> pn.Row:
        return self.view

    def show(self, picture: Picture) -> None:
        """Draw a picture; zoom and marker stay, unless the plane is another one."""
        self._show_plane(picture)
        bands = picture.bands()
        self._bands.data = _padded({"xs": bands.xs, "ys": bands.ys, "color": bands.colors})
        self._solid.data = _padded(_line_columns(picture, dashed=False))
        self._dashed.data = _padded(_line_columns(picture, dashed=True))
        written = names(picture)
        self._names.data = {name: [getattr(one, name) for one in written] for name in Name._fields}
        labels = contour_labels(picture, covered(picture, written))
        self._labels.data = _padded({name: [getattr(label, name) for label in labels] for name in Label._fields})
        self._nodes.data = _node_columns(picture)
        self._image.data = _image_columns(picture)
        self._scale.data = {"log": [picture.scale == "log"]}
        self._show_strokes(picture)
        self.bar.show(picture)

    def show_nodes(self, visible: bool) -> None:
        """Show or hide the nodes that were computed."""
        for renderer in self._node_dots:
            renderer.visible = visible

    def paint(self, dark: bool) -> None:
        """Set the colors of the light or the dark theme."""
        apply_theme(self.figure, dark)
        self.bar.paint(dark)
        colors = DARK if dark else LIGHT
        for axis in self.figure.axis:
            axis.update(axis_line_color=None, minor_tick_line_color=None)  # the frame is there
        self._hatch.glyph.update(hatch_color=colors["edge"], fill_color=colors["sunken"])

    def _show_plane(self, picture: Picture) -> None:
        """Titles always; ranges and aspect only when the bounds change, so that the zoom survives."""
        self.figure.title.text = picture.y_title
        self.figure.xaxis[0].axis_label = picture.x_title
        bounds = picture.x_bounds, picture.y_bounds
        if bounds == self._bounds:
            return
        self._bounds = bounds
        pairs = zip((self.figure.x_range, self.figure.y_range), bounds, strict=True)
        for axis_range, (start, end) in pairs:
            axis_range.update(start=start, end=end, reset_start=start, reset_end=end)
        (left, right), (bottom, top) = bounds
        self._frame.data = {"left": [left], "right": [right], "bottom": [bottom], "top": [top]}
        self._plane.data = {"aspect": [(right - left) / (top - bottom)]}

    def _show_strokes(self, picture: Picture) -> None:
        points = {stroke.style: stroke.points for stroke in picture.strokes}
        for style, source in self._strokes.items():
            line = points.get(style, np.zeros((0, 2)))
            source.data = {"x": line[:, 0], "y": line[:, 1]}
        dots = np.concatenate([np.zeros((0, 2)), *(_thinned(picture, stroke.knots) for stroke in picture.strokes)])
        self._knots.data = {"x": dots[:, 0], "y": dots[:, 1]}
        for kind, source in self._marks.items():
            marks = [mark for mark in picture.marks if mark.kind == kind]
            source.data = {name: [getattr(mark, name) for mark in marks] for name in ("x", "y", "note")}

    def _draw_surface(self) -> None:
        """Everything that follows the metric, from the back to the front."""
        plot = self.figure
        self._frame = _source("left", "right", "bottom", "top")
        self._hatch = plot.quad(source=self._frame, line_color=None, hatch_pattern="/", hatch_scale=9, hatch_weight=1)
        self._bands = _source("xs", "ys", "color")
        plot.multi_polygons(
            source=self._bands, fill_color="color", line_color="color", line_width=0.6, line_join="round"
        )
        self._image = _source("image", "value", "origin", "x", "y", "dw", "dh", "units")
        self._hover_target = plot.image(source=self._image, palette=[MAP_INK], global_alpha=0)
        self._solid, self._dashed = (_source("xs", "ys", "color", "width", "alpha") for _ in range(2))
        for source, dash in ((self._solid, []), (self._dashed, [4, 3])):
            plot.multi_line(
                source=source,
                line_color="color",
                line_width="width",
                line_alpha="alpha",
                line_dash=value(dash),
            )
        self._labels = _source("x", "y", "text", "angle", "color", "halo")
        style = {"halo": "halo", "width": 6, "color": "color", "angle": "angle"}
        _haloed(plot, self._labels, text_baseline="middle", **style)
        self._nodes = _source("x", "y")
        self._node_dots = [
            plot.scatter(source=self._nodes, size=4.2, color=MAP_LIGHT, alpha=0.85, visible=False),
            plot.scatter(source=self._nodes, size=2.4, color=MAP_INK, visible=False),
        ]

    def _draw_strokes(self) -> None:
        """Lines, cased, with their dots; marks with their names."""
        plot = self.figure
        self._strokes = {style: _source("x", "y") for style in _STROKES}
        self._marks = {kind: _source("x", "y", "note") for kind in (*_SIGNS, *_CROSSES)}
        self._knots, self._names = _source("x", "y"), _source(*Name._fields)
        for style, (core, casing) in _STROKES.items():
            for color, (width, dash, offset) in ((MAP_INK, casing), (MAP_LIGHT, core)):
                dashes = {"line_dash": dash, "line_dash_offset": offset}
                ends = "butt" if dash and dash[0] else "round"
                style_of = {"color": color, "line_width": width, "line_join": "round", "line_cap": ends, **dashes}
                plot.line(source=self._strokes[style], **style_of)
        plot.scatter(source=self._knots, size=6, fill_color=MAP_LIGHT, line_color=MAP_INK, line_width=1.4)
        for kind, sign in _SIGNS.items():
            plot.scatter(source=self._marks[kind], line_width=1.8, **sign)
        for kind, marker in _CROSSES.items():
            for color, width in ((MAP_LIGHT, 4.4), (MAP_INK, 1.8)):
                arms = {"size": 12, "color": color, "line_width": width, "line_cap": "round"}
                plot.scatter(source=self._marks[kind], marker=marker, **arms)
        place = {"x_offset": "right", "y_offset": "down", "text_align": "align", "text_baseline": "middle"}
        _haloed(plot, self._names, text_font_size="13px", text_font_style="bold", **place)

    def _draw_marker(self) -> None:
        """A disc told by its rings, not by its color alone; one source moves all three."""
        for size, color in ((20.4, MAP_INK), (18, MAP_LIGHT), (12.4, MAP_HERE)):
            self.figure.scatter(source=self.marker, size=size, color=color, line_color=None, level="overlay")

    def _add_hover(self) -> None:
        coordinate = CustomJSHover(code=_COORDINATE)
        told = {"shares": self._scale, "figure": self.figure, "marks": list(self._marks.values())}
        tool = HoverTool(
            renderers=[self._hover_target],
            tooltips=_TOOLTIP,
            formatters={
                "@value": CustomJSHover(code=_VALUE),
                "@origin": CustomJSHover(code=_ORIGIN, args=told),
                "$x": coordinate,
                "$y": coordinate,
            },
            show_arrow=False,
            attachment="horizontal",
            point_policy="follow_mouse",
            visible=False,
        )
        self.figure.add_tools(tool)

    def _fit_in_browser(self) -> None:
        names = {"card_aspect": CARD_ASPECT, "top": TOP, "bottom": BOTTOM, "wide_left": LEFT, "wide_right": RIGHT}
        names |= {"key_line": KEY_LINE, "narrow_left": NARROW_LEFT, "narrow_right": NARROW_RIGHT}
        args = {"figure": self.figure, "bar": self.bar.figure, "plane": self._plane}
        constants = "".join(f"const {name} = {size}\n" for name, size in names.items())
        fit = CustomJS(args=args, code=constants + _FIT)
        self.figure.js_on_change("outer_width", fit)
        self._plane.js_on_change("data", fit)


def _map_figure() -> figure:
    plot = figure(
        sizing_mode="stretch_width",
        height=HEIGHT + TOP + BOTTOM,
        x_range=Range1d(-1, 1),
        y_range=Range1d(-1, 1),
        min_border_top=TOP,
        min_border_bottom=BOTTOM,
        min_border_left=LEFT,
        min_border_right=RIGHT,
        tools=[PanTool(), BoxZoomTool(match_aspect=True), WheelZoomTool(), ResetTool()],
        toolbar_location="above",  # shares the row of the title
        title="",
    )
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


def _line_columns(picture: Picture, dashed: bool) -> dict[str, list[Any]]:
    """A row a level; a NaN ends each run."""
    columns: dict[str, list[Any]] = {name: [] for name in ("xs", "ys", "color", "width", "alpha")}
    lines = [line for line in picture.lines() if line.dashed == dashed]
    for level in picture.levels:
        runs = [line for line in lines if line.level == level]
        major = picture.is_major(level)
        dark = luminance(picture.color_of(picture.transform(level))) < 0.08
        columns["xs"].append(_joined([run.x for run in runs]))
        columns["ys"].append(_joined([run.y for run in runs]))
        columns["color"].append(MAP_LIGHT if dark else MAP_INK)
        columns["width"].append(_LINE_WIDTHS[major])
        columns["alpha"].append(_LINE_ALPHAS[major])
    return columns


def _joined(runs: list[Array]) -> Array:
    return np.concatenate([np.append(run, np.nan) for run in runs]) if runs else np.zeros(0)


def _padded(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The columns with empty rows up to a fixed number.

    BokehJS takes new columns in steps, paints between them, and fails when there are fewer rows than before.
    """
    return {name: [*column, *[_EMPTY[name]] * (MOST_LEVELS + 1 - len(column))] for name, column in columns.items()}


def _node_columns(picture: Picture) -> dict[str, Array]:
    rows, columns = np.nonzero(picture.evaluated)
    return {"x": picture.x[columns], "y": picture.y[rows]}


def _image_columns(picture: Picture) -> dict[str, list[Any]]:
    """An invisible image whose pixels are centered on the nodes, for the tooltip."""
    (left, right), (bottom, top) = picture.x_bounds, picture.y_bounds
    rows, columns = picture.values.shape
    wide, high = (right - left) / (columns - 1), (top - bottom) / (rows - 1)
    origin = np.where(picture.evaluated, -1.0, picture.error)
    origin = np.where(np.isfinite(picture.values), origin, -2.0)
    values = picture.values.astype(np.float32)
    return {
        "image": [np.zeros(values.shape, dtype=np.uint8)],
        "value": [values],
        "origin": [origin.astype(np.float32)],
        "x": [left - wide / 2],
        "y": [bottom - high / 2],
        "dw": [wide * columns],
        "dh": [high * rows],
        "units": [picture.units],
    }


def _thinned(picture: Picture, knots: Array) -> Array:
    """Dots of a line without those nearer than 8 px to the one before; the last always stays."""
    scale = pixels(picture)
    kept: list[Array] = []
    for point in knots[:-1]:
        if not kept or np.hypot(*((point - kept[-1]) * scale)) >= 8:
            kept.append(point)
    return np.array([*kept, *knots[-1:]]).reshape(-1, 2)
