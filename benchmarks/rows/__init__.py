"""The rows of the table: a new group is one module with ``rows(device)``, named here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from ..measure import Row

GROUPS = ("evaluation", "arithmetic", "sampling", "drafts", "curvature_map", "memory", "streaming", "startup")
ON_CPU = ("sampling", "startup")  # which say nothing of a GPU


def rows(name: str, device: str) -> Iterator[Row]:
    """The rows of a group, whose module is imported for it alone: it may need a package that others do not."""
    yield from import_module(f".{name}", __name__).rows(device)
