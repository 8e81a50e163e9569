"""The nudged elastic band: a chain of pivots that relaxes onto a path of least loss."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..errors import ChoiceError
from ..evaluation import evaluate
from ..iteration import Watch
from ..metrics.base import Metric
from ..models import ModelWrapper
from ..parameters import norm, subtract
from ..subspaces import Curve
from .search import Model, Search, Settings

WITHIN = (0.25, 0.5, 0.75)  # where a piece between two pivots is looked at


def tangents(points: Tensor, values: Tensor) -> Tensor:
    r"""The direction of a band at each of its inner pivots, of length 1.

    With :math:`\tau^+ = p_{i+1} - p_i` and :math:`\tau^- = p_i - p_{i-1}` it is the one toward the higher
    neighbor. At a pivot that is higher or lower than both neighbors it is :math:`\tau^+ w^+ + \tau^- w^-`, where the
    weight of the higher neighbor is the larger of the two differences :math:`|L_{i \pm 1} - L_i|` and that of the other
    the smaller one, so that the direction does not jump when the higher neighbor changes sides.

    Args:
        points: (m + 1, n), the pivots and both ends.
        values: (m + 1,), their losses.

    Returns:
        (m - 1, n).

    References:
        Henkelman, Jonsson 2000, Improved tangent estimate in the nudged elastic band method for finding minimum energy
        paths and saddle points, section III.
    """
    after, before = points[2:] - points[1:-1], points[1:-1] - points[:-2]
    up, down = values[2:] - values[1:-1], values[:-2] - values[1:-1]  # differences to the neighbors
    larger, smaller = torch.maximum(up.abs(), down.abs()), torch.minimum(up.abs(), down.abs())
    ahead = up > down
    extreme = up * down >= 0
    forward = torch.where(extreme, torch.where(ahead, larger, smaller), ahead.to(values))
    backward = torch.where(extreme, torch.where(ahead, smaller, larger), (~ahead).to(values))
    flat = extreme & (larger == 0)
    forward, backward = (torch.where(flat, torch.ones_like(w), w)[:, None].to(points) for w in (forward, backward))
    found = forward * after + backward * before
    return found / torch.linalg.vector_norm(found, dim=1, keepdim=True).clamp(min=torch.finfo(points.dtype).tiny)


def spring_forces(points: Tensor, directions: Tensor, stiffness: float) -> Tensor:
    r"""The forces that keep the pivots apart, :math:`k (\|p_{i+1} - p_i\| - \|p_i - p_{i-1}\|) \, \tau_i`.

    They act along the band alone, so that they cannot pull it off its path.

    Args:
        points: (m + 1, n), the pivots and both ends.
        directions: (m - 1, n), the tangents.
        stiffness: k.

    Returns:
        (m - 1, n).

    References:
        Henkelman, Jonsson 2000, section III.
    """
    lengths = torch.linalg.vector_norm(points[1:] - points[:-1], dim=1)
    return stiffness * (lengths[1:] - lengths[:-1])[:, None] * directions


def loss_forces(slopes: Tensor, directions: Tensor, climbing: int | None = None) -> Tensor:
    r"""The forces of the loss across the band, :math:`-g_i + (g_i \cdot \tau_i) \, \tau_i`.

    Args:
        slopes: (m - 1, n), the gradients :math:`g_i`.
        directions: (m - 1, n), the tangents.
        climbing: The pivot that climbs to the saddle point, by its number among the inner ones: the part of its force
            along the band is turned round, :math:`-g_i + 2 (g_i \cdot \tau_i) \, \tau_i`.

    Returns:
        (m - 1, n).

    References:
        Draxler, Veschgini, Salmhofer, Hamprecht 2018, Essentially No Barriers in Neural Network Energy Landscape,
        section 3.1; Henkelman, Uberuaga, Jonsson 2000, A climbing image nudged elastic band method.
    """
    along = (slopes * directions).sum(dim=1, keepdim=True)
    times = torch.ones_like(along)
    if climbing is not None:
        times[climbing] = 2
    return times * along * directions - slopes


def nudged_elastic_band(
    a: Model,
    b: Model,
    metric: Metric,
    pivots: int = 3,
    most_pivots: int = 12,
    insertion: float = 0.2,
    stiffness: float = 0.5,
    climb: bool = True,
    cycles: int = 4,
    steps: int = 400,
    learning_rate: float = 0.05,
    batch_size: int | None = 256,
    tolerance: float = 0.01,
    seed: int = 0,
    resolution: int = 61,
    watch: Watch | None = None,
    start: Curve | None = None,
    throw: bool = False,
) -> Curve:
    r"""A path of least loss between two models, which passes over the lowest saddle points near it.

    Pivots on the straight line are moved by the force of the loss across the band and by springs along it (see
    ``loss_forces``, ``spring_forces``), with Adam. After each cycle the pieces between pivots are looked at: where the
    loss exceeds the straight line between the losses of its two pivots by more than ``insertion`` times the height of
    the band, a pivot is inserted there.

    Unlike ``bezier``, whose mean loss is small, the band tells how high the pass is. It ends when its barrier is small
    enough (see ``tolerance`` of ``bezier``), or, without minibatches, when no force is left across it: the largest of
    them is at most ``tolerance`` times the largest gradient.

    Args:
        a: Start, at t = 0.
        b: End, at t = 1.
        metric: What the band goes low in.
        pivots: Points between the ends at first.
        most_pivots: Points between the ends at last, at most.
        insertion: Share of the band's height by which the loss may exceed the straight line between two pivots.
        stiffness: Of the springs, in units in which a spring of the mean length weighs as much as the mean gradient.
        climb: Whether, in the second half of the steps, the highest pivot climbs to the saddle point, if it is higher
            than both ends.
        cycles: How often pivots may be inserted, plus 1.
        steps: In all; each takes one gradient a pivot.
        learning_rate: See ``bezier``.
        batch_size: See ``bezier``; one minibatch serves all pivots of a step.
        tolerance: See above.
        seed: See ``bezier``.
        resolution: See ``bezier``; the pivots are nodes of the profile as well.
        watch: See ``bezier``.
        start: See ``bezier``.
        throw: See ``bezier``.

    Returns:
        See ``bezier``. t is the share of the band's length.

    References:
        Draxler et al. 2018, Essentially No Barriers in Neural Network Energy Landscape, section 3.
    """
    if not 1 <= pivots <= most_pivots:
        raise ChoiceError("pivots", pivots, f"from 1 to most_pivots, which is {most_pivots}")
    if not 1 <= cycles <= steps:
        raise ChoiceError("cycles", cycles, f"from 1 to steps, which is {steps}")
    settings = Settings(steps, learning_rate, batch_size, tolerance, seed, resolution)
    search = Search(a, b, metric, _by_length, pivots, settings, start)
    band = _Band(search, most_pivots, insertion, stiffness, steps // 2 if climb else None, batch_size is None)
    return search.run(band.forces, band.check, watch, throw, "the nudged elastic band", every=max(1, steps // cycles))


def _by_length(models: Sequence[ModelWrapper]) -> Curve:
    """The polygonal curve through models whose t is the share of its length, if that is a number."""
    lengths = [norm(subtract(b.parameters, a.parameters)) for a, b in pairwise(models)]
    if not np.isfinite(sum(lengths)):
        return Curve.polygonal(models)
    knots = [0.0, *(np.cumsum(lengths) / sum(lengths)).tolist()]
    return Curve.polygonal(models, [*knots[:-1], 1.0])


class _Band:
    def __init__(
        self,
        search: Search,
        most: int,
        insertion: float,
        stiffness: float,
        climb_from: int | None,
        exact: bool,
    ) -> None:
        self.search, self.most, self.insertion, self.stiffness = search, most, insertion, stiffness
        self.climb_from, self.exact = climb_from, exact
        self.left = float("inf")  # the largest force across the band, as a share of the largest gradient

    def forces(self, number: int) -> tuple[float, Tensor]:
        """The loss of the highest pivot, and the forces on all."""
        points, slopes = self.search.points, self.search.slopes
        ends = [slopes.value(points[k], number) for k in (0, -1)]
        found = [slopes(p, number) for p in points[1:-1]]
        values = torch.tensor([ends[0], *(v for v, _ in found), ends[1]], dtype=torch.float64)
        gradients = torch.stack([g for _, g in found]).to(points)
        directions = tangents(points, values.to(points.device))
        highest = int(values[1:-1].argmax())
        is_pass = float(values[1 + highest]) > max(ends) and self.climb_from is not None and number >= self.climb_from
        climbing = highest if is_pass else None
        across = loss_forces(gradients, directions, climbing)
        size = torch.linalg.vector_norm(gradients, dim=1)
        self.left = float(torch.linalg.vector_norm(across, dim=1).max() / size.max())
        length = torch.linalg.vector_norm(points[1:] - points[:-1], dim=1).mean()
        springs = spring_forces(points, directions, self.stiffness * float(size.mean() / length))
        if climbing is not None:
            springs[climbing] = 0
        return float(values.max()), across + springs

    def check(self) -> bool:
        """Whether the band is done; if not, insert pivots where it is coarse."""
        search = self.search
        if search.is_low():
            return True
        if not search.count:
            return False
        finer = self._finer()
        climbs = self.climb_from is None or search.count > self.climb_from
        if finer is not None and search.count < search.settings.steps:
            search.points = finer
            search.restart()
        if finer is not None or not (climbs and self.exact):
            return False
        self.forces(search.count)  # at the points as they are, those of a search that is resumed too
        return self.left <= search.settings.tolerance

    def _finer(self) -> Tensor | None:
        """The points with new ones in pieces whose loss is badly told by that at their ends; None if there are none."""
        curve = self.search.curve()
        knots = np.array(curve.knots)
        places = [knots, *((1 - w) * knots[:-1] + w * knots[1:] for w in WITHIN)]
        found = evaluate(curve, self.search.metric, [(float(t),) for t in np.concatenate(places)])
        at, *within = np.split(found[self.search.metric.name], np.cumsum([len(p) for p in places])[:-1])
        excess = np.array([v - (1 - w) * at[:-1] - w * at[1:] for v, w in zip(within, WITHIN, strict=True)])
        allowed = self.insertion * max(float(at.max() - min(at[0], at[-1])), 1e-12)
        worst = excess.max(axis=0)
        room = self.most - (len(knots) - 2)
        chosen = [int(k) for k in np.argsort(-worst)[: max(room, 0)] if worst[k] > allowed]
        points = list(self.search.points)
        for k in sorted(chosen, reverse=True):
            share = WITHIN[int(excess[:, k].argmax())]
            points.insert(k + 1, torch.lerp(points[k], points[k + 1], share))
        return torch.stack(points) if chosen else None
