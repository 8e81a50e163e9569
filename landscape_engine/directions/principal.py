"""The directions along which training runs move most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ChoiceError, DirectionError
from ..models import ModelWrapper
from ..trajectories import Trajectory, combinations, gram_matrix
from .base import Directions

SPECTRUM = 12  # directions whose shares are told


def principal_directions(
    trajectory: Trajectory | Sequence[Trajectory], model: ModelWrapper, count: int = 2
) -> Directions:
    r"""The directions along which a trajectory, or several together, moves most, orthonormal.

    With :math:`M` the matrix of rows :math:`\theta_k - \theta_{K-1}` (differences to the final checkpoint, not
    centred), the directions are its leading right singular vectors, found from the K x K Gram matrix
    :math:`M M^T = U \Lambda U^T` as :math:`d_i = M^T u_i / \sqrt{\lambda_i}`, in float64. The share of the movement
    that direction i holds is :math:`\lambda_i / \sum_j \lambda_j` (``facts["shares"]``; ``facts["spectrum"]`` has the
    shares of the first 12, drawn or not). Signs are fixed: the first
    checkpoint has a negative first coordinate, the middle one a positive second coordinate.

    Of several trajectories, M has the rows of all, less the final checkpoint of the first one, which, unlike a mean,
    is a network that was trained. ``facts["shares_of_each"]`` are then the shares that each direction holds of the
    differences to each trajectory's own final checkpoint (NaN if it does not move).

    The parameters are read block by block, twice: in memory are a block of 128 MiB, the entries of one checkpoint
    that it is cut from, and the directions.

    Args:
        trajectory: The checkpoints, or those of several runs of one model.
        model: The model whose parameters span the space; other entries of the checkpoints are left out.
        count: How many directions, fewer than there are checkpoints.

    Raises:
        MismatchError: If the checkpoints do not fit the model.
        DirectionError: If the checkpoints move in fewer than ``count`` directions, or one of them is not finite.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 7.
    """
    runs = as_runs(trajectory)
    for run in runs:
        run.check_fits(model)
    moves = sum(len(run) for run in runs) - 1
    if not 1 <= count <= moves:
        raise ChoiceError("count", count, f"between 1 and {moves}, one less than there are checkpoints")
    names = list(model.parameters)
    gram = gram_matrix(runs, names)
    finite = gram.diagonal().isfinite()
    if not finite.all():
        steps = [step for run in runs for step in run.steps]
        broken = [step for step, good in zip(steps, finite.tolist(), strict=True) if not good]
        first = broken[0] if finite.any() else runs[0].steps[-1]  # what the final one, which all are compared with, is
        raise DirectionError(
            f"the checkpoint of step {first} has values that are not finite, so no direction leads there. Leave it "
            "out: the run has diverged.",
            step=first,
        )
    values, vectors = torch.linalg.eigh(gram)
    every, total = values.flip(0).clamp_min(0), float(gram.trace())
    values, vectors = every[:count], vectors.flip(1)[:, :count]
    if not total or float(values[-1]) <= 1e-12 * total:
        raise DirectionError(
            f"the checkpoints move in fewer than {count} directions, so they span no such subspace. "
            "Record more checkpoints, or choose a random plane."
        )
    vectors = vectors * _signs(vectors, (len(runs[0]) - 1) // 2)
    principal = combinations(runs, names, (vectors / values.sqrt()).T, model.dtype)
    shares = [float(v) / total for v in every[: max(count, min(moves, SPECTRUM))]]
    facts: dict[str, Any] = {"kind": "trajectory", "shares": shares[:count], "spectrum": shares}
    if len(runs) > 1:
        facts["shares_of_each"] = _shares_of_each(runs, gram, vectors * values.sqrt())
    return Directions(principal, facts)


def as_runs(trajectory: Trajectory | Sequence[Trajectory]) -> tuple[Trajectory, ...]:
    """One trajectory or several, as several."""
    runs = (trajectory,) if isinstance(trajectory, Trajectory) else tuple(trajectory)
    if not runs:
        raise ChoiceError("trajectory", (), "one trajectory or more")
    return runs


def _signs(vectors: Tensor, middle: int) -> Tensor:
    """Those that make the first coordinate of the first row negative, the others of the middle row positive."""
    signs = torch.where(vectors[0] > 0, -1.0, 1.0).double()
    signs[1:] = torch.where(vectors[middle, 1:] < 0, -1.0, 1.0)
    return signs


def _shares_of_each(runs: Sequence[Trajectory], gram: Tensor, coordinates: Tensor) -> list[list[float]]:
    """How much of the squared differences to a run's own final checkpoint lies along each direction."""
    shares, start = [], 0
    for run in runs:
        own = slice(start, start + len(run))
        start += len(run)
        products, moved = gram[own, own], coordinates[own] - coordinates[own][-1]
        total = (products.diagonal() - 2 * products[:, -1] + products[-1, -1]).sum()
        still = float(total) <= 1e-12 * float(products.trace())  # nothing but rounding
        shares.append((moved.square().sum(0) / (math.nan if still else total)).tolist())
    return shares
