"""Where to step: to a point without gradient, or downhill; how long, and whether the step kept its promise."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from ..hessian import Objective
from .local import Array, Local

RESIDUAL = 0.01  # share of the gradient that an unbounded step may leave
SMALLEST = float(np.finfo(np.float64).tiny)


@final
@dataclass(frozen=True, eq=False)
class Place:
    """A point of a search.

    Args:
        vector: (n,), the point in float64.
        objective: The function, there.
        value: Its value.
        gradient: (n,).
    """

    vector: Tensor
    objective: Objective
    value: float
    gradient: Tensor

    @property
    def slope(self) -> float:
        """The length of the gradient."""
        return float(torch.linalg.vector_norm(self.gradient))

    @property
    def eps(self) -> float:
        """Rounding of the model's numbers."""
        return max(torch.finfo(p.dtype).eps for p in self.objective.theta.values())

    @property
    def finite(self) -> bool:
        """Whether value and gradient are."""
        return math.isfinite(self.value) and math.isfinite(self.slope)


class Rule(abc.ABC):
    """How a search within a trust radius steps."""

    @abc.abstractmethod
    def step(self, local: Local, radius: float) -> Array:
        """The step, no longer than the radius, in the basis of ``local``."""

    @abc.abstractmethod
    def merit(self, place: Place) -> float:
        """What the search makes small."""

    @abc.abstractmethod
    def promised(self, local: Local, y: Array) -> float:
        """How much smaller that becomes, to second order."""

    @abc.abstractmethod
    def gained(self, before: Place, after: Place, promised: float) -> float:
        """How much smaller it became."""

    @abc.abstractmethod
    def worthless(self, promised: float, before: Place) -> bool:
        """Whether a promise is not above rounding, so that no shorter step can do better."""

    @abc.abstractmethod
    def next_radius(self, radius: float, length: float, ratio: float) -> float:
        """The trust radius after a step that gained ``ratio`` times what was promised."""

    least: float
    """Of that ratio, for a step to be taken."""

    def suffices(self, local: Local, radius: float) -> bool:
        """Whether a larger subspace would change the step little."""
        y = self.step(local, radius) if local.finite else np.zeros(local.matrix.shape[1])
        left = np.linalg.norm(local.slope + local.matrix @ y)
        bounded = np.linalg.norm(y) > 0.999 * radius
        return bool(not local.finite or bounded or left <= RESIDUAL * np.linalg.norm(local.slope))


@final
class ToCritical(Rule):
    r"""Make :math:`\frac{1}{2} \|\nabla L\|^2` small: :math:`\min_p \|g + H p\|` with :math:`\|p\| \le \Delta`.

    A Gauss-Newton step for the equations :math:`\nabla L = 0`. A short one is a step of gradient descent on the squared
    gradient norm, along :math:`-H g`; a long one is Newton's, to the critical point of the quadratic model, whatever
    its index.

    References:
        Nocedal, Wright 2006, Numerical Optimization, sections 10.3 and 11.2 (Levenberg-Marquardt, trust regions for
        equations). Moré 1978, The Levenberg-Marquardt Algorithm: Implementation and Theory.
    """

    least = 1e-4

    def step(self, local: Local, radius: float) -> Array:
        """Through the singular values; the damping is the one that makes the step as long as the radius."""
        left, values, right = np.linalg.svd(local.matrix, full_matrices=False)
        if values[0] == 0:
            return np.zeros(local.matrix.shape[1])
        along = left.T @ local.slope

        def damped(damping: float) -> Array:
            return values * along / (values**2 + damping)

        low = max((16 * local.eps * float(values[0])) ** 2, SMALLEST)
        high = max(float(values[0] * np.linalg.norm(along)) / radius, 2 * low)
        return np.asarray(-right.T @ _of_length(damped, radius, low, high), dtype=np.float64)

    def merit(self, place: Place) -> float:
        """The gradient norm."""
        return place.slope

    def promised(self, local: Local, y: Array) -> float:
        """Half the decrease of the squared gradient norm."""
        left = np.linalg.norm(local.slope + local.matrix @ y)
        whole = np.linalg.norm(local.slope)
        return float((whole - left) * (whole + left)) / 2

    def gained(self, before: Place, after: Place, promised: float) -> float:
        """The same, of the function itself."""
        return (before.slope - after.slope) * (before.slope + after.slope) / 2

    def worthless(self, promised: float, before: Place) -> bool:
        """Compared with the squared gradient norm."""
        return not promised > 8 * before.eps * before.slope**2

    def next_radius(self, radius: float, length: float, ratio: float) -> float:
        """Shorter than a step that disappointed; twice as long after one that the radius held back."""
        if not ratio >= 0.25:
            return length / 4
        return 2 * radius if ratio > 0.75 and length > 0.99 * radius else radius


@final
class Downhill(Rule):
    r"""Follow :math:`\dot\theta = -\nabla L(\theta)` in the quadratic model, as far as it can be trusted.

    For each curvature :math:`\lambda_i` the model flows :math:`-g_i (1 - e^{-\lambda_i t}) / \lambda_i` in the time t.
    A short step is one of steepest descent; where the model has a minimum within the radius, the flow ends there, and
    the step is Newton's. The smaller the first radius, the closer it keeps to the way of a steepest descent.

    References:
        Page, McIver 1988, On Evaluating the Reaction Path Hamiltonian (local quadratic approximation).
        Hager, Zhang 2005, A New Conjugate Gradient Method with Guaranteed Descent and an Efficient Line Search,
        section 4 (why the decrease is taken from gradients where values are all rounding).
    """

    least = 0.25

    def step(self, local: Local, radius: float) -> Array:
        """Through the eigenvalues; the time is the one in which the flow reaches the radius."""
        k = local.matrix.shape[1]
        values, vectors = np.linalg.eigh(local.matrix[:k])
        along = vectors.T @ local.slope[:k]
        size = max(float(np.abs(values).max()), local.eps * float(np.linalg.norm(along)) / radius)

        def flowed(rate: float) -> Array:
            x = values / rate
            with np.errstate(over="ignore", invalid="ignore"):
                times = np.where(np.abs(x) < 1e-12, 1.0, -np.expm1(-x) / np.where(x == 0, 1.0, x)) / rate
                return np.where(along == 0, 0.0, along * times)

        low = max(1e3 * local.eps * size, SMALLEST)
        high = max(float(np.linalg.norm(along)) / radius, size, 2 * low) * 2
        return np.asarray(-vectors @ _of_length(flowed, radius, low, high), dtype=np.float64)

    def merit(self, place: Place) -> float:
        """The value."""
        return place.value

    def promised(self, local: Local, y: Array) -> float:
        """The decrease of the value."""
        k = len(y)
        return float(-(local.slope[:k] @ y + y @ local.matrix[:k] @ y / 2))

    def gained(self, before: Place, after: Place, promised: float) -> float:
        """The same, of the function itself; by its gradients where it drowns in the rounding of the values."""
        if promised > 1e3 * before.eps * max(abs(before.value), abs(after.value)):
            return before.value - after.value
        return float(-(before.gradient + after.gradient) @ (after.vector - before.vector)) / 2

    def worthless(self, promised: float, before: Place) -> bool:
        """Only a step that goes nowhere is."""
        return not promised > 0

    def next_radius(self, radius: float, length: float, ratio: float) -> float:
        """The radius holds the step to where the model is good, so that it does not leave its valley."""
        if not 0.5 <= ratio <= 1.5:
            return length / 4 if not ratio >= self.least else length / 2
        return 2 * radius if 0.8 < ratio < 1.2 and length > 0.99 * radius else radius


RULES: dict[str, Rule] = {"any": ToCritical(), "minimum": Downhill()}


def _of_length(step: Callable[[float], Array], radius: float, low: float, high: float) -> Array:
    """The step that is as long as the radius, if the longest, at ``low``, is longer: steps shrink from low to high.

    None, of length 0, where numbers overflow so that there is none.
    """

    def excess(logarithm: float) -> float:
        length = _length(step(math.exp(logarithm)))
        return math.log(max(min(length, 1e300), 1e-300) / radius) if not math.isnan(length) else 700.0

    longest = step(low)
    if _length(longest) <= radius:
        return longest
    while excess(math.log(high)) > 0:
        high *= 4
        if not high < 1e300:
            return np.zeros_like(longest)
    root = brentq(excess, math.log(low), math.log(high), xtol=1e-12, rtol=1e-12)
    found = step(math.exp(root))
    return found * min(1.0, radius / _length(found))


def _length(step: Array) -> float:
    """The length, infinite where the model flows away to infinity."""
    with np.errstate(over="ignore"):
        return float(np.linalg.norm(step))
