"""Five functions for the usual questions, with the argument names of ``loss-landscapes``.

They compute every node, since their tolerance is 0; a positive one switches refinement on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import xarray as xr
from torch import nn

from .errors import ChoiceError
from .evaluation import MetricLike, evaluate
from .metrics.base import Metric
from .metrics.pipeline import as_pipeline
from .models import ModelWrapper
from .parameters import norm
from .refinement import refine
from .subspaces import AffineSubspace, Line, Plane, Point

Model = nn.Module | ModelWrapper


def point(model: Model, metric: MetricLike) -> Any:
    """The value of a metric at a model.

    Args:
        model: A network, or a wrapped one.
        metric: A metric, several, or a pipeline.

    Returns:
        A number (an array for a vector metric); for several metrics, a mapping from names to these.
    """
    found = evaluate(Point.of(model), metric, [()])
    values = {m.name: found[m.name][0] for m in as_pipeline(metric).metrics}
    return next(iter(values.values())) if isinstance(metric, Metric) else values


def linear_interpolation(
    model_start: Model,
    model_end: Model,
    metric: MetricLike,
    steps: int = 100,
    deepcopy_model: bool = False,
    tolerance: float = 0.0,
    **options: Any,
) -> xr.DataArray | xr.Dataset:
    """A metric on the straight line between two models, both ends included.

    Args:
        model_start: At alpha = 0.
        model_end: At alpha = 1.
        metric: A metric, several, or a pipeline.
        steps: Number of nodes.
        deepcopy_model: Accepted and needless: models are never changed.
        tolerance: See ``refine``; 0 computes every node.
        **options: For ``refine``.

    References:
        Goodfellow, Vinyals, Saxe 2015, Qualitatively characterizing neural network optimization problems.
    """
    return _last(metric, Line.between(model_start, model_end), steps, tolerance, options)


def random_line(
    model_start: Model,
    metric: MetricLike,
    distance: float | None = None,
    steps: int = 100,
    normalization: str | None = "filter",
    deepcopy_model: bool = False,
    seed: int = 0,
    extent: float = 1.0,
    tolerance: float = 0.0,
    **options: Any,
) -> xr.DataArray | xr.Dataset:
    """A metric on a line through a model along a random direction, with the model in the middle.

    Args:
        model_start: The model.
        metric: A metric, several, or a pipeline.
        distance: Length of the line in units of the model's norm; instead of ``extent``.
        steps: Number of nodes; if even, the model itself is none of them.
        normalization: ``"filter"``, ``"layer"``, ``"model"``, or None.
        deepcopy_model: Accepted and needless: models are never changed.
        seed: Of the direction.
        extent: Half the length in units of the direction.
        tolerance: See ``refine``; 0 computes every node.
        **options: For ``refine``.
    """
    line = Line.random(model_start, normalization or "none", seed=seed, extent=extent)
    return _last(metric, _resized(line, distance), steps, tolerance, options)


def planar_interpolation(
    model_start: Model,
    model_end_one: Model,
    model_end_two: Model,
    metric: MetricLike,
    steps: int = 20,
    deepcopy_model: bool = False,
    tolerance: float = 0.0,
    **options: Any,
) -> xr.DataArray | xr.Dataset:
    r"""A metric on the parallelogram :math:`\theta_0 + \alpha (\theta_1 - \theta_0) + \beta (\theta_2 - \theta_0)`.

    Args:
        model_start: At (0, 0).
        model_end_one: At alpha = 1, beta = 0.
        model_end_two: At alpha = 0, beta = 1.
        metric: A metric, several, or a pipeline.
        steps: Number of nodes on each axis, from 0 to 1, both included.
        deepcopy_model: Accepted and needless: models are never changed.
        tolerance: See ``refine``; 0 computes every node.
        **options: For ``refine``.

    See Also:
        ``Plane.through``, the same plane with orthonormal axes, which shows true distances.
    """
    sides = [Line.between(model_start, end) for end in (model_end_one, model_end_two)]
    directions = [side.directions[0] for side in sides]
    plane = Plane.from_directions(sides[0].model, directions, bounds=((0.0, 1.0), (0.0, 1.0)))
    return _last(metric, plane, steps, tolerance, options)


def random_plane(
    model: Model,
    metric: MetricLike,
    distance: float | None = None,
    steps: int = 20,
    normalization: str | None = "filter",
    deepcopy_model: bool = False,
    seed: int = 0,
    extent: float = 1.0,
    tolerance: float = 0.0,
    **options: Any,
) -> xr.DataArray | xr.Dataset:
    """A metric on a plane through a model along two random directions, with the model in the middle.

    Args:
        model: The model.
        metric: A metric, several, or a pipeline.
        distance: Length of each axis in units of the model's norm; instead of ``extent``.
        steps: Number of nodes on each axis; if even, the model itself is none of them.
        normalization: ``"filter"``, ``"layer"``, ``"model"``, or None.
        deepcopy_model: Accepted and needless: models are never changed.
        seed: Of the directions.
        extent: Half the length of an axis in units of the direction.
        tolerance: See ``refine``; 0 computes every node.
        **options: For ``refine``.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets.
    """
    plane = Plane.random(model, normalization or "none", seed=seed, extent=extent)
    return _last(metric, _resized(plane, distance), steps, tolerance, options)


def _resized(subspace: AffineSubspace, distance: float | None) -> AffineSubspace:
    """Axes of a length in units of the model's norm; unchanged if it is None."""
    if distance is None:
        return subspace
    if not distance > 0:
        raise ChoiceError("distance", distance, "greater than 0")
    half = [distance * norm(subspace.origin) / (2 * norm(direction)) for direction in subspace.directions]
    return replace(subspace, bounds=tuple((-h, h) for h in half))


def _last(
    metric: MetricLike, subspace: AffineSubspace, steps: int, tolerance: float, options: dict[str, Any]
) -> xr.DataArray | xr.Dataset:
    *_, landscape = refine(metric, subspace, resolution=steps, tolerance=tolerance, **options)
    if not isinstance(metric, Metric):
        return landscape
    array = landscape[metric.name]
    return array.assign_attrs({**landscape.attrs, **array.attrs})
