"""A text field that keeps what a person is typing."""

from __future__ import annotations

from typing import Any

import panel_material_ui as pmui
import param


class TextField(pmui.TextInput):
    """A text field in which what the browser says is not said back to it.

    Panel Material UI 0.16.6 answers every entered ``value`` with the text to show; where a person has typed on since,
    that answer undoes it. Here only a value that did not come from the browser changes the text.
    """

    _entered: str | None = None

    def _process_events(self, events: dict[str, Any]) -> None:
        self._entered = events.get("value")
        try:
            super()._process_events(events)
        finally:
            self._entered = None

    @param.depends("value", watch=True, on_init=True)
    def _sync_value_input(self) -> None:
        if self.value != self._entered:
            super()._sync_value_input()
