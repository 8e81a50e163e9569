"""Metrics of first order: the gradient of a loss, and how it changes from point to point."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ChoiceError
from ..hessian import Objective
from ..models import ModelWrapper, Selection, select
from ..parameters import flatten, unflatten
from .base import Metric, PairMetric

Array = NDArray[np.float64]


def above_zero(name: str, value: float) -> float:
    """The value, if it is a finite number above 0; else a ``ChoiceError`` about what has this name."""
    if not 0 < value < float("inf"):
        raise ChoiceError(name, value, "a finite number above 0")
    return float(value)


class DerivedMetric(Metric):
    """A metric that is derived from a loss as a function of the parameters.

    Args:
        loss: What is differentiated: a ``Loss``, or any metric whose ``__call__`` returns a tensor that PyTorch can
            differentiate. Its scale is that of the loss, which is a mean over examples.
        parameters: By which parameters: a name pattern (``"layer3.*"``), several, a predicate of (name, tensor); by
            default all that span the space.
        name: Variable name in results.
    """

    name = "derived"

    def __init__(self, loss: Metric, parameters: Selection | None = None, *, name: str = "") -> None:
        if not isinstance(loss, Metric) or loss.dims:
            raise ChoiceError("loss", type(loss).__name__, "a metric of one number, such as Loss")
        self.loss, self.data, self.name = loss, loss.data, name or self.name
        self.parameters = tuple(parameters) if isinstance(parameters, list) else parameters

    def objective(self, model_wrapper: ModelWrapper) -> Objective:
        """The loss as a function of the chosen parameters, at the wrapper's."""
        return objective(self.loss, model_wrapper, self.parameters)

    def gradient(self, model_wrapper: ModelWrapper) -> Tensor:
        """The gradient as one vector, computed once at a point for all metrics that derive from this loss."""
        return model_wrapper.once(
            ("gradient", self.loss, self.parameters), lambda: self.objective(model_wrapper).gradient()
        )


def objective(loss: Metric, model: ModelWrapper, parameters: Selection | None = None) -> Objective:
    """A metric of one number as a function of a model's parameters that can be differentiated.

    Args:
        loss: The metric.
        model: At the point where it is to be differentiated.
        parameters: By which parameters; by default all that span the space.
    """
    total = loss.total(model)
    return Objective(
        select(model.parameters, parameters),
        lambda theta: loss.parts(model.at({**model.parameters, **theta}), total),
        f"metric '{loss.name}'",
    )


@final
class LossGradient(DerivedMetric):
    r"""The gradient :math:`\nabla L(\theta)` of a loss, one number a parameter.

    In the order of the model's parameters, by backpropagation; by central differences for a model that PyTorch cannot
    differentiate. A vector: evaluated at chosen points, never refined.

    Args:
        loss: See ``DerivedMetric``.
        parameters: See ``DerivedMetric``.
        name: Variable name in results.

    References:
        Rumelhart, Hinton, Williams 1986, Learning Representations by Back-Propagating Errors.
    """

    name, long_name, dims = "gradient", "gradient", ("parameter",)

    def __call__(self, model_wrapper: ModelWrapper) -> Array:
        """The gradient, of shape (parameters,)."""
        return self.gradient(model_wrapper).cpu().numpy()


@final
class GradientNorm(DerivedMetric):
    r"""The length :math:`\|\nabla L(\theta)\|_2` of the gradient of a loss: how steep it is in the whole space.

    0 at minima, maxima and saddle points. In a slice, a point may be flat in both directions and steep in all others.

    Args:
        loss: See ``DerivedMetric``.
        parameters: See ``DerivedMetric``.
        name: Variable name in results.

    References:
        Nocedal, Wright 2006, Numerical Optimization, section 2.1 (stationary points).
    """

    name, long_name, positive, bounds = "gradient_norm", "gradient norm", True, (0.0, None)

    def __call__(self, model_wrapper: ModelWrapper) -> float:
        """The length, in units of the loss for each unit of the parameters."""
        return float(torch.linalg.vector_norm(self.gradient(model_wrapper)))


@final
class LossPerturbations(DerivedMetric):
    r"""Changes of a loss along random directions, :math:`L(\theta + \alpha d_k) - L(\theta)`.

    The :math:`d_k` are uniform on the unit sphere of the chosen parameters, so :math:`\alpha` is the distance moved.
    Negative changes are ways down; their share tells a flat valley from a slope. The directions are those of the seed
    at every point.

    Args:
        loss: See ``DerivedMetric``.
        n_directions: How many directions, n.
        alpha: The distance, above 0.
        two_sided: Both ways along each direction: an array (n, 2) of the changes at :math:`+\alpha` and
            :math:`-\alpha`, whose difference tells slope from curvature.
        seed: Of the directions.
        parameters: See ``DerivedMetric``.
        name: Variable name in results.

    References:
        Ahmed, Le Roux, Norouzi, Schuurmans 2019, Understanding the Impact of Entropy on Policy Optimization
        (arXiv 1811.11214), section 3.1.
    """

    name, long_name = "perturbations", "change of the loss"

    def __init__(
        self,
        loss: Metric,
        n_directions: int = 100,
        alpha: float = 1.0,
        *,
        two_sided: bool = False,
        seed: int = 0,
        parameters: Selection | None = None,
        name: str = "",
    ) -> None:
        super().__init__(loss, parameters, name=name)
        if n_directions < 1:
            raise ChoiceError("n_directions", n_directions, "1 or more")
        above_zero("alpha", alpha)
        self.dims = ("direction", "side") if two_sided else ("direction",)
        self._count, self._seed, self._steps = n_directions, seed, (alpha, -alpha) if two_sided else (alpha,)

    def __call__(self, model_wrapper: ModelWrapper) -> Array:
        """The changes, of shape (n,), or (n, 2) if two-sided."""
        at = self.objective(model_wrapper)
        start, here = flatten(at.theta).double(), at.value(at.theta)
        changes = []
        for k in range(self._count):
            normal = np.random.default_rng((self._seed, k)).standard_normal(at.size)
            direction = torch.from_numpy(normal / np.linalg.norm(normal)).to(start.device)
            changes.append([at.value(unflatten(start + a * direction, at.theta)) - here for a in self._steps])
        return np.array(changes).reshape(self._count, *(len(self._steps),) * (len(self.dims) - 1))


class _GradientPair(DerivedMetric, PairMetric):
    """A quantity of the gradients at two neighboring points."""

    positive, bounds = True, (0.0, None)

    def _change(self, a: ModelWrapper, b: ModelWrapper) -> float:
        return float(torch.linalg.vector_norm(self.gradient(b) - self.gradient(a)))


@final
class GradientPredictiveness(_GradientPair):
    r"""How far the gradient changes over a step, :math:`\|\nabla L(\theta_{k}) - \nabla L(\theta_{k-1})\|_2`.

    Small where a step along the gradient finds nearly the same gradient. On lines and curves only, for instance along
    the checkpoints of a run; the first node has no value (NaN). ``AlongGradient`` measures it at any point.

    Args:
        loss: See ``DerivedMetric``.
        parameters: See ``DerivedMetric``.
        name: Variable name in results.

    References:
        Santurkar, Tsipras, Ilyas, Madry 2018, How Does Batch Normalization Help Optimization? (arXiv 1805.11604),
        section 3.
    """

    name, long_name = "gradient_predictiveness", "change of the gradient"

    def pair(self, a: ModelWrapper, b: ModelWrapper) -> float:
        """The distance of the two gradients."""
        return self._change(a, b)


@final
class BetaSmoothness(_GradientPair):
    r"""How fast the gradient changes, :math:`\|\nabla L(\theta') - \nabla L(\theta)\| / \|\theta' - \theta\|`.

    For a point and the one before it, a lower bound on the constant :math:`\beta` with which the gradient is Lipschitz
    between the two; its largest value along a path is the effective beta-smoothness. On lines and curves only; the
    first node has no value (NaN), nor has a pair of equal points. ``AlongGradient`` measures it at any point.

    Args:
        loss: See ``DerivedMetric``.
        parameters: See ``DerivedMetric``.
        name: Variable name in results.

    References:
        Santurkar, Tsipras, Ilyas, Madry 2018, How Does Batch Normalization Help Optimization? (arXiv 1805.11604),
        section 3.
    """

    name, long_name = "beta_smoothness", "beta-smoothness"

    def pair(self, a: ModelWrapper, b: ModelWrapper) -> float:
        """The ratio of the two distances."""
        start, end = (flatten(select(m.parameters, self.parameters)).double() for m in (a, b))
        distance = float(torch.linalg.vector_norm(end - start))
        return self._change(a, b) / distance if distance else float("nan")


@final
class AlongGradient(DerivedMetric):
    r"""A quantity of two neighboring points, of a point and where a step down the gradient leads from it.

    :math:`q(\theta, \theta - \rho \, g / \|g\|)` with :math:`g = \nabla L(\theta)`: what is measured of pairs along a
    path, at any point. With ``BetaSmoothness`` it tends to :math:`\|H g\| / \|g\|` for small steps, which is the
    curvature :math:`g^T H g / \|g\|^2` along the gradient or more. Statistics of batch normalization stay those of the
    point, as for all that derives from a loss.

    Args:
        pair: The quantity, for instance ``BetaSmoothness(loss)``; the gradient is that of its loss.
        rho: Length of the step, in units of the parameters.
        name: Variable name in results; that of the quantity by default.

    Raises:
        ChoiceError: If the quantity is not one of pairs, or the step not above 0.

    References:
        Santurkar, Tsipras, Ilyas, Madry 2018, How Does Batch Normalization Help Optimization? (arXiv 1805.11604),
        section 3, which measures both quantities along the gradient's direction.
    """

    name = "along_gradient"

    def __init__(self, pair: GradientPredictiveness | BetaSmoothness, rho: float = 0.05, *, name: str = "") -> None:
        if not isinstance(pair, _GradientPair):
            raise ChoiceError("pair", type(pair).__name__, "GradientPredictiveness or BetaSmoothness")
        super().__init__(pair.loss, pair.parameters, name=name or pair.name)
        self._pair, self._rho = pair, above_zero("rho", rho)
        self.long_name = f"{pair.long_name} along the gradient"
        self.positive, self.bounds = pair.positive, pair.bounds

    def __call__(self, model_wrapper: ModelWrapper) -> float:
        """The value, in the units of the quantity; that of two equal points where the gradient is 0."""
        gradient, chosen = self.gradient(model_wrapper), select(model_wrapper.parameters, self.parameters)
        length = torch.linalg.vector_norm(gradient)
        step = self._rho * gradient / length if length else gradient
        moved = unflatten(flatten(chosen).double() - step, chosen)
        return self._pair.pair(model_wrapper, model_wrapper.at({**model_wrapper.parameters, **moved}))
