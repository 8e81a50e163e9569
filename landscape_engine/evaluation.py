"""Metric values at many points of a subspace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

import numpy as np
import torch

from .errors import ChoiceError, EvaluationError, LandscapeError
from .metrics.base import Estimate, Metric, MetricPipeline, as_pipeline
from .subspaces import Subspace

MetricLike = Metric | MetricPipeline | Sequence[Metric]


@final
class Evaluator:
    """Evaluates metrics at points of a subspace, one after the other, on a private copy of the model.

    The caller's model keeps its parameters, buffers, mode and gradients, whatever happens. One evaluator belongs to
    one thread.

    Args:
        subspace: Where.
        metrics: What: a metric, several, or a pipeline.
    """

    strategy = "loop"

    def __init__(self, subspace: Subspace, metrics: MetricLike) -> None:
        self.subspace = subspace
        self.pipeline = as_pipeline(metrics)
        vector = next((m for m in self.pipeline.metrics if m.dims), None)
        if vector is not None:
            raise ChoiceError("metrics", vector.name, "metrics of one number each; this one is an array")
        self._model = subspace.model.private_copy()

    def __call__(self, coordinates: Sequence[float]) -> dict[str, Estimate]:
        """Each metric's value and standard error at one point.

        Raises:
            EvaluationError: If the model or a metric fails there; the cause is chained.
        """
        point = dict(zip(self.subspace.dims, (float(c) for c in coordinates), strict=True))
        try:
            with torch.no_grad():
                return self.pipeline(self._model.at(self.subspace.state_at(coordinates)))
        except LandscapeError:
            raise
        except Exception as error:
            where = ", ".join(f"{dim} = {value:.6g}" for dim, value in point.items())
            reason = next(iter(str(error).splitlines()), "no reason given")
            raise EvaluationError(
                f"the evaluation at {where} failed ({type(error).__name__}: {reason}). "
                "Check that the model accepts the data and that the metric accepts the model's outputs.",
                point=point,
            ) from error


def evaluate(subspace: Subspace, metrics: MetricLike, points: Iterable[Sequence[float]]) -> dict[str, np.ndarray]:
    """Metric values at given points.

    Args:
        subspace: Where the coordinates count.
        metrics: A metric, several, or a pipeline.
        points: Coordinates, one sequence a point.

    Returns:
        By metric name, an array of one value a point; under ``<name>_stderr`` the standard errors over examples.
    """
    evaluator = Evaluator(subspace, metrics)
    rows = [evaluator(point) for point in points]
    names = [m.name for m in evaluator.pipeline.metrics]
    values = {name: np.array([row[name].value for row in rows]) for name in names}
    return values | {f"{name}_stderr": np.array([row[name].stderr for row in rows]) for name in names}
