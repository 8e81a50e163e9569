"""A surface from cheaper values, and how far it is from the true one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..evaluation import Evaluator
from ..landscape import transform
from ..metrics.base import Estimate, Metric
from .audits import calibrate
from .descent import Descent
from .interpolation import Array, Mask
from .refiner import Analysis, Refiner

ANCHORS = {1: 4}  # intervals on an axis between the nodes at which a difference is known first
FEWEST_ANCHORS = 2  # in more dimensions: 3 x 3 nodes of a plane
AUDITS = 8  # more nodes at which it is known, to see how well it is interpolated; no more than one in so many
MOST = 2.0  # its error, to the largest difference that was measured
ROUGHEST = 0.1  # of the range: a draft is refined to a tenth at least
SPARSE = 25  # nodes of a plane for one that a draft computes, at least


@final
class Draft:
    r"""A surface of cheaper values :math:`g` (fewer examples, lower precision), put right where it is known better.

    .. math:: \hat f(x) = \hat g(x) + \hat \delta(x), \quad \delta(x_i) = f(x_i) - \hat g(x_i)

    The cheaper surface :math:`\hat g` is refined as any other. At the *anchors*, a grid of 3 nodes on each axis of a
    plane (5 on a line), and at every node that is computed later, the true value f is known too, in the transformed
    units of the scale. The difference :math:`\delta` is smoother and smaller than the surface itself, so it is
    interpolated between these nodes, by the same scheme of dyadic levels. The error of a node is the sum of two
    estimates: that of :math:`\hat g`, and the surplus of :math:`\hat \delta` that is expected there, calibrated by some
    nodes of the coarse grid drawn at random, where f is known too, and at most twice the largest :math:`\delta` of all
    nodes. Both are 0 where f was computed.

    A draft is refined to the tolerance, or to what it differs from f if that is more, and ends when it has computed one
    node in 25: rounding, as of bfloat16, would have it compute them all.

    Args:
        full: The refiner that is told true values.
        driver: Name of the metric that it is told.
        evaluator: Of the cheaper values.
        label: What makes them cheaper, in words.

    References:
        Kennedy, O'Hagan 2000, Predicting the output from a complex computer code when fast approximations are
        available, section 2 (a surface of cheap values and one of differences).
    """

    def __init__(self, full: Refiner, driver: str, evaluator: Evaluator, label: str) -> None:
        self.evaluator, self.label = evaluator, label
        self._full, self._driver = full, driver
        self._values = {m.name: np.full(full.shape, np.nan) for m in evaluator.pipeline.metrics}
        self.refiner = self._made(full.tolerance)
        self._loosened = False
        self._known: tuple[tuple[int, int], Analysis] | None = None

    def _made(self, tolerance: float) -> Refiner:
        full = self._full
        return Refiner(full.shape, tolerance or ROUGHEST, full.scale, full.vmax, full.seed, full.density)

    @property
    def is_whole(self) -> bool:
        """Whether there is a surface at every node, and a measure of its difference."""
        return self.refiner.is_whole and bool(self._full.computed[anchors(self._full)].all())

    def ask(self) -> NDArray[np.int64]:
        """Indices (n, dimensions) of the nodes to compute next."""
        if self.is_whole and not self._loosened:
            self._loosened = True
            self._loosen()
        computed = self.refiner.computed
        return self.refiner.ask(max(0, computed.size // SPARSE - int(computed.sum())) if self.is_whole else None)

    def _loosen(self) -> None:
        """Do not refine further than to what the surface differs from the true one."""
        found, own = self.analysis, self.refiner
        if found.span:
            off = float((found.error - np.where(self._full.computed, 0.0, own.analysis.error)).max())
            self.refiner = self._made(max(self._full.tolerance, min(off / found.span, ROUGHEST)))
            nodes = np.argwhere(own.computed)
            self.refiner.tell(nodes, own.values[tuple(nodes.T)])
            self._known = None

    def tell(self, nodes: NDArray[np.int64], found: Sequence[dict[str, Estimate]]) -> None:
        """Take what was evaluated at nodes, (n, dimensions)."""
        for node, estimates in zip(nodes, found, strict=True):
            for name, estimate in estimates.items():
                self._values[name][tuple(node)] = estimate.value
        self.refiner.tell(nodes, self._values[self._driver][tuple(nodes.T)])

    @property
    def tells_more(self) -> bool:
        """Whether its surface is nearer to the true one, as far as estimates know, than that of true values alone."""
        if not self.is_whole:
            return False
        full = self._full
        return not full.is_whole or float(self.analysis.error.max()) < float(full.analysis.error.max())

    @property
    def analysis(self) -> Analysis:
        """The corrected surface, in transformed units, with its estimated error."""
        told = int(self._full.computed.sum()), int(self.refiner.computed.sum())
        if self._known is None or self._known[0] != told:
            self._known = told, self._analyze()
        return self._known[1]

    def _analyze(self) -> Analysis:
        full, own = self._full, self.refiner.analysis
        known = full.computed
        true = np.where(known, transform(full.values, full.scale, full.vmax), np.nan)
        surface, off = _corrected(own.prediction, true, known, anchor_grid(full)[0].step)
        finite = surface[np.isfinite(surface)]
        span = float(np.ptp(finite)) if finite.size else 0.0
        error = np.where(known, 0.0, np.where(np.isfinite(surface), own.error + off, np.inf))
        return Analysis(surface, np.where(np.isfinite(error), error, span), span)

    def others(self, metric: Metric, values: Array) -> Array:
        """Values of any metric at the nodes that were computed in either way, NaN elsewhere, from its true ones."""
        if metric.name not in self._values:
            return values.copy()
        known, own = self._full.computed, self._values[metric.name]
        surface, _ = _corrected(own, values, known & self.refiner.computed, anchor_grid(self._full)[0].step)
        return np.where(known, values, bounded(surface, metric))

    @property
    def facts(self) -> dict[str, Any]:
        """For the provenance: nodes, and how far values are apart where both are known."""
        known, scale, vmax = self._full.computed & self.refiner.computed, self._full.scale, self._full.vmax
        true, own = (transform(r.values, scale, vmax) for r in (self._full, self.refiner))
        off = np.abs(_apart(true, own, known))
        off = off[np.isfinite(off)]
        if not off.size:
            return {"nodes": int(self.refiner.computed.sum())}
        found = {"rms": float(np.sqrt(np.mean(off**2))), "largest": float(off.max()), "nodes": int(off.size)}
        return {"nodes": int(self.refiner.computed.sum()), "tolerance": self.refiner.tolerance, "difference": found}


def anchor_grid(full: Refiner) -> tuple[slice, ...]:
    """The nodes that are computed both ways at least."""
    dimensions = len(full.shape)
    fewest, stride = ANCHORS.get(dimensions, FEWEST_ANCHORS), full.stride
    while all((n - 1) % (2 * stride) == 0 and (n - 1) // (2 * stride) >= fewest for n in full.shape):
        stride *= 2
    return (slice(None, None, stride),) * dimensions


def anchors(full: Refiner) -> Mask:
    """The nodes that are computed both ways at least: a grid, and some nodes of the coarse one at random."""
    chosen, coarse = np.zeros((2, *full.shape), dtype=bool)
    chosen[anchor_grid(full)] = coarse[(slice(None, None, full.stride),) * coarse.ndim] = True
    others = np.argwhere(coarse & ~chosen)
    count = min(AUDITS, int(coarse.sum()) // AUDITS)
    audits = np.random.default_rng([full.seed, *full.shape]).permutation(others)[:count]
    chosen[tuple(audits.T)] = True
    return chosen


def bounded(values: Array, metric: Metric) -> Array:
    """The values within the bounds of a metric."""
    return values if metric.bounds == (None, None) else np.clip(values, *metric.bounds)


def _corrected(draft: Array, true: Array, known: Mask, stride: int) -> tuple[Array, Array]:
    """A surface with its difference from true values put right, and the error that this leaves."""
    difference, error = _interpolated(_apart(true, draft, known), known, stride)
    with np.errstate(invalid="ignore"):
        return np.where(known, true, draft + difference), error


def _apart(true: Array, draft: Array, known: Mask) -> Array:
    """The difference where it is known and there is one; NaN elsewhere, and where both are infinite."""
    with np.errstate(invalid="ignore"):
        return np.where(known, true - draft, np.nan)


def _interpolated(difference: Array, known: Mask, stride: int) -> tuple[Array, Array]:
    """A difference at every node, from those where it is known, and its estimated error."""
    descent = Descent(difference, known, known, stride, fewest=FEWEST_ANCHORS + 1, paired=False)
    told = known & np.isfinite(descent.miss) & np.isfinite(descent.expected) & (descent.expected > 0)
    ratios = descent.miss[told] / descent.expected[told]
    factor = calibrate(np.argwhere(told), ratios, difference.shape, stride)
    measured = np.abs(difference[known & np.isfinite(difference)])
    most = MOST * float(measured.max(initial=0.0))
    return descent.surface, np.where(known, 0.0, np.minimum(factor * descent.error, most))
