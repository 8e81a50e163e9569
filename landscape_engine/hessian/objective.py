"""Scalar functions of parameters, and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch.autograd import grad

from ..errors import EvaluationError
from ..parameters import Parameters, flatten, unflatten

MOST_DIFFERENCES = 20_000  # parameters whose gradient is found by differences, two evaluations each


class Part(NamedTuple):
    r"""A share of a scalar function, which is the sum of its parts; one part for each batch.

    Attributes:
        outputs: Tensors :math:`f_b(\theta)` through which it depends on the parameters; none if it is not such a
            composition.
        value: :math:`\ell_b`, a function of as many tensors; its value at the outputs is the share.
    """

    outputs: tuple[Tensor, ...]
    value: Callable[..., Tensor]


@final
@dataclass(frozen=True, eq=False)
class Objective:
    r"""A scalar function :math:`L(\theta) = \sum_b \ell_b(f_b(\theta))` at a point.

    Args:
        theta: The point.
        parts: The parts at any point, one after the other, so that one at a time is in memory.
        name: What it is called in messages.
    """

    theta: Parameters
    parts: Callable[[Parameters], Iterable[Part]]
    name: str = "the function"

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.theta.values())

    @property
    def precision(self) -> float:
        """What is rounding, as a fraction of the largest number: 4e-11 in float64, 2e-5 in float32."""
        return max(torch.finfo(p.dtype).eps for p in self.theta.values()) ** (2 / 3)

    def value(self, theta: Parameters) -> float:
        """The value at any point."""
        with torch.no_grad():
            return sum(float(value(*outputs)) for outputs, value in self.parts(theta))

    def gradient(self) -> Tensor:
        r"""The gradient :math:`\nabla L(\theta)` as one vector, in float64.

        By backpropagation; by central differences if the model is not PyTorch's to differentiate, which takes two
        evaluations for each parameter.

        Raises:
            EvaluationError: If the function is piecewise constant, as accuracy is, or has too many parameters for
                differences.
        """
        return self.value_and_gradient()[1]

    def value_and_gradient(self) -> tuple[float, Tensor]:
        """The value at the point and its gradient (see ``gradient``), from one pass."""
        total, found = 0.0, torch.zeros(self.size, dtype=torch.float64, device=device_of(self.theta))
        with torch.enable_grad():
            for theta, part in self.leaves():
                value = part.value(*part.outputs)
                if not value.requires_grad:
                    if any(t.requires_grad for t in part.outputs):
                        raise EvaluationError(f"{self.name} has no gradient: it is piecewise constant. Choose a loss.")
                    return self.value(self.theta), self._differences()
                total += float(value.detach())
                found += torch.cat([g.reshape(-1) for g in slopes(value, theta)])
        return total, found

    def leaves(self) -> Iterator[tuple[tuple[Tensor, ...], Part]]:
        """The parts at the point, each with the parameters it can be differentiated by where gradients are enabled."""
        theta = {n: p.detach().clone().requires_grad_() for n, p in self.theta.items()}
        for part in self.parts(theta):
            yield tuple(theta.values()), part

    def _differences(self) -> Tensor:
        if self.size > MOST_DIFFERENCES:
            raise EvaluationError(
                f"{self.name} cannot be differentiated by PyTorch, and central differences for its {self.size:,} "
                f"parameters are too many: at most {MOST_DIFFERENCES:,} are taken. Choose fewer with parameters=."
            )
        start = flatten(self.theta).double()
        steps = torch.finfo(next(iter(self.theta.values())).dtype).eps ** (1 / 3) * start.abs().clamp(min=1)

        def at(k: int, side: int) -> float:
            moved = start.clone()
            moved[k] += side * steps[k]
            return self.value(unflatten(moved, self.theta))

        slopes = [(at(k, 1) - at(k, -1)) / (2 * float(steps[k])) for k in range(self.size)]
        return torch.tensor(slopes, dtype=torch.float64, device=start.device)


def device_of(theta: Parameters) -> torch.device:
    """Where parameters are."""
    return next(iter(theta.values())).device


def pull(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], vectors: Sequence[Tensor], **options: Any
) -> tuple[Tensor, ...]:
    """Products of vectors with the Jacobian of outputs; 0 for what the outputs do not depend on."""
    moving = [(o, v) for o, v in zip(outputs, vectors, strict=True) if o.requires_grad]
    if not moving:
        return tuple(torch.zeros_like(t) for t in inputs)
    given, weights = zip(*moving, strict=True)
    return grad(given, list(inputs), weights, allow_unused=True, materialize_grads=True, **options)


def slopes(value: Tensor, inputs: Sequence[Tensor], **options: Any) -> tuple[Tensor, ...]:
    """The gradient of a number; 0 for what it does not depend on."""
    if not value.requires_grad:
        return tuple(torch.zeros_like(t) for t in inputs)
    return grad(value, list(inputs), allow_unused=True, materialize_grads=True, **options)
