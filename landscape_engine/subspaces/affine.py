"""Points, lines, planes and cubes: origin and directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self, final

import numpy as np
import torch
from torch import nn

from ..directions import (
    Directions,
    SeededDirection,
    as_runs,
    difference,
    gradient_directions,
    hessian_directions,
    orthogonalize,
    principal_directions,
    random_directions,
    seeds_of,
)
from ..errors import ChoiceError
from ..metrics.base import Metric
from ..models import ModelWrapper, wrap_model
from ..parameters import Parameters, Watched, check_match, combine, fingerprint, norm
from ..trajectories import Trajectory
from .base import COARSE_INTERVALS, MARGIN, NAMES, Bounds, Subspace, check_bounds, sides, symmetric
from .projection import Projection, gram_matrix, projected

ORTHONORMAL = {"trajectory", "through", "gradient", "hessian"}


@dataclass(frozen=True, eq=False)
class AffineSubspace(Subspace):
    r"""The points :math:`\theta_0 + \sum_k c_k d_k`."""

    model: ModelWrapper
    origin: Parameters
    directions: tuple[Parameters, ...]
    bounds: tuple[Bounds, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def dims(self) -> tuple[str, ...]:
        """``alpha``, ``beta``, and so on through the Greek alphabet."""
        return NAMES[: len(self.directions)]

    @property
    def spanned_by(self) -> Directions:
        """The directions and, among their facts, the bounds: to be saved, or to cut another model alike."""
        return Directions(self.directions, {**self.facts, "bounds": [list(b) for b in self.bounds]})

    def scaled(self, extent: float) -> Self:
        """The same subspace with bounds (-extent, extent) on each axis."""
        return replace(self, bounds=(symmetric(extent),) * len(self.directions))

    def __post_init__(self) -> None:
        remedy = "Build it again from this model."
        check_match(self.origin, self.model.parameters, "the origin does", remedy)
        for direction in self.directions:
            shapes = direction.seeds.like if isinstance(direction, SeededDirection) else direction
            check_match(shapes, self.model.parameters, "the direction does", remedy)
        buffers = {n: b.clone() for n, b in self.model.buffers.items()}  # unmoved by later training, as the origin is
        origin = self.origin.tensors if isinstance(self.origin, Watched) else self.origin
        object.__setattr__(self, "model", self.model.at({**origin, **buffers}))
        object.__setattr__(self, "bounds", tuple(check_bounds(b) for b in self.bounds))
        prints = [d.fingerprint if isinstance(d, SeededDirection) else fingerprint(d) for d in self.directions]
        kept = {"kept": "seeds" if self.keeps_seeds else "tensors"} if self.directions else {}
        object.__setattr__(self, "facts", {**self.facts, "directions": [p[:12] for p in prints], **kept})

    @property
    def keeps_seeds(self) -> bool:
        """Whether directions are made again for each point, since memory is short."""
        return any(isinstance(d, SeededDirection) for d in self.directions)

    def cast(self, dtype: torch.dtype) -> Self:
        """The same points, formed in another floating-point type (see ``Subspace.cast``); no seeds are kept."""
        origin, *directions = ({n: t.to(dtype) for n, t in v.items()} for v in (self.origin, *self.directions))
        return replace(self, model=self.model.cast(dtype), origin=origin, directions=tuple(directions))

    def state_at(self, coordinates: Sequence[float]) -> Parameters:
        """The parameters at a point, formed in the working type of the model."""
        seeds = seeds_of(self.directions)
        if seeds is not None:
            return seeds.point(self.origin, coordinates)
        return combine(self.origin, self.directions, coordinates)

    @cached_property
    def _gram(self) -> np.ndarray:
        return gram_matrix(self.directions)

    def project(self, theta: Parameters) -> Projection:
        r"""The nearest point of the subspace.

        Least squares by the Gram matrix :math:`G_{ij} = \langle d_i, d_j \rangle`: coordinates
        :math:`c = G^{-1} (\langle d_i, \theta - \theta_0 \rangle)_i`, residual
        :math:`\|\theta - \theta_0 - \sum_k c_k d_k\|`. The directions need not be orthogonal.
        """
        return projected(theta, self.origin, self.directions, self._gram)

    def share(self, vector: Parameters) -> float:
        r"""How much of a vector of parameter space, such as a gradient, lies along the subspace.

        :math:`\|P v\|^2 / \|v\|^2`, where P projects orthogonally onto the span of the directions: from 0 to 1, NaN
        for a vector of length 0.

        Args:
            vector: One tensor a parameter, of its shape.
        """
        nowhere = {name: torch.zeros_like(part) for name, part in vector.items()}
        return 1 - min(projected(vector, nowhere, self.directions, self._gram).relative, 1.0) ** 2


@final
class Point(AffineSubspace):
    """A single model: a subspace without coordinates."""

    @classmethod
    def of(cls, model: nn.Module | ModelWrapper) -> Point:
        """The point at which a model is."""
        wrapper = wrap_model(model)
        return cls(wrapper, wrapper.snapshot(), (), (), {"kind": "point"})


class Spanned(AffineSubspace):
    """What directions span around a model.

    Attributes:
        counts: How many directions there may be.
    """

    counts: ClassVar[range]

    @classmethod
    def from_directions(
        cls,
        model: nn.Module | ModelWrapper,
        directions: Directions | Sequence[Parameters],
        extent: float = 1.0,
        bounds: Sequence[Bounds] | None = None,
    ) -> Self:
        """The subspace through the model along given directions, for instance saved ones of another model.

        Along directions of which seeds are kept, the model's parameters are not copied either (see ``random``).
        """
        wrapper = wrap_model(model)
        if not isinstance(directions, Directions):
            directions = Directions(tuple(directions), {"kind": "given"})
        count = cls._count(len(directions.vectors), "directions")
        seeds = seeds_of(directions.vectors)
        if seeds is not None and seeds.dtype == wrapper.dtype:
            return cls(wrapper, wrapper.watched(), seeds.directions, sides(count, extent, bounds), directions.facts)
        origin, dtype = wrapper.snapshot(), wrapper.dtype
        vectors = tuple({n: d.to(origin[n].device, dtype) for n, d in v.items()} for v in directions.vectors)
        return cls(wrapper, origin, vectors, sides(count, extent, bounds), directions.facts)

    @classmethod
    def random(
        cls,
        model: nn.Module | ModelWrapper,
        normalization: str = "filter",
        seed: int = 0,
        extent: float = 1.0,
        one_dimensional: bool = False,
        bounds: Sequence[Bounds] | None = None,
        dimensions: int | None = None,
        keep: str = "auto",
    ) -> Self:
        """The subspace through the model along random directions (see ``random_directions``).

        Of a large model, directions are kept as seeds, and its parameters are shared instead of copied: what is in
        memory is the model and the point that is evaluated. The model must then not be trained meanwhile; an error
        says so if it was.

        Args:
            model: The model in the middle.
            normalization: ``"none"``, ``"model"``, ``"layer"`` or ``"filter"``.
            seed: Of the directions.
            extent: Half the side, in units of the directions: filter-normalized, the alpha of Li et al.
            one_dimensional: Move biases and norm-layer weights too under ``"layer"`` and ``"filter"``.
            bounds: Of each axis, instead of ``extent``.
            dimensions: Of a cube, 3 by default.
            keep: ``"tensors"`` of the directions and a copy of the model; ``"seeds"``, for the same points with little
                memory and more time; ``"auto"``, seeds where the tensors would take more than 1 GiB.
                ``facts["kept"]`` and the provenance say which.
        """
        wrapper = wrap_model(model)
        count = cls._count(cls.counts.start if dimensions is None else dimensions, "dimensions")
        directions = random_directions(wrapper, count, normalization, seed, one_dimensional, keep=keep)
        return cls.from_directions(wrapper, directions, extent, bounds)

    @classmethod
    def gradient(
        cls,
        model: nn.Module | ModelWrapper,
        loss: Metric,
        extent: float = 1.0,
        bounds: Sequence[Bounds] | None = None,
    ) -> Self:
        """The subspace through the model along the gradient of a loss; ascent is to the positive side.

        Further axes are the eigenvectors of the largest curvature, less their component along the gradient. The axes
        are orthonormal: coordinates are distances. ``automatic_extent`` tells how far to look.

        Args:
            model: The model in the middle.
            loss: What is differentiated.
            extent: Half the side, a distance.
            bounds: Of each axis, instead of ``extent``.
        """
        wrapper = wrap_model(model)
        directions = gradient_directions(wrapper, loss)
        if cls.counts.start > 1:
            directions += hessian_directions(wrapper, loss, range(cls.counts.start - 1))
            units = tuple({n: v / norm(d) for n, v in d.items()} for d in directions.vectors)
            directions = replace(directions, vectors=units)
        return cls.from_directions(wrapper, directions, extent, bounds)

    @classmethod
    def hessian(
        cls,
        model: nn.Module | ModelWrapper,
        loss: Metric,
        which: Sequence[int] | None = None,
        extent: float = 1.0,
        bounds: Sequence[Bounds] | None = None,
    ) -> Self:
        """The subspace through the model along eigenvectors of the Hessian of a loss (see ``hessian_directions``).

        Args:
            model: The model in the middle.
            loss: What is differentiated.
            which: Places in the descending order of the eigenvalues, one for each axis; by default 0 (the largest) of a
                line, 0 and -1 (the smallest) of a plane.
            extent: Half the side, a distance.
            bounds: Of each axis, instead of ``extent``.
        """
        wrapper = wrap_model(model)
        first = cls.counts.start
        chosen = tuple(which) if which is not None else (*range(max(first - 1, 1)), *([-1] if first > 1 else []))
        cls._count(len(chosen), "which")
        return cls.from_directions(wrapper, hessian_directions(wrapper, loss, chosen), extent, bounds)

    @classmethod
    def _count(cls, count: int, name: str) -> int:
        if count not in cls.counts:
            first, last = cls.counts.start, cls.counts[-1]
            raise ChoiceError(name, count, f"{first if first == last else f'{first} to {last}'}, one for each axis")
        return count


@final
class Line(Spanned):
    r"""The points :math:`\theta_0 + \alpha d`."""

    counts = range(1, 2)

    @classmethod
    def between(
        cls, start: nn.Module | ModelWrapper, end: nn.Module | ModelWrapper, bounds: Bounds = (0.0, 1.0)
    ) -> Line:
        r"""The line :math:`(1 - \alpha) \theta_a + \alpha \theta_b`: 0 is ``start``, 1 is ``end``.

        References:
            Goodfellow, Vinyals, Saxe 2015, Qualitatively characterizing neural network optimization problems.
        """
        a, b = wrap_model(start), wrap_model(end)
        origin = a.snapshot()
        direction = difference(origin, as_in(b, a, "the second model does"))
        return cls(a, origin, (direction,), (bounds,), {"kind": "between", "units": "of the way"})


def as_in(model: ModelWrapper, first: ModelWrapper, what: str) -> Parameters:
    """The parameters of another model in the working type of the first."""
    check_match(model.parameters, first.parameters, what, "Choose models of one architecture.")
    return {n: p.to(first.dtype) for n, p in model.parameters.items()}


@final
class Plane(Spanned):
    r"""The points :math:`\theta_0 + \alpha d_1 + \beta d_2`."""

    counts = range(2, 3)

    @classmethod
    def through(
        cls,
        first: nn.Module | ModelWrapper,
        second: nn.Module | ModelWrapper,
        third: nn.Module | ModelWrapper,
        aspect: float = 1.3,
        extent: float = 1.0,
    ) -> Plane:
        """The plane through three models, at the first of which it has its origin.

        The axes are orthonormal, so both coordinates are distances in parameter space; alpha goes from the first
        model to the second, and the third has a positive beta. The coordinates of the three are
        ``facts["points"]``. Bounds as for ``trajectory``, with the first model on a node.

        References:
            Garipov et al. 2018, Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs, appendix A.
        """
        symmetric(extent)
        a, b, c = (wrap_model(m) for m in (first, second, third))
        origin = a.snapshot()
        ends = [as_in(m, a, f"the {which} model does") for m, which in ((b, "second"), (c, "third"))]
        sides = orthogonalize([difference(origin, end) for end in ends])
        axes = tuple({n: v / norm(side) for n, v in side.items()} for side in sides)
        draft = cls(a, origin, axes, ((-1.0, 1.0), (-1.0, 1.0)))
        points = np.array([(0.0, 0.0), *(draft.project(end).coordinates for end in ends)])
        facts = {"kind": "through", "points": points.tolist()}
        return cls(a, origin, axes, _trajectory_bounds(points, aspect, extent), facts)

    @classmethod
    def trajectory(
        cls,
        model: nn.Module | ModelWrapper,
        trajectory: Trajectory | Sequence[Trajectory],
        aspect: float = 1.3,
        extent: float = 1.0,
    ) -> Plane:
        """The plane that holds most of a trajectory, or of several, through the final checkpoint (of the first one).

        The axes are the two leading principal directions, orthonormal, so both coordinates are distances in parameter
        space. The bounds are the smallest of ratio ``aspect`` that hold the box of the projected path with at least
        35 % of it free on each side and have the final checkpoint on a node of the coarse grid. How much of the
        movement the plane holds is ``facts["shares"]`` and, of several, ``facts["shares_of_each"]``; where a
        checkpoint falls on it tells ``project``.

        Args:
            model: The network, for its code; its parameters are not used.
            trajectory: The checkpoints, or those of several runs of one model.
            aspect: Width to height.
            extent: Enlarges (above 1) or reduces the bounds about the final checkpoint.

        References:
            Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 7.
        """
        symmetric(extent)
        wrapper, runs = wrap_model(model), as_runs(trajectory)
        directions = principal_directions(runs, wrapper)
        final_model = wrapper.at(runs[0][-1])
        origin = final_model.snapshot()
        vectors = tuple({n: d.to(origin[n].device) for n, d in v.items()} for v in directions.vectors)
        gram, states = gram_matrix(vectors), (run[k] for run in runs for k in range(len(run)))
        path = np.array([projected(state, origin, vectors, gram).coordinates for state in states])
        bounds = _trajectory_bounds(path, aspect, extent)
        return cls(final_model, origin, vectors, bounds, directions.facts)

    @property
    def is_orthonormal(self) -> bool:
        """Whether coordinates are distances in parameter space."""
        return set(str(self.facts.get("kind")).split(" and ")) <= ORTHONORMAL


def _trajectory_bounds(path: np.ndarray, aspect: float, extent: float) -> tuple[Bounds, Bounds]:
    lo, hi = path.min(axis=0), path.max(axis=0)
    below, above = MARGIN * (hi - lo) - lo, MARGIN * (hi - lo) + hi  # wanted on either side of the final checkpoint
    count = COARSE_INTERVALS[2]
    splits = np.arange(1, count)  # intervals below it, whole ones
    least = np.maximum(below / splits[:, None], above / (count - splits)[:, None]).min(axis=0)
    width = max(least[0], least[1] * aspect)
    bounds = []
    for cell, under, over in zip((width, width / aspect), below, above, strict=True):
        spare_below, spare_above = splits * cell - under, (count - splits) * cell - over
        centered = np.where(np.minimum(spare_below, spare_above) > -1e-9 * cell, abs(spare_below - spare_above), np.inf)
        split = int(splits[centered.argmin()])
        bounds.append((float(-split * cell * extent), float((count - split) * cell * extent)))
    return bounds[0], bounds[1]


@final
class Cube(Spanned):
    r"""The points :math:`\theta_0 + \sum_k c_k d_k` of three or more directions."""

    counts = range(3, len(NAMES) + 1)

    def layer(self, *further: float) -> Plane:
        r"""The plane of the first two directions, shifted along the others.

        Its point :math:`(\alpha, \beta)` is the cube's :math:`(\alpha, \beta, \gamma, ...)`.

        Args:
            *further: Coordinates along the third direction and those after it.

        Raises:
            ChoiceError: If they are too many or too few.
        """
        if len(further) != len(self.directions) - 2:
            raise ChoiceError(
                "further", further, f"{len(self.directions) - 2} coordinates, of the directions after two"
            )
        here, facts = self.state_at((0.0, 0.0, *further)), {**self.facts, "layer": [float(c) for c in further]}
        return Plane(self.model, here, self.directions[:2], self.bounds[:2], facts)
