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
    FixedTicker,
    HoverTool,
    PanTool,
    Range1d,
    ResetTool,
    WheelZoomTool,
)
from bokeh.plotting import figure

from explorer.theme import DARK, FONT, LIGHT, MAP_HERE, MAP_INK, MAP_LIGHT, apply_theme
from explorer.views.picture import Array, Picture, format_number

TOP, BOTTOM, LEFT, RIGHT = 30, 46, 46, 8  # px around the frame; the bar has the same top and bottom
BAR_WIDTH = 64
CARD_ASPECT = 1.3  # of the frame of a trajectory plane; square planes get the same height
NOMINAL_WIDTH, NOMINAL_HEIGHT = 360, 277  # px of a frame, for what is laid out before it is drawn

# Width / CARD_ASPECT is the frame's height whatever the plane, so that cards side by side are equally high.
_FIT = """
const aspect = plane.data.aspect[0]
const room = figure.outer_width - left - right
if (!(room > 40)) return
let height = room / card_aspect
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
<div style="margin: -6px; padding: 6px 8px; border-radius: 3px; background: var(--card, #fff);
  box-shadow: 0 0 0 1px var(--hair, #dfe2e6); font: 12px/1.45 var(--font, sans-serif);
  color: var(--ink-2, #48515b); white-space: nowrap">
<b style="color: var(--ink, #14181d)">@value{custom}</b> @units<br>@origin{custom}<br>
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

# The column holds -1 where computed, -2 where not finite, else the error: a share on a log scale.
_ORIGIN = """
if (value === -2) return "nothing to draw here"
if (value < 0) return "computed here"
if (!Number.isFinite(value)) return "predicted, error not known"
if (!shares.data.log[0]) return "predicted, error about " + Number(value.toPrecision(2))
const percent = 100 * Math.expm1(value)
return "predicted, error about " + (percent < 0.1 ? "0.1 % or less" : Number(percent.toPrecision(2)) + " %")
"""

_COORDINATE = """return (value < 0 ? "−" : "") + Number(Math.abs(value).toPrecision(3))"""

_LINE_WIDTHS = {True: 1.15, False: 0.75}
_LINE_ALPHAS = {True: 0.62, False: 0.30}


def _source(*columns: str) -> ColumnDataSource:
    return ColumnDataSource({column: [] for column in columns})


class MapView:
    """The map of a landscape and its color bar.

    Attributes:
        figure: The map.
        bar: The color bar, a figure of its own because it carries a pointer.
        marker: Where the marker is, columns ``x`` and ``y``; a ``CustomJS`` may set ``marker.data``.
        pointer: Where the bar's pointer is, columns ``x`` and ``y``; ``y`` in the units of ``Picture.z``.
        view: Both, as a Panel row.
    """

    def __init__(self, dark: bool = False) -> None:
        self.marker = _source("x", "y")
        self.pointer = _source("x", "y")
        self._plane = ColumnDataSource({"aspect": [CARD_ASPECT]})
        self._scale = ColumnDataSource({"log": [True]})
        self._bounds: tuple[tuple[float, float], tuple[float, float]] | None = None
        self.figure = _map_figure()
        self.bar = _bar_figure()
        self._draw_surface()
        self._draw_path()
        self._draw_marker()
        self._draw_bar()
        self._add_hover()
        self._fit_in_browser()
        self.paint(dark)
        self.view = pn.Row(
            pn.pane.Bokeh(self.figure, sizing_mode="stretch_width", margin=0),
            pn.pane.Bokeh(self.bar, width=BAR_WIDTH, margin=0),
            sizing_mode="stretch_width",
            margin=0,
        )

    def __panel__(self) -> pn.Row:
        return self.view

    def show(self, picture: Picture) -> None:
        """Draw a picture; zoom and marker stay, unless the plane is another one."""
        self._show_plane(picture)
        bands = picture.bands()
        self._bands.data = {"xs": bands.xs, "ys": bands.ys, "color": bands.colors}
        lines = picture.lines()
        self._solid.data = _line_columns(picture, [line for line in lines if not line.dashed])
        self._dashed.data = _line_columns(picture, [line for line in lines if line.dashed])
        self._labels.data = _label_columns(picture)
        self._nodes.data = _node_columns(picture)
        self._image.data = _image_columns(picture)
        self._scale.data = {"log": [picture.scale == "log"]}
        x, y, _ = picture.lowest()
        self._lowest.data = {"x": [x], "y": [y]} if math.isfinite(x) else {"x": [], "y": []}
        self._show_path(picture)
        self._show_bar(picture)

    def show_nodes(self, visible: bool) -> None:
        """Show or hide the nodes that were computed."""
        for renderer in self._node_dots:
            renderer.visible = visible

    def paint(self, dark: bool) -> None:
        """Set the colors of the light or the dark theme."""
        apply_theme(self.figure, dark)
        apply_theme(self.bar, dark)
        colors = DARK if dark else LIGHT
        self.bar.outline_line_color = None
        for axis in self.figure.axis:
            axis.update(axis_line_color=None, minor_tick_line_color=None)  # the frame is there
        self.bar.yaxis[0].update(axis_line_color=None, major_tick_line_color=None)
        self._hatch.glyph.update(hatch_color=colors["edge"], fill_color=colors["sunken"])
        self._bar_frame.glyph.line_color = colors["edge"]
        self._pointer_mark.glyph.line_color = colors["card"]

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

    def _show_path(self, picture: Picture) -> None:
        self._path.data = {"x": picture.path[:, 0], "y": picture.path[:, 1]}
        dots = _thinned(picture)
        self._checkpoints.data = {"x": dots[:, 0], "y": dots[:, 1]}
        ends = picture.checkpoints if len(picture.checkpoints) else picture.path
        first, last = ends[:1], ends[-1:]
        self._start.data = {"x": first[:, 0], "y": first[:, 1], "text": ["start"] * len(first)}
        self._final.data = {"x": last[:, 0], "y": last[:, 1], "text": ["final"] * len(last)}

    def _show_bar(self, picture: Picture) -> None:
        edges = picture.edges
        self._bar_bands.data = {
            "bottom": edges[:-1],
            "top": edges[1:],
            "color": list(picture.band_colors),
        }
        self._bar_outline.data = {"bottom": [picture.low], "top": [picture.high]}
        self.bar.y_range.update(start=picture.low, end=picture.high)
        ticks = _bar_ticks(picture)
        self.bar.yaxis[0].update(ticker=FixedTicker(ticks=list(ticks)), major_label_overrides=ticks)
        log = picture.scale == "log" and not picture.z_title.endswith("log")
        self.bar.title.text = f"{picture.z_title}, log" if log else picture.z_title

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

    def _draw_path(self) -> None:
        """The training path, cased; its ends and the lowest node."""
        plot = self.figure
        self._path, self._checkpoints, self._lowest = (_source("x", "y") for _ in range(3))
        self._start, self._final = (_source("x", "y", "text") for _ in range(2))
        for color, width in ((MAP_INK, 5.2), (MAP_LIGHT, 2.4)):
            plot.line(source=self._path, color=color, line_width=width, line_join="round", line_cap="round")
        plot.scatter(source=self._checkpoints, size=6, fill_color=MAP_LIGHT, line_color=MAP_INK, line_width=1.4)
        square = {"marker": "square", "size": 10, "fill_color": MAP_LIGHT, "line_color": MAP_INK}
        diamond = {"marker": "diamond", "size": 17, "fill_color": MAP_INK, "line_color": MAP_LIGHT}
        plot.scatter(source=self._start, line_width=1.8, **square)
        plot.scatter(source=self._final, line_width=1.8, **diamond)
        for source, offset in ((self._start, 13), (self._final, 12)):
            _haloed(plot, source, y_offset=offset, text_font_size="13px", text_font_style="bold")
        for color, width in ((MAP_LIGHT, 4.4), (MAP_INK, 1.8)):
            plot.scatter(source=self._lowest, marker="cross", size=12, color=color, line_width=width, line_cap="round")

    def _draw_marker(self) -> None:
        """A disc told by its rings, not by its color alone; one source moves all three."""
        for size, color in ((20.4, MAP_INK), (18, MAP_LIGHT), (12.4, MAP_HERE)):
            self.figure.scatter(source=self.marker, size=size, color=color, line_color=None, level="overlay")

    def _draw_bar(self) -> None:
        self._bar_bands = _source("bottom", "top", "color")
        self._bar_outline = _source("bottom", "top")
        self.bar.quad(source=self._bar_bands, left=0, right=1, fill_color="color", line_color=MAP_INK, line_alpha=0.3)
        self._bar_frame = self.bar.quad(source=self._bar_outline, left=0, right=1, fill_color=None)
        self._pointer_mark = self.bar.scatter(
            source=self.pointer, marker="triangle", angle=-math.pi / 2, size=11, fill_color=MAP_HERE
        )

    def _add_hover(self) -> None:
        coordinate = CustomJSHover(code=_COORDINATE)
        tool = HoverTool(
            renderers=[self._hover_target],
            tooltips=_TOOLTIP,
            formatters={
                "@value": CustomJSHover(code=_VALUE),
                "@origin": CustomJSHover(code=_ORIGIN, args={"shares": self._scale}),
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
        names = {"card_aspect": CARD_ASPECT, "top": TOP, "bottom": BOTTOM, "left": LEFT, "right": RIGHT}
        args = {"figure": self.figure, "bar": self.bar, "plane": self._plane}
        constants = "".join(f"const {name} = {size}\n" for name, size in names.items())
        fit = CustomJS(args=args, code=constants + _FIT)
        self.figure.js_on_change("outer_width", fit)
        self._plane.js_on_change("data", fit)


def _map_figure() -> figure:
    plot = figure(
        sizing_mode="stretch_width",
        height=NOMINAL_HEIGHT + TOP + BOTTOM,
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
    return plot


def _bar_figure() -> figure:
    """A frame 22 px wide, of which the bands take the right 14 and the pointer the rest."""
    plot = figure(
        width=BAR_WIDTH,
        height=NOMINAL_HEIGHT + TOP + BOTTOM,
        x_range=Range1d(-8 / 14, 1),
        y_range=Range1d(0, 1),
        min_border_top=TOP,
        min_border_bottom=BOTTOM,
        min_border_left=0,
        min_border_right=BAR_WIDTH - 22,
        y_axis_location="right",
        tools=[],
        toolbar_location=None,
        title="",
    )
    plot.grid.visible = False
    plot.xaxis.visible = False
    plot.title.standoff = 14
    plot.yaxis[0].major_label_standoff = 2
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


def _line_columns(picture: Picture, lines: list[Any]) -> dict[str, list[Any]]:
    dark = {level: _luminance(_level_color(picture, level)) < 0.08 for level in picture.levels}
    return {
        "xs": [line.x for line in lines],
        "ys": [line.y for line in lines],
        "color": [MAP_LIGHT if dark[line.level] else MAP_INK for line in lines],
        "width": [_LINE_WIDTHS[line.major] for line in lines],
        "alpha": [_LINE_ALPHAS[line.major] for line in lines],
    }


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


def _bar_ticks(picture: Picture) -> dict[float, str]:
    """Labels of the major levels, never nearer than 14 px to each other."""
    apart = 14 * (picture.high - picture.low) / NOMINAL_HEIGHT
    ticks: dict[float, str] = {}
    last = -math.inf
    for level in picture.levels:
        z = picture.transform(level)
        if picture.is_major(level) and z - last >= apart:
            ticks[z] = _short(level)
            last = z
    return ticks


def _short(level: float) -> str:
    """A level without trailing zeros: "0.02", "5", "2 × 10⁻⁴"."""
    digits = len(f"{level:.6e}".split("e")[0].rstrip("0").replace(".", "").lstrip("-"))
    return format_number(level, max(1, digits))


def _thinned(picture: Picture) -> Array:
    """The checkpoints without those nearer than 8 px to the one before; the last always stays."""
    scale = _pixels(picture)
    kept: list[Array] = []
    for point in picture.checkpoints[:-1]:
        if not kept or np.hypot(*((point - kept[-1]) * scale)) >= 8:
            kept.append(point)
    return np.array([*kept, *picture.checkpoints[-1:]]).reshape(-1, 2)


def _pixels(picture: Picture) -> float:
    """Pixels a unit of the plane takes in a frame of the nominal size."""
    (left, right), (bottom, top) = picture.x_bounds, picture.y_bounds
    return min(NOMINAL_WIDTH / (right - left), NOMINAL_HEIGHT / (top - bottom))


def _label_columns(picture: Picture) -> dict[str, list[Any]]:
    """Labels on the longest line of each major level, where there is room for one."""
    longest: dict[float, Array] = {}
    for level, line, _ in picture._contours:
        if picture.is_major(level) and len(line) > len(longest.get(level, ())):
            longest[level] = line
    placed: list[tuple[float, float]] = []
    columns: dict[str, list[Any]] = {name: [] for name in ("x", "y", "text", "angle", "color", "halo")}
    for level, line in longest.items():
        spot = _label_spot(picture, line, placed)
        if spot is None:
            continue
        placed.append(spot[:2])
        halo = _level_color(picture, level)
        color = "#ffffff" if _luminance(halo) < 0.179 else "#000000"
        row = (*spot[:2], _short(level), spot[2], color, halo)
        for column, entry in zip(columns.values(), row, strict=True):
            column.append(entry)
    return columns


def _label_spot(picture: Picture, line: Array, placed: list[tuple[float, float]]) -> tuple[float, float, float] | None:
    """Where on a line a label reads best (x, y, angle): level, central, away from everything else."""
    (left, right), (bottom, top) = picture.x_bounds, picture.y_bounds
    scale = _pixels(picture)
    path = np.concatenate([picture.path, picture.checkpoints])
    best, lowest_cost = None, math.inf
    for index, reach in _stretches(line, 14 / scale):
        x, y = line[index]
        border_x, border_y = min(x - left, right - x) * scale, min(y - bottom, top - y) * scale
        crowded = _nearest(placed, x, y) * scale < 50 or _nearest(path, x, y) * scale < 30
        if border_x < 30 or border_y < 18 or crowded:
            continue
        along = line[reach[1]] - line[reach[0]]
        angle = math.remainder(math.atan2(along[1], along[0]), math.pi)
        center = math.hypot(x - left - 0.62 * (right - left), y - (top + bottom) / 2) / (right - left)
        cost = abs(math.degrees(angle)) + 12 * center
        if cost < lowest_cost:
            best, lowest_cost = (float(x), float(y), angle), cost
    return best


def _stretches(line: Array, half: float) -> list[tuple[int, tuple[int, int]]]:
    """Points of a line with the indices about ``half`` a label before and behind them."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    step = max(1, len(line) // 120)
    indices = [i for i in range(0, len(line), step) if along[i] >= 2 * half and along[-1] - along[i] >= 2 * half]
    before = np.searchsorted(along, along[indices] - half)
    behind = np.searchsorted(along, along[indices] + half)
    return [(i, (int(a), int(b))) for i, a, b in zip(indices, before, behind, strict=True)]


def _nearest(points: Any, x: float, y: float) -> float:
    if not len(points):
        return math.inf
    return float(np.hypot(*(np.asarray(points) - (x, y)).T).min())


def _level_color(picture: Picture, level: float) -> str:
    return picture.color_of(picture.transform(level))


def _luminance(color: str) -> float:
    """Relative luminance of "#rrggbb"."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
