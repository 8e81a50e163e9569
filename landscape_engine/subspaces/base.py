"""What a subspace is: points of parameter space addressed by coordinates."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ..errors import ChoiceError
from ..models import ModelWrapper

Bounds = tuple[float, float]

# A trajectory plane leaves this share of the path's box free on each side.
MARGIN = 0.35
# The coarse grid of a plane whose resolution is 2^k + 1 has this many intervals on each axis.
COARSE_INTERVALS = {1: 16, 2: 8, 3: 4}
FEWEST_INTERVALS = 2  # in more dimensions
NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")


def check_bounds(bounds: Bounds) -> Bounds:
    """The bounds as floats; an error unless they are finite and in order."""
    lo, hi = (float(b) for b in bounds)
    if not (np.isfinite(lo) and np.isfinite(hi) and lo < hi):
        raise ChoiceError("bounds", bounds, "two finite numbers, the lower one first")
    return lo, hi


def symmetric(extent: float) -> Bounds:
    """The bounds (-extent, extent)."""
    if not (np.isfinite(extent) and extent > 0):
        raise ChoiceError("extent", extent, "a finite number greater than 0")
    return -float(extent), float(extent)


def sides(count: int, extent: float, bounds: Sequence[Bounds] | None) -> tuple[Bounds, ...]:
    """The bounds of each axis: those given, or (-extent, extent)."""
    if bounds is None:
        return (symmetric(extent),) * count
    if len(bounds) != count:
        raise ChoiceError("bounds", bounds, f"one pair for each of the {count} axes")
    return tuple(bounds)


class Subspace(abc.ABC):
    """A set of points of parameter space, addressed by coordinates.

    A subspace holds the wrapped model it was built from, whose code and buffers are evaluated at its points.
    """

    model: ModelWrapper
    bounds: tuple[Bounds, ...]
    facts: dict[str, Any]
    smooth = True
    """Whether neighbors along each axis are near each other, so that values between them can be predicted."""

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

    def cast(self, dtype: torch.dtype) -> Self:
        """The same points, formed in another floating-point type, of a model that computes in it.

        Args:
            dtype: ``torch.float64``, for instance; what was drawn or recorded in float32 stays what it is.
        """
        if not is_dataclass(self):
            raise ChoiceError("subspace", type(self).__name__, "a dataclass with a model, to be cast to another type")
        return replace(self, model=self.model.cast(dtype))

    def describe(self, dim: str) -> dict[str, str]:
        """``long_name`` and ``units`` of a coordinate."""
        return {"long_name": dim, "units": self.facts.get("units", "")}
