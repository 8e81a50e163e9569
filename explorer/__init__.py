"""The loss-landscape explorer: a page on which a landscape refines while you look."""

from __future__ import annotations

from typing import Any

__all__ = ["Explorer", "serve"]


def __getattr__(name: str) -> Any:
    # Lazy, since the server runs this file a second time under another name.
    if name == "Explorer":
        from explorer.app import Explorer

        return Explorer
    if name == "serve":
        from explorer.cli import serve

        return serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
