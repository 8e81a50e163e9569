"""The profile: exact values along a track, what they are compared with, and how far they are off the picture."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import panel as pn
from bokeh.events import DoubleTap, Tap
from bokeh.models import ColumnDataSource, CustomJS, FixedTicker, GlyphRenderer, Range1d, Span
from bokeh.plotting import figure

from explorer.numbers import format_number
from explorer.theme import CLEAN, DARK, FONT, LIGHT, apply_theme, without_press, without_selection
from explorer.views.cards import text
from explorer.views.layers import fill
from explorer.views.lines import STYLES, Array, ProfilePicture, told
from explorer.views.slider import PAUSE, PathSlider
from explorer.views.ticks import drawn, tick_values
from explorer.views.tip import tell_above

WIDE, NARROW = (66, 132), (46, 12)  # pixels left and right of the plots' frame, which the slider shares
HEIGHT, TITLE, STRIP, FOOT = 150, 24, 56, 24  # pixels: frame of the curves, title above, frame of the strip, ticks
APART, HEADROOM = 16, 1.75  # pixels between names; the strip's height over its highest value
QUARTERS = 4  # values between two stops
AWAY = 0.3  # opacity of the marker's line while the marker is elsewhere
LETTER, NARROWEST = 7.2, 290  # pixels: of a letter, of the narrowest frame
FAINT = 0.45  # opacity of lines that are straight between the few values that are known
SHARES = (0.72, 0.6, 0.5, 0.4, 0.3, 0.2)  # of a bracket's height, where its text may stand
CSS_NAMES = {"ink": "--line-main", "line2": "--line-2", "line3": "--line-3"}
KEY_CSS = """
@container (min-width: 560px) { :host { display: none !important; } }
div { display: flex; flex-wrap: wrap; gap: 0 16px; font: 600 var(--fs-caption)/22px var(--font); white-space: nowrap; }
span { display: inline-flex; align-items: center; gap: 6px; }
"""
# Under the curves, and over them in a window so low that it would be out of sight there.
IN_SIGHT = "@media (max-height: 880px) { .bk-slide { order: -1; } }"
_SAMPLE = """<svg width="26" height="4"><path d="M0 2H26" stroke="currentColor" stroke-width="{}"
stroke-dasharray="{}"/></svg>"""

MOVE = """
const columns = table.data, last = columns.t.length - 1;
if (last >= 0) {
  const place = Math.max(0, Math.min(last, 4 * source.t)), k = Math.floor(place), part = place - k;
  const at = (c) => part === 0 ? c[k] : (1 - part) * c[k] + part * c[k + 1];
  for (const span of spans) span.location = place / 4;
  dots.data = {...dots.data, x: names.map(() => place / 4), y: names.map((name) => at(columns[name]))};
}
"""
FIT = """
const [left, right] = source.narrow ? narrow : wide;
for (const plot of plots) plot.setv({min_border_left: left, min_border_right: right});
for (const name of names) name.visible = !source.narrow;
source.setv({left, right});
"""


class ProfileView:
    """Curves, off-plane strip and slider on one axis, the places of a track.

    Attributes:
        table: The columns drawn: t, each line's, residual, and the two sides of the gap, true and edge.
        dots: Where the marker crosses the lines.
        slider: Moves the marker in the browser.
    """

    def __init__(self) -> None:
        left, right = WIDE
        size = {"sizing_mode": "stretch_width", "height": 52, "margin": 0}
        self.slider = PathSlider(left=left, right=right, css_classes=["bk-slide"], **size)
        self.table = ColumnDataSource({name: [] for name in ("t", *STYLES, "true", "edge", "residual")})
        self.dots = ColumnDataSource({"x": [], "y": [], "fill": [], "line": []})
        self._bars = ColumnDataSource({name: [] for name in ("t", "low", "high", "color")})
        self._told = ColumnDataSource({name: [] for name in ("t", "y", "said")})
        self._height = ColumnDataSource({name: [] for name in ("t", "low", "high")})
        self._hollow: frozenset[str] = frozenset()
        self._bounds: dict[str, tuple[Array, Array]] = {}
        self._across = Range1d(0, 1)
        self._texts: list[tuple[GlyphRenderer, list[tuple[float, float, str, str]]]] = []
        self.curves, self.strip = self._plot(TITLE + HEIGHT + 2, TITLE, 2), self._plot(STRIP + FOOT, 0, FOOT)
        self._spans = [Span(location=0, dimension="height", line_width=1.4) for _ in range(2)]
        self._draw()
        self._write()
        self._key = text("", KEY_CSS, sizing_mode="stretch_width")
        self._link()
        panes = [pn.pane.Bokeh(p, sizing_mode="stretch_width", margin=0) for p in (self.curves, self.strip)]
        measured = {"container-type": "inline-size"}  # so that the key knows whether there is room for names
        css = {"styles": measured, "stylesheets": [IN_SIGHT]}
        self.view = pn.Column(self._key, *panes, self.slider, **css, sizing_mode="stretch_width", margin=0)
        for plot in (self.curves, self.strip):
            without_selection(plot)
            without_press(plot)
            for tap in (Tap, DoubleTap):  # what follows a tap within 0.3 s, wherever it is
                plot.js_on_event(tap, CustomJS(code=PAUSE))
                plot.on_event(tap, lambda event: self._go(event.x))
        self.paint(dark=False)

    def _plot(self, height: int, top: int, bottom: int) -> figure:
        plot = figure(
            height=height,
            sizing_mode="stretch_width",
            x_range=self._across,
            y_range=Range1d(0, 1),
            toolbar_location=None,
            stylesheets=[CLEAN],
            min_border_left=WIDE[0],
            min_border_right=WIDE[1],
            min_border_top=top,
            min_border_bottom=bottom,
            tools="",
        )
        plot.xgrid.visible = False
        plot.xaxis[0].ticker, plot.yaxis[0].ticker = FixedTicker(ticks=[]), FixedTicker(ticks=[])
        return plot

    def _draw(self) -> None:
        self._gap = self.curves.varea("t", "true", "edge", source=self.table, fill_alpha=0.14)
        self._lines = {
            name: self.curves.line(
                "t", name, source=self.table, line_width=style.width, line_dash=list(style.dash), line_join="round"
            )
            for name, style in STYLES.items()
        }
        ends = {"source": self._height, "marker": "dash", "size": 9, "line_width": 1.6}
        self._bracket = [
            self.curves.segment("t", "low", "t", "high", source=self._height, line_width=1.6),
            self.curves.scatter("t", "low", **ends),
            self.curves.scatter("t", "high", **ends),
        ]
        self.curves.segment("t", "low", "t", "high", source=self._bars, line_color="color", line_width=1.2)
        colors = {"fill_color": "fill", "line_color": "line"}
        self._crossings = self.curves.scatter("x", "y", source=self.dots, size=9, line_width=1.8, **colors)
        self._crossings.level = "overlay"  # over the marker's line, and not cut at the frame
        self.curves.ygrid[0].ticker = FixedTicker(ticks=[])
        tell_above(self.curves, self._told, "t", "y", "@said{safe}")
        self._area = self.strip.varea("t", 0, "residual", source=self.table, fill_alpha=0.14)
        self._top = self.strip.line("t", "residual", source=self.table, line_width=1.4)
        self.strip.ygrid.visible = False
        for plot, span in zip((self.curves, self.strip), self._spans, strict=True):
            plot.add_layout(span)

    def _write(self) -> None:
        """Add the texts that are not ticks: titles, the curves' names, the unit of the steps."""
        self._title = self._text(self.curves, x_offset=-38, y_offset=-8, text_baseline="bottom", size=13)
        self._names = self._text(self.curves, x_offset=9, text_baseline="middle", style="bold")
        self._marked = self._text(self.curves, x_offset=7, text_baseline="middle", style="bold")
        self._off = self._text(self.strip, y_offset=3, text_baseline="top")
        self._unit = self._text(self.strip, x_offset=24, y_offset=14, text_baseline="middle")

    def _text(self, plot: figure, size: int = 12, style: str = "normal", **attributes: Any) -> GlyphRenderer:
        """A layer of texts. They are glyphs, as Bokeh cuts labels at the frame."""
        source = ColumnDataSource({name: [] for name in ("x", "y", "text", "text_color")})
        font = {"text_font": {"value": FONT}, "text_font_size": f"{size}px", "text_font_style": style}
        layer = plot.text("x", "y", "text", source=source, text_color="text_color", **font, **attributes)
        layer.level = "overlay"
        return layer

    def move_args(self) -> dict[str, Any]:
        """What the browser code ``MOVE`` needs beside ``source``, which has the position t."""
        return {"table": self.table, "spans": self._spans, "dots": self.dots, "names": list(STYLES)}

    def _link(self) -> None:
        self.slider.jscallback(args=self.move_args(), t=MOVE)
        fit = {"plots": [self.curves, self.strip], "names": [self._names, self._unit]}
        self.slider.jscallback(args={**fit, "wide": WIDE, "narrow": NARROW}, narrow=FIT)

    def show(self, picture: ProfilePicture) -> None:
        """Draw the values along a track."""
        values = {name: drawn(line.values, picture.scale) for name, line in picture.lines.items()}
        self._bounds = {
            n: (
                picture.lines[n].values[::QUARTERS] - e[::QUARTERS],
                picture.lines[n].values[::QUARTERS] + e[::QUARTERS],
            )
            for n, e in picture.stderr.items()
        }
        self._hollow = picture.hollow
        for name in set(STYLES) - {"on_map"}:
            self._lines[name].glyph.line_alpha = 1.0 if picture.is_whole else FAINT
        self._send({"t": picture.t, **self._columns(values), **_gap(values, picture), "residual": picture.residual})
        self._across.update(start=float(picture.t[0]), end=float(picture.t[-1]))
        self._fit_values(values, picture)
        top = np.full(len(picture.t), self.curves.y_range.end)  # above which the tooltip covers no line
        self._told.data = {"t": picture.t, "y": top, "said": told(picture)}
        self._tick_residual(picture.residual)
        self._tick_stops(picture.ticks)
        self._paint_bars()
        self._place_texts(picture, values)
        self._mark(picture)
        self.move(float(self.slider.t))

    def _columns(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """A column for each style; NaN where nothing is drawn in it."""
        nothing = np.full(len(next(iter(values.values()))), np.nan)
        return {name: values.get(name, nothing) for name in STYLES}

    def _fit_values(self, values: Mapping[str, Array], picture: ProfilePicture) -> None:
        ends = [drawn(end, picture.scale) for pair in self._bounds.values() for end in pair]
        finite = np.concatenate([c[np.isfinite(c)] for c in (*values.values(), *ends)])
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        pad = 0.06 * (high - low or 1)
        self.curves.y_range.update(start=low - pad, end=high + pad)
        tick_values(self.curves, low - pad, high + pad, picture.scale)

    def _mark(self, picture: ProfilePicture) -> None:
        """Draw the bracket."""
        found = [picture.bracket] if picture.bracket is not None else []
        ends = {end: drawn(np.array([getattr(b, end) for b in found]), picture.scale) for end in ("low", "high")}
        if found or len(self._height.data["t"]):
            self._height.data = {"t": [b.place for b in found], **ends}

    def _send(self, columns: dict[str, Array]) -> None:
        """Send the columns that have changed."""
        old = self.table.data
        if len(old["t"]) != len(columns["t"]):
            self.table.data = columns
            return
        changed = {name: c for name, c in columns.items() if not np.array_equal(old[name], c, equal_nan=True)}
        if changed:
            self.table.data.update(changed)

    def _place_texts(self, picture: ProfilePicture, values: Mapping[str, Array]) -> None:
        finite = {name: c[np.isfinite(c)] for name, c in values.items()}
        low, high = self.curves.y_range.start, self.curves.y_range.end
        start, end, above = self._across.start, self._across.end, self.strip.y_range.end
        here = [name for name in STYLES if name in finite and finite[name].size]
        # where lines end together their names stand in the order in which they have run
        wanted = [float(finite[name][-1]) + 1e-3 * float(finite[name].mean()) for name in here]
        places = _apart(wanted, APART * (high - low) / HEIGHT, low, high)
        self._texts = [
            (self._title, [(start, high, picture.title, "ink")]),
            (self._off, [(start, above, picture.off, "ink2")]),
            (self._unit, [(end, 0.0, picture.unit, "ink2")]),
            (
                self._names,
                [(end, y, picture.lines[n].name, STYLES[n].color) for n, y in zip(here, places, strict=True)],
            ),
            (self._marked, _beside(picture, values, APART * (high - low) / HEIGHT)),
        ]
        self._paint_texts()
        self._key.object = f"<div>{''.join(_sample(n, picture.lines[n].brief) for n in reversed(here))}</div>"

    def _paint_bars(self) -> None:
        rows: dict[str, list[Any]] = {"t": [], "low": [], "high": [], "color": []}
        for name, (low, high) in self._bounds.items():
            known = np.flatnonzero(np.isfinite(low))
            rows["t"] += known.tolist()
            rows["low"] += low[known].tolist()
            rows["high"] += high[known].tolist()
            rows["color"] += [self._palette[STYLES[name].color]] * len(known)
        if rows["t"] or len(self._bars.data["t"]):
            self._bars.data = rows

    def _paint_texts(self) -> None:
        for layer, rows in self._texts:
            x, y, text, keys = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
            colors = [self._palette[key] for key in keys]
            fill(layer.data_source, {"x": x, "y": y, "text": text, "text_color": colors}, 0)

    def _go(self, t: float) -> None:
        """Bring the marker to the nearest of the places that are drawn, if one was tapped."""
        self.slider.settle()
        near, last = round(QUARTERS * t) / QUARTERS, float(self._across.end)
        if 0 <= near <= last:
            self.slider.param.update(t=near, back=self.slider.back + 1)

    def leave(self, away: bool) -> None:
        """Show that the marker is elsewhere, or that it is back."""
        self.slider.away = away
        for span in self._spans:
            span.line_alpha = AWAY if away else 1.0
        self._crossings.visible = not away

    def move(self, t: float) -> None:
        """Put the marker at t from the server's side."""
        data, last = self.table.data, len(self.table.data["t"]) - 1
        if last < 0:
            return
        place = min(max(QUARTERS * t, 0.0), float(last))
        k, part = int(place), place - int(place)
        low, high = ([float(data[name][j]) for name in STYLES] for j in (k, min(k + 1, last)))
        values = [a if part == 0 else (1 - part) * a + part * b for a, b in zip(low, high, strict=True)]
        for span in self._spans:
            span.location = place / QUARTERS
        self.dots.data = {**self.dots.data, **self._colors(), "x": [place / QUARTERS] * len(STYLES), "y": values}

    def _tick_residual(self, residual: Array) -> None:
        top = float(np.nanmax(residual, initial=0.0))
        self.strip.y_range.update(start=0, end=HEADROOM * (top or 1.0))
        axis = self.strip.yaxis[0]
        axis.ticker.ticks = [0.0, top] if top else [0.0]
        axis.major_label_overrides = {0.0: "0", top: format_number(top, 2) if top else "0"}

    def _tick_stops(self, labels: list[str]) -> None:
        last = len(labels) - 1
        most = max(1, min(6, last, 280 // (8 * max(map(len, labels)) + 12)))  # they fit a phone's plot
        parts = next((parts for parts in range(most, 3, -1) if last % parts == 0), most)
        shown = sorted({round(last * k / parts) for k in range(parts + 1)})
        stride = -(-len(labels) // 100)
        axis = self.strip.xaxis[0]
        axis.ticker.update(ticks=shown, minor_ticks=[k for k in range(0, last, stride) if k not in shown])
        axis.major_label_overrides = {k: labels[k] for k in shown}

    def paint(self, dark: bool) -> None:
        """Repaint for a dark or a light page."""
        self._palette = colors = DARK if dark else LIGHT
        for plot in (self.curves, self.strip):
            apply_theme(plot, dark)
            plot.outline_line_color = None
        for name, style in STYLES.items():
            self._lines[name].glyph.line_color = colors[style.color]
        for part in self._bracket:
            part.glyph.line_color = colors["ink"]
        self._off.glyph.background_fill_color = colors["card"]  # the marker's line passes behind it
        for area in (self._gap, self._area):
            area.glyph.fill_color = colors["ink"]
        self._top.glyph.line_color = colors["line3"]
        self._paint_bars()
        self._paint_texts()
        self.strip.yaxis.axis_line_color = None
        for span in self._spans:
            span.line_color = colors["here"]
        self.dots.data = {**self.dots.data, **self._colors()}

    def _colors(self) -> dict[str, list[str]]:
        """Colors of the dots in the order of the styles."""
        here, card = self._palette["here"], self._palette["card"]
        names = STYLES if len(self.table.data["t"]) else ()
        hollow = [name in self._hollow for name in names]
        return {"fill": [card if h else here for h in hollow], "line": [here if h else card for h in hollow]}


def _sample(line: str, name: str) -> str:
    """A piece of a line with its name, as HTML."""
    style = STYLES[line]
    piece = _SAMPLE.format(style.width, " ".join(map(str, style.dash)))
    return f"<span style='color: var({CSS_NAMES[style.color]})'>{piece}{escape(name)}</span>"


def _gap(values: Mapping[str, Array], picture: ProfilePicture) -> dict[str, Array]:
    """The two sides of what is shaded; nothing lies between them where there is no gap, or it is not known yet."""
    first, second = (picture.is_whole and picture.gap) or (next(iter(values)),) * 2
    edge = np.where(np.isfinite(values[second] + values[first]), values[second], values[first])
    return {"true": values[first], "edge": edge}


def _beside(picture: ProfilePicture, values: Mapping[str, Array], height: float) -> list[tuple[float, float, str, str]]:
    """What stands beside the bracket, as near to its far end as the lines leave room.

    Args:
        picture: What is drawn.
        values: Its lines as they are drawn.
        height: Of a line of text, in the units of the values.
    """
    if picture.bracket is None:
        return []
    low, high = drawn(np.array([picture.bracket.low, picture.bracket.high]), picture.scale)
    place, text = picture.bracket.place, picture.bracket.text
    width = LETTER * len(text) / NARROWEST * (picture.t[-1] - picture.t[0])

    def room(y: float) -> float:
        """How far the text could reach before it meets a line; no more than it is wide."""
        return min([width, *(_meets(picture.t, line, place, y, 0.75 * height) for line in values.values())])

    return [(place, max((float(low + share * (high - low)) for share in SHARES), key=room), text, "ink")]


def _meets(t: Array, line: Array, place: float, y: float, reach: float) -> float:
    """How far behind a place a line first comes within reach of a height."""
    below, above = np.minimum(line[:-1], line[1:]), np.maximum(line[:-1], line[1:])
    met = (t[1:] > place) & (below < y + reach) & (above > y - reach)
    return float(max(0.0, t[:-1][met][0] - place)) if met.any() else np.inf


def _apart(places: list[float], gap: float, low: float, high: float) -> list[float]:
    """Places moved so that neighbors are at least a gap apart and all lie between low and high."""
    order = np.argsort(places, kind="stable")
    out = np.asarray(places, float)[order]
    for k in range(1, len(out)):
        out[k] = max(out[k], out[k - 1] + gap)
    out -= max(0.0, out[-1] - high) if len(out) else 0.0
    for k in range(len(out) - 2, -1, -1):
        out[k] = min(out[k], out[k + 1] - gap)
    out += max(0.0, low - out[0]) if len(out) else 0.0
    return [float(out[k]) for k in np.argsort(order)]
