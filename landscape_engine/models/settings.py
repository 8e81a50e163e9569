"""Settings of the whole process under which any forward pass can be differentiated twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, final

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@final
class Shared:
    """A setting of the whole process that several threads want at once: made by the first, undone by the last."""

    def __init__(self, make: Callable[[], AbstractContextManager[Any]]) -> None:
        self._make, self._lock, self._count, self._undo = make, threading.Lock(), 0, ExitStack()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The setting is made meanwhile."""
        with self._lock:
            if not self._count:
                self._undo.enter_context(self._make())
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if not self._count:
                    self._undo.close()


PLAIN_ATTENTION = Shared(lambda: sdpa_kernel(SDPBackend.MATH))
PLAIN_RECURRENCE = Shared(lambda: torch.backends.cudnn.flags(enabled=False))
