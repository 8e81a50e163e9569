"""The profile: exact values along the checkpoint path, the map's beside them, and how far the path is off the plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, FixedTicker, GlyphRenderer, Range1d, Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from explorer.theme import DARK, FONT, LIGHT, apply_theme
from explorer.views.slider import PathSlider
from explorer.views.ticks import drawn, number, tick_values

Array = NDArray[np.float64]

WIDE, NARROW = (66, 132), (46, 12)  # pixels left and right of the plots' frame, which the slider shares
HEIGHT, TITLE, STRIP, FOOT = 150, 24, 56, 24  # pixels: frame of the curves, title above, frame of the strip, ticks
LONGEST = 9  # characters of a name that fits beside the curves
APART, HEADROOM = 16, 1.75  # pixels between names; the strip's height over its highest value
QUARTERS = 4  # values between two checkpoints
CURVES = {"on_map": "line3", "test": "line2", "train": "ink"}  # from the lowest to the topmost line
NAMES = {"on_map": "{} on the {}", "test": "true {}, test", "train": "true {}, training"}
DOTS = ("train", "test", "on_map")
LEGEND = """<div><span style="color: var(--line-main)">training</span> <span style="color: var(--line-2)">test</span>
<span style="color: var(--line-3)">on the map</span></div>"""
LEGEND_CSS = """
:host { position: absolute; top: 0; right: 12px; z-index: 1; pointer-events: none; }
div { display: flex; gap: 14px; font: 600 var(--fs-caption)/22px var(--font); white-space: nowrap; }
"""

MOVE = """
const columns = table.data, last = columns.t.length - 1;
if (last >= 0) {
  const place = Math.max(0, Math.min(last, 4 * source.t)), k = Math.floor(place), part = place - k;
  const at = (c) => part === 0 ? c[k] : (1 - part) * c[k] + part * c[k + 1];
  for (const span of spans) span.location = place / 4;
  dots.data = {...dots.data, x: [0, 0, 0].fill(place / 4), y: [columns.train, columns.test, columns.on_map].map(at)};
}
"""
FIT = """
const [left, right] = source.narrow ? narrow : wide;
for (const plot of plots) plot.setv({min_border_left: left, min_border_right: right});
for (const name of names) name.visible = !source.narrow;
legend.visible = source.narrow;
source.setv({left, right});
"""


class ProfileView:
    """Curves, off-plane strip and slider on one axis, the checkpoint coordinate t.

    Attributes:
        table: The columns drawn: t, train, test, on_map, residual, and the two sides of the gap, true and edge.
        dots: Where the marker crosses the three curves.
        slider: Moves the marker in the browser.
    """

    def __init__(self) -> None:
        left, right = WIDE
        self.slider = PathSlider(left=left, right=right, sizing_mode="stretch_width", height=52, margin=0)
        self.table = ColumnDataSource({name: [] for name in ("t", *CURVES, "true", "edge", "residual")})
        self.dots = ColumnDataSource({"x": [], "y": [], "fill": [], "line": []})
        self._bars = ColumnDataSource({name: [] for name in ("t", "low", "high", "color")})
        self._bounds: dict[str, tuple[Array, Array]] = {}
        self._across = Range1d(0, 1)
        self._texts: list[tuple[GlyphRenderer, list[tuple[float, float, str, str]]]] = []
        self.curves, self.strip = self._plot(TITLE + HEIGHT + 2, TITLE, 2), self._plot(STRIP + FOOT, 0, FOOT)
        self._spans = [Span(location=0, dimension="height", line_width=1.4) for _ in range(2)]
        self._draw()
        self._write()
        self._legend = pn.pane.HTML(LEGEND, stylesheets=[LEGEND_CSS], margin=0, visible=False)
        self._link()
        panes = [pn.pane.Bokeh(p, sizing_mode="stretch_width", margin=0) for p in (self.curves, self.strip)]
        place = {"position": "relative"}
        self.view = pn.Column(self._legend, *panes, self.slider, sizing_mode="stretch_width", margin=0, styles=place)
        self.paint(dark=False)

    def _plot(self, height: int, top: int, bottom: int) -> figure:
        plot = figure(
            height=height,
            sizing_mode="stretch_width",
            x_range=self._across,
            y_range=Range1d(0, 1),
            toolbar_location=None,
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
        styles: dict[str, dict[str, Any]] = {
            "on_map": {"line_width": 1.6, "line_dash": [5, 4]},
            "test": {"line_width": 1.6},
            "train": {"line_width": 2.2},
        }
        self._lines = {name: self.curves.line("t", name, source=self.table, **styles[name]) for name in CURVES}
        for line in self._lines.values():
            line.glyph.line_join = "round"
        self.curves.segment("t", "low", "t", "high", source=self._bars, line_color="color", line_width=1.2)
        colors = {"fill_color": "fill", "line_color": "line"}
        marks = self.curves.scatter("x", "y", source=self.dots, size=9, line_width=1.8, **colors)
        marks.level = "overlay"  # over the marker's line, and not cut at the frame
        self.curves.ygrid[0].ticker = FixedTicker(ticks=[])
        self._area = self.strip.varea("t", 0, "residual", source=self.table, fill_alpha=0.14)
        self._top = self.strip.line("t", "residual", source=self.table, line_width=1.4)
        self.strip.ygrid.visible = False
        for plot, span in zip((self.curves, self.strip), self._spans, strict=True):
            plot.add_layout(span)

    def _write(self) -> None:
        """Add the texts that are not ticks: titles, the curves' names, the unit of the steps."""
        self._title = self._text(self.curves, x_offset=-38, y_offset=-8, text_baseline="bottom", size=13)
        self._names = self._text(self.curves, x_offset=9, text_baseline="middle", style="bold")
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
        return {"table": self.table, "spans": self._spans, "dots": self.dots}

    def _link(self) -> None:
        self.slider.jscallback(args=self.move_args(), t=MOVE)
        fit = {"plots": [self.curves, self.strip], "names": [self._names, self._unit]}
        self.slider.jscallback(args={**fit, "legend": self._legend, "wide": WIDE, "narrow": NARROW}, narrow=FIT)

    def show(
        self,
        t: Array,
        train: Array,
        test: Array,
        on_map: Array,
        residual: Array,
        steps: list[int],
        title: str,
        scale: str,
        split: str = "train",
        place: str = "plane",
        stderr: Mapping[str, Array] | None = None,
    ) -> None:
        """Draw the values along the path.

        Args:
            t: (m,) checkpoint coordinates, in quarters.
            train: (m,) exact values on the training data.
            test: (m,) exact values on the test data.
            on_map: (m,) values on the map at the path's projection, NaN outside it.
            residual: (m,) distances from the plane.
            steps: Training step of each checkpoint.
            title: Of the value axis: what is measured and, after a comma, its unit.
            scale: ``"log"`` or ``"linear"``.
            split: The data that the map shows, ``"train"`` or ``"test"``: the gap is that to its true values.
            place: What the path is projected onto, ``"plane"`` or ``"line"``.
            stderr: (m,) standard errors of the exact values, by data; drawn as bars at the checkpoints.
        """
        exact = {"train": train, "test": test}
        self._bounds = {
            n: (exact[n][::QUARTERS] - e[::QUARTERS], exact[n][::QUARTERS] + e[::QUARTERS])
            for n, e in (stderr or {}).items()
        }
        columns = {"train": drawn(train, scale), "test": drawn(test, scale), "on_map": drawn(on_map, scale)}
        edge = np.where(np.isfinite(columns["on_map"]), columns["on_map"], columns[split])
        self._send(
            {
                "t": np.asarray(t, float),
                **columns,
                "true": columns[split],
                "edge": edge,
                "residual": np.asarray(residual, float),
            }
        )
        self._across.update(start=float(t[0]), end=float(t[-1]))
        ends = [drawn(end, scale) for pair in self._bounds.values() for end in pair]
        finite = np.concatenate([c[np.isfinite(c)] for c in (*columns.values(), *ends)])
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        pad = 0.06 * (high - low or 1)
        self.curves.y_range.update(start=low - pad, end=high + pad)
        tick_values(self.curves, low - pad, high + pad, scale)
        self._tick_residual(residual)
        self._tick_steps(steps)
        self._paint_bars()
        self._place_texts(title, {name: c[np.isfinite(c)] for name, c in columns.items()}, place)
        self.move(float(self.slider.t))

    def _send(self, columns: dict[str, Array]) -> None:
        """Send the columns that have changed."""
        old = self.table.data
        if len(old["t"]) != len(columns["t"]):
            self.table.data = columns
            return
        changed = {name: c for name, c in columns.items() if not np.array_equal(old[name], c, equal_nan=True)}
        if changed:
            self.table.data.update(changed)

    def _place_texts(self, title: str, finite: dict[str, Array], place: str) -> None:
        low, high = self.curves.y_range.start, self.curves.y_range.end
        start, end, above = self._across.start, self._across.end, self.strip.y_range.end
        here = [name for name in CURVES if finite[name].size]
        places = _apart([float(finite[name][-1]) for name in here], APART * (high - low) / HEIGHT, low, high)
        what = title.split(",")[0].lower()
        what = what if len(what) <= LONGEST else "value"
        self._texts = [
            (self._title, [(start, high, title, "ink")]),
            (self._off, [(start, above, f"Off the {place}: distance from it", "ink2")]),
            (self._unit, [(end, 0.0, "training step", "ink2")]),
            (
                self._names,
                [
                    (end, y, NAMES[n].format(what, "map" if place == "plane" else place), CURVES[n])
                    for n, y in zip(here, places, strict=True)
                ],
            ),
        ]
        self._paint_texts()

    def _paint_bars(self) -> None:
        rows: dict[str, list[Any]] = {"t": [], "low": [], "high": [], "color": []}
        for name, (low, high) in self._bounds.items():
            rows["t"] += list(range(len(low)))
            rows["low"] += low.tolist()
            rows["high"] += high.tolist()
            rows["color"] += [self._palette[CURVES[name]]] * len(low)
        if rows["t"] or len(self._bars.data["t"]):
            self._bars.data = rows

    def _paint_texts(self) -> None:
        for layer, rows in self._texts:
            x, y, text, keys = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
            colors = [self._palette[key] for key in keys]
            data = {"x": x, "y": y, "text": text, "text_color": colors}
            if data != layer.data_source.data:
                layer.data_source.data = data

    def move(self, t: float) -> None:
        """Put the marker at t from the server's side."""
        data, last = self.table.data, len(self.table.data["t"]) - 1
        if last < 0:
            return
        place = min(max(QUARTERS * t, 0.0), float(last))
        k, part = int(place), place - int(place)
        low, high = ([float(data[name][j]) for name in DOTS] for j in (k, min(k + 1, last)))
        values = [a if part == 0 else (1 - part) * a + part * b for a, b in zip(low, high, strict=True)]
        for span in self._spans:
            span.location = place / QUARTERS
        self.dots.data = {**self.dots.data, **self._colors(), "x": [place / QUARTERS] * 3, "y": values}

    def _tick_residual(self, residual: Array) -> None:
        top = float(np.nanmax(residual, initial=0.0))
        ticks = [0.0]
        if top > 0:
            unit = 10.0 ** (np.floor(np.log10(top)) - 1)
            ticks.append(float(f"{unit * np.ceil(top / unit - 1e-9):.6g}"))
        self.strip.y_range.update(start=0, end=HEADROOM * (ticks[-1] or 1.0))
        axis = self.strip.yaxis[0]
        axis.ticker.ticks = ticks
        axis.major_label_overrides = {t: number(t) for t in ticks}

    def _tick_steps(self, steps: list[int]) -> None:
        last = len(steps) - 1
        labels = [f"{step:,}" for step in steps]
        parts = max(1, min(6, last, 280 // (8 * max(map(len, labels)) + 12)))  # they fit a phone's plot
        shown = sorted({round(last * k / parts) for k in range(parts + 1)})
        stride = -(-len(steps) // 100)
        axis = self.strip.xaxis[0]
        axis.ticker.update(ticks=shown, minor_ticks=[k for k in range(0, last, stride) if k not in shown])
        axis.major_label_overrides = {k: labels[k] for k in shown}

    def paint(self, dark: bool) -> None:
        """Repaint for a dark or a light page."""
        self._palette = colors = DARK if dark else LIGHT
        for plot in (self.curves, self.strip):
            apply_theme(plot, dark)
            plot.outline_line_color = None
        for name, key in CURVES.items():
            self._lines[name].glyph.line_color = colors[key]
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
        """Colors of the dots in the order of ``DOTS``: the map's is hollow."""
        here, card = self._palette["here"], self._palette["card"]
        count = len(self.table.data["t"]) and 3
        return {"fill": [here, here, card][:count], "line": [card, card, here][:count]}


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
