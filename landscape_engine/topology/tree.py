"""Merge trees: which basins a surface has, and at which levels they meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import xarray as xr

from ..landscape import Array
from .flooding import Flood, Integers, Sets, flood
from .levels import least_persistence, on_scale, one_metric


@final
@dataclass(frozen=True)
class Minimum:
    """A local minimum, the bottom of a basin.

    Attributes:
        coordinates: Where, by name of the dim; of a flat bottom, one of its nodes.
        value: There, in the metric's own units.
        persistence: How far the level rises from here until this basin meets one with a lower minimum, in units of the
            scale; infinite for the global minimum (the essential class).
        depth: How far it rises until this basin meets any other, in units of the scale: what a descent that has ended
            here would have to climb to get out. Infinite if there is no other.
    """

    coordinates: dict[str, float]
    value: float
    persistence: float
    depth: float


@final
@dataclass(frozen=True)
class Saddle:
    """A node where parts of the surface that were separate below it meet.

    Attributes:
        coordinates: Where, by name of the dim.
        value: There, in the metric's own units.
        basins: Labels of the two basins that touch here.
        ends: The minimum whose part ends here: of the two parts that meet, the higher of their lowest minima.
        into: The lowest minimum of the part that it joins.
    """

    coordinates: dict[str, float]
    value: float
    basins: tuple[int, int]
    ends: int
    into: int


@final
@dataclass(frozen=True, eq=False)
class MergeTree:
    r"""Which basins a surface has, and at which levels they meet: components of :math:`\{f \le c\}` as c rises.

    A minimum's label is its place in ``minima``. The most persistent come first, so that the global minimum is 0 and
    ``simplified`` keeps labels. Nodes with equal values count in the order of their coordinates; minima that only
    such ties make (persistence 0) are left out.

    Attributes:
        minima: The local minima, by falling persistence.
        saddles: Where they meet, by rising value: one fewer than minima if the surface is in one piece.
        basins: Over the grid, the label of the minimum that is reached by steps to the lowest neighbor; -1 where the
            surface is not finite.
        pairs: Persistence pairs (n, 2), a row a minimum: where it is born, where it ends, in units of the scale.
        scale: ``"linear"``, ``"log"`` or ``"symlog"``: what persistence is measured in.
        error: Largest estimated error of the surface in units of the scale; None where it is not known.
    """

    minima: tuple[Minimum, ...]
    saddles: tuple[Saddle, ...]
    basins: xr.DataArray
    pairs: Array
    scale: str
    error: float | None

    def simplified(self, threshold: float | None = None) -> MergeTree:
        r"""The tree of the basins whose persistence exceeds a threshold; each other one joins the basin it spills into.

        If no value is wrong by more than e, no pair moves by more than e in birth or death; so a basin whose
        persistence exceeds 2 e is real, and one below may be made by the error. (The error of a landscape is an
        estimate, and so is what follows from it.)

        Args:
            threshold: In units of the scale; by default twice the landscape's estimated error.

        Raises:
            ChoiceError: If the threshold is negative or infinite, or None where the error is not known.

        References:
            Cohen-Steiner, Edelsbrunner, Harer 2007, Stability of persistence diagrams (the theorem); Edelsbrunner,
            Letscher, Zomorodian 2002, Topological persistence and simplification.
        """
        least = least_persistence(threshold, self.error, self.scale)
        kept = sum(m.persistence > least for m in self.minima)
        joined = Sets()
        for s in self.saddles:
            if s.ends >= kept:
                joined.unite(*s.basins)
        label = [joined.find(i) for i in range(len(self.minima))]  # kept minima have the smallest labels
        saddles = tuple(
            replace(s, basins=(label[s.basins[0]], label[s.basins[1]])) for s in self.saddles if s.ends < kept
        )
        pairs = self.pairs[:kept]
        minima = tuple(replace(self.minima[i], depth=depth) for i, depth in enumerate(_depths(pairs, saddles)))
        basins = self.basins.copy(data=np.array([*label, -1])[self.basins.values])
        return replace(self, minima=minima, saddles=saddles, pairs=pairs, basins=basins)


def merge_tree(
    landscape: xr.DataArray | xr.Dataset, variable: str | None = None, scale: str = "linear", neighbors: str = "all"
) -> MergeTree:
    r"""The merge tree of a computed surface.

    .. math:: \mathrm{persistence}(m) = f(s) - f(m)

    where the component of the sublevel set :math:`\{f \le c\}` that is born at the minimum m meets, at the saddle s,
    one with a lower minimum (the elder rule). Small persistence is a ripple, large persistence a valley of its own.

    Nodes where the surface is not finite are no part of it. The order of the dims does not matter. A scale changes no
    minimum, saddle or basin, only their heights, and so which ones are large (but on a log scale all values at or
    below 0 are equal).

    Args:
        landscape: Over the coordinates of a line, a curve, a plane or a cube; one that was refined with ``vmax`` is
            cut off there.
        variable: Which metric of a Dataset; needed if it has several.
        scale: What heights are measured in: ``"linear"``, ``"log"`` (ratios, as natural logarithms) or ``"symlog"``.
        neighbors: What is connected: ``"all"`` the nodes around a node, diagonal ones too (on a plane 8; sublevel sets
            are those of the cubical complex whose top-dimensional cells are the nodes), so that a narrow oblique
            valley stays one; or those along the ``"axes"`` (on a plane 4; the nodes are the complex's vertices).

    Raises:
        ChoiceError: If a choice is outside what is offered, or the surface has no finite value, was computed here and
            there only, or lies over dims that are no continuous coordinates.

    References:
        Carr, Snoeyink, Axen 2003, Computing contour trees in all dimensions (merge trees by union and find);
        Edelsbrunner, Letscher, Zomorodian 2002, Topological persistence and simplification; Garin et al. 2020, Duality
        in persistent homology of images (the two kinds of neighbors).
    """
    surface, error = one_metric(landscape, variable, scale)
    levels = on_scale(surface, scale, neighbors)
    found = flood(levels, neighbors)
    heights = levels.ravel()[found.nodes]
    ends = {m.ends: heights[m.saddle] for m in found.mergers}
    pairs = np.array([(heights[m], ends.get(m, np.inf)) for m in found.minima.tolist()])
    order = np.lexsort((found.minima, pairs[:, 0] - pairs[:, 1]))
    saddles, minima, basins = _described(surface, found, found.minima[order], pairs[order])
    return MergeTree(minima, saddles, basins, pairs[order], scale, error).simplified(0.0)


def _described(
    surface: xr.DataArray, found: Flood, ranks: Integers, pairs: Array
) -> tuple[tuple[Saddle, ...], tuple[Minimum, ...], xr.DataArray]:
    """Saddles, minima and basins of a flood with coordinates, values and labels; minima by their ranks."""
    ordered = surface.transpose(*sorted(map(str, surface.dims)))
    axes = {str(dim): ordered[dim].values for dim in ordered.dims}
    values = ordered.values
    label = {m: i for i, m in enumerate(ranks.tolist())}

    def at(rank: int) -> tuple[dict[str, float], float]:
        """Coordinates and value of a node."""
        index = np.unravel_index(found.nodes[rank], values.shape)
        return {d: float(axis[i]) for (d, axis), i in zip(axes.items(), index, strict=True)}, float(values[index])

    saddles = tuple(
        Saddle(*at(m.saddle), (label[m.basins[0]], label[m.basins[1]]), label[m.ends], label[m.into])
        for m in found.mergers
    )
    persistence = (pairs[:, 1] - pairs[:, 0]).tolist()
    depths = _depths(pairs, saddles)
    minima = tuple(Minimum(*at(m), persistence[i], depths[i]) for m, i in label.items())
    names = np.full(len(found.nodes) + 1, -1)  # the last one is that of what lies outside
    names[ranks] = np.arange(len(ranks))
    basins = ordered.copy(data=names[found.basins]).rename("basin").transpose(*surface.dims)
    basins.attrs = {"long_name": "basin"}
    return saddles, minima, basins


def _depths(pairs: Array, saddles: Sequence[Saddle]) -> list[float]:
    """How far each minimum lies below the lowest saddle of its basin."""
    exits = np.full(len(pairs), np.inf)
    for saddle in saddles:
        for basin in saddle.basins:
            exits[basin] = min(exits[basin], pairs[saddle.ends, 1])
    return (exits - pairs[:, 0]).tolist()
