"""Quantities of a model: losses, accuracy, the return of a policy, and anything with ``__call__``."""

from .base import Estimate, EstimatedMetric, ExampleMetric, Metric, MetricPipeline, PairMetric
from .data import Examples
from .reinforcement import ExpectedReturn
from .supervised import Accuracy, Loss

__all__ = [
    "Accuracy",
    "Estimate",
    "EstimatedMetric",
    "ExampleMetric",
    "Examples",
    "ExpectedReturn",
    "Loss",
    "Metric",
    "MetricPipeline",
    "PairMetric",
]
