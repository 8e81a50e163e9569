"""Predicted nodes that are computed after all, and what they say of the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from .interpolation import Array, Mask, refine_grid

FEWEST = 8  # audits that are a sample
# The scale is what one audit in twenty exceeds, and some more, since there are few audits; but no more than a multiple
# of the usual one, or the estimate would tell little.
QUANTILE, MARGIN, LARGEST = 0.95, 1.55, 6.5
PRIOR = 1.0  # all audits together count as much as one at the same place
SMALLEST = 1e-3


def choose(computed: Mask, stride: int, seed: int) -> Mask:
    """One node at random among the predicted ones of each block.

    Args:
        computed: Nodes that are no candidates.
        stride: Length of a block on each axis.
        seed: Puts all nodes into an order. The first candidate of a block is chosen, so that a choice stands as long as
            it may.
    """
    order = np.where(computed, -1.0, np.random.default_rng([seed, *computed.shape]).random(computed.shape))
    chosen = np.zeros(computed.shape, dtype=bool)
    blocks = tuple((n - 1) // stride for n in computed.shape)
    for block in np.ndindex(*blocks):
        window = tuple(slice(b * stride, (b + 1) * stride + (b == n - 1)) for b, n in zip(block, blocks, strict=True))
        first = np.unravel_index(np.argmax(order[window]), order[window].shape)
        chosen[window][first] |= order[window][first] >= 0
    return chosen


def calibrate(
    nodes: NDArray[np.int64], ratios: Array, shape: Sequence[int], stride: int, unaudited: float = 1.0
) -> Array:
    r"""What expected errors are to be multiplied with, at each node.

    .. math:: f(x) = \kappa \, \frac{\sum_i w_i(x) \, r_i + \epsilon \bar r}{\sum_i w_i(x) + \epsilon}, \quad
        w_i(x) = \exp(-|x - x_i|^2 / 2 s^2)

    with the ratio :math:`r_i` of true to expected error of audit i, their mean :math:`\bar r` and the coarse stride s.
    The scale :math:`\kappa` is one number: a quantile of what each :math:`r_i` is to the mean around it without it.

    Args:
        nodes: Indices of the audits, (n, dimensions).
        ratios: Their true errors as multiples of the expected ones, (n,).
        shape: Nodes on each axis.
        stride: Of the coarse grid.
        unaudited: What it is everywhere if there are too few audits.

    Returns:
        An array of that shape.
    """
    if len(ratios) < FEWEST or not ratios.any():
        return np.full(tuple(shape), unaudited)
    coarse = tuple((n - 1) // stride + 1 for n in shape)
    places, corners = nodes / stride, np.indices(coarse, dtype=float).reshape(len(coarse), -1).T
    beside = ratios / _around(places, places, ratios, 1 - np.eye(len(ratios)))
    scale = min(MARGIN * float(np.quantile(beside, QUANTILE)), LARGEST * float(np.median(beside)))
    factor = scale * _around(corners, places, ratios, 1.0).reshape(coarse)
    while factor.shape != tuple(shape):
        factor = refine_grid(factor, 1)
    return np.maximum(factor, SMALLEST)


def _around(at: Array, places: Array, ratios: Array, use: Array | float) -> Array:
    """Means of ratios, weighted by how near they are, in coarse strides."""
    weights = use * np.exp(-0.5 * cdist(at, places) ** 2)
    mean: Array = (weights @ ratios + PRIOR * ratios.mean()) / (weights.sum(axis=1) + PRIOR)
    return mean
