"""The marker: where it is on every picture, and the card that tells of the network there."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from bokeh.events import DoubleTap, Tap
from bokeh.models import ColumnDataSource, CustomJS

from explorer.insight import Insight
from explorer.result import Result
from explorer.state import State
from explorer.tracks import PER_INTERVAL, said
from explorer.views.behavior import CSS as BEHAVIOR_CSS
from explorer.views.behavior import WAITING, behavior_html
from explorer.views.cards import text
from explorer.views.colorbar import POINTER
from explorer.views.contours import MapView
from explorer.views.curve import CurvePicture, CurveView, as_table
from explorer.views.inspector import CSS as INSPECTOR_CSS
from explorer.views.inspector import inspector_html, waiting_html
from explorer.views.keys import Keys
from explorer.views.picture import Picture
from explorer.views.results import reading_of
from explorer.views.slider import PAUSE, PathSlider
from explorer.views.surface import Surface3D

FOLLOW = """
const path = table.data.alpha, beta = table.data.beta;
if (path.length) {
  const t = Math.max(0, Math.min((path.length - 1) / 4, source.t)) * 4, k = Math.min(path.length - 2, Math.floor(t));
  const w = t - k, a = path[k] * (1 - w) + path[k + 1] * w, b = beta[k] * (1 - w) + beta[k + 1] * w;
  marker.data = {x: [a], y: [b]};
  const z = table.data.z[k] * (1 - w) + table.data.z[k + 1] * w;
  pointer.data = {x: [POINTER], y: [z]};
  on_curve.data = {x: [a], y: [z]};
  surface.data.marker = [a, b];
}
""".replace("POINTER", str(POINTER))
NEAR = 0.012  # of the picture: a tap so near to a stop of the track is meant for it
GO_THERE = f"{PAUSE} marker.data = {{x: [cb_obj.x], y: [cb_obj.y]}}"
STEP_THERE = """
const [x, y] = source.moved;
if (x !== undefined) { marker.data = {x: [x], y: [y]}; surface.data.marker = [x, y]; }
"""


class MarkerView:
    """Moves the marker of all pictures, along the track in the browser itself, and tells what is there.

    Args:
        state: Says where it is.
        plane: The map.
        curve: Of a line.
        surface: In three dimensions.
        slider: Moves it along the track.

    Attributes:
        path: The track on the picture: alpha, beta and the height.
        card: The network at the marker, in words.
        keys: Of the map and of the curve, for those who use the keyboard.
    """

    def __init__(self, state: State, plane: MapView, curve: CurveView, surface: Surface3D, slider: PathSlider) -> None:
        self.state, self.map, self.curve, self.surface, self.slider = state, plane, curve, surface, slider
        self.path = ColumnDataSource({"alpha": [], "beta": [], "z": []})
        self.card = text("", INSPECTOR_CSS, BEHAVIOR_CSS, sizing_mode="stretch_width")
        self._shown: tuple[Result, Any] | None = None
        marks = {"table": self.path, "marker": plane.marker, "pointer": plane.bar.pointer, "on_curve": curve.marker}
        slider.jscallback(args={**marks, "surface": surface}, t=FOLLOW)
        for tap in (Tap, DoubleTap):  # what follows a tap within 0.3 s, wherever it is
            plane.figure.js_on_event(tap, CustomJS(args={"marker": plane.marker}, code=GO_THERE))
            plane.figure.on_event(tap, lambda event: self._tap(event.x, event.y))
            curve.figure.js_on_event(tap, CustomJS(code=PAUSE))
            curve.figure.on_event(tap, lambda event: self._tap(event.x))
        self.keys = Keys("The map: arrow keys move the marker"), Keys("The curve: left and right move the marker")
        self.keys[0].jscallback(args={"marker": plane.marker, "surface": surface}, moved=STEP_THERE)
        for keys in self.keys:
            keys.jscallback(moved=PAUSE)
            keys.param.watch(lambda event: self._pick(*event.new[: len(self._bounds)], near=0.0), "moved")

    def show(self, result: Result, picture: Picture | CurvePicture) -> None:
        """Take another picture; the marker stays where it is."""
        self._shown = result, picture
        self.path.data = as_table(result.path, picture)
        for keys in self.keys:
            keys.bounds = [list(pair) for pair in self._bounds]
        self.place()
        self.tell()

    def come_back(self) -> None:
        """Put the marker back on the track."""
        self.state.picked = None
        self.place()

    def place(self) -> None:
        """Put the marker where the state has it, on every picture."""
        if self._shown is None:
            return
        result, picture = self._shown
        if self.state.picked is not None:
            alpha, beta = (*self.state.picked, 0.0)[:2]
            z = float(picture.height_at([self.state.picked])[0])
        else:
            k = result.track.nearest(self.state.t)
            alpha, beta, z = (float(self.path.data[name][k]) for name in ("alpha", "beta", "z"))
        self.map.marker.data = {"x": [alpha], "y": [beta]}
        self.map.bar.pointer.data = {"x": [POINTER], "y": [z]}
        self.curve.marker.data = {"x": [alpha], "y": [z]}
        for keys in self.keys:
            keys.at = [alpha, beta]
        self.surface.marker = [alpha, beta]

    def tell(self) -> None:
        """Write what is known of the network at the marker."""
        if self._shown is None:
            return
        result, picture = self._shown
        insight = self.state.insight if self.state.insight and self.state.insight.request == result.request else None
        reading = reading_of(result, picture, self.state.marker, insight)
        if reading is None:
            known = insight is not None and insight.at == self.state.marker
            words = insight.failure if insight is not None and known else "Evaluating the network there …"
            self.card.object = waiting_html(said(self.state.marker, result.track), words, self.state.picked is not None)
        else:
            self.card.object = inspector_html(reading, self._does(result, insight))

    def _does(self, result: Result, insight: Insight | None) -> str:
        """What the network does, or why that is not known, as HTML; room for it where it is still to come."""
        if insight is None or not insight.whole:
            return WAITING if "accuracy" in result.source.offered else ""
        if insight.failure:
            return f"<p class='verdict warn'>{escape(insight.failure)}</p>"
        return behavior_html(insight.behavior, result.source.splits[-1]) if insight.behavior is not None else ""

    @property
    def _bounds(self) -> tuple[tuple[float, float], ...]:
        """Of the axes of the picture."""
        return () if self._shown is None else tuple(self._shown[0].subspace.bounds)

    def _tap(self, *point: float) -> None:
        """Take a point that was tapped, of which the browser tells at once, and not a little later as of all else."""
        self.slider.settle()
        self._pick(*point)

    def _pick(self, *point: float, near: float = NEAR) -> None:
        """Take a point of the picture, if it is inside; as near to a stop of the track as said, that stop."""
        if self._shown is None:
            return
        result, bounds = self._shown[0], np.array(self._bounds)
        if all(low <= x <= high for x, (low, high) in zip(point, bounds, strict=True)):
            apart = np.abs(result.path[::PER_INTERVAL] - point) / np.ptp(bounds, axis=1)
            stop = int(np.argmin(apart.max(axis=1)))
            if len(apart) > 1 and result.track.stop and apart[stop].max() < near:
                self.state.picked, self.slider.t = None, float(stop)
            else:
                self.state.picked = tuple(map(float, point))
        self.place()
