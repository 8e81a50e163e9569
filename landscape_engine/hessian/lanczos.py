"""The Lanczos iteration: what the Krylov space of one vector tells of a symmetric matrix, above all of its ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from .operators import Operator

STEPS = 96  # of one iteration for the ends: beyond, restarting costs less than a longer basis
ROOM = 2**27  # numbers that its basis may have
FEWEST = 20  # steps that are taken whatever the room
NOTHING = 1e-10  # what is left of a vector when it lies in the space already, as a fraction of the matrix
MARGIN = 0.05  # how far beyond the ends, as a fraction of the norm, an eigenvalue may lie that is not looked for
SHARE = 0.0125  # 99 of 100 numbers of a standard normal distribution are larger

Array = NDArray[np.float64]


@final
class Lanczos:
    r"""An orthonormal basis :math:`Q` of the Krylov space of a vector, in which the matrix is tridiagonal, :math:`T`.

    :math:`A Q = Q T + \beta q e^T`. Each vector is made orthogonal to all before it, twice.

    Args:
        operator: The matrix A.
        start: (n,), the first vector, of any length above 0.

    Attributes:
        diagonal: Of T, one number a step.
        beside: Its off-diagonal; the last one is :math:`\beta`, the length of what leads out of the space.

    References:
        Parlett 1998, The Symmetric Eigenvalue Problem, chapter 13.
    """

    def __init__(self, operator: Operator, start: Tensor) -> None:
        self.diagonal: list[float] = []
        self.beside: list[float] = []
        self._operator, self._next = operator, start / torch.linalg.vector_norm(start)
        self._rows = start.new_empty(0, len(start))

    def step(self) -> None:
        """Make the space one dimension larger, by one product."""
        k, vector = len(self.diagonal), self._next
        if k == len(self._rows):
            self._rows = torch.cat([self._rows, vector.new_empty(FEWEST, len(vector))])
        self._rows[k] = vector
        image = self._operator @ vector
        self.diagonal.append(float(image @ vector))
        self._continue_with(image)

    def turn_to(self, vector: Tensor) -> None:
        """Go on with another vector, where the space is closed."""
        self.beside.pop()
        self._continue_with(vector)
        self.beside[-1] = 0.0

    def _continue_with(self, vector: Tensor) -> None:
        known = self._rows[: len(self.diagonal)]
        for _ in range(2):
            vector = vector - known.T @ (known @ vector)
        self.beside.append(float(torch.linalg.vector_norm(vector)))
        self._next = vector / self.beside[-1]

    @property
    def is_finite(self) -> bool:
        """Whether all products so far were finite."""
        return bool(np.isfinite([self.diagonal[-1], self.beside[-1]]).all())

    @property
    def is_closed(self) -> bool:
        """Whether no product leads out of the space: all of it is eigenvectors."""
        return not self.beside[-1] > NOTHING * max(map(abs, [*self.diagonal, *self.beside[:-1]]))

    def eigenpairs(self) -> tuple[Array, Array]:
        """Eigenvalues of T, ascending, and its eigenvectors in columns."""
        values, vectors = eigh_tridiagonal(self.diagonal, self.beside[:-1])
        return values, vectors

    def vectors(self, coefficients: Array) -> Array:
        """Vectors of the space, (k, n), from coefficients (steps, k)."""
        weights = torch.from_numpy(coefficients).to(self._rows.device)
        found: Array = (weights.T @ self._rows[: len(self.diagonal)]).cpu().numpy()
        return found


@final
@dataclass(frozen=True, eq=False)
class Eigenpairs:
    r"""Eigenvalues and eigenvectors of a symmetric matrix.

    Args:
        values: (k,), descending; NaN if the iteration did not converge or the matrix is not finite.
        vectors: (k, n), of length 1, the entry of largest absolute value positive.
        residuals: (k,), bounds of the lengths of :math:`A v - \lambda v`: an eigenvalue of the matrix lies that near.
        converged: Whether they were found to the tolerance.
    """

    values: Array
    vectors: Array
    residuals: Array
    converged: bool

    @classmethod
    def none(cls, size: int, count: int) -> Eigenpairs:
        """Those of a matrix that is not finite, or that were not found."""
        return cls(np.full(count, np.nan), np.full((count, size), np.nan), np.full(count, np.nan), False)


def signed(rows: Array) -> Array:
    """Vectors, (k, n), with the entry of largest absolute value positive."""
    return rows * np.where(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]


def beginning(size: int, seed: int, near: Array | None = None) -> tuple[Array, float]:
    r"""A first vector, and what part of a random unit vector is in it.

    Half of it is a random vector, so that it has something of every eigenvector; half the sum of vectors that are
    likely near those sought.

    Args:
        size: Of the matrix.
        seed: Of the random vector.
        near: (k, n), vectors of length 1, or None for the random vector alone.
    """
    noise = np.random.default_rng(seed).standard_normal(size)
    noise /= np.linalg.norm(noise)
    if near is None:
        return noise, 1.0
    whole = noise + near.sum(axis=0) / np.sqrt(len(near))
    length = float(np.linalg.norm(whole))
    return whole / length, 1 / length


def ends(
    operator: Operator, largest: int, smallest: int, tolerance: float, seed: int, near: Array | None
) -> Eigenpairs:
    r"""The largest or the smallest eigenvalue of a matrix, or both, from one Krylov space.

    It grows until two things hold. The eigenvalues :math:`\theta_j` of T at the wanted ends are within the tolerance of
    eigenvalues of the matrix, by their residuals :math:`\beta |s|`, s being the last entry of their vectors. And no
    other eigenvalue lies far beyond. For :math:`p(\lambda) = \prod_j (\lambda - \theta_j)`,
    :math:`\|p(A) q_1\| = \prod_j \beta_j`, so of the eigenvector of an eigenvalue :math:`\lambda` the first vector has
    no more than :math:`\prod_j \beta_j / |p(\lambda)|`. The space grows until that is less than what its random part
    has in 99 of 100 cases, for all :math:`\lambda` that lie beyond an end by a twentieth of the norm or more. A first
    vector near the wanted ones makes the first thing come soon, and cannot hide from the second what is new.

    Args:
        operator: The matrix, of 2 rows or more.
        largest: 1 for the largest eigenvalue, else 0.
        smallest: 1 for the smallest eigenvalue, else 0.
        tolerance: Error allowed, as a fraction of the norm.
        seed: See ``beginning``.
        near: See ``beginning``.

    References:
        Parlett 1998, The Symmetric Eigenvalue Problem, section 13.2 (residuals).
        van Dorsselaer, Hochstenbach, van der Vorst 2000, Computing Probabilistic Bounds for Extreme Eigenvalues of
        Symmetric Matrices with the Lanczos Method, section 3.
    """
    size, wanted = operator.size, [-1] * largest + [0] * smallest
    start, part = beginning(size, seed, near)
    share = SHARE / np.sqrt(size) * part
    steps = min(size, max(FEWEST, min(STEPS, ROOM // size)))
    space = Lanczos(operator, torch.from_numpy(start).to(operator.device))
    while True:
        space.step()
        if not space.is_finite:
            return Eigenpairs.none(size, len(wanted))
        values, vectors = space.eigenpairs()
        norm = float(np.abs(values).max())
        residuals = np.abs(space.beside[-1] * vectors[-1, wanted])
        done = space.is_closed or bool((residuals <= tolerance * norm).all() and _alone(space, values, wanted, share))
        if len(values) >= len(wanted) and (done or len(values) >= steps):
            rounding = operator.objective.precision * norm
            found = signed(space.vectors(vectors[:, wanted]))
            return Eigenpairs(values[wanted], found, np.hypot(residuals, rounding), done)
        if space.is_closed:  # a matrix with one eigenvalue
            space.turn_to(torch.from_numpy(np.random.default_rng(seed + 1).standard_normal(size)).to(operator.device))


def _alone(space: Lanczos, values: Array, wanted: list[int], share: float) -> bool:
    """Whether an eigenvalue that lies a margin beyond the wanted ends would have been seen."""
    reached = float(np.log(space.beside).sum())
    margin = MARGIN * np.abs(values).max()

    def seen(side: Array) -> bool:  # whose last one is the end
        return bool(np.log(share) + np.log(side[-1] + margin - side).sum() > reached)

    return all(seen(values if end else -values[::-1]) for end in wanted)
