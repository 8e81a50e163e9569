"""The nearest point of a subspace."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..parameters import PIECE, Parameters, inner


class Projection(NamedTuple):
    """Where a point falls on a subspace.

    Attributes:
        coordinates: Of the nearest point of the subspace.
        residual: Distance from that point, in units of parameter space.
        distance: Distance from the subspace's origin, in units of parameter space.
    """

    coordinates: tuple[float, ...]
    residual: float
    distance: float

    @property
    def relative(self) -> float:
        """The residual as a share of the distance; NaN at the origin."""
        return self.residual / self.distance if self.distance else math.nan


def gram_matrix(directions: Sequence[Parameters]) -> np.ndarray:
    """The inner products of directions with each other."""
    gram = np.zeros((len(directions), len(directions)))
    for i, a in enumerate(directions):
        for j, b in enumerate(directions[: i + 1]):
            gram[i, j] = gram[j, i] = inner(a, b)
    return gram


def projected(theta: Parameters, origin: Parameters, directions: Sequence[Parameters], gram: np.ndarray) -> Projection:
    """The nearest point, in float64 piece by piece: a large model does not fit in memory several times."""

    def pieces() -> Iterator[tuple[Tensor, list[Tensor]]]:
        for n, o in origin.items():
            split = [t[n].detach().reshape(-1).split(PIECE) for t in (theta, origin, *directions)]
            for there, here, *axes in zip(*split, strict=True):
                yield (there.to(o.dtype) - here).double(), [axis.double() for axis in axes]

    products, square, rest = np.zeros(len(directions)), 0.0, 0.0
    for offset, axes in pieces():
        products += [float(torch.dot(axis, offset)) for axis in axes]
        square += float(torch.dot(offset, offset))
    c = np.linalg.solve(gram, products)
    for offset, axes in pieces():
        for x, axis in zip(c, axes, strict=True):
            offset.sub_(axis, alpha=float(x))
        rest += float(torch.dot(offset, offset))
    return Projection(tuple(float(x) for x in c), math.sqrt(rest), math.sqrt(square))
