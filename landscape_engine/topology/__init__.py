"""The shape of a computed surface: its basins, the saddles between them, and how rough it is."""

from .roughness import Smoothness, smoothness
from .tree import MergeTree, Minimum, Saddle, merge_tree

__all__ = ["MergeTree", "Minimum", "Saddle", "Smoothness", "merge_tree", "smoothness"]
