"""From the nodes of one grid to those of a grid twice as dense."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.ndimage import distance_transform_edt

from ..subspaces import COARSE_INTERVALS, FEWEST_INTERVALS

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def coarse_stride(resolution: int, dimensions: int) -> int:
    """The largest power of two that divides ``resolution - 1`` and leaves enough intervals on a coarse axis.

    Enough are 16 on a line, 8 on a plane, 4 on a cube, 2 in more dimensions. It is 1, so that every node is computed,
    where none does.
    """
    stride, intervals = 1, resolution - 1
    while intervals % (2 * stride) == 0 and intervals // (2 * stride) >= COARSE_INTERVALS.get(
        dimensions, FEWEST_INTERVALS
    ):
        stride *= 2
    return stride


@lru_cache(maxsize=64)
def _doubling(count: int, degree: int) -> Array:
    """The matrix (2 count - 1, count) that interpolates values at integers to half-integers too."""
    nodes = np.arange(count, dtype=float)
    spline = make_interp_spline(nodes, np.eye(count), k=min(degree, count - 1))
    matrix = spline(np.arange(2 * count - 1) / 2)
    matrix[::2] = np.eye(count)  # the values themselves stay as they are, to the last bit
    return matrix


def refine_grid(values: Array, degree: int) -> Array:
    """Values on a grid of twice the density, by the tensor-product spline of a degree."""
    for count in values.shape:  # the first axis becomes the last one, until each was
        values = np.tensordot(values, _doubling(count, degree), axes=(0, 1))
    return values


def nearest_finite(values: Array) -> Array:
    """The values with each that is not finite replaced by the nearest finite one."""
    bad = ~np.isfinite(values)
    if not bad.any() or bad.all():
        return np.where(bad, 0.0, values)
    nearest = distance_transform_edt(bad, return_distances=False, return_indices=True)
    return values[tuple(nearest)]


def spread(values: Array) -> Array:
    """Values on every second node of a grid of twice the density; 0 between them."""
    result = np.zeros(tuple(2 * n - 1 for n in values.shape), dtype=values.dtype)
    result[tuple(slice(None, None, 2) for _ in values.shape)] = values
    return result


def new_nodes(shape: tuple[int, ...]) -> Mask:
    """The nodes that a grid of half the density does not have."""
    new = np.ones(shape, dtype=bool)
    new[(slice(None, None, 2),) * len(shape)] = False
    return new
