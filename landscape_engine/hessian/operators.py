"""Symmetric matrices of second derivatives, known by their products with vectors."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor

from ..errors import EvaluationError
from ..parameters import unflatten
from .objective import Objective, Part, device_of, pull, slopes


class Operator(abc.ABC):
    """A symmetric matrix that is known by its products with vectors: ``operator @ v``, in float64.

    If the function has a single part, its graph is kept, so that a product costs one backward pass through the
    gradient; else each product goes through all parts again.

    Args:
        objective: The scalar function, at a point.

    Attributes:
        products: How many products were computed.
    """

    long_name: str

    def __init__(self, objective: Objective) -> None:
        self.objective, self.products = objective, 0
        self._kept: Any = None

    @property
    def size(self) -> int:
        """Number of rows."""
        return self.objective.size

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return device_of(self.objective.theta)

    def __matmul__(self, vector: Tensor) -> Tensor:
        self.products += 1
        pieces = list(unflatten(vector, self.objective.theta).values())
        found = torch.zeros(self.size, dtype=torch.float64, device=self.device)
        with torch.enable_grad():
            for graph in self._graphs():
                found += torch.cat([t.detach().reshape(-1) for t in self._product(graph, pieces)])
        return found

    def _graphs(self) -> Iterator[Any]:
        if self._kept is not None:
            yield self._kept
            return
        kept, count = None, 0
        for theta, part in self.objective.leaves():
            graph = self._graph(theta, part)
            count += 1
            kept = graph if count == 1 else None
            yield graph
        self._kept = kept

    @abc.abstractmethod
    def _graph(self, theta: tuple[Tensor, ...], part: Part) -> Any:
        """What the products with one part need."""

    @abc.abstractmethod
    def _product(self, graph: Any, vector: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The product with one part."""

    def _refuse(self, reason: str) -> EvaluationError:
        return EvaluationError(f"{self.objective.name} has no {self.long_name}: {reason}")


@final
class HessianOperator(Operator):
    r"""The Hessian :math:`H = \nabla^2 L(\theta)`: :math:`H v = \nabla (\nabla L \cdot v)`, by two backward passes.

    It needs no forward-mode derivative, which some layers (LSTM, fused attention) do not have.

    References:
        Pearlmutter 1994, Fast Exact Multiplication by the Hessian.
    """

    long_name = "Hessian"

    def _graph(self, theta: tuple[Tensor, ...], part: Part) -> Any:
        value = part.value(*part.outputs)
        if not value.requires_grad and part.outputs:
            raise self._refuse("it is piecewise constant. Choose a loss.")
        if not value.requires_grad:
            raise self._refuse(
                "PyTorch cannot differentiate it by these parameters: its model is of another framework, or does not "
                "use them. Differences give first derivatives only."
            )
        return theta, slopes(value, theta, create_graph=True)

    def _product(self, graph: Any, vector: Sequence[Tensor]) -> tuple[Tensor, ...]:
        theta, gradient = graph
        return pull(gradient, theta, vector, retain_graph=True)


@final
class GaussNewtonOperator(Operator):
    r"""The generalized Gauss-Newton matrix :math:`G = \sum_b J_b^T (\nabla^2 \ell_b) J_b`, :math:`J_b = f_b'(\theta)`.

    The Hessian without the curvature of the network itself; positive semidefinite if the loss is convex in the
    outputs, as cross entropy and squared error are. :math:`J v` is the derivative of :math:`u \mapsto J^T u`, which
    again needs no forward-mode derivative.

    References:
        Schraudolph 2002, Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent.
        Martens 2020, New Insights and Perspectives on the Natural Gradient Method, section 8.
    """

    long_name = "Gauss-Newton matrix"

    def _graph(self, theta: tuple[Tensor, ...], part: Part) -> Any:
        outputs = [t for t in part.outputs if t.requires_grad]
        if not outputs:
            raise self._refuse("it is no function of outputs that PyTorch can differentiate. Choose the Hessian.")
        heads = [t.detach().requires_grad_() for t in part.outputs]
        inner = slopes(part.value(*heads), heads, create_graph=True)
        weights = [torch.zeros_like(t, requires_grad=True) for t in part.outputs]
        return theta, part.outputs, heads, inner, weights, pull(part.outputs, theta, weights, create_graph=True)

    def _product(self, graph: Any, vector: Sequence[Tensor]) -> tuple[Tensor, ...]:
        theta, outputs, heads, inner, weights, pulled = graph
        pushed = pull(pulled, weights, vector, retain_graph=True)
        return pull(outputs, theta, pull(inner, heads, pushed, retain_graph=True), retain_graph=True)


OPERATORS: dict[str, type[Operator]] = {"hessian": HessianOperator, "gauss-newton": GaussNewtonOperator}
