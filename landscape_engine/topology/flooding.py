"""Raising a level over a grid: which components appear, and where they meet."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from ..landscape import Array

Integers = NDArray[np.int64]

DUAL = {"all": "axes", "axes": "all"}
"""The two kinds of neighbors, and which kind hills must have if basins have this one."""


class Merger(NamedTuple):
    """A node where two components meet; nodes and minima by their ranks."""

    saddle: int
    basins: tuple[int, int]
    ends: int
    into: int


class Flood(NamedTuple):
    """What is seen while the level rises. A node's rank is its place among all nodes by value, then by index."""

    nodes: Integers  # flat indices by rank
    minima: Integers  # their ranks, rising
    basins: Integers  # over the grid, the rank of the minimum; -1 outside
    mergers: list[Merger]  # by rising saddle


def flood(levels: Array, neighbors: str) -> Flood:
    """Raise the level over a surface, NaN outside it.

    Basins come first, by steps to the lowest neighbor, for all nodes at once; then the components of sublevel sets are
    those of the graph of basins, since below any level each node is connected with its minimum.

    Args:
        levels: Over a grid of any number of dims, NaN where there is no surface.
        neighbors: A key of ``DUAL``.
    """
    count = int((~np.isnan(levels)).sum())
    nodes = np.argsort(levels, axis=None, kind="stable")[:count]  # NaN is sorted last
    rank = np.full(levels.shape, count)
    rank.flat[nodes] = np.arange(count)
    around = _around(rank, neighbors, count)[:, nodes]
    bottom = np.minimum(around.min(axis=0), np.arange(count))
    while not np.array_equal(bottom, further := bottom[bottom]):
        bottom = further
    basins = np.append(bottom, -1)[rank]
    return Flood(nodes, np.unique(bottom), basins, _mergers(around, bottom))


def _around(rank: Integers, neighbors: str, outside: int) -> Integers:
    """Ranks of the neighbors of each node of a grid: (neighbors, nodes)."""
    padded = np.pad(rank, 1, constant_values=outside)
    steps = [s for s in product((-1, 0, 1), repeat=rank.ndim) if any(s)]
    if neighbors == "axes":
        steps = [s for s in steps if np.abs(s).sum() == 1]
    shifted = [padded[tuple(slice(1 + i, 1 + i + n) for i, n in zip(s, rank.shape, strict=True))] for s in steps]
    return np.stack([view.ravel() for view in shifted])


def _mergers(around: Integers, bottom: Integers) -> list[Merger]:
    """The spanning forest of lowest passes between basins (Kruskal), by the elder rule."""
    saddle, k = np.nonzero((around < np.arange(len(bottom))).T)
    here, there = bottom[saddle], bottom[around.T[saddle, k]]
    passes = here != there
    saddle, here, there = saddle[passes], here[passes], there[passes]
    key = np.minimum(here, there) * len(bottom) + np.maximum(here, there)
    lowest = np.sort(np.unique(key, return_index=True)[1])  # the first of each pair of basins, since saddles rise
    joined, mergers = Sets(), []
    for s, a, b in zip(saddle[lowest].tolist(), here[lowest].tolist(), there[lowest].tolist(), strict=True):
        into, ends = sorted((joined.find(a), joined.find(b)))
        if into != ends:
            joined.unite(into, ends)
            mergers.append(Merger(s, (a, b), ends, into))
    return mergers


@final
class Sets:
    """Disjoint sets of integers, each known by its smallest member."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def find(self, member: int) -> int:
        """The smallest member of its set."""
        while (parent := self._parent.get(member, member)) != member:
            self._parent[member] = self._parent.get(parent, parent)
            member = parent
        return member

    def unite(self, a: int, b: int) -> None:
        """Make one set of two."""
        smallest, other = sorted((self.find(a), self.find(b)))
        self._parent[other] = smallest
