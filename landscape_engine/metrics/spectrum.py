"""Metrics of all eigenvalues of the Hessian together: trace, signs, density, by random probes."""

from __future__ import annotations

from typing import ClassVar, final

import numpy as np

from ..errors import ChoiceError
from ..hessian import Density, Sampled, density, eigenvalues, trace
from ..hessian.spectrum import SMALL
from ..models import ModelWrapper, Selection
from .base import Estimate, EstimatedMetric, Metric
from .curvature import CurvatureMetric
from .gradients import Array


@final
class HessianTrace(CurvatureMetric, EstimatedMetric):
    r"""The trace :math:`\mathrm{tr} H = \sum_i \lambda_i`, with its standard error over random probes.

    The probes are those of the seed at every point (common random numbers), so differences between points are surer
    than the values.

    Args:
        loss: See ``DerivedMetric``.
        probes: Hessian-vector products; the standard error falls with the root of their number, to 0 where there are as
            many as parameters.
        seed: Of the probes.
        parameters: See ``DerivedMetric``.
        matrix: See ``CurvatureMetric``.
        name: Variable name in results.

    References:
        Hutchinson 1990, A Stochastic Estimator of the Trace of the Influence Matrix.
    """

    name, long_name = "hessian_trace", "trace of the Hessian"

    def __init__(
        self,
        loss: Metric,
        probes: int = 32,
        seed: int = 0,
        *,
        parameters: Selection | None = None,
        matrix: str = "hessian",
        name: str = "",
    ) -> None:
        super().__init__(loss, parameters, matrix=matrix, name=name)
        self._probes, self._seed = _positive("probes", probes), seed

    def estimate(self, model_wrapper: ModelWrapper) -> Estimate:
        """The trace and its standard error over the probes."""
        return Estimate(*trace(self.operator(model_wrapper), self._probes, self._seed))


class _DensityMetric(CurvatureMetric):
    """A metric of the density of the eigenvalues."""

    def __init__(
        self,
        loss: Metric,
        parameters: Selection | None,
        matrix: str,
        probes: int,
        steps: int,
        seed: int,
        name: str,
    ) -> None:
        super().__init__(loss, parameters, matrix=matrix, name=name)
        self._probes, self._steps, self._seed = _positive("probes", probes), _positive("steps", steps), seed

    def density(self, model_wrapper: ModelWrapper) -> Density:
        """The density itself: its nodes and weights, moments, and values on any grid."""
        key = ("density", self.loss, self.parameters, self.matrix, self._probes, self._steps, self._seed)
        return model_wrapper.once(
            key, lambda: density(self.operator(model_wrapper), self._probes, self._steps, self._seed)
        )


@final
class CurvaturePositivity(_DensityMetric, EstimatedMetric):
    r"""How much of the curvature is positive: :math:`\#\{\lambda_i > 0\} / n`, or weighted.

    Weighted by size it is :math:`\sum_{\lambda_i > 0} \lambda_i / \sum_i |\lambda_i|`. Eigenvalues that are 0 to
    rounding count as neither sign but as part of n. Up to 512 parameters from all eigenvalues; beyond, by stochastic
    Lanczos quadrature, with a standard error over its probes. Unweighted, that is a rough figure where many eigenvalues
    are near 0.

    Args:
        loss: See ``DerivedMetric``.
        weighted: Count each eigenvalue with its absolute value.
        probes: Of the quadrature.
        steps: Of the quadrature, for each probe.
        seed: Of the probes.
        parameters: See ``DerivedMetric``.
        matrix: See ``CurvatureMetric``.
        name: Variable name in results.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 6.
        Ghorbani, Krishnan, Xiao 2019, An Investigation into Neural Net Optimization via Hessian Eigenvalue Density.
    """

    name, long_name, positive, bounds = "curvature_positivity", "share of positive curvature", True, (0.0, 1.0)

    def __init__(
        self,
        loss: Metric,
        weighted: bool = False,
        *,
        probes: int = 8,
        steps: int = 80,
        seed: int = 0,
        parameters: Selection | None = None,
        matrix: str = "hessian",
        name: str = "",
    ) -> None:
        super().__init__(loss, parameters, matrix, probes, steps, seed, name)
        self._weighted = weighted

    def estimate(self, model_wrapper: ModelWrapper) -> Estimate:
        """The share, and its standard error where it is sampled."""
        operator = self.operator(model_wrapper)
        if operator.size <= SMALL:
            values = eigenvalues(operator)
            found = Density(values[None], np.ones((1, len(values))) / len(values), len(values))
        else:
            found = self.density(model_wrapper)
        rounding = operator.objective.precision * np.abs(found.nodes).max()
        if not np.isfinite(rounding):
            return Estimate(float("nan"))
        size = np.abs if self._weighted else np.ones_like
        above = (found.weights * size(found.nodes) * (found.nodes > rounding)).sum(axis=1)
        whole = (found.weights * size(found.nodes)).sum(axis=1)
        return Estimate(*_ratio(above, whole))


def _ratio(above: Array, whole: Array) -> Sampled:
    """A ratio of means over probes, and its standard error (Cochran 1977, Sampling Techniques, section 6.3)."""
    if not whole.sum():
        return Sampled(float("nan"), float("nan"))
    ratio, count = float(above.sum() / whole.sum()), len(above)
    if count < 2:
        return Sampled(ratio, float("nan"))
    return Sampled(ratio, float(np.sqrt(count / (count - 1) * ((above - ratio * whole) ** 2).sum()) / whole.sum()))


@final
class SpectralDensity(_DensityMetric):
    r"""The density of the Hessian's eigenvalues, :math:`\phi(t) = \frac{1}{n} \sum_i N(t; \lambda_i, w^2)`, on a grid.

    A bulk near 0 and, for a trained classifier, about as many outliers as there are classes.

    Args:
        loss: See ``DerivedMetric``.
        grid: (g,), where the density is wanted, in units of the eigenvalues.
        width: Standard deviation w of the Gaussians; by default the grid's spacing.
        probes: Random vectors that it is a mean over.
        steps: Hessian-vector products for each.
        seed: Of the probes.
        parameters: See ``DerivedMetric``.
        matrix: See ``CurvatureMetric``.
        name: Variable name in results.

    References:
        Ghorbani, Krishnan, Xiao 2019, An Investigation into Neural Net Optimization via Hessian Eigenvalue Density
        (arXiv 1901.10159).
    """

    name, long_name, positive = "spectral_density", "density of the eigenvalues", True
    dims: ClassVar[tuple[str, ...]] = ("eigenvalue",)  # type: ignore[misc]

    def __init__(
        self,
        loss: Metric,
        grid: Array,
        width: float | None = None,
        *,
        probes: int = 8,
        steps: int = 80,
        seed: int = 0,
        parameters: Selection | None = None,
        matrix: str = "hessian",
        name: str = "",
    ) -> None:
        super().__init__(loss, parameters, matrix, probes, steps, seed, name)
        self.grid = np.asarray(grid, dtype=float).reshape(-1)
        if len(self.grid) < 2 or not np.all(np.diff(self.grid) > 0):
            raise ChoiceError("grid", f"{len(self.grid)} numbers", "two or more increasing numbers")
        self._width = width or float(np.diff(self.grid).mean())

    def __call__(self, model_wrapper: ModelWrapper) -> Array:
        """The density, of shape (g,)."""
        return self.density(model_wrapper).at(self.grid, self._width)


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ChoiceError(name, value, "1 or more")
    return value
