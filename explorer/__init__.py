"""The loss-landscape explorer: a page on which a landscape refines while you look."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Explorer": "explorer.app",
    "contours": "explorer.figures",
    "profile": "explorer.figures",
    "serve": "explorer.cli",
    "surface": "explorer.figures",
}
__all__ = ["Explorer", "contours", "profile", "serve", "surface"]


def __getattr__(name: str) -> Any:
    # Lazy, since the server runs this file a second time under another name.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
