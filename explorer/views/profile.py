"""The profile: exact values along the checkpoint path, the map's beside them, and how far the path is off the plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, FixedTicker, Range1d, Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from explorer.theme import DARK, LIGHT, apply_theme
from explorer.views.slider import PathSlider

Array = NDArray[np.float64]

LEFT, RIGHT = 52, 24  # pixels around the plots' frame, which the slider shares
CURVES = ("on_map", "test", "train")
LEGEND = """<div><span style="color: var(--line-main)">true, training</span>
<span style="color: var(--line-2)">true, test</span>
<span style="color: var(--line-3)">on the map (dashed)</span></div>"""
LEGEND_CSS = """
:host { font: 600 var(--fs-caption)/1.4 var(--font); }
div { display: flex; flex-wrap: wrap; gap: 4px 16px; justify-content: flex-end; padding-right: 24px; }
"""

MOVE = """
const columns = table.data, count = columns.t.length;
if (count > 1) {
  const t = Math.max(0, Math.min(columns.t[count - 1], source.t)), k = Math.min(count - 2, Math.floor(t * 4));
  const at = (name) => columns[name][k] + (columns[name][k + 1] - columns[name][k]) * (t * 4 - k);
  for (const span of spans) span.location = t;
  dots.data = {x: [t, t, t], y: [at('on_map'), at('test'), at('train')]};
}
"""


class ProfileView:
    """Curves, off-plane strip and slider on one axis, the checkpoint coordinate t."""

    def __init__(self) -> None:
        self.slider = PathSlider(left=LEFT, right=RIGHT, sizing_mode="stretch_width", height=52, margin=0)
        columns: dict[str, list[float]] = {name: [] for name in ("t", *CURVES, "residual")}
        self.table, self.dots = ColumnDataSource(columns), ColumnDataSource({"x": [], "y": []})
        self._across = Range1d(0, 1)
        self.curves, self.strip = self._plot(190), self._plot(100)
        self._spans = [Span(location=0, dimension="height", line_width=1.4) for _ in range(2)]
        self._draw()
        self._link()
        panes = [pn.pane.Bokeh(p, sizing_mode="stretch_width", margin=0) for p in (self.curves, self.strip)]
        legend = pn.pane.HTML(LEGEND, stylesheets=[LEGEND_CSS], sizing_mode="stretch_width", margin=0)
        self.view = pn.Column(legend, *panes, self.slider, sizing_mode="stretch_width", margin=0)

    def _plot(self, height: int) -> figure:
        plot = figure(
            height=height,
            sizing_mode="stretch_width",
            x_range=self._across,
            y_range=Range1d(0, 1),
            toolbar_location=None,
            min_border_left=LEFT,
            min_border_right=RIGHT,
            title="",
        )
        plot.xgrid.visible = False
        plot.outline_line_color = None
        return plot

    def _draw(self) -> None:
        self._gap = self.curves.varea("t", "train", "on_map", source=self.table, fill_alpha=0.12)
        styles: dict[str, dict[str, Any]] = {
            "on_map": {"line_width": 1.6, "line_dash": [5, 4]},
            "test": {"line_width": 1.6},
            "train": {"line_width": 2.2},
        }
        self._lines = {name: self.curves.line("t", name, source=self.table, **styles[name]) for name in CURVES}
        self._marks = self.curves.scatter("x", "y", source=self.dots, size=9, line_width=1.8)
        self._area = self.strip.varea("t", 0, "residual", source=self.table, fill_alpha=0.15)
        self._edge = self.strip.line("t", "residual", source=self.table, line_width=1.4)
        self.strip.title.text = "Off the plane: distance of the path from the map"
        for plot, span in zip((self.curves, self.strip), self._spans, strict=True):
            plot.add_layout(span)
        self.curves.xaxis.visible = False
        self.strip.xaxis.axis_label = "training step"
        self.strip.ygrid.visible = False

    def _link(self) -> None:
        self.slider.jscallback(args={"table": self.table, "spans": self._spans, "dots": self.dots}, t=MOVE)

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
    ) -> None:
        """Draw the values along the path.

        Args:
            t: (m,) checkpoint coordinates, in quarters.
            train: (m,) exact values on the training data.
            test: (m,) exact values on the test data.
            on_map: (m,) values on the map at the path's projection, NaN outside it.
            residual: (m,) distances from the plane.
            steps: Training step of each checkpoint.
            title: Of the value axis.
            scale: ``"log"`` or ``"linear"``.
        """
        change = np.log if scale == "log" else np.asarray
        columns = {"train": change(train), "test": change(test), "on_map": change(on_map)}
        self.table.data = {"t": t, **columns, "residual": residual}
        self._across.update(start=float(t[0]), end=float(t[-1]))
        finite = np.concatenate([c[np.isfinite(c)] for c in columns.values()])
        low, high = float(finite.min()), float(finite.max())
        pad = 0.06 * (high - low or 1)
        self.curves.y_range.update(start=low - pad, end=high + pad)
        top = float(residual.max()) or 1.0
        self.strip.y_range.update(start=0, end=1.1 * top)
        self.strip.yaxis[0].ticker = FixedTicker(ticks=[0, round(top, 1)])
        self.curves.title.text = title
        self._tick_values(low, high, scale)
        self._tick_steps(steps)
        self.move(float(self.slider.t))

    def move(self, t: float) -> None:
        """Put the marker at t from the server's side."""
        data = self.table.data
        if len(data["t"]) > 1:
            for span in self._spans:
                span.location = t
            self.dots.data = {"x": [t] * 3, "y": [float(np.interp(t, data["t"], data[name])) for name in CURVES]}

    def _tick_values(self, low: float, high: float, scale: str) -> None:
        if scale == "log":
            decades = range(int(np.floor(low / np.log(10))), int(np.ceil(high / np.log(10))) + 1)
            values = [m * 10.0**e for e in decades for m in (1, 2, 5) if low <= np.log(m * 10.0**e) <= high]
            ticks = [float(np.log(v)) for v in values]
        else:
            unit = 10.0 ** np.floor(np.log10((high - low) / 4 or 1))
            size = next(u * unit for u in (1, 2, 5, 10) if (high - low) / (u * unit) <= 6)
            values = ticks = [float(size * k) for k in range(int(np.ceil(low / size)), int(np.floor(high / size)) + 1)]
        axis = self.curves.yaxis[0]
        axis.ticker = FixedTicker(ticks=ticks)
        axis.major_label_overrides = {t: f"{v:g}" for t, v in zip(ticks, values, strict=True)}
        self.curves.ygrid[0].ticker = FixedTicker(ticks=ticks)

    def _tick_steps(self, steps: list[int]) -> None:
        last = len(steps) - 1
        shown = sorted({0, last, *(round(last * share / 6) for share in range(1, 6))})
        axis = self.strip.xaxis[0]
        axis.ticker = FixedTicker(ticks=shown, minor_ticks=[k for k in range(last) if k not in shown])
        axis.major_label_overrides = {k: f"{steps[k]:,}" for k in shown}

    def paint(self, dark: bool) -> None:
        """Repaint for a dark or a light page."""
        colors = DARK if dark else LIGHT
        apply_theme(self.curves, dark)
        apply_theme(self.strip, dark)
        for name, key in (("on_map", "line3"), ("test", "line2"), ("train", "ink")):
            self._lines[name].glyph.line_color = colors[key]
        for area in (self._gap, self._area):
            area.glyph.fill_color = colors["ink"]
        self._edge.glyph.line_color = colors["line3"]
        self._marks.glyph.update(fill_color=colors["here"], line_color=colors["card"])
        for span in self._spans:
            span.line_color = colors["here"]
        for plot in (self.curves, self.strip):
            plot.outline_line_color = None
