"""Where a computed surface may be stationary, by the spline through its nodes."""

from __future__ import annotations

from itertools import product
from typing import final

import numpy as np
from scipy.interpolate import NdBSpline, make_interp_spline
from scipy.optimize import root

from ..refinement.interpolation import nearest_finite
from .local import Array

APART = 0.25  # cells: candidates that are nearer are one


@final
class Interpolant:
    """The tensor-product cubic spline through a surface's nodes, whose coordinates count cells from the first node.

    Args:
        values: At the nodes, one dimension an axis; what is not finite counts as its nearest neighbor.
    """

    def __init__(self, values: Array) -> None:
        self.shape, self.finite = values.shape, np.isfinite(values)
        coefficients, knots, degrees = nearest_finite(values), [], []
        for axis, count in enumerate(values.shape):
            lines = np.moveaxis(coefficients, axis, 0)
            spline = make_interp_spline(np.arange(count, dtype=float), lines, k=min(3, count - 1))
            coefficients = np.moveaxis(spline.c, 0, axis)
            knots.append(spline.t)
            degrees.append(spline.k)
        self._spline = NdBSpline(tuple(knots), np.ascontiguousarray(coefficients), tuple(degrees))

    def derivative(self, points: Array, *axes: int) -> Array:
        """Its derivative by the given axes, at points (..., d)."""
        orders = [axes.count(k) for k in range(len(self.shape))]
        return np.asarray(self._spline(np.asarray(points, dtype=float), nu=orders), dtype=np.float64)

    def gradient(self, point: Array) -> Array:
        """The gradient at a point, (d,)."""
        return np.array([float(self.derivative(point, k)) for k in range(len(self.shape))])

    def hessian(self, point: Array) -> Array:
        """The Hessian at a point, (d, d)."""
        d = range(len(self.shape))
        return np.array([[float(self.derivative(point, j, k)) for k in d] for j in d])

    def slopes(self) -> Array:
        """The lengths of the gradient at all nodes."""
        nodes = np.stack(np.meshgrid(*(np.arange(float(n)) for n in self.shape), indexing="ij"), axis=-1)
        slopes = np.stack([self.derivative(nodes, k) for k in range(len(self.shape))])
        return np.asarray(np.linalg.norm(slopes, axis=0), dtype=np.float64)

    def candidates(self) -> list[Array]:
        """Where it may be stationary: cells of half the size in which every slope changes its sign, made exact."""
        halves = [np.arange(2 * n - 1) / 2 for n in self.shape]
        points = np.stack(np.meshgrid(*halves, indexing="ij"), axis=-1)
        slopes = [self._corners(self.derivative(points, k)) for k in range(len(self.shape))]
        turning = np.all([(c.min(axis=0) <= 0) & (c.max(axis=0) >= 0) for c in slopes], axis=0)
        steepest, highest = np.abs(slopes).max(axis=(0, 1)), np.abs(self._corners(self.derivative(points))).max(axis=0)
        turning &= steepest > 64 * np.finfo(float).eps * highest  # a plateau has no stationary point of its own
        found: list[Array] = []
        for cell in np.argwhere(turning):
            point = self._exact((cell + 0.5) / 2)
            if self._known(point) and all(np.linalg.norm(point - other) > APART for other in found):
                found.append(point)
        return found

    @staticmethod
    def _corners(values: Array) -> Array:
        """The values at the corners of each cell, (2^d, cells on each axis)."""
        sides = product((slice(None, -1), slice(1, None)), repeat=values.ndim)
        return np.stack([values[side] for side in sides])

    def _exact(self, middle: Array) -> Array:
        """The stationary point of the spline near the middle of a cell; the middle if there is none."""
        solved = root(self.gradient, middle, jac=self.hessian)
        return solved.x if solved.success and np.abs(solved.x - middle).max() < 1 else middle

    def _known(self, point: Array) -> bool:
        """Whether a point is inside, and the nodes around it are finite."""
        if not all(0 < x < n - 1 for x, n in zip(point, self.shape, strict=True)):
            return False
        first = np.floor(point).astype(int)
        return bool(self.finite[tuple(slice(f, f + 2) for f in first)].all())
