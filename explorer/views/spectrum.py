"""The card "Curvature at the marker": the spectrum of the Hessian there, computed when it is asked for."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, FixedTicker, Range1d
from bokeh.plotting import figure

from explorer.numbers import format_error, format_number
from explorer.spectrum import REACH, TOLERANCE, Spectrum
from explorer.state import SET_NAMES
from explorer.theme import CLEAN, DARK, LIGHT, apply_theme
from explorer.views.cards import text
from explorer.views.ticks import tick_values

HEIGHT, BOTTOM, LEFT = 170, 46, 66  # pixels of the frame and around it
COLUMNS = "repeat(auto-fit, minmax(min(100%, 400px), 1fr))"  # side by side where there is room
DECADES = 6  # of the density that are shown
INVITATION = (
    "<p>Compute the eigenvalues of the Hessian at the marker: how strongly the loss is curved in each direction of the "
    "whole parameter space, not only in this slice. It takes some hundreds of Hessian-vector products.</p>"
)
CSS = """
:host { font: 400 var(--fs-small)/1.45 var(--font); color: var(--ink); font-variant-numeric: tabular-nums; }
p { margin: 0 0 8px; color: var(--ink-2); max-width: 70ch; } b { font-weight: 600; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 400; color: var(--ink-2); }
td { text-align: right; } th, td { padding: 3px 0; border-top: 1px solid var(--hair); }
tr:first-child > * { border-top: 0; } small { color: var(--ink-2); }
"""


class SpectrumView:
    """The density of the eigenvalues on a logarithmic axis, the extreme ones as marks, and their figures beside it."""

    def __init__(self) -> None:
        self._table = ColumnDataSource({"x": [], "y": [], "floor": []})
        self._marks = ColumnDataSource({"x": [], "y": []})
        self.figure = figure(
            stylesheets=[CLEAN],
            sizing_mode="stretch_width",
            height=HEIGHT + BOTTOM,
            min_border_left=LEFT,
            min_border_bottom=BOTTOM,
            x_range=Range1d(-1, 1),
            y_range=Range1d(0, 1),
            tools="",
            toolbar_location=None,
            x_axis_label="eigenvalue λ of the Hessian",
            y_axis_label="density, log",
        )
        self.figure.xgrid.visible = False
        self.figure.yaxis[0].ticker = FixedTicker(ticks=[])
        self.figure.ygrid[0].ticker = FixedTicker(ticks=[])
        self._area = self.figure.varea("x", "floor", "y", source=self._table, fill_alpha=0.14)
        self._line = self.figure.line("x", "y", source=self._table, line_width=1.6)
        self._ends = self.figure.scatter("x", "y", source=self._marks, marker="triangle", size=9, level="overlay")
        self.text = text(INVITATION, CSS, sizing_mode="stretch_width")
        grid = {
            "display": "grid",
            "grid-template-columns": COLUMNS,
            "gap": "0 32px",
        }
        self._grid = grid
        self._shown: tuple[Spectrum | None, bool] = None, False
        css = [".scroll-button { display: none !important; }"]  # which Panel would give a place of its own
        self.view = pn.Column(self.text, styles=grid, stylesheets=css, sizing_mode="stretch_width", margin=0)
        self.paint(dark=False)

    def show(self, found: Spectrum | None, elsewhere: bool = False) -> None:
        """Draw a spectrum and write its figures.

        Args:
            found: None where none was computed.
            elsewhere: Whether the marker is not there any more.
        """
        before, self._shown = self._shown, (found, elsewhere)
        if before == self._shown:
            return
        self.text.object = INVITATION if found is None else spectrum_html(found, elsewhere)
        self.view.styles = {**self._grid, "opacity": ".6" if elsewhere else "1"}
        if found is None:
            self.view[:] = [self.text]
        elif found is not before[0]:
            self._draw(found)

    def _draw(self, found: Spectrum) -> None:
        top = float(np.log(found.density.max()))
        low = top - DECADES * np.log(10)
        height = np.log(np.maximum(found.density, np.exp(low)))
        self._table.data = {"x": found.grid, "y": height, "floor": np.full(len(height), low)}
        ends = [*found.largest, *found.smallest]
        self._marks.data = {"x": ends, "y": [low + 0.045 * (top - low)] * len(ends)}
        pad = 0.06 * (top - low)
        self.figure.x_range.update(start=float(found.grid[0]), end=float(found.grid[-1]))
        self.figure.y_range.update(start=low, end=top + pad)
        tick_values(self.figure, low, top + pad, "log")
        if len(self.view) == 1:  # until there is something to draw, the page has no figure for it
            self.view.insert(0, pn.pane.Bokeh(self.figure, sizing_mode="stretch_width", margin=0))

    def paint(self, dark: bool) -> None:
        """Set the colors of the light or the dark theme."""
        colors = DARK if dark else LIGHT
        apply_theme(self.figure, dark)
        self.figure.outline_line_color = None
        self._area.glyph.fill_color = self._line.glyph.line_color = colors["ink"]
        self._ends.glyph.update(fill_color=colors["here"], line_color=colors["card"])


def spectrum_html(found: Spectrum, elsewhere: bool = False) -> str:
    """The figures beside the plot as HTML; ``elsewhere`` is as in ``SpectrumView.show``."""
    largest, smallest = found.largest[0], found.smallest[-1]
    middle = float(np.median(found.changes))
    share, doubt = (100 * value for value in found.positive)
    rows: list[tuple[str, str, Any]] = [
        ("Largest eigenvalue, λ max", format_number(largest), ""),
        ("Smallest eigenvalue, λ min", format_number(smallest), ""),
        ("|λ min / λ max|", format_number(abs(smallest / largest)) if largest else "unknown", ""),
        ("Trace", format_number(found.trace[0]), f"± {format_error(found.trace[1], found.trace[0])}"),
        ("Positive share of all |λ|", f"{share:.0f} %", f"± {doubt:.1f} %"),
        ("Gradient norm", format_number(found.gradient_norm), ""),
        (
            f"Loss change, random step {REACH:g} ‖θ‖",
            f"{'+' if middle > 0 else ''}{format_number(middle)}",
            f"median; {100 * (found.changes > 0).mean():.0f} % rise",
        ),
    ]
    body = "".join(f"<tr><th>{escape(k)}</th><td>{v} <small>{escape(note)}</small></td></tr>" for k, v, note in rows)
    data = f"{SET_NAMES[found.request.split]} loss".strip()
    rate = f"2&nbsp;/&nbsp;λ&nbsp;max&nbsp;= <b>{format_number(2 / largest)}</b>"
    stable = f" Gradient descent is stable here below a learning rate of {rate}."
    here = "Computed elsewhere, the marker has moved on" if elsewhere else "Computed here"
    bent = (
        " λ&nbsp;min is below 0: in its direction the loss curves down, so this network is no minimum."
        if smallest < -TOLERANCE * abs(largest)
        else ""
    )
    return (
        f"<p>{here}: <b>{escape(found.where)}</b>, {data}. Triangles: the five largest and the five "
        f"smallest eigenvalues.{stable}{bent}</p><table>{body}</table>"
    )
