"""How much a loss can rise nearby, in the ways the field measures it, and the regularized loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from ..errors import ChoiceError
from ..hessian import Part
from ..models import ModelWrapper, Selection, select
from ..parameters import flatten, unflatten
from .base import Estimate, EstimatedMetric, Metric
from .gradients import Array, DerivedMetric, above_zero, objective


class _Rise(DerivedMetric):
    r"""The rise :math:`L(\theta + \epsilon) - L(\theta)` at a step that is the worst to first order."""

    def __init__(self, loss: Metric, rho: float, parameters: Selection | None, name: str) -> None:
        super().__init__(loss, parameters, name=name)
        self._rho = above_zero("rho", rho)

    def _rise(self, model_wrapper: ModelWrapper, scale: Tensor | float) -> float:
        r"""For the ball :math:`\|\epsilon / T\| \le \rho`, at :math:`\epsilon = \rho T^2 g / \|T g\|`."""
        at, scaled = self.objective(model_wrapper), scale * self.gradient(model_wrapper)
        length = torch.linalg.vector_norm(scaled)
        step = self._rho * scale * scaled / length if length else torch.zeros_like(scaled)
        return at.value(unflatten(flatten(at.theta).double() + step, at.theta)) - at.value(at.theta)


@final
class SAMSharpness(_Rise):
    r"""The rise of the loss in a ball, :math:`\max_{\|\epsilon\|_2 \le \rho} L(\theta + \epsilon) - L(\theta)`.

    As sharpness-aware minimization takes it: at the step :math:`\epsilon = \rho \nabla L / \|\nabla L\|`, the worst one
    to first order, so a lower bound. It changes when weights are rescaled though the function does not (Dinh et al.
    2017).

    Args:
        loss: See ``DerivedMetric``.
        rho: The radius, in units of the parameters.
        parameters: See ``DerivedMetric``.
        name: Variable name in results.

    References:
        Foret, Kleiner, Mobahi, Neyshabur 2021, Sharpness-Aware Minimization for Efficiently Improving Generalization
        (arXiv 2010.01412), section 2.
    """

    name, long_name = "sam_sharpness", "rise of the loss within a ball (SAM)"

    def __init__(self, loss: Metric, rho: float = 0.05, *, parameters: Selection | None = None, name: str = "") -> None:
        super().__init__(loss, rho, parameters, name)

    def __call__(self, model_wrapper: ModelWrapper) -> float:
        """The rise, in units of the loss."""
        return self._rise(model_wrapper, 1.0)


@final
class AdaptiveSharpness(_Rise):
    r"""The rise of the loss in a ball that scales with the weights, :math:`\max_{\|T^{-1} \epsilon\| \le \rho}`.

    :math:`T = \mathrm{diag}(|\theta| + \eta)`, so rescaling weights in a way that leaves the function alone leaves this
    sharpness alone as well, if :math:`\eta = 0`. At the step :math:`\epsilon = \rho T^2 \nabla L / \|T \nabla L\|`, the
    worst one to first order.

    Args:
        loss: See ``DerivedMetric``.
        rho: The radius, a relative change of the weights.
        eta: Added to the absolute weights; 0 keeps the invariance.
        parameters: See ``DerivedMetric``.
        name: Variable name in results.

    References:
        Kwon, Kim, Park, Choi 2021, ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of Deep
        Neural Networks (arXiv 2102.11600), section 3.
    """

    name, long_name = "adaptive_sharpness", "rise of the loss within an adaptive ball (ASAM)"

    def __init__(
        self,
        loss: Metric,
        rho: float = 0.5,
        eta: float = 0.0,
        *,
        parameters: Selection | None = None,
        name: str = "",
    ) -> None:
        super().__init__(loss, rho, parameters, name)
        if not 0 <= eta < float("inf"):
            raise ChoiceError("eta", eta, "a finite number, 0 or more")
        self._eta = eta

    def __call__(self, model_wrapper: ModelWrapper) -> float:
        """The rise, in units of the loss."""
        weights = flatten(select(model_wrapper.parameters, self.parameters)).double()
        return self._rise(model_wrapper, weights.abs() + self._eta)


@final
class KeskarSharpness(DerivedMetric):
    r"""The sharpness :math:`\phi = 100 \, (\max_{z \in C} L(\theta + z) - L(\theta)) / (1 + L(\theta))`, in percent.

    :math:`C` is the box :math:`|z_i| \le \epsilon (|\theta_i| + 1)`, in the whole space. The maximum is sought by
    L-BFGS-B from a small random step, so that a minimum does not hold it; what is found is a lower bound.

    Args:
        loss: A loss that is not negative; see ``DerivedMetric``.
        epsilon: Size of the box: 1e-3 or 5e-4 in the paper.
        iterations: Of the search: 10 in the paper.
        seed: Of the first step.
        parameters: See ``DerivedMetric``.
        name: Variable name in results.

    References:
        Keskar et al. 2017, On Large-Batch Training for Deep Learning: Generalization Gap and Sharp Minima
        (arXiv 1609.04836), section 2.2.2, metric 2.1.
    """

    name, long_name, units = "keskar_sharpness", "sharpness (Keskar)", "%"

    def __init__(
        self,
        loss: Metric,
        epsilon: float = 1e-3,
        iterations: int = 10,
        seed: int = 0,
        *,
        parameters: Selection | None = None,
        name: str = "",
    ) -> None:
        super().__init__(loss, parameters, name=name)
        self._epsilon, self._iterations, self._seed = above_zero("epsilon", epsilon), iterations, seed

    def __call__(self, model_wrapper: ModelWrapper) -> float:
        """The sharpness, in percent."""
        at = self.objective(model_wrapper)
        start, here = flatten(at.theta).double().cpu().numpy(), at.value(at.theta)
        sides = self._epsilon * (np.abs(start) + 1)

        def fall(z: Array) -> tuple[float, Array]:
            theta = unflatten(torch.from_numpy(start + z), at.theta)
            moved = model_wrapper.at({**model_wrapper.parameters, **theta})
            slope = objective(self.loss, moved, self.parameters).gradient()
            return -at.value(theta), -slope.cpu().numpy()

        first = 0.1 * sides * np.random.default_rng(self._seed).uniform(-1, 1, len(start))
        bounds = list(zip(-sides, sides, strict=True))
        found = minimize(fall, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": self._iterations})
        return 100 * max(0.0, -float(found.fun) - here) / (1 + here)


@final
class RegularizedLoss(EstimatedMetric):
    r"""A loss with weight decay, :math:`L(\theta) + \frac{\lambda}{2} \|\theta\|_2^2`: what training has minimized.

    Its gradient is the one that ``torch.optim.SGD(weight_decay=...)`` follows. All metrics of derivatives take it in
    place of a loss.

    Args:
        loss: The loss.
        weight_decay: :math:`\lambda`, 0 or more.
        parameters: Which parameters decay: a name pattern, several, or a predicate of (name, tensor); by default all.
        name: Variable name in results.

    References:
        Krogh, Hertz 1992, A Simple Weight Decay Can Improve Generalization.
    """

    name, long_name = "regularized_loss", "loss with weight decay"

    def __init__(
        self, loss: Metric, weight_decay: float, *, parameters: Selection | None = None, name: str = ""
    ) -> None:
        if not isinstance(loss, Metric) or loss.dims:
            raise ChoiceError("loss", type(loss).__name__, "a metric of one number, such as Loss")
        if not 0 <= weight_decay < float("inf"):
            raise ChoiceError("weight_decay", weight_decay, "a finite number, 0 or more")
        self.loss, self.data, self.name = loss, loss.data, name or self.name
        self.units, self.positive, self.smooth = loss.units, loss.positive, loss.smooth
        self._decay, self._parameters = float(weight_decay), parameters

    def estimate(self, model_wrapper: ModelWrapper) -> Estimate:
        """The value, and the standard error of the loss."""
        value, stderr = self.loss.estimate(model_wrapper)
        return Estimate(value + float(self._penalty(*self._decaying(model_wrapper))), stderr)

    def total(self, model_wrapper: ModelWrapper) -> Any:
        """What the parts of the loss are divided by."""
        return self.loss.total(model_wrapper)

    def parts(self, model_wrapper: ModelWrapper, total: Any) -> Iterator[Part]:
        """Those of the loss, and the penalty as a function of the parameters."""
        yield from self.loss.parts(model_wrapper, total)
        yield Part(self._decaying(model_wrapper), self._penalty)

    def _decaying(self, model_wrapper: ModelWrapper) -> tuple[Tensor, ...]:
        return tuple(select(model_wrapper.parameters, self._parameters).values())

    def _penalty(self, *weights: Tensor) -> Tensor:
        return self._decay / 2 * torch.stack([(w.double() ** 2).sum() for w in weights]).sum().cpu()
