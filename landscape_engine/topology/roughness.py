"""How rough a surface is, by the persistence of its basins and hills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import xarray as xr

from ..landscape import Array
from .flooding import DUAL, flood
from .levels import least_persistence, on_scale, one_metric
from .tree import merge_tree


@final
@dataclass(frozen=True)
class Smoothness:
    """How smooth a surface is.

    Attributes:
        roughness: Height of all ups and downs but the one that every surface has, as a fraction of its range: 0 for a
            bowl, larger for rougher surfaces, without a limit.
        basins: How many there are, the deepest included: 1 for a bowl.
        hills: How many there are that basins surround.
        spill: Average height from a minimum to the saddle where it ends, in units of the scale; 0 for a bowl.
    """

    roughness: float
    basins: int
    hills: int
    spill: float


def smoothness(
    landscape: xr.DataArray | xr.Dataset,
    variable: str | None = None,
    scale: str = "linear",
    threshold: float | None = 0.0,
    neighbors: str = "all",
) -> Smoothness:
    r"""How far a surface is from a bowl.

    .. math:: \mathrm{roughness} = \frac{\sum_{(b, d)} (d - b)}{\max f - \min f}

    over the finite persistence pairs of basins and of hills. A basin ends where it spills into a deeper one. A hill
    counts from its top down to where its surroundings no longer enclose it (beyond the border everything is high, so
    that the corners of a bowl are no hills); these are the holes of sublevel sets. On a line they would be the basins
    once more, so there are none. The numerator is the total persistence of degree 1; dividing it by the range is ours,
    so that on a linear scale the units of the metric and its zero do not matter. In a cube tunnels are not counted.

    Args:
        landscape: As for ``merge_tree``.
        variable: Which metric of a Dataset; needed if it has several.
        scale: What heights are measured in: ``"linear"``, ``"log"`` or ``"symlog"``.
        threshold: Basins and hills of a smaller or equal persistence do not count; None is twice the estimated error.
        neighbors: ``"all"`` or ``"axes"``, as for ``merge_tree``; hills have the other ones.

    Raises:
        ChoiceError: As ``merge_tree`` and ``MergeTree.simplified``.

    References:
        Cohen-Steiner, Edelsbrunner, Harer, Mileyko 2010, Lipschitz functions have L_p-stable persistence (total
        persistence); Chen et al. 2026, Landscaper (the average distance of saddle and minimum, here ``spill``).
    """
    tree = merge_tree(landscape, variable, scale, neighbors).simplified(threshold)
    levels = on_scale(one_metric(landscape, variable, scale)[0], scale, neighbors)
    basins = [m.persistence for m in tree.minima if np.isfinite(m.persistence)]
    hills = _hills(levels, DUAL[neighbors])
    hills = hills[hills > least_persistence(threshold, tree.error, scale)]
    span = float(np.nanmax(levels) - np.nanmin(levels))
    return Smoothness(
        roughness=(sum(basins) + float(hills.sum())) / span if span > 0 else 0.0,
        basins=len(tree.minima),
        hills=len(hills),
        spill=sum(basins) / len(basins) if basins else 0.0,
    )


def _hills(levels: Array, neighbors: str) -> Array:
    """Persistence of the maxima that are enclosed; the outside and what is not finite are higher than all of them."""
    if levels.ndim == 1:
        return np.zeros(0)
    upside_down = np.pad(np.where(np.isnan(levels), -np.inf, -levels), 1, constant_values=-np.inf)
    found = flood(upside_down, neighbors)
    ends = np.array([(m.ends, m.saddle) for m in found.mergers], dtype=np.int64).reshape(-1, 2)
    tops, saddles = upside_down.ravel()[found.nodes[ends]].T
    return saddles[np.isfinite(tops)] - tops[np.isfinite(tops)]
