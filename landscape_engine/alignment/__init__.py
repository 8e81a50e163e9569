"""Permutation alignment: the order of a model's units in which it is closest to another model."""

from .groups import Group, Place, permutation_groups
from .matching import Alignment, align

__all__ = ["Alignment", "Group", "Place", "align", "permutation_groups"]
