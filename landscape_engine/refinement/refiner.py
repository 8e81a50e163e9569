"""Which nodes of a grid to compute next, and what the others are expected to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from ..errors import ChoiceError
from ..landscape import SCALES, transform
from .interpolation import Array, coarse_stride, nearest_finite, refine_grid, spread

Mask = NDArray[np.bool_]

# A node is computed where the error expected of its prediction exceeds this share of the tolerance.
SAFETY = 0.5
# The surplus of a smooth surface shrinks 16 times a level under a cubic predictor; a jump does not shrink at all.
SMALLEST_DECAY, LARGEST_DECAY, FIRST_DECAY = 1 / 16, 1.0, 1 / 4


class Analysis(NamedTuple):
    """What the values told so far say.

    Attributes:
        wanted: Indices of the nodes to compute next, (n, dimensions), largest expected gain first.
        prediction: The transformed surface at full resolution.
        error: Its estimated error, 0 at computed nodes.
        span: Range (max - min) of the finite transformed values.
    """

    wanted: NDArray[np.int64]
    prediction: Array
    error: Array
    span: float


@final
class Refiner:
    r"""Decides which nodes of a grid to compute, and predicts the others.

    An interpolating multiresolution scheme. A coarse grid is computed whole. Each level then halves the spacing: the
    new nodes are predicted by the tensor-product cubic spline through the level before; the *surplus* of a computed
    node is its value minus that prediction. The next level's surplus is expected to be the largest one nearby times
    the decay learned from level to level. Where that is below half the tolerance, the prediction stands; elsewhere the
    node is computed. In each cell of the coarse grid one predicted node, drawn at random from the first level that is
    predicted there, is computed as an audit: if its surplus exceeds the tolerance, that level of the cell is computed.
    Near values that are not finite every node is computed; nothing is interpolated over them.

    The error estimate is calibrated by the audits. It is an estimate, not a bound: a feature narrower than the coarse
    grid that meets no audit is missed.

    What is asked depends only on the set of values told, so that the order of telling does not matter and a half-told
    refiner resumes with the same asks.

    Args:
        shape: Nodes on each axis.
        tolerance: Wanted largest error, as a fraction of the range of the transformed values; 0 computes every node.
        scale: ``"linear"``, ``"log"`` or ``"symlog"``, the transformation in which errors are measured.
        vmax: Values above it count as equal to it.
        seed: Of the audits.

    References:
        Harten 1995, Multiresolution algorithms for the numerical solution of hyperbolic conservation laws (surplus and
        its decay); Donoho 1992, Interpolating wavelet transforms.
    """

    def __init__(
        self,
        shape: Sequence[int],
        tolerance: float = 0.005,
        scale: str = "linear",
        vmax: float | None = None,
        seed: int = 0,
    ) -> None:
        if not (np.isfinite(tolerance) and 0 <= tolerance < 1):
            raise ChoiceError("tolerance", tolerance, "a fraction of the range, from 0 to below 1")
        if scale not in SCALES:
            raise ChoiceError("scale", scale, f"one of {', '.join(SCALES)}")
        self.shape, self.tolerance, self.scale, self.vmax, self.seed = (
            tuple(shape),
            tolerance,
            scale,
            vmax,
            seed,
        )
        self.stride = min(coarse_stride(n, len(self.shape)) for n in self.shape)
        self.values: Array = np.full(self.shape, np.nan)
        self.computed: Mask = np.zeros(self.shape, dtype=bool)
        self._analysis: Analysis | None = None

    def ask(self, count: int | None = None) -> NDArray[np.int64]:
        """Indices (n, dimensions) of at most ``count`` nodes to compute next; empty when finished."""
        return self.analysis.wanted[:count]

    def tell(self, nodes: NDArray[np.int64], values: Array) -> None:
        """Take the values of some nodes, asked for or not."""
        index = tuple(np.asarray(nodes, dtype=np.int64).reshape(-1, len(self.shape)).T)
        self.values[index] = values
        self.computed[index] = True
        self._analysis = None

    @property
    def is_whole(self) -> bool:
        """Whether the coarse grid is complete, so that there is a surface at every node."""
        return bool(self.computed[self._grid(self.stride)].all())

    @property
    def analysis(self) -> Analysis:
        """What the values told so far say; computed once for each new set of them."""
        if self._analysis is None:
            self._analysis = self._analyse()
        return self._analysis

    def _grid(self, stride: int) -> tuple[slice, ...]:
        return tuple(slice(None, None, stride) for _ in self.shape)

    def _analyse(self) -> Analysis:
        grid = self._grid(self.stride)
        known = self.computed[grid]
        if not known.all():
            wanted = np.argwhere(~known) * self.stride
            empty = np.full(self.shape, np.nan)
            return Analysis(wanted, empty, empty, 0.0)
        with np.errstate(all="ignore"):
            descent = _Descent(self)
            while descent.stride > 1:
                descent.next_level()
        return descent.result()


@final
class _Descent:
    """One pass from the coarse grid to the full resolution over the values that a refiner knows."""

    def __init__(self, refiner: Refiner) -> None:
        self.refiner, self.stride = refiner, refiner.stride
        self.transformed = transform(refiner.values, refiner.scale, refiner.vmax)
        self.values: Array = self.transformed[refiner._grid(self.stride)]
        self.surplus, self.decay, self.typical = self._first_surplus()
        self.error: Array = np.zeros_like(self.values)
        self.wanted: NDArray[np.int64] = np.zeros((0, self.values.ndim), dtype=np.int64)
        self.settled: Mask = np.zeros(tuple(n - 1 for n in self.values.shape), dtype=bool)  # cells that passed
        self.ratios: list[float] = []

    def _first_surplus(self) -> tuple[Array, float, float]:
        """Surplus of the coarse grid over every second node of itself, and what it says of the decay."""
        fine = nearest_finite(self.values)
        levels = []
        for _ in range(2):
            if any((n - 1) % 2 or n < 5 for n in fine.shape):
                break
            half = fine[tuple(slice(None, None, 2) for _ in fine.shape)]
            levels.append(np.abs(fine - refine_grid(half, 3)))
            fine = half
        if not levels:
            return np.full(self.values.shape, np.inf), FIRST_DECAY, np.nan
        return levels[0], FIRST_DECAY, _rms(levels[0][levels[0] > 0])

    def _span(self) -> float:
        finite = self.values[np.isfinite(self.values)]
        span = float(np.ptp(finite)) if finite.size else 0.0
        return span if span > 1e-12 * float(np.abs(finite).max(initial=0.0)) else 0.0  # rounding is no range

    def next_level(self) -> None:
        """Predict the nodes half-way, take those that are known, decide which of the others are wanted."""
        refiner, span = self.refiner, self._span()
        ceiling = refiner.tolerance * span if span else np.inf  # a constant surface is finished after the coarse pass
        prediction = refine_grid(nearest_finite(self.values), 3)
        expected = self._expected()
        self.stride //= 2
        grid = refiner._grid(self.stride)
        new = np.ones(prediction.shape, dtype=bool)
        new[tuple(slice(None, None, 2) for _ in new.shape)] = False
        known = refiner.computed[grid] & new
        actual = np.where(known, self.transformed[grid], prediction)
        miss = np.where(known, np.abs(actual - prediction), 0.0)
        miss = np.where(known & ~np.isfinite(actual), np.inf, miss)
        finite_known = known & np.isfinite(actual)
        needed = new & ((expected > SAFETY * ceiling) | (refiner.tolerance == 0))
        self._want(needed & ~known, expected)
        if not len(self.wanted):
            self._audit(new, needed, known, miss, expected, ceiling)
        self.error = np.where(known, 0.0, refine_grid(self.error, 1) + np.where(new, expected, 0.0))
        self.values = np.where(new, actual, spread(self.values))
        self._learn_decay(miss[finite_known])
        self.surplus = np.where(known, miss, np.where(new, expected, 0.0))

    def _expected(self) -> Array:
        """The surplus expected of the next level: the largest one nearby times the decay."""
        nearby = maximum_filter(self.surplus, size=3, mode="nearest") * self.decay
        nearby = np.where(maximum_filter(~np.isfinite(self.values), size=3, mode="nearest"), np.inf, nearby)
        return maximum_filter(spread(nearby), size=3, mode="nearest")

    def _learn_decay(self, misses: Array) -> None:
        if misses.size >= 8:
            typical = _rms(misses)
            if np.isfinite(self.typical) and self.typical > 0:
                self.decay = float(np.clip(typical / self.typical, SMALLEST_DECAY, LARGEST_DECAY))
            self.typical = typical

    def _want(self, nodes: Mask, gain: Array) -> None:
        if len(self.wanted) or not nodes.any():
            return
        index = np.argwhere(nodes)
        order = np.argsort(-gain[nodes], kind="stable")
        self.wanted = index[order] * self.stride

    def _audit(self, new: Mask, needed: Mask, known: Mask, miss: Array, expected: Array, ceiling: float) -> None:
        """One random predicted node in each coarse cell; a cell that fails is computed at this level."""
        cells = self.refiner.stride // self.stride
        asked = np.zeros(new.shape, dtype=bool)
        for cell in np.argwhere(~self.settled) if np.isfinite(ceiling) else ():
            window = tuple(slice(c * cells, (c + 1) * cells + 1) for c in cell)
            candidates = np.argwhere((new & ~needed)[window])
            if not len(candidates):
                continue
            generator = np.random.default_rng([self.refiner.seed, self.stride, *cell.tolist()])
            pick = tuple(candidates[generator.integers(len(candidates))] + cell * cells)
            if not known[pick]:
                asked[pick] = True
            elif miss[pick] <= ceiling:
                self.settled[tuple(cell)] = True
                if np.isfinite(expected[pick]) and expected[pick] > 0:
                    self.ratios.append(float(miss[pick] / expected[pick]))
            else:
                asked[window] |= (new & ~known)[window]
        self._want(asked, expected)

    def result(self) -> Analysis:
        """The surface, its error estimate scaled by what the audits found, and the nodes wanted next."""
        scale = float(np.clip(1.5 * np.quantile(self.ratios, 0.95), 0.05, 10)) if len(self.ratios) >= 8 else 1.0
        error = np.where(self.refiner.computed, 0.0, self.error * scale)
        span = self._span()
        error = np.where(np.isfinite(error), error, span) if span else np.zeros_like(error)
        return Analysis(self.wanted, self.values, error, span)


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else np.nan
