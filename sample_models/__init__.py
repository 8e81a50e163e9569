"""Trained examples with their checkpoints, recipes and cards."""

from .registry import Sample, load, names

__all__ = ["Sample", "load", "names"]
