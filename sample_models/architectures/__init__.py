"""Known architectures: built from a few options, and recognized from the names and shapes of their weights."""

from .base import Architecture, Match, Option
from .registry import ARCHITECTURES, build, recognize

__all__ = ["ARCHITECTURES", "Architecture", "Match", "Option", "build", "recognize"]
