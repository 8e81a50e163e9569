"""Which nodes of a grid to compute next, and what the others are expected to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from ..errors import ChoiceError
from ..landscape import SCALES, transform
from .audits import calibrate, choose
from .descent import Descent, Rule
from .interpolation import Array, Mask, coarse_stride

# Of the tolerance, what the estimated surplus of a predicted node may take: before audits and after them.
FIRST_SHARE, SHARE = 0.6, 0.33
UNAUDITED = 2.0  # what expected errors are multiplied with before audits
ROUNDS = 12  # at most; two to four are usual
FEWEST_COARSE = 8  # intervals on an axis of a coarse grid that may be halved
NEARLY_ALL = 0.6  # of the nodes: to predict the others would save little, and of so rough a surface tell little


class Analysis(NamedTuple):
    """What the values told so far say.

    Attributes:
        prediction: The transformed surface at full resolution.
        error: Its estimated error, 0 at computed nodes.
        span: Range (max - min) of the finite transformed values.
    """

    prediction: Array
    error: Array
    span: float


class Plan(NamedTuple):
    """What is to be computed next.

    Attributes:
        wanted: Indices of the nodes, (n, dimensions), largest expected gain first.
        factor: What expected errors are multiplied with, at each node.
    """

    wanted: NDArray[np.int64]
    factor: Array


class Round(NamedTuple):
    """What a round has to start from.

    Attributes:
        number: Of rounds before it.
        used: Nodes that these have asked for.
        audits: Of these, the audits of the last one.
        forced: Nodes to compute in any case.
        factor: What expected errors are multiplied with, at each node.
        known: The transformed values of the nodes used, on which all this depends.
    """

    number: int
    used: Mask
    audits: Mask
    forced: Mask
    factor: Array
    known: Array


@final
class Refiner:
    r"""Decides which nodes of a grid to compute, and predicts the others.

    An interpolating multiresolution scheme; its rule:

    1. A coarse grid is computed whole. Each level halves the spacing; a cubic spline through the level before predicts
       the new nodes. The *surplus* of a computed node is its value minus that prediction, without its sign.
    2. The surplus of a new node is expected to be the geometric mean of two guesses. One is the root mean square of
       those around it in the level before, times the *decay*: what 2 % of the nodes computed so far in this level (or,
       if they are few, the one before) exceed of their own, between 1/16 (a smooth surface) and 1 (a jump); 1/2 at
       first. The other, which knows nothing of levels, is how far the cubic spline is from the quintic one around it;
       it counts less where even the smallest decay of a pass is above 1/2, and nothing where that is 1. The first pass,
       which has learned nothing yet, trusts both alike.
    3. Where that is below three tenths of the tolerance, the node is predicted; elsewhere it is computed.
    4. Then one predicted node in each block (a cell of the coarse grid), drawn at random, is computed as an *audit*.
       The error estimate is the expected error times the mean ratio of true to expected errors of the audits nearby,
       times one number that makes it larger than nearly all the audits (see ``calibrate``).
    5. With what the audits say, 2 to 4 are repeated (the limit of 3 is then a third for the estimate) until nothing
       more is asked for. Where an audit exceeds the tolerance, the coarsest level predicted in its block is computed.
    6. Where all this asks for six nodes of ten, the others are computed too: nothing else tells a rough surface.

    Near values that are not finite every node is computed; nothing is interpolated over them. The estimate is
    calibrated, no bound: what is narrower than the coarse grid, and meets no audit, is missed.

    What is asked depends only on the set of values told: each round uses only what the rounds before have asked for,
    and is repeated when one of these values changes. So the order of telling does not matter, and a half-told refiner
    resumes with the same asks.

    Args:
        shape: Nodes on each axis.
        tolerance: Wanted largest error, as a fraction of the range of the transformed values; 0 computes every node.
        scale: ``"linear"``, ``"log"`` or ``"symlog"``, the transformation in which errors are measured.
        vmax: Values above it count as equal to it.
        seed: Of the audits.
        density: How many nodes on each axis, evenly spaced, are computed at least.

    References:
        Harten 1995, Multiresolution algorithms for the numerical solution of hyperbolic conservation laws (surplus and
        its decay); Donoho 1992, Interpolating wavelet transforms; Hairer, Norsett, Wanner 1993, Solving Ordinary
        Differential Equations I, section II.4 (two orders from the same values tell the error of the lower one).
    """

    def __init__(
        self,
        shape: Sequence[int],
        tolerance: float = 0.005,
        scale: str = "linear",
        vmax: float | None = None,
        seed: int = 0,
        density: int = 0,
    ) -> None:
        if not (np.isfinite(tolerance) and 0 <= tolerance < 1):
            raise ChoiceError("tolerance", tolerance, "a fraction of the range, from 0 to below 1")
        if scale not in SCALES:
            raise ChoiceError("scale", scale, f"one of {', '.join(SCALES)}")
        if not density >= 0:
            raise ChoiceError("density", density, "a number of nodes on an axis, 0 or more")
        self.shape, self.tolerance, self.scale, self.vmax = tuple(shape), tolerance, scale, vmax
        self.seed, self.density = seed, density
        self.stride = min(coarse_stride(n, len(self.shape)) for n in self.shape)
        if not tolerance and all((n - 1) // self.stride % 4 == 0 and n > FEWEST_COARSE * self.stride for n in shape):
            self.stride *= 2  # nothing is predicted for long: what matters is the first look
        self.values: Array = np.full(self.shape, np.nan)
        self.computed: Mask = np.zeros(self.shape, dtype=bool)
        nothing = np.zeros(self.shape, dtype=bool)
        self._first = Round(0, nothing.copy(), nothing, nothing, np.full(self.shape, UNAUDITED), np.zeros(0))
        self._first.used[self._coarse] = True
        self._reached = self._first
        self._plan: Plan | None = None
        self._analysis: Analysis | None = None

    def ask(self, count: int | None = None) -> NDArray[np.int64]:
        """Indices (n, dimensions) of at most ``count`` nodes to compute next; empty when finished."""
        return self.plan.wanted[:count]

    def tell(self, nodes: NDArray[np.int64], values: Array) -> None:
        """Take the values of some nodes, asked for or not."""
        index = tuple(np.asarray(nodes, dtype=np.int64).reshape(-1, len(self.shape)).T)
        self.values[index] = values
        self.computed[index] = True
        self._plan = self._analysis = None

    @property
    def is_whole(self) -> bool:
        """Whether the coarse grid is complete, so that there is a surface at every node."""
        return bool(self.computed[self._coarse].all())

    @property
    def plan(self) -> Plan:
        """What to compute next; found once for each new set of values."""
        if self._plan is None:
            self._plan = self._planned()
        return self._plan

    @property
    def analysis(self) -> Analysis:
        """What the values told so far say; found once for each new set of them."""
        if self._analysis is None:
            self._analysis = self._analyzed()
        return self._analysis

    @property
    def _coarse(self) -> tuple[slice, ...]:
        return (slice(None, None, self.stride),) * len(self.shape)

    @property
    def _whole(self) -> int:
        """Stride of the finest level that the density asks for."""
        stride = self.stride
        while stride > 1 and any((n - 1) // stride + 1 < self.density for n in self.shape):
            stride //= 2
        return stride

    @property
    def _transformed(self) -> Array:
        return transform(self.values, self.scale, self.vmax)

    def _analyzed(self) -> Analysis:
        if not self.is_whole:
            empty = np.full(self.shape, np.nan)
            return Analysis(empty, empty, 0.0)
        factor, descent = self.plan.factor, Descent(self._transformed, self.computed, self.computed, self.stride)
        error, span = np.where(self.computed, 0.0, factor * descent.error), descent.span
        error = np.where(np.isfinite(error), error, span) if span else np.zeros(self.shape)
        return Analysis(descent.surface, error, span)

    def _planned(self) -> Plan:
        if not self.is_whole:
            return Plan(np.argwhere(~self.computed[self._coarse]) * self.stride, self._first.factor)
        values = self._transformed
        if not self.tolerance:
            return self._ordered(self._next_level(), self._first.factor, values)
        if not np.array_equal(values[self._reached.used], self._reached.known, equal_nan=True):
            self._reached = self._first
        while self._reached.number < ROUNDS:
            found = self._round(values, self._reached)
            if isinstance(found, Plan):
                return found
            self._reached = found
        return Plan(np.zeros((0, len(self.shape)), dtype=np.int64), self._reached.factor)

    def _ordered(self, wanted: Mask, factor: Array, values: Array, descent: Descent | None = None) -> Plan:
        """Some nodes, ordered by the errors that a descent expects, by default that over all that is known."""
        if not wanted.any():
            return Plan(np.argwhere(wanted), factor)
        descent = descent or Descent(values, self.computed, self.computed, self.stride)
        gain = (factor * descent.expected)[wanted]
        return Plan(np.argwhere(wanted)[np.argsort(-gain, kind="stable")], factor)

    def _round(self, values: Array, start: Round) -> Plan | Round:
        """What a round wants that is not known; if nothing, what the next one has to start from."""
        _, used, audits, forced, factor, _ = start
        if used.mean() > NEARLY_ALL:
            return self._ordered(~self.computed, factor, values)
        rule = Rule(self.tolerance, SHARE if start.number else FIRST_SHARE, factor, forced, self._whole)
        descent = Descent(values, self.computed, used, self.stride, rule)
        if descent.missing.any() or not descent.span:
            return self._ordered(descent.missing, factor, values, descent)
        audits = choose(descent.used & ~(audits & ~descent.needed), self.stride, self.seed)
        before, used = used, descent.used | audits
        if not (audits & self.computed == audits).all() or np.array_equal(used, before):
            return self._ordered(audits & ~self.computed, factor, values, descent)
        audited = Descent(values, self.computed, used, self.stride)
        usable = audits & np.isfinite(audited.miss) & np.isfinite(audited.expected) & (audited.expected > 0)
        ratios = audited.miss[usable] / audited.expected[usable]
        factor = calibrate(np.argwhere(usable), ratios, self.shape, self.stride, UNAUDITED)
        failed = audits & ~(audited.miss <= self.tolerance * audited.span)
        return Round(start.number + 1, used, audits, forced | self._coarsest(failed, used), factor, values[used])

    def _next_level(self) -> Mask:
        """The nodes of the coarsest level that is not complete."""
        missing, wanted, stride = ~self.computed, np.zeros(self.shape, dtype=bool), self.stride
        while stride > 1:
            stride //= 2
            grid = (slice(None, None, stride),) * len(self.shape)
            wanted[grid] = missing[grid]
            if wanted.any():
                break
        return wanted

    def _coarsest(self, failed: Mask, used: Mask) -> Mask:
        """In the blocks of some nodes, those of the coarsest level that is not computed there."""
        found = np.zeros(self.shape, dtype=bool)
        for corner in np.argwhere(failed) // self.stride * self.stride:
            stride = self.stride
            while stride > 1:
                stride //= 2
                window = tuple(slice(c, c + self.stride + 1, stride) for c in corner)
                if not used[window].all():
                    found[window] = True
                    break
        return found
