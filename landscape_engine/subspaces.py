"""Lines, planes and curves of parameter space: coordinates to parameters, and parameters back to coordinates."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

import numpy as np
from torch import Tensor, nn

from .directions import Directions, difference, principal_directions, random_directions
from .errors import ChoiceError
from .models import ModelWrapper, wrap_model
from .parameters import Parameters, check_match, combine, fingerprint, inner, norm, subtract
from .trajectories import Trajectory

Bounds = tuple[float, float]

# A trajectory plane leaves this share of the path's box free on each side.
MARGIN = 0.35
# The coarse grid of a plane whose resolution is 2^k + 1 has this many intervals on each axis.
COARSE_INTERVALS = {1: 16, 2: 8, 3: 4}


def _check_bounds(bounds: Bounds) -> Bounds:
    lo, hi = (float(b) for b in bounds)
    if not (np.isfinite(lo) and np.isfinite(hi) and lo < hi):
        raise ChoiceError("bounds", bounds, "two finite numbers, the lower one first")
    return lo, hi


def _symmetric(extent: float) -> Bounds:
    if not (np.isfinite(extent) and extent > 0):
        raise ChoiceError("extent", extent, "a finite number greater than 0")
    return -float(extent), float(extent)


class Subspace(abc.ABC):
    """A set of points of parameter space, addressed by coordinates.

    A subspace holds the wrapped model it was built from, whose code and buffers are evaluated at its points.
    """

    model: ModelWrapper
    bounds: tuple[Bounds, ...]
    facts: dict[str, Any]

    @property
    @abc.abstractmethod
    def dims(self) -> tuple[str, ...]:
        """Names of the coordinates."""

    @abc.abstractmethod
    def state_at(self, coordinates: Sequence[float]) -> Mapping[str, Tensor]:
        """The parameters (and buffers, if they differ from the model's) at a point."""

    def axes(self, resolution: int) -> list[np.ndarray]:
        """The node coordinates of each axis: ``resolution`` of them from bound to bound, both included."""
        if resolution < 2:
            raise ChoiceError("resolution", resolution, "2 nodes or more on each axis")
        result = []
        for lo, hi in self.bounds:
            axis = np.linspace(lo, hi, resolution)
            axis[np.abs(axis) < 1e-12 * (hi - lo)] = 0.0  # the origin is a node exactly, not almost
            result.append(axis)
        return result

    def describe(self, dim: str) -> dict[str, str]:
        """``long_name`` and ``units`` of a coordinate."""
        return {"long_name": dim, "units": self.facts.get("units", "")}


class Projection(NamedTuple):
    """Where a point falls on a subspace.

    Attributes:
        coordinates: Of the nearest point of the subspace.
        residual: Distance from that point, in units of parameter space.
        distance: Distance from the subspace's origin, in units of parameter space.
    """

    coordinates: tuple[float, ...]
    residual: float
    distance: float

    @property
    def relative(self) -> float:
        """The residual as a share of the distance; NaN at the origin."""
        return self.residual / self.distance if self.distance else math.nan


@dataclass(frozen=True, eq=False)
class AffineSubspace(Subspace):
    r"""The points :math:`\theta_0 + \sum_k c_k d_k`."""

    model: ModelWrapper
    origin: Parameters
    directions: tuple[Parameters, ...]
    bounds: tuple[Bounds, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        remedy = "Build it again from this model."
        check_match(self.origin, self.model.parameters, "the origin does", remedy)
        for direction in self.directions:
            check_match(direction, self.model.parameters, "the direction does", remedy)
        buffers = {n: b.clone() for n, b in self.model.buffers.items()}  # unmoved by later training, as the origin is
        object.__setattr__(self, "model", self.model.at({**self.origin, **buffers}))
        object.__setattr__(self, "bounds", tuple(_check_bounds(b) for b in self.bounds))
        object.__setattr__(self, "facts", {**self.facts, "directions": [fingerprint(d)[:12] for d in self.directions]})

    def state_at(self, coordinates: Sequence[float]) -> dict[str, Tensor]:
        """The parameters at a point, formed in the working type of the model."""
        return combine(self.origin, self.directions, coordinates)

    def project(self, theta: Parameters) -> Projection:
        r"""The nearest point of the subspace.

        Least squares by the Gram matrix :math:`G_{ij} = \langle d_i, d_j \rangle`: coordinates
        :math:`c = G^{-1} (\langle d_i, \theta - \theta_0 \rangle)_i`, residual
        :math:`\|\theta - \theta_0 - \sum_k c_k d_k\|`. The directions need not be orthogonal.
        """
        offset = subtract({n: theta[n].to(o.dtype) for n, o in self.origin.items()}, self.origin)
        gram = np.array([[inner(a, b) for b in self.directions] for a in self.directions])
        c = np.linalg.solve(gram, np.array([inner(d, offset) for d in self.directions]))
        residual = norm(combine(offset, self.directions, [-float(x) for x in c]))
        return Projection(tuple(float(x) for x in c), residual, norm(offset))


@final
class Line(AffineSubspace):
    r"""The points :math:`\theta_0 + \alpha d`."""

    dims = ("alpha",)

    @classmethod
    def random(
        cls,
        model: nn.Module | ModelWrapper,
        normalization: str = "filter",
        seed: int = 0,
        extent: float = 1.0,
        one_dimensional: bool = False,
    ) -> Line:
        """A line through the model along a random direction (see ``random_directions``)."""
        wrapper = wrap_model(model)
        directions = random_directions(wrapper, 1, normalization, seed, one_dimensional)
        return cls(wrapper, wrapper.snapshot(), directions.vectors, (_symmetric(extent),), directions.facts)

    @classmethod
    def between(
        cls, start: nn.Module | ModelWrapper, end: nn.Module | ModelWrapper, bounds: Bounds = (0.0, 1.0)
    ) -> Line:
        r"""The line :math:`(1 - \alpha) \theta_a + \alpha \theta_b`: 0 is ``start``, 1 is ``end``.

        References:
            Goodfellow, Vinyals, Saxe 2015, Qualitatively characterizing neural network optimization problems.
        """
        a, b = wrap_model(start), wrap_model(end)
        check_match(b.parameters, a.parameters, "the second model does", "Choose two models of one architecture.")
        origin = a.snapshot()
        direction = difference(origin, {n: p.to(origin[n].dtype) for n, p in b.parameters.items()})
        return cls(a, origin, (direction,), (bounds,), {"kind": "between", "units": "of the way"})


@final
class Plane(AffineSubspace):
    r"""The points :math:`\theta_0 + \alpha d_1 + \beta d_2`."""

    dims = ("alpha", "beta")

    @classmethod
    def from_directions(
        cls,
        model: nn.Module | ModelWrapper,
        directions: Directions | Sequence[Parameters],
        extent: float = 1.0,
    ) -> Plane:
        """The plane through the model along two given directions."""
        wrapper = wrap_model(model)
        if not isinstance(directions, Directions):
            directions = Directions(tuple(directions), {"kind": "given"})
        if len(directions.vectors) != 2:
            raise ChoiceError("directions", len(directions.vectors), "two, for a plane")
        side = _symmetric(extent)
        return cls(wrapper, wrapper.snapshot(), directions.vectors, (side, side), directions.facts)

    @classmethod
    def random(
        cls,
        model: nn.Module | ModelWrapper,
        normalization: str = "filter",
        seed: int = 0,
        extent: float = 1.0,
        one_dimensional: bool = False,
    ) -> Plane:
        """The square plane through the model along two random directions (see ``random_directions``).

        Args:
            model: The model at its center.
            normalization: ``"none"``, ``"model"``, ``"layer"`` or ``"filter"``.
            seed: Of the directions.
            extent: Half the side, in units of the directions: filter-normalized, the alpha of Li et al.
            one_dimensional: Move biases and norm-layer weights too under ``"layer"`` and ``"filter"``.
        """
        wrapper = wrap_model(model)
        directions = random_directions(wrapper, 2, normalization, seed, one_dimensional)
        return cls.from_directions(wrapper, directions, extent)

    @classmethod
    def trajectory(
        cls, model: nn.Module | ModelWrapper, trajectory: Trajectory, aspect: float = 1.3, extent: float = 1.0
    ) -> Plane:
        """The plane that holds most of a trajectory, through its final checkpoint.

        The axes are the two leading principal directions, orthonormal, so both coordinates are distances in parameter
        space. The bounds are the smallest of ratio ``aspect`` that hold the box of the projected path with at least
        35 % of it free on each side and have the final checkpoint on a node of the coarse grid.

        Args:
            model: The network, for its code; its parameters are not used.
            trajectory: The checkpoints.
            aspect: Width to height.
            extent: Enlarges (above 1) or reduces the bounds about the final checkpoint.

        References:
            Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 7.
        """
        _symmetric(extent)
        wrapper = wrap_model(model)
        directions = principal_directions(trajectory, wrapper)
        final_model = wrapper.at(trajectory[-1])
        origin = final_model.snapshot()
        draft = cls(final_model, origin, directions.vectors, ((-1.0, 1.0), (-1.0, 1.0)))
        path = np.array([draft.project(trajectory[k]).coordinates for k in range(len(trajectory))])
        bounds = _trajectory_bounds(path, aspect, extent)
        return cls(final_model, origin, directions.vectors, bounds, directions.facts)

    @property
    def is_orthonormal(self) -> bool:
        """Whether coordinates are distances in parameter space."""
        return bool(self.facts.get("kind") == "trajectory")


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
@dataclass(frozen=True, eq=False)
class Curve(Subspace):
    r"""The polygonal path through the checkpoints of a run, :math:`t \in [0, K - 1]`.

    Parameters and floating-point buffers are linear between neighbouring checkpoints, so that at a checkpoint the
    model is exactly the one that was recorded, batch-norm statistics included.
    """

    model: ModelWrapper
    path: Trajectory
    facts: dict[str, Any] = field(default_factory=lambda: {"kind": "trajectory"})

    dims = ("t",)

    @classmethod
    def along(cls, model: nn.Module | ModelWrapper, trajectory: Trajectory) -> Curve:
        """The path of a trajectory, evaluated with the code of ``model``."""
        wrapper = wrap_model(model)
        trajectory.check_fits(wrapper)
        return cls(wrapper, trajectory)

    @property
    def bounds(self) -> tuple[Bounds, ...]:  # type: ignore[override]
        """The first and the final checkpoint."""
        return ((0.0, float(len(self.path) - 1)),)

    def state_at(self, coordinates: Sequence[float]) -> dict[str, Tensor]:
        """Parameters and buffers at t."""
        return self.path.at(float(coordinates[0]))
