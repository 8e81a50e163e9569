"""A function near a point, to second order: its gradient and Hessian, where there are many parameters in a subspace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..hessian import HessianOperator, dense

FIRST_LOOK = 8  # products after which it is first asked whether the subspace is enough; then twice as many each time

Array = NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class Local:
    r"""Gradient and Hessian in an orthonormal basis V: a step :math:`p = V y` changes the gradient to :math:`s + M y`.

    Args:
        basis: V as (k, n), or None for the unit vectors of the whole space.
        matrix: M, (m, k), m = k or k + 1: the Hessian's image of the basis, which leaves a Krylov space by one vector.
        slope: s, (m,), the gradient.
        size: :math:`\|\theta\|`, which tells what is rounding.
        eps: Rounding of the model's numbers.
    """

    basis: Tensor | None
    matrix: Array
    slope: Array
    size: float
    eps: float

    @property
    def finite(self) -> bool:
        """Whether all numbers are."""
        return bool(np.isfinite(self.matrix).all() and np.isfinite(self.slope).all())

    @property
    def curvature(self) -> float:
        """The largest absolute curvature in the subspace."""
        return float(np.linalg.norm(self.matrix, 2))

    @property
    def along_gradient(self) -> float:
        r"""How fast the gradient changes along itself, :math:`\|H g\| / \|g\|`."""
        image = self.matrix @ self.slope[: self.matrix.shape[1]]
        return float(np.linalg.norm(image) / np.linalg.norm(self.slope))

    def lift(self, y: Array) -> Tensor:
        """The step of given coordinates, (n,)."""
        step = torch.from_numpy(y)
        return step if self.basis is None else step.to(self.basis.device) @ self.basis

    def newton(self) -> Tensor:
        """The whole Newton step, without the components that are rounding."""
        left, values, right = np.linalg.svd(self.matrix, full_matrices=False)
        along = left.T @ self.slope
        noise = 16 * self.eps * values[0]
        sure = (np.abs(along) > noise * self.size) & (values > noise)
        return self.lift(-right.T @ np.where(sure, along / np.where(sure, values, 1.0), 0.0))


def linearize(
    operator: HessianOperator, gradient: Tensor, size: float, eps: float, most: int, enough: Callable[[Local], bool]
) -> Local:
    r"""A function near a point: its whole Hessian, or, if it has many parameters, what Lanczos tells of it.

    The subspace is :math:`\mathrm{span}(g, H g, H^2 g, \dots)`, in which MINRES looks for Newton steps, every vector
    made orthogonal to all before it.

    Args:
        operator: The Hessian, at the point.
        gradient: (n,), there.
        size: See ``Local``.
        eps: See ``Local``.
        most: Products with the Hessian; it is formed if it has no more rows.
        enough: Whether the subspace need not grow.

    References:
        Paige, Saunders 1975, Solution of Sparse Indefinite Systems of Linear Equations.
        Gould, Lucidi, Roma, Toint 1999, Solving the Trust-Region Subproblem Using the Lanczos Method.
    """
    if operator.size <= most:
        return Local(None, dense(operator, most), gradient.cpu().numpy(), size, eps)
    return _krylov(operator, gradient, most, lambda basis, m, s: Local(basis, m, s, size, eps), enough)


def _krylov(
    operator: HessianOperator,
    gradient: Tensor,
    most: int,
    made: Callable[[Tensor, Array, Array], Local],
    enough: Callable[[Local], bool],
) -> Local:
    """The function near a point in the Krylov space of its gradient."""
    length = float(torch.linalg.vector_norm(gradient))
    basis, matrix, look = torch.empty_like(gradient).repeat(FIRST_LOOK, 1), np.zeros((most + 1, most)), FIRST_LOOK
    basis[0] = gradient / length
    for k in range(most):
        image = operator @ basis[k]
        for _ in range(2):
            along = basis[: k + 1] @ image
            matrix[k, k] += float(along[k])
            image = image - along @ basis[: k + 1]
        beside = float(torch.linalg.vector_norm(image))
        ended = not beside > 1e-10 * np.abs(matrix).max()  # an invariant subspace, or numbers that are not finite
        matrix[k + 1, k] = 0.0 if ended else beside
        local = made(basis[: k + 1], matrix[: k + 2, : k + 1].copy(), np.eye(1, k + 2)[0] * length)
        if ended or k + 1 == most or (k + 1 == look and enough(local)):
            return local
        if k + 1 == look:
            basis, look = torch.cat([basis, torch.empty_like(basis)]), 2 * look
        matrix[k, k + 1], basis[k + 1] = beside, image / beside
    return local
