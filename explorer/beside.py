"""What is done beside a run: a point that is looked at, a curvature, minima, other directions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, final

import torch

from explorer.job import Canceled, sentence
from explorer.state import State

Told = Callable[[dict[str, Any]], None]


@final
class Beside:
    """Work of several kinds, each in a thread of its own; a newer question of its kind replaces an older one.

    Args:
        state: What it is told; its kind is a name of it, which is true while it is done.
        deliver: Does something where the state may be written.
    """

    def __init__(self, state: State, deliver: Callable[[Callable[[], None]], None]) -> None:
        self._state, self._deliver = state, deliver
        self._stops: dict[str, threading.Event] = {}

    def do(
        self, kind: str, wait: Callable[[], None], work: Callable[[Callable[[], None], Told], dict[str, Any]]
    ) -> None:
        """Begin.

        Args:
            kind: Of the work.
            wait: Called now and then in its thread, to let others go first.
            work: Gives what the state is told at last. What it is given first is to be called now and then, and may
                end it; what it is given then tells the state something on the way.
        """
        self._stop(kind)
        stop = self._stops[kind] = threading.Event()
        self._state.param.update(**{kind: True})

        def check() -> None:
            wait()
            if stop.is_set():
                raise Canceled

        def tell(found: dict[str, Any]) -> None:
            self._deliver(lambda: None if stop.is_set() else self._state.param.update(**found))

        def run() -> None:
            torch.set_num_threads(1)
            found: dict[str, Any] = {kind: False}
            try:
                found |= work(check, tell)
            except Canceled:
                return
            except Exception as error:
                found["message"] = sentence(error)
            tell(found)

        threading.Thread(target=run, name="landscape", daemon=True).start()

    def drop(self, kind: str) -> None:
        """Call off what is done of a kind."""
        self._stop(kind)
        self._state.param.update(**{kind: False})

    def close(self) -> None:
        """Call off everything, and tell nobody."""
        for kind in self._stops:
            self._stop(kind)

    def _stop(self, kind: str) -> None:
        if kind in self._stops:
            self._stops[kind].set()
