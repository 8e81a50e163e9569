"""The slider along a track, aligned with the profile's axis."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import panel as pn
import param

from explorer.tracks import Track
from explorer.views.component import Component

PAUSE = "document.dispatchEvent(new Event('picturetap'));"
"""In the browser, stops what plays: who taps a picture wants to be there."""


class PathSlider(Component):
    """Moves along a track; the arrow keys go from one stop to the next.

    ``t`` changes in the browser first, so that a ``jscallback`` on it runs whether or not the server answers.
    """

    t = param.Number(default=0.0, doc="Place on the track, in quarters of stops.")
    stops = param.List(default=[0, 1], doc="What the axis says at each stop: a number.")
    label = param.String(default="Position on the training path", doc="What it is, for those who cannot see it.")
    saying = param.String(default="step {}", doc="What is said of a place, with room for what the axis says there.")
    digits = param.Integer(default=0, doc="Decimals of that.")
    stop = param.String(default="checkpoint", doc="What a stop is called, or empty.")
    away = param.Boolean(default=False, doc="Whether the marker is elsewhere; the browser sets it back.")
    back = param.Integer(default=0, doc="Counts how often the marker was called back to the track.")
    left = param.Integer(default=66, doc="Pixels from the left edge to the plot's frame.")
    right = param.Integer(default=132, doc="Pixels from the plot's frame to the right edge.")
    narrow = param.Boolean(default=False, doc="Set by the browser: fewer than 560 pixels wide.")
    label_start = param.String(default="initialization", doc="Under the left end.")
    label_end = param.String(default="trained", doc="Under the right end.")

    def follow(self, track: Track, t: float) -> None:
        """Take a track's stops and words, and a place on it."""
        start, end = track.ends
        words = {"label": track.slider, "saying": track.saying, "digits": track.digits, "stop": track.stop}
        self.param.update(stops=list(track.stops), **words, label_start=start, label_end=end, t=t)

    def settle(self) -> None:
        """Take what the browser has said so far, before anything else: Panel 1.9.4 holds it for 50 ms."""
        if self._events:
            self._change_event(pn.state.curdoc)

    _bundle: ClassVar[Path] = Path(__file__).parent / "slider.js"
