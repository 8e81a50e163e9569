"""Quantities of a model: losses, accuracy, and anything with ``__call__``."""

from .base import Estimate, ExampleMetric, Metric, MetricPipeline, PairMetric
from .data import Examples
from .supervised import Accuracy, Loss

__all__ = ["Accuracy", "Estimate", "ExampleMetric", "Examples", "Loss", "Metric", "MetricPipeline", "PairMetric"]
