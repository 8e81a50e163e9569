"""Metric values at points of a subspace: the strategy chosen by a probe, memory bounded."""

from .evaluator import MEMORY_CAP, Evaluator, MetricLike, automatic_extent, evaluate
from .strategies import STRATEGIES

__all__ = ["MEMORY_CAP", "STRATEGIES", "Evaluator", "MetricLike", "automatic_extent", "evaluate"]
