"""Paths between two models along which the loss stays low, and the barrier that is left."""

from .band import loss_forces, nudged_elastic_band, spring_forces, tangents
from .curves import bezier, polygonal_chain, straight_line
from .search import settled_model

__all__ = [
    "bezier",
    "loss_forces",
    "nudged_elastic_band",
    "polygonal_chain",
    "settled_model",
    "spring_forces",
    "straight_line",
    "tangents",
]
