"""The slider along the training path, aligned with the profile's axis."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent


class PathSlider(JSComponent):
    """Moves along the checkpoints; the arrow keys go from one to the next.

    ``t`` changes in the browser first, so that a ``jscallback`` on it runs whether or not the server answers.
    """

    t = param.Number(default=0.0, doc="Checkpoint coordinate, in quarters.")
    count = param.Integer(default=2, doc="Number of checkpoints.")
    steps = param.List(default=[0, 1], doc="Training step of each checkpoint.")
    left = param.Integer(default=66, doc="Pixels from the left edge to the plot's frame.")
    right = param.Integer(default=132, doc="Pixels from the plot's frame to the right edge.")
    narrow = param.Boolean(default=False, doc="Set by the browser: fewer than 560 pixels wide.")
    label_start = param.String(default="initialization", doc="Under the left end.")
    label_end = param.String(default="trained", doc="Under the right end.")

    _esm: ClassVar[Path] = Path(__file__).parent / "slider.js"
