"""The notebook around a view: its theme, and when it can be written to."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param

from explorer.views.component import Component


class Host(Component):
    """Draws nothing; it is there as soon as what it stands beside is, and tells what only the browser knows."""

    dark = param.Boolean(default=False, doc="Set by the browser: whether the notebook is dark.")
    shown = param.Integer(default=0, doc="A counter: the browser adds one where it is displayed.")

    _bundle: ClassVar[Path] = Path(__file__).parent / "host.js"
