"""Weights from files of any program, and whether they fit a model."""

from .files import SHARD, Checkpoints, Weights, check_fit, checkpoints, fit, matched, read
from .order import in_order

__all__ = ["SHARD", "Checkpoints", "Weights", "check_fit", "checkpoints", "fit", "in_order", "matched", "read"]
