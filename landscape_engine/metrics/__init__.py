"""Quantities of a model: losses, accuracy, returns, their derivatives, and anything with ``__call__``."""

from .base import Estimate, EstimatedMetric, ExampleMetric, Metric, PairMetric
from .curvature import (
    ConvexityRatio,
    CurvatureMetric,
    Hessian,
    HessianIndex,
    LargestCurvature,
    PrincipalCurvatures,
    SmallestCurvature,
)
from .data import Examples
from .gradients import (
    AlongGradient,
    BetaSmoothness,
    DerivedMetric,
    GradientNorm,
    GradientPredictiveness,
    LossGradient,
    LossPerturbations,
)
from .pipeline import MetricPipeline
from .reinforcement import ExpectedReturn
from .sharpness import AdaptiveSharpness, KeskarSharpness, RegularizedLoss, SAMSharpness
from .spectrum import CurvaturePositivity, HessianTrace, SpectralDensity
from .supervised import Accuracy, Loss
from .tokens import TokenCrossEntropy, TokenNLL

__all__ = [
    # what metrics are
    "Estimate",
    "EstimatedMetric",
    "ExampleMetric",
    "Examples",
    "Metric",
    "MetricPipeline",
    "PairMetric",
    # of the outputs
    "Accuracy",
    "ExpectedReturn",
    "Loss",
    "RegularizedLoss",
    "TokenCrossEntropy",
    "TokenNLL",
    # of first order
    "AlongGradient",
    "BetaSmoothness",
    "DerivedMetric",
    "GradientNorm",
    "GradientPredictiveness",
    "LossGradient",
    "LossPerturbations",
    # of second order
    "ConvexityRatio",
    "CurvatureMetric",
    "CurvaturePositivity",
    "Hessian",
    "HessianIndex",
    "HessianTrace",
    "LargestCurvature",
    "PrincipalCurvatures",
    "SmallestCurvature",
    "SpectralDensity",
    # sharpness
    "AdaptiveSharpness",
    "KeskarSharpness",
    "SAMSharpness",
]
