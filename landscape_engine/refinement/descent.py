"""One pass from the coarse grid to the full resolution."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, final

import numpy as np
from scipy.ndimage import correlate1d, maximum_filter

from .interpolation import Array, Mask, nearest_finite, new_nodes, refine_grid, spread

# The surplus of a smooth surface shrinks 16 times a level under a cubic predictor; that of a jump does not shrink.
SMALLEST_DECAY, FIRST_DECAY, LARGEST_DECAY = 1 / 16, 0.5, 1.0
USUAL, FEWEST = 0.98, 16  # the decay is a quantile; so many nodes are a sample
DEGREES = 5  # nodes on an axis that splines of two degrees need
NEARBY = np.array([0.2, 0.6, 1.0, 0.6, 0.2])  # weights of the nodes on an axis
BORDER = 5 / 3  # error of the cubic through four nodes: in its first interval to in its middle one


class Rule(NamedTuple):
    """Which of the nodes of a level are computed, not predicted.

    Attributes:
        ceiling: Largest error of a prediction, as a fraction of the range; 0 computes every node.
        share: Of the ceiling, that the surplus of one level may take.
        factor: What expected errors are multiplied with, at each node.
        forced: Nodes that are computed in any case.
        whole: Levels of this stride and of larger ones are computed whole.
    """

    ceiling: float
    share: float
    factor: Array
    forced: Mask
    whole: int

    def needs(self, surplus: Array, error: Array, span: float, stride: int) -> Mask:
        """The nodes of a level whose expected surplus, or error with that of coarser levels, is too large."""
        if self.ceiling == 0 or stride >= self.whole:
            return np.ones(surplus.shape, dtype=bool)
        grid = (slice(None, None, stride),) * surplus.ndim
        ceiling = self.ceiling * span if span else np.inf  # a constant surface is finished after the coarse pass
        factor = self.factor[grid]
        return (factor * surplus > self.share * ceiling) | (factor * error > ceiling) | self.forced[grid]


@final
class Descent:
    """One pass from the coarse grid to the full resolution, over some of the values that are known.

    Args:
        values: Transformed values at full resolution.
        told: Where they are known.
        used: Where they may be used, besides where the rule needs them; the coarse grid among them.
        stride: Of the coarse grid.
        rule: Which nodes are needed; None for none.
        fewest: Nodes on each axis of the coarse grid from which its own surplus tells anything, 3 or more.
        paired: Whether what splines of two degrees differ by tells anything: not where few nodes of a level are known.

    Attributes:
        surface: Known and predicted values.
        error: The error expected of the predicted ones, before calibration; 0 at known ones.
        needed: What the rule wants computed.
        missing: What of it is not known. The pass ends with the first level that has some.
        used: ``used`` and ``needed``.
        expected: What ``error`` was before the value of a node was used.
        miss: Known value minus prediction, absolute; NaN where there is none.
    """

    def __init__(
        self,
        values: Array,
        told: Mask,
        used: Mask,
        stride: int,
        rule: Rule | None = None,
        fewest: int = 5,
        paired: bool = True,
    ) -> None:
        self.told, self.used, self.stride, self.rule = told, used.copy(), stride, rule
        self.needed, self.missing = np.zeros((2, *told.shape), dtype=bool)
        self.expected, self.miss = np.zeros(told.shape), np.full(told.shape, np.nan)
        self._values, self._paired = values, paired
        self._decay, self._roughness = FIRST_DECAY, LARGEST_DECAY
        self.surface: Array = values[self._grid]
        self.error: Array = np.zeros(self.surface.shape)
        self._surplus = _first_surplus(nearest_finite(self.surface), fewest)
        with np.errstate(all="ignore"):
            while self.stride > 1 and not self.missing.any():
                self._next_level()

    @property
    def span(self) -> float:
        """Range of the finite values; 0 if it is only rounding."""
        return span_of(self.surface)

    @property
    def _grid(self) -> tuple[slice, ...]:
        return (slice(None, None, self.stride),) * self.told.ndim

    def _next_level(self) -> None:
        """Predict the nodes half-way, decide which of them are needed, take those that are known."""
        coarse, activity, span = nearest_finite(self.surface), self._activity(), self.span
        prediction = refine_grid(coarse, 3)
        self.stride //= 2
        grid, new = self._grid, new_nodes(prediction.shape)
        ratios = np.abs(self._values[grid] - prediction) / activity
        self._learn(ratios[self.used[grid] & self.told[grid] & new])
        expected = np.where(new, self._guess(self._decay * activity, coarse, prediction), 0.0)
        error = refine_grid(self.error, 1) + expected
        if self.rule is not None:
            needed = self.rule.needs(expected, error, span, self.stride) & new
            self.needed[grid] |= needed
            self.missing[grid] |= needed & ~self.told[grid]
            self.used[grid] |= needed
        known = self.used[grid] & self.told[grid] & new
        actual = np.where(known, self._values[grid], prediction)
        miss = np.where(np.isfinite(actual), np.abs(actual - prediction), np.inf)
        self.miss[grid][known], self.expected[grid][new] = miss[known], error[new]
        self.surface = np.where(new, actual, spread(self.surface))
        self.error = np.where(known, 0.0, error)
        self._surplus = np.where(known, miss, expected)
        self._learn(ratios[known])

    def _guess(self, learned: Array, coarse: Array, prediction: Array) -> Array:
        """The surplus that is expected: what was learned from level to level and, as far as it decays, from degrees."""
        self._roughness = min(self._roughness, self._decay)
        weight = min(0.5, 1 - self._roughness)
        if not self._paired or min(coarse.shape) < DEGREES:
            return learned
        doubt = _doubt(coarse, prediction)
        return np.where(np.isfinite(learned), learned ** (1 - weight) * doubt**weight, learned)

    def _activity(self) -> Array:
        """Root mean square of the surplus of nearby nodes, at the nodes of the next level."""
        finite = np.isfinite(self._surplus)
        nearby = _around(np.where(finite, self._surplus, 0.0) / _lean(finite.shape))
        odd = ~np.isfinite(self.surface) | ~finite
        nearby = np.where(maximum_filter(odd, size=3, mode="nearest"), np.inf, nearby)
        finer = maximum_filter(spread(nearby), size=3, mode="nearest")
        return finer * _lean(finer.shape)

    def _learn(self, ratios: Array) -> None:
        ratios = ratios[np.isfinite(ratios)]
        if ratios.size >= FEWEST:
            self._decay = float(np.clip(np.quantile(ratios, USUAL), SMALLEST_DECAY, LARGEST_DECAY))


def _doubt(coarse: Array, prediction: Array) -> Array:
    """How far the cubic is from the quintic through the same nodes, as a root mean square of new nodes around each."""
    return _around(refine_grid(coarse, 5) - prediction)


def _around(values: Array) -> Array:
    """Root mean squares of the values at the new nodes near each node."""
    return np.sqrt(_near(np.where(new_nodes(values.shape), values, 0.0) ** 2) / _new_nodes_near(values.shape))


def _near(values: Array) -> Array:
    """Weighted sums of the values near each node."""
    for axis in range(values.ndim):
        values = correlate1d(values, NEARBY, axis, mode="constant")
    return values


@lru_cache(maxsize=64)
def _new_nodes_near(shape: tuple[int, ...]) -> Array:
    """The sum of the weights of the new nodes near each node."""
    return _near(new_nodes(shape).astype(float))


def span_of(values: Array) -> float:
    """Range of the finite values; 0 if it is only rounding."""
    finite = values[np.isfinite(values)]
    span = float(np.ptp(finite)) if finite.size else 0.0
    return span if span > 1e-12 * float(np.abs(finite).max(initial=0.0)) else 0.0


def _first_surplus(coarse: Array, fewest: int) -> Array:
    """Surplus of the coarse grid over every second node of itself; infinite if that has too few."""
    if any((n - 1) % 2 or n < fewest for n in coarse.shape):
        return np.full(coarse.shape, np.inf)
    return np.abs(coarse - refine_grid(coarse[(slice(None, None, 2),) * coarse.ndim], 3))


@lru_cache(maxsize=64)
def _lean(shape: tuple[int, ...]) -> Array:
    """How much larger a surplus is in the first and the last interval of an axis, where predictions lean to a side."""
    factor = np.ones(shape)
    for axis in range(factor.ndim):
        np.moveaxis(factor, axis, 0)[[1, -2]] = BORDER
    return factor
