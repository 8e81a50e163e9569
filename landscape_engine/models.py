"""Models as functions of their parameters, evaluated without ever touching the caller's module."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .errors import ChoiceError
from .parameters import Parameters


@final
class ModelWrapper:
    r"""A model :math:`f(\theta, x)` at a point :math:`\theta` of its parameter space.

    This is what a metric is called with. ``forward(x)`` evaluates the model at the wrapper's own parameters;
    ``at(theta)`` is the same model elsewhere. Neither changes the module that was wrapped.

    The parameters that span the space are all floating-point parameters, frozen ones included; tied weights count
    once. Buffers (batch-norm statistics) are part of the function, not of the space.

    Args:
        module: The network.
        parameters: Its parameters by name, detached; by default the module's own.
        buffers: Its buffers by name; by default the module's own.
    """

    def __init__(
        self,
        module: nn.Module,
        parameters: Parameters | None = None,
        buffers: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._module = module
        if parameters is None:
            parameters = {n: p.detach() for n, p in module.named_parameters() if p.is_floating_point()}
        self.parameters: Parameters = parameters
        self.buffers: Mapping[str, Tensor] = dict(module.named_buffers()) if buffers is None else buffers

    @property
    def dtype(self) -> torch.dtype:
        """Type in which points are formed: float64 when a parameter is float64, float32 otherwise."""
        return torch.float64 if any(p.dtype == torch.float64 for p in self.parameters.values()) else torch.float32

    def get_model(self) -> nn.Module:
        """The underlying module. Its own parameters are those that were wrapped, not those of this point."""
        return self._module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's output at this wrapper's parameters and buffers, for the arguments of the module's forward."""
        return functional_call(self._module, {**self.parameters, **self.buffers}, args, kwargs)

    __call__ = forward

    def at(self, state: Mapping[str, Tensor]) -> ModelWrapper:
        """The same model elsewhere in parameter space.

        Args:
            state: Parameters, and buffers if they differ too, by name. Values are cast to the type of the model's
                own, which is how a float16 model is evaluated at points formed in float32.
        """
        cast = {n: state[n].to(p.dtype) for n, p in self.parameters.items()}
        buffers = {n: state[n].to(b.dtype) if n in state else b for n, b in self.buffers.items()}
        return ModelWrapper(self._module, cast, buffers)

    def private_copy(self) -> ModelWrapper:
        """A copy for one thread, in evaluation mode: parameters share their storage, everything else is copied.

        One module used by two threads at once gives wrong results silently, since ``functional_call`` swaps the
        parameters of the module in place while it runs.
        """
        memo: dict[int, Any] = {id(p): p for p in self._module.parameters()}
        module = copy.deepcopy(self._module, memo).eval()
        return ModelWrapper(module, self.parameters, {n: b.clone() for n, b in self.buffers.items()})

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the parameters in ``dtype``: the origin of a subspace, unmoved by later training."""
        return {n: p.to(self.dtype, copy=True) for n, p in self.parameters.items()}

    def owner(self, name: str) -> nn.Module:
        """The submodule that holds a parameter, which tells what a filter of it is."""
        return self._module.get_submodule(name.rpartition(".")[0])


def wrap_model(model: nn.Module | ModelWrapper) -> ModelWrapper:
    """A ``ModelWrapper`` of a network; a wrapper is returned as it is.

    Raises:
        ChoiceError: If it is neither, or has no floating-point parameter.
    """
    if isinstance(model, ModelWrapper):
        return model
    if not isinstance(model, nn.Module):
        raise ChoiceError("model", type(model).__name__, "a torch.nn.Module or a ModelWrapper")
    wrapper = ModelWrapper(model)
    if not wrapper.parameters:
        raise ChoiceError("model", type(model).__name__, "a module with at least one floating-point parameter")
    return wrapper
