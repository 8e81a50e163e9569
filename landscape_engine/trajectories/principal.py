"""Inner products and combinations of checkpoints, block by block, so that all of them are never in memory at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from .trajectory import Trajectory

BLOCK = 2**24
"""Numbers of a block over all checkpoints: 128 MiB in float64."""


def gram_matrix(runs: Sequence[Trajectory], names: Sequence[str], block: int = BLOCK) -> Tensor:
    r"""The inner products of all checkpoints, less the first run's final one.

    :math:`G_{ij} = \langle \theta_i - \theta_*, \theta_j - \theta_* \rangle`, in float64. In memory: one block, the
    entries of one checkpoint that it is cut from, and G.

    Args:
        runs: Their checkpoints in this order are the rows and columns.
        names: Of the entries that span the space.
        block: Numbers of a block, over all checkpoints.

    Returns:
        The matrix (M, M) of M checkpoints; the row of :math:`\theta_*` is zero.
    """
    count = sum(len(run) for run in runs)
    gram = torch.zeros(count, count, dtype=torch.float64)
    for _, matrix in _blocks(runs, names, block):
        gram += matrix @ matrix.T
    return gram


def combinations(
    runs: Sequence[Trajectory], names: Sequence[str], weights: Tensor, dtype: torch.dtype, block: int = BLOCK
) -> tuple[dict[str, Tensor], ...]:
    r"""Combinations :math:`\sum_i w_i (\theta_i - \theta_*)` of all checkpoints, formed in float64.

    Args:
        runs: As for ``gram_matrix``.
        names: Of the entries that span the space.
        weights: One row (M,) a combination.
        dtype: Of the result.
        block: Numbers of a block, over all checkpoints.
    """
    entries = runs[0].entries
    found = tuple({n: torch.zeros(entries[n].shape, dtype=dtype) for n in names} for _ in weights)
    for pieces, matrix in _blocks(runs, names, block):
        for combination, values in zip(found, weights @ matrix, strict=True):
            for (name, piece), part in zip(pieces, values.split([p.stop - p.start for _, p in pieces]), strict=True):
                combination[name].view(-1)[piece] = part.to(dtype)
    return found


Piece = tuple[str, slice]


def _blocks(runs: Sequence[Trajectory], names: Sequence[str], numbers: int) -> Iterator[tuple[list[Piece], Tensor]]:
    """Pieces of the entries, and their values at all checkpoints less the first run's final one: (M, n).

    A block is overwritten by the next.
    """
    checkpoints = [(run, k) for run in runs for k in range(len(run))]
    entries = runs[0].entries
    width = min(max(numbers // len(checkpoints), 1), sum(entries[n].numel() for n in names))
    memory = torch.empty(len(checkpoints), width, dtype=torch.float64)
    for pieces in _pieces(entries, names, width):
        touched = list(dict.fromkeys(name for name, _ in pieces))
        sizes = [p.stop - p.start for _, p in pieces]
        matrix = memory[:, : sum(sizes)]
        for row, (run, k) in zip(matrix, checkpoints, strict=True):
            state = run.part(k, touched)
            for (name, piece), target in zip(pieces, row.split(sizes), strict=True):
                target.copy_(state[name].detach().reshape(-1)[piece])
        matrix -= matrix[len(runs[0]) - 1].clone()
        yield pieces, matrix


def _pieces(entries: Mapping[str, Tensor], names: Sequence[str], numbers: int) -> Iterator[list[Piece]]:
    """Ranges of the flat entries, put together in lists of at most so many numbers."""
    pieces: list[Piece] = []
    room = numbers
    for name in names:
        start, size = 0, entries[name].numel()
        while start < size:
            stop = min(start + room, size)
            pieces.append((name, slice(start, stop)))
            room, start = room - (stop - start), stop
            if not room:
                yield pieces
                pieces, room = [], numbers
    if pieces:
        yield pieces
