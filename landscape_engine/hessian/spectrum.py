"""What products with vectors tell of a symmetric matrix: eigenvalues, trace, density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor

from ..errors import ChoiceError
from .lanczos import Array, Eigenpairs, Lanczos, beginning, ends, signed
from .operators import Operator

DENSE_BELOW = 64  # up to this size all products are cheaper than an iteration
SMALL = 512  # up to this size all eigenvalues are computed where the sign of each counts
COUNTED = 1024  # rows up to which ``index`` computes all eigenvalues, which takes less time than many of the smallest
LARGEST_DENSE = 8192  # rows of a matrix that is formed: half a GiB


def dense(operator: Operator, largest: int = LARGEST_DENSE) -> Array:
    """The whole matrix, of shape (n, n): one product for each row.

    Raises:
        ChoiceError: If it has more than ``largest`` rows.
    """
    n = operator.size
    if n > largest:
        raise ChoiceError(
            "parameters", f"{n:,} numbers", f"a choice of at most {largest:,}, if their matrix is to be formed"
        )
    columns = [(operator @ unit).cpu().numpy() for unit in torch.eye(n, dtype=torch.float64, device=operator.device)]
    matrix = np.array(columns).reshape(n, n)
    return (matrix + matrix.T) / 2


def eigenvalues(operator: Operator) -> Array:
    """All eigenvalues, ascending, of a matrix that is formed; NaN if it is not finite."""
    matrix = dense(operator)
    finite = bool(np.isfinite(matrix).all())
    return np.asarray(np.linalg.eigvalsh(matrix) if finite else np.full(len(matrix), np.nan), dtype=np.float64)


def eigenpairs(
    operator: Operator,
    largest: int = 1,
    smallest: int = 0,
    tolerance: float | None = None,
    seed: int = 0,
    iterations: int | None = None,
    near: Array | None = None,
) -> Eigenpairs:
    r"""The largest and the smallest eigenvalues, in the sense of their order on the line, with their vectors.

    One of each or fewer by the Lanczos iteration (see ``ends``); more, or what it leaves undone, by the implicitly
    restarted one (ARPACK). ARPACK measures errors against each eigenvalue, which never converges near 0; so the matrix
    is shifted by about twice its norm, and the tolerance is relative to the norm.

    Args:
        operator: The matrix.
        largest: How many from the upper end.
        smallest: How many from the lower end.
        tolerance: Error allowed, as a fraction of the norm; by default 4e-11 for a float64 model, 2e-5 for a float32
            one, which is what rounding allows.
        seed: Of the first vector.
        iterations: Restarts before it gives up; by default ten for each row.
        near: (k, n), vectors of length 1 that are likely near those sought, for instance those of a matrix that
            differs little: they save products, and what they do not show is found as well. They count where one
            from each end or fewer is sought.

    References:
        Lehoucq, Sorensen, Yang 1998, ARPACK Users' Guide.
    """
    n, k = operator.size, largest + smallest
    if not (largest >= 0 and smallest >= 0 and 1 <= k <= n):
        raise ChoiceError("k", k, f"from 1 to {n}, the number of parameters")
    if n <= max(DENSE_BELOW, 4 * max(largest, smallest)):
        matrix = dense(operator, n)
        if not np.isfinite(matrix).all():
            return Eigenpairs.none(n, k)
        values, vectors = np.linalg.eigh(matrix)
        return _picked(operator, values, vectors, largest, smallest)
    tolerance = tolerance or operator.objective.precision
    if max(largest, smallest) > 1:
        start, _ = beginning(n, seed)
        return _restarted(operator, largest, smallest, tolerance, start, _norm(operator, start), iterations)
    found = ends(operator, largest, smallest, tolerance, seed, near)
    if found.converged or not np.isfinite(found.values).all():
        return found
    start, norm = found.vectors.sum(axis=0), float(np.abs(found.values).max())
    return _restarted(operator, largest, smallest, tolerance, start, norm, iterations)


def _norm(operator: Operator, start: Array) -> float:
    """The norm, to within a small factor: by power iteration."""
    vector, norm = start / np.linalg.norm(start), 0.0
    for _ in range(4):
        image = _product(operator, vector)
        norm = float(np.linalg.norm(image))
        if norm == 0 or not np.isfinite(norm):
            break
        vector = image / norm
    return norm


def _product(operator: Operator, vector: Array) -> Array:
    found: Array = (operator @ torch.from_numpy(vector.reshape(-1)).to(operator.device)).cpu().numpy()
    return found


def _restarted(
    operator: Operator,
    largest: int,
    smallest: int,
    tolerance: float,
    start: Array,
    norm: float,
    iterations: int | None,
) -> Eigenpairs:
    """The ends of the spectrum by ARPACK, for a matrix of about this norm."""
    n, k, most = operator.size, largest + smallest, max(largest, smallest)
    if not np.isfinite(norm):
        return Eigenpairs.none(n, k)
    if norm == 0:
        return _picked(operator, np.zeros(k), np.eye(n, k), largest, smallest)
    shift = 2 * norm  # so that it cannot make the matrix zero
    shifted = LinearOperator((n, n), matvec=lambda v: _product(operator, v) + shift * v.reshape(-1), dtype=np.float64)
    which, count = ("BE", 2 * most) if largest and smallest else ("LA" if largest else "SA", most)
    try:
        values, vectors = eigsh(shifted, k=count, which=which, tol=tolerance, v0=start, maxiter=iterations)
    except ArpackError:
        return Eigenpairs.none(n, k)
    order = np.argsort(values)
    return _picked(operator, values[order] - shift, vectors[:, order], largest, smallest)


def index(operator: Operator) -> float:
    r"""The number of negative eigenvalues: 0 at a minimum, 1 and more at saddle points.

    An eigenvalue counts as negative if it is below 0 by more than rounding. All are computed up to 1,024 rows. Beyond,
    the smallest ones are found, twice as many each time, until one of them is not negative; all of them where many are.
    NaN if the matrix is not finite.

    Args:
        operator: The matrix.

    References:
        Nocedal, Wright 2006, Numerical Optimization, section 2.1.
    """
    n, count = operator.size, 4
    while 4 * count < n and n > COUNTED:
        ends = eigenpairs(operator, 1, count).values
        if not np.isfinite(ends).all():
            return float("nan")
        rounding = operator.objective.precision * np.abs(ends).max()
        if ends[1] >= -rounding:
            return float((ends[1:] < -rounding).sum())
        count *= 2
    values = eigenvalues(operator)
    small = operator.objective.precision * np.abs(values).max()
    return float((values < -small).sum()) if np.isfinite(small) else float("nan")


def _picked(operator: Operator, values: Array, vectors: Array, largest: int, smallest: int) -> Eigenpairs:
    """The wanted of ascending eigenvalues, descending, with signs and residuals."""
    last = len(values) - 1
    chosen = [*range(last, last - largest, -1), *range(smallest - 1, -1, -1)]
    rows = signed(vectors.T[chosen])
    images = np.array([_product(operator, row) for row in rows])
    residuals = np.linalg.norm(images - values[chosen, None] * rows, axis=1)
    return Eigenpairs(values[chosen], rows, residuals, True)


def _probe(operator: Operator, seed: int, index: int) -> Tensor:
    """A vector of random signs that depends on seed and index alone."""
    signs = np.random.default_rng((seed, index)).integers(0, 2, operator.size) * 2.0 - 1.0
    return torch.from_numpy(signs).to(operator.device)


class Sampled(NamedTuple):
    """A mean over random probes, and its standard error (NaN for one probe)."""

    mean: float
    stderr: float


def _mean(samples: Array) -> Sampled:
    count = len(samples)
    stderr = float(np.std(samples, ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
    return Sampled(float(np.mean(samples)), stderr)


def trace(operator: Operator, probes: int = 32, seed: int = 0) -> Sampled:
    r"""The trace :math:`\mathrm{tr} A = E[z^T A z]` over vectors of random signs.

    Args:
        operator: The matrix.
        probes: Products, one a probe; the standard error falls with the root of their number. If there are as many as
            rows, the unit vectors are taken instead, so that the trace is exact and its standard error 0.
        seed: Of the probes.

    References:
        Hutchinson 1990, A Stochastic Estimator of the Trace of the Influence Matrix.
    """
    if _at_least_one("probes", probes) >= operator.size:
        return Sampled(float(np.trace(dense(operator, operator.size))), 0.0)
    vectors = (_probe(operator, seed, k) for k in range(probes))
    return _mean(np.array([float(z @ (operator @ z)) for z in vectors]))


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise ChoiceError(name, value, "1 or more")
    return value


@final
@dataclass(frozen=True, eq=False)
class Density:
    r"""The density of a matrix's eigenvalues: each probe gives nodes :math:`\theta_i` and weights :math:`\tau_i`.

    Args:
        nodes: (probes, steps).
        weights: (probes, steps); each row sums to 1.
        size: Number of eigenvalues, n.
    """

    nodes: Array
    weights: Array
    size: int

    def mean(self, function: Callable[[Array], Array]) -> Sampled:
        r"""The mean of a function over the eigenvalues, :math:`\frac{1}{n} \sum_i f(\lambda_i)`."""
        return _mean((self.weights * function(self.nodes)).sum(axis=1))

    def moment(self, power: int) -> Sampled:
        r"""The mean of :math:`\lambda^p`, which for p = 1 is the trace by n."""
        return self.mean(lambda values: values**power)

    def at(self, grid: Array, width: float | None = None) -> Array:
        r"""The density on a grid, each node a Gaussian: :math:`\phi(t) = E[\sum_i \tau_i N(t; \theta_i, w^2)]`.

        Args:
            grid: (g,), in units of the eigenvalues.
            width: Their standard deviation w; by default a hundredth of the nodes' span.
        """
        width = width or (float(np.ptp(self.nodes)) / 100 or 1.0)
        bells = np.exp(-0.5 * ((np.asarray(grid)[:, None, None] - self.nodes) / width) ** 2)
        return (self.weights * bells).sum(axis=2).mean(axis=1) / (width * np.sqrt(2 * np.pi))


def density(operator: Operator, probes: int = 8, steps: int = 80, seed: int = 0) -> Density:
    r"""The density of the eigenvalues, by stochastic Lanczos quadrature.

    For a vector z of random signs, ``steps`` steps of the Lanczos iteration give a tridiagonal matrix whose
    eigenvalues :math:`\theta_i` and squared first components :math:`\tau_i` of its eigenvectors are the nodes and
    weights of a Gauss quadrature: :math:`z^T f(A) z / n = \sum_i \tau_i f(\theta_i)`, exact for polynomials of degree
    2 steps - 1. The mean over probes is an estimate of :math:`\mathrm{tr} f(A) / n`.

    Args:
        operator: The matrix.
        probes: Random vectors, ``steps`` products each.
        steps: Of the iteration; the extreme eigenvalues are sharp after a few dozen. At most n.
        seed: Of the probes.

    References:
        Ghorbani, Krishnan, Xiao 2019, An Investigation into Neural Net Optimization via Hessian Eigenvalue Density,
        section 2. Golub, Welsch 1969, Calculation of Gauss Quadrature Rules.
    """
    steps = min(_at_least_one("steps", steps), operator.size)
    nodes, weights = np.zeros((2, _at_least_one("probes", probes), steps))
    for k in range(probes):
        diagonal, beside = _tridiagonal(operator, _probe(operator, seed, k), steps)
        if not np.isfinite(diagonal).all():  # a matrix that is not finite has no density
            return Density(np.full_like(nodes, np.nan), np.full_like(weights, np.nan), operator.size)
        values, vectors = eigh_tridiagonal(diagonal, beside)
        nodes[k, : len(values)], weights[k, : len(values)] = values, vectors[0] ** 2
        nodes[k, len(values) :] = values[0]  # of weight 0
    return Density(nodes, weights, operator.size)


def _tridiagonal(operator: Operator, start: Tensor, steps: int) -> tuple[Array, Array]:
    """Diagonal and off-diagonal of the tridiagonal matrix; fewer steps where they span an invariant subspace."""
    space = Lanczos(operator, start)
    space.step()
    while len(space.diagonal) < steps and space.is_finite and not space.is_closed:
        space.step()
    return np.array(space.diagonal), np.array(space.beside[:-1])
