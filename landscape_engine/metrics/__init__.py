"""Quantities of a model: losses, accuracy, and anything with ``__call__``."""

from .base import Estimate, EstimatedMetric, ExampleMetric, Metric, MetricPipeline, PairMetric
from .data import Examples
from .supervised import Accuracy, Loss

__all__ = [
    "Accuracy",
    "Estimate",
    "EstimatedMetric",
    "ExampleMetric",
    "Examples",
    "Loss",
    "Metric",
    "MetricPipeline",
    "PairMetric",
]
