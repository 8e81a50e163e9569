"""Minima of a computed plane, the saddles between their basins, and what the whole space says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import xarray as xr

import landscape_engine as le
from explorer import sources
from explorer.measures import MEASURES
from explorer.state import Request
from landscape_engine import metrics as engine
from landscape_engine import topology
from landscape_engine.metrics import Metric, MetricPipeline

MOST = 5  # basins, the most persistent ones
WITH_GRADIENT = ("loss", "regularized_loss")
FLAT = 1e-3  # gradient norm below which a point may be one of the whole space too


class Stationary(NamedTuple):
    """A node of a plane where its surface has a minimum, a maximum or a saddle.

    Attributes:
        kind: ``"minimum"``, ``"maximum"`` or ``"saddle"``, of the plane.
        x: Alpha.
        y: Beta.
        value: Of the metric, exactly.
        gradient_norm: Of the network there, in the whole space; NaN where the metric has no gradient.
    """

    kind: str
    x: float
    y: float
    value: float
    gradient_norm: float

    @property
    def of_plane_only(self) -> bool:
        """Whether the whole space is known to have no stationary point there."""
        return self.gradient_norm > FLAT


@final
@dataclass(frozen=True, eq=False)
class Basins:
    """What was found of a picture.

    Args:
        request: The choices that the picture answers.
        points: Minima by falling persistence, then saddles; maxima and their saddles where high is better.
    """

    request: Request
    points: tuple[Stationary, ...]

    @property
    def sought(self) -> bool:
        """Whether points were looked for: a curve, and what is sampled or no smooth function, has none."""
        measure = MEASURES[self.request.metric]
        return not (self.request.is_line or measure.noisy or measure.rough)


def basins(
    request: Request, subspace: le.Line | le.Plane, landscape: xr.Dataset, check: Callable[[], None] = lambda: None
) -> Basins:
    """The basins of a plane that are deeper than its estimated error could make them.

    They are nodes of the grid, within half a cell of the plane's own stationary points: on the flat floor of a network
    of ReLU units a search for these would wander far and end at any of many. Nodes at the border are none.

    Args:
        request: What is drawn; a metric that is sampled or no smooth function has no basins.
        subspace: The plane.
        landscape: The picture of it.
        check: Called before each exact evaluation; what it raises ends the work.
    """
    measure, name = MEASURES[request.metric], f"{request.split}_{request.metric}"
    if not (none := Basins(request, ())).sought:
        return none
    surface = landscape.assign({name: -landscape[name]}) if measure.high_is_better else landscape
    tree = topology.merge_tree(surface, name, request.scale).simplified()
    kind = "maximum" if measure.high_is_better else "minimum"
    found: list[tuple[str, Any]] = [(kind, minimum) for minimum in tree.minima[:MOST]]
    found += [("saddle", saddle) for saddle in tree.saddles if saddle.ends < MOST]
    nodes = [(kind, node.coordinates["alpha"], node.coordinates["beta"]) for kind, node in found]
    inside = [node for node in nodes if _inside(landscape, node[1], node[2])]
    return Basins(request, _described(request, subspace, inside, check))


def _inside(landscape: xr.Dataset, x: float, y: float) -> bool:
    alpha, beta = landscape["alpha"].values, landscape["beta"].values
    return bool(alpha[0] < x < alpha[-1] and beta[0] < y < beta[-1])


def _described(
    request: Request,
    subspace: le.Line | le.Plane,
    nodes: list[tuple[str, float, float]],
    check: Callable[[], None],
) -> tuple[Stationary, ...]:
    """The nodes with their exact values, since most of them were predicted."""
    if not nodes:
        return ()
    name = f"{request.split}_{request.metric}"
    known = sources.load(request.model).metrics(request.split, request.samples, request.metric)
    metric = next(m for m in known if m.name == name)
    wanted: list[Metric] = [metric]
    if request.metric in WITH_GRADIENT:
        wanted.append(engine.GradientNorm(metric, name="slope"))

    def points() -> Iterator[tuple[float, float]]:
        for _, x, y in nodes:
            check()
            yield x, y

    values = le.evaluate(subspace, MetricPipeline(wanted), points())
    slopes = values.get("slope", np.full(len(nodes), np.nan))
    pairs = zip(values[name].tolist(), slopes.tolist(), strict=True)
    return tuple(Stationary(*node, *pair) for node, pair in zip(nodes, pairs, strict=True))
