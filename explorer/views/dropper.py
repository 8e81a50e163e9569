"""An area for files, whose pieces are handed on as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import panel.models.file_dropper  # noqa: F401  # a page must have its script from the start

PIECE = 4_000_000  # bytes in a message: the websocket takes no more than five times that

DROPPER_CSS = """
.bk-input.filepond--root.filepond--root { font-family: var(--font); font-size: var(--fs-body); margin-bottom: 0;
  max-height: 13em; background: var(--sunken) !important; border: 1px dashed var(--edge) !important;
  box-shadow: none !important; border-radius: var(--r-control); box-sizing: border-box; }
.filepond--panel-root.filepond--panel-root, .filepond--panel-root > * { background: none !important; border: 0; }
.bk-input.filepond--root .filepond--drop-label.filepond--drop-label { color: var(--ink-2); min-height: 3.4em;
  background: none !important; }
.filepond--drop-label.filepond--drop-label label { font-size: var(--fs-body); }
.filepond--label-action { color: var(--ink); text-decoration-color: var(--edge); }
.filepond--item-panel.filepond--item-panel { background: var(--press); border-radius: var(--r-control); }
.filepond--file.filepond--file { color: var(--ink); }
.filepond--file-action-button.filepond--file-action-button { background: var(--card); color: var(--ink); }
.filepond--file-info span, .filepond--file-status span { font-size: var(--fs-caption) !important; }
"""


class Dropper(pn.widgets.FileDropper):
    """Files, dropped or browsed for, of any size: no piece is kept once it was handed on.

    Args:
        take: Called with name, number of the piece from 1, number of pieces, and bytes.
        remove: Called with the name of a file that was taken out.
        **options: Of the widget.
    """

    def __init__(self, take: Callable[[str, int, int, bytes], None], remove: Callable[[str], None], **options: Any):
        style = {"stylesheets": [DROPPER_CSS], "sizing_mode": "stretch_width", "margin": (4, 0)}
        super().__init__(multiple=True, chunk_size=PIECE, previews=[], **style, **options)
        self._take, self._remove = take, remove

    def _process_event(self, event: Any) -> None:
        piece = event.data
        if event.event_name == "delete_event":
            self._remove(piece["name"])
        else:
            self._take(piece["name"], piece["chunk"], piece["total_chunks"], piece["data"])
