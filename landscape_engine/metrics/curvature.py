"""Metrics of second order: the Hessian of a loss and its eigenvalues, by products with vectors."""

from __future__ import annotations

from typing import final

from ..errors import ChoiceError
from ..hessian import OPERATORS, Eigenpairs, Operator, dense, eigenpairs, index
from ..hessian.spectrum import LARGEST_DENSE
from ..models import ModelWrapper, Selection
from .base import Metric
from .gradients import Array, DerivedMetric
from .neighbors import Neighbors


class CurvatureMetric(DerivedMetric):
    """A metric of the matrix of second derivatives of a loss.

    Args:
        loss: See ``DerivedMetric``. Curvature is that of the mean over its examples.
        parameters: See ``DerivedMetric``: the whole model, or chosen layers.
        matrix: ``"hessian"``, or ``"gauss-newton"``, which leaves the curvature of the network itself out.
        tolerance: Error allowed to eigenvalues, as a fraction of the one of largest absolute value; by default as small
            as the model's numbers allow. 1e-3 is enough for a picture. With 1e-2, where many eigenvalues crowd at an
            end, about one value in a hundred is off by more, very seldom by more than a twentieth. To refine a map of
            a small eigenvalue beside a large one take 1e-4, or the error of the search is taken for structure.
        name: Variable name in results.
    """

    def __init__(
        self,
        loss: Metric,
        parameters: Selection | None = None,
        *,
        matrix: str = "hessian",
        tolerance: float | None = None,
        name: str = "",
    ) -> None:
        super().__init__(loss, parameters, name=name)
        if tolerance is not None and not 0 < tolerance < 1:
            raise ChoiceError("tolerance", tolerance, "between 0 and 1, or None")
        self.tolerance = tolerance
        if matrix not in OPERATORS:
            raise ChoiceError("matrix", matrix, f"one of {', '.join(OPERATORS)}")
        self.matrix = matrix

    def operator(self, model_wrapper: ModelWrapper) -> Operator:
        """The matrix at the wrapper's parameters, to be multiplied with vectors."""
        return OPERATORS[self.matrix](self.objective(model_wrapper))

    def eigenpairs(self, model_wrapper: ModelWrapper, largest: int, smallest: int) -> Eigenpairs:
        """The ends of the spectrum, computed once at a point for all metrics that ask for the same.

        An evaluation of many points starts the search for one from each end at what was found at the nearest point.
        """
        key = ("eigenpairs", self.loss, self.parameters, self.matrix, self.tolerance, largest, smallest)
        known = Neighbors.of(model_wrapper) if max(largest, smallest) == 1 else None

        def search() -> Eigenpairs:
            near = None if known is None else known.nearest(key, model_wrapper)
            found = eigenpairs(self.operator(model_wrapper), largest, smallest, self.tolerance, near=near)
            if known is not None and found.converged:
                known.remember(key, model_wrapper, found.vectors)
            return found

        found: Eigenpairs = model_wrapper.once(key, search)
        return found


@final
class Hessian(CurvatureMetric):
    r"""The Hessian :math:`H_{ij} = \partial^2 L / \partial \theta_i \partial \theta_j`, of shape (n, n).

    In the order of the model's parameters. Its size grows with the square of theirs: choose layers, or a metric that
    needs products only.

    Args:
        loss: See ``DerivedMetric``.
        parameters: See ``DerivedMetric``.
        matrix: See ``CurvatureMetric``.
        largest: Most rows to be formed.
        name: Variable name in results.

    Raises:
        ChoiceError: When evaluated, if it would have more rows than ``largest``.

    References:
        Pearlmutter 1994, Fast Exact Multiplication by the Hessian.
    """

    name, long_name, dims = "hessian", "Hessian", ("parameter", "parameter_")

    def __init__(
        self,
        loss: Metric,
        parameters: Selection | None = None,
        *,
        matrix: str = "hessian",
        largest: int = LARGEST_DENSE,
        name: str = "",
    ) -> None:
        super().__init__(loss, parameters, matrix=matrix, name=name)
        self._largest = largest

    def __call__(self, model_wrapper: ModelWrapper) -> Array:
        """The matrix."""
        return dense(self.operator(model_wrapper), self._largest)


@final
class PrincipalCurvatures(CurvatureMetric):
    r"""The k largest and the k smallest eigenvalues :math:`\lambda_i` of the Hessian, descending, (2k,).

    :math:`H v_i = \lambda_i v_i`: the loss along :math:`v_i` is :math:`L + \lambda_i t^2 / 2` to second order. If there
    are fewer than 2k, all of them.

    Args:
        loss: See ``DerivedMetric``.
        k: How many from each end.
        parameters: See ``DerivedMetric``.
        matrix: See ``CurvatureMetric``.
        tolerance: See ``CurvatureMetric``.
        name: Variable name in results.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 6.
        Lehoucq, Sorensen, Yang 1998, ARPACK Users' Guide.
    """

    name, long_name, dims = "principal_curvatures", "principal curvatures", ("curvature",)

    def __init__(
        self,
        loss: Metric,
        k: int = 5,
        *,
        parameters: Selection | None = None,
        matrix: str = "hessian",
        tolerance: float | None = None,
        name: str = "",
    ) -> None:
        super().__init__(loss, parameters, matrix=matrix, tolerance=tolerance, name=name)
        if k < 1:
            raise ChoiceError("k", k, "1 or more")
        self._k = k

    def __call__(self, model_wrapper: ModelWrapper) -> Array:
        """The eigenvalues."""
        size = self.objective(model_wrapper).size
        smallest = min(self._k, size // 2)
        return self.eigenpairs(model_wrapper, min(self._k, size - smallest), smallest).values


class _Extreme(CurvatureMetric):
    """A number made of the largest and the smallest eigenvalue, which are found together."""

    def _ends(self, model_wrapper: ModelWrapper) -> tuple[float, float]:
        if self.objective(model_wrapper).size == 1:
            only = float(self.eigenpairs(model_wrapper, 1, 0).values[0])
            return only, only
        largest, smallest = self.eigenpairs(model_wrapper, 1, 1).values
        return float(largest), float(smallest)


@final
class LargestCurvature(_Extreme):
    r"""The largest eigenvalue :math:`\lambda_{\max}` of the Hessian.

    The curvature of the steepest valley wall. Gradient descent with learning rate :math:`\eta` is stable where
    :math:`\lambda_{\max} < 2 / \eta`.

    Args:
        loss: See ``DerivedMetric``.
        parameters: See ``DerivedMetric``.
        matrix: See ``CurvatureMetric``.
        tolerance: See ``CurvatureMetric``.
        name: Variable name in results.

    References:
        Cohen et al. 2021, Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability
        (arXiv 2103.00065).
    """

    name, long_name = "lambda_max", "largest curvature"

    def __call__(self, model_wrapper: ModelWrapper) -> float:
        """The eigenvalue."""
        return self._ends(model_wrapper)[0]


@final
class SmallestCurvature(_Extreme):
    r"""The smallest eigenvalue :math:`\lambda_{\min}` of the Hessian, which is negative where the loss is not convex.

    Args:
        loss: See ``DerivedMetric``.
        parameters: See ``DerivedMetric``.
        matrix: See ``CurvatureMetric``.
        tolerance: See ``CurvatureMetric``.
        name: Variable name in results.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 6.
    """

    name, long_name = "lambda_min", "smallest curvature"

    def __call__(self, model_wrapper: ModelWrapper) -> float:
        """The eigenvalue."""
        return self._ends(model_wrapper)[1]


@final
class ConvexityRatio(_Extreme):
    r"""How far the loss is from convex, :math:`|\lambda_{\min} / \lambda_{\max}|`.

    Near 0 where negative curvature is small beside the largest: the slice then looks convex for good reason. Large
    where the loss is truly not convex, though a slice of it may look so.

    Args:
        loss: See ``DerivedMetric``.
        parameters: See ``DerivedMetric``.
        matrix: See ``CurvatureMetric``.
        tolerance: See ``CurvatureMetric``.
        name: Variable name in results.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 6.
    """

    name, long_name, positive, bounds = "convexity_ratio", "|smallest / largest curvature|", True, (0.0, None)

    def __call__(self, model_wrapper: ModelWrapper) -> float:
        """The ratio; NaN where both are 0."""
        largest, smallest = self._ends(model_wrapper)
        return abs(smallest / largest) if largest else float("inf") if smallest else float("nan")


@final
class HessianIndex(CurvatureMetric):
    r"""The index :math:`\#\{\lambda_i < 0\}`: in how many independent directions the loss curves down.

    0 at a minimum, 1 or more at a saddle point. All eigenvalues are computed up to 1,024 parameters, and where many
    are negative; else only the smallest ones.

    Args:
        loss: See ``DerivedMetric``.
        parameters: See ``DerivedMetric``.
        matrix: See ``CurvatureMetric``.
        name: Variable name in results.

    References:
        Dauphin et al. 2014, Identifying and Attacking the Saddle Point Problem in High-Dimensional Non-Convex
        Optimization (arXiv 1406.2572).
    """

    name, long_name, smooth, positive, bounds = "hessian_index", "negative curvatures", False, True, (0.0, None)

    def __call__(self, model_wrapper: ModelWrapper) -> float:
        """How many eigenvalues are negative; NaN where the Hessian is not finite."""
        return index(self.operator(model_wrapper))
