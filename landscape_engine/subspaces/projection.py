"""The nearest point of a subspace."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
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
    vectors = (theta, origin, *directions)
    small = sum(o.numel() for o in origin.values()) <= PIECE
    held = list(_offsets(vectors, small)) if small else None

    def offsets() -> Iterable[tuple[Tensor, list[Tensor]]]:
        return held if held is not None else _offsets(vectors, small)

    products, square, rest = np.zeros(len(directions)), 0.0, 0.0
    for offset, axes in offsets():
        products += [float(torch.dot(axis, offset)) for axis in axes]
        square += float(torch.dot(offset, offset))
    c = np.linalg.solve(gram, products)
    for offset, axes in offsets():
        for x, axis in zip(c, axes, strict=True):
            offset.sub_(axis, alpha=float(x))
        rest += float(torch.dot(offset, offset))
    return Projection(tuple(float(x) for x in c), math.sqrt(rest), math.sqrt(square))


def _offsets(vectors: Sequence[Parameters], small: bool) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Pieces of the way from the origin to a point, and of the directions; of a small model, all in one piece."""
    names = list(vectors[1])
    for some in [names] if small else [[n] for n in names]:
        rows = [[v[n].detach().reshape(-1) for n in some] for v in vectors]
        split = [(r[0] if len(r) == 1 else torch.cat(r)).split(PIECE) for r in rows]
        for there, o, *axes in zip(*split, strict=True):
            yield (there.to(o) - o).double(), [axis.double() for axis in axes]
