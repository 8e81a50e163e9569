"""The header: what is shown, how far the run is, and the page's width and theme as the browser has them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param

from explorer.views.component import Component


class Header(Component):
    """Title, status and the progress line at the header's lower edge.

    It also tells the page what only the browser knows, ``narrow`` and ``night``, and it gives the document its theme.
    """

    subtitle = param.String(default="", doc="What the pictures show.")
    phase = param.String(default="idle", doc="Of the run: idle, running, done, canceled or failed.")
    word = param.String(default="", doc="The phase as a person reads it.")
    more = param.String(default="", doc="Numbers after it; left out on a narrow screen.")
    share = param.Number(default=0.0, doc="Of the run that is done, 0 to 1; the line is drawn while it runs.")
    cancel = param.Integer(default=0, doc="A counter: the browser adds one when Cancel is pressed.")
    dark = param.Boolean(default=False, doc="Whether the document takes the dark tokens.")
    inline = param.Boolean(default=False, doc="Whether it stands in a notebook, to which the document belongs.")
    night = param.Boolean(default=False, doc="Set by the browser: pages shall be dark, as its system has it.")
    narrow = param.Boolean(default=False, doc="Set by the browser: too narrow for the drawer beside the pictures.")

    _bundle: ClassVar[Path] = Path(__file__).parent / "header.js"
