"""The marker on a picture, moved by the keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param

from explorer.views.component import Component


class Keys(Component):
    """Takes the focus for the card that it lies over; the arrow keys move the marker there.

    It lets the pointer through. ``moved`` changes in the browser first, so that a ``jscallback`` on it runs at once.
    """

    label = param.String(default="Point on the map", doc="What it is, for those who cannot see it.")
    bounds = param.List(default=[], doc="Lowest and highest coordinate of each axis of the picture.")
    at = param.List(default=[0.0, 0.0], doc="Coordinates of the marker.")
    moved = param.List(
        default=[], doc="Set by the browser: where the marker was moved to, and the how-manieth move it is."
    )

    _bundle: ClassVar[Path] = Path(__file__).parent / "keys.js"

    def __init__(self, label: str) -> None:
        over = {"position": "absolute", "inset": "0", "width": "100%", "height": "100%", "pointer-events": "none"}
        super().__init__(label=label, styles=over, margin=0)
