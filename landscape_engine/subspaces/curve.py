"""Curves: through checkpoints, and between two models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb
from typing import Any, final

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from ..errors import ChoiceError
from ..iteration import Outcome
from ..models import ModelWrapper, wrap_model
from ..parameters import inner, norm, subtract
from ..trajectories import Trajectory
from .affine import Plane, as_in
from .base import Bounds, Subspace

Model = nn.Module | ModelWrapper


@final
@dataclass(frozen=True, eq=False)
class Curve(Subspace):
    r"""A curve :math:`\varphi(t)` of parameter space, made of points :math:`p_0, ..., p_m`.

    A **polygonal** curve is linear between neighboring points: of a training run :math:`t \in [0, K - 1]` is the number
    of the checkpoint, at which the model is exactly the one that was recorded, batch-norm statistics included; between
    two models :math:`t \in [0, 1]`, and ``knots`` says where its points are. A **Bezier** curve has the points for its
    control points, :math:`\varphi(t) = \sum_k \binom{m}{k} (1 - t)^{m - k} t^k p_k`: it passes through the first and
    the last one and lies in their span.

    Attributes:
        model: The network, for its code and buffers.
        path: The points.
        facts: For the provenance.
        knots: t of each point of a polygonal curve; their numbers by default.
        outcome: How the search ended that found the curve (see ``paths``); None if there was none.
        profile: What the search made small, along the curve; None if there was none.
        memory: What the search needs to go on.

    References:
        Garipov et al. 2018, Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs, section 3.2.
    """

    model: ModelWrapper
    path: Trajectory
    facts: dict[str, Any] = field(default_factory=lambda: {"kind": "trajectory"})
    knots: tuple[float, ...] | None = None
    outcome: Outcome | None = None
    profile: xr.DataArray | None = None
    memory: Any = None

    dims = ("t",)

    @classmethod
    def along(cls, model: Model, trajectory: Trajectory) -> Curve:
        """The path of a trajectory, evaluated with the code of ``model``."""
        wrapper = wrap_model(model)
        trajectory.check_fits(wrapper)
        return cls(wrapper, trajectory)

    @classmethod
    def polygonal(cls, models: Sequence[Model], knots: Sequence[float] | None = None) -> Curve:
        """The chain of straight pieces through two models or more.

        Args:
            models: In their order; code and buffers are those of the first one.
            knots: t of each of them, increasing from 0 to 1; by default evenly spaced.
        """
        first, path = _stacked(models)
        given = np.linspace(0, 1, len(models)) if knots is None else np.asarray(knots, dtype=float)
        if len(given) != len(models) or given[0] != 0 or given[-1] != 1 or (np.diff(given) <= 0).any():
            raise ChoiceError("knots", knots, f"{len(models)} numbers that increase from 0 to 1")
        return cls(first, path, {"kind": "polygonal chain"}, tuple(map(float, given)))

    @classmethod
    def bezier(cls, models: Sequence[Model]) -> Curve:
        """The Bezier curve that has models for its control points: three for a quadratic one, four for a cubic one.

        Args:
            models: In their order; code and buffers are those of the first one.
        """
        first, path = _stacked(models)
        return cls(first, path, {"kind": "bezier"})

    @property
    def bounds(self) -> tuple[Bounds, ...]:  # type: ignore[override]
        """Of a training run, the first and the final checkpoint; else 0 and 1."""
        return ((0.0, float(len(self.path) - 1) if self.facts["kind"] == "trajectory" else 1.0),)

    def state_at(self, coordinates: Sequence[float]) -> dict[str, Tensor]:
        """Parameters and buffers at t."""
        t = float(coordinates[0])
        self._check(t)
        if self.facts["kind"] != "bezier":
            place = t if self.knots is None else float(np.interp(t, self.knots, range(len(self.path))))
            return self.path.at(place, self.model.dtype)
        if t in (0, 1):
            return self.path[-int(t)]
        weights = self.weights(t)
        dtype = self.model.dtype
        stacks = {n: s.to(torch.promote_types(s.dtype, dtype)) for n, s in self.path.states.items()}
        return {n: torch.tensordot(weights.to(s), s, dims=1) for n, s in stacks.items()}

    def weights(self, t: float) -> Tensor:
        r"""The share that each point has in :math:`\varphi(t)`, in float64; they sum to 1."""
        count = len(self.path)
        self._check(t)
        if self.facts["kind"] == "bezier":
            m = count - 1
            return torch.tensor([comb(m, k) * (1 - t) ** (m - k) * t**k for k in range(count)], dtype=torch.double)
        place = t if self.knots is None else float(np.interp(t, self.knots, range(count)))
        return (1 - (torch.arange(count, dtype=torch.double) - place).abs()).clamp(min=0)

    def _check(self, t: float) -> None:
        if not 0 <= t <= self.bounds[0][1]:
            raise ChoiceError("t", t, f"between 0 and {self.bounds[0][1]:g}")

    @property
    def barrier(self) -> float:
        r"""The loss barrier: the largest height of ``profile`` above the straight line between the values at its ends.

        :math:`\max_t \, L(\varphi(t)) - (1 - t) L(a) - t L(b)`, in units of the metric; 0 if no value lies above,
        NaN if one is NaN.

        References:
            Frankle, Dziugaite, Roy, Carbin 2020, Linear Mode Connectivity and the Lottery Ticket Hypothesis, section 2;
            Entezari et al. 2022, The Role of Permutation Invariance in Linear Mode Connectivity of Neural Networks.
        """
        return float(self.excess.max(skipna=False))

    @property
    def excess(self) -> xr.DataArray:
        """The height of ``profile`` above the straight line between the values at its ends."""
        if self.profile is None:
            raise ChoiceError("profile", None, "that of a curve which a search of landscape_engine.paths returned")
        t = self.profile["t"]
        share = (t - t[0]) / (t[-1] - t[0])
        return self.profile - (1 - share) * self.profile[0] - share * self.profile[-1]

    def plane(self, aspect: float = 1.3, extent: float = 1.0) -> Plane:
        """The plane through the ends of the curve and its bend (see ``Plane.through``).

        It holds the straight line between the ends and all of a curve of one bend. Of a curve with more points than
        one between its ends, the bend is the one farthest from the straight line.

        Raises:
            DirectionError: If the curve is straight, or its ends are one.
        """
        start, *inside, end = (self.path[k] for k in range(len(self.path)))
        chord = {n: end[n] - start[n] for n in self.model.parameters}

        def height(state: dict[str, Tensor]) -> float:
            offset = subtract({n: state[n] for n in chord}, start)
            along = inner(offset, chord) / (inner(chord, chord) or 1.0)  # Plane.through refuses ends that are one
            return norm({n: offset[n] - along * chord[n] for n in chord})

        if not inside:
            raise ChoiceError("curve", self.facts["kind"], "one with a point between its ends, to span a plane")
        first, last, bend = (self.model.at(state) for state in (start, end, max(inside, key=height)))
        return Plane.through(first, last, bend, aspect, extent)


def _stacked(models: Sequence[Model]) -> tuple[ModelWrapper, Trajectory]:
    """The first model, and the parameters of all of them in its working type."""
    if len(models) < 2:
        raise ChoiceError("models", len(models), "two or more")
    first, *others = (wrap_model(m) for m in models)
    states = [first.snapshot(), *(as_in(m, first, f"model {k + 2} does") for k, m in enumerate(others))]
    stacks = {n: torch.stack([s[n] for s in states]) for n in first.parameters}
    return first, Trajectory(stacks, range(len(states)))
