"""Models of other frameworks: anything that offers named arrays and a function of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from .errors import ChoiceError, EvaluationError
from .models import ModelWrapper
from .normalization import Units

Arrays = Mapping[str, Any]
Function = Callable[[Mapping[str, Tensor], Any], Any]


@final
class _ArrayModule(nn.Module):
    """Named arrays as parameters and buffers, and a function of them as the forward."""

    def __init__(self, arrays: Mapping[str, Tensor], buffers: Mapping[str, Tensor], function: Function) -> None:
        super().__init__()
        for name, array in arrays.items():
            self.register_parameter(name, nn.Parameter(array, requires_grad=False))
        for name, array in buffers.items():
            self.register_buffer(name, array)
        self.function = (function,)  # in a tuple: not copied with the module

    def forward(self, inputs: Any) -> Any:
        tensors = dict([*self.named_parameters(), *self.named_buffers()])
        return _as_tensor(self.function[0](tensors, inputs))


def _as_tensor(outputs: Any) -> Tensor:
    """The outputs as a tensor, which keeps its graph if it has one."""
    if isinstance(outputs, Tensor):
        return outputs
    array = np.asarray(outputs)
    if array.dtype.kind not in "fiub":
        raise EvaluationError(
            f"the model's function returned {type(outputs).__name__}, which is no array of numbers. Return the outputs "
            "of the model, one row an example."
        )
    return torch.from_numpy(np.array(array))


@final
class _ArrayModel(ModelWrapper):
    """A wrapper that knows which axis of each array has its output units."""

    def __init__(self, module: _ArrayModule, units: Mapping[str, int], **options: Any) -> None:
        super().__init__(module, **options)
        self._units = {name: Units(axis) for name, axis in units.items()}

    def owner(self, name: str) -> nn.Module:
        """What tells the filters of a parameter."""
        return self._units[name]


def wrap_arrays(
    arrays: Arrays,
    function: Function,
    unit_axis: int | Mapping[str, int] = 0,
    buffers: Arrays | None = None,
    **options: Any,
) -> ModelWrapper:
    r"""A model :math:`f(\theta, x)` of any framework, given as named arrays and a function of them.

    All that the engine does with a network it does with this. If the function computes with torch tensors, derivatives
    are exact; if it leaves torch, gradients are found by central differences, and there are no Hessians.

    Args:
        arrays: The parameters :math:`\theta`: NumPy arrays or tensors of a floating type, by name. They are copied.
            Dots in names become slashes.
        function: ``function(tensors, inputs) -> outputs``: tensors by the same names, and what a metric calls the model
            with; outputs as a tensor or an array, one row an example. It may be called by several threads at once.
        unit_axis: The axis of each weight that has one entry an output unit, for filter normalization: 0 for (out, in)
            as in PyTorch, -1 for (in, out); or by name, 0 where a name is missing.
        buffers: Arrays that the function needs too and that do not span the space.
        **options: ``parameters`` as for ``ModelWrapper``.

    Raises:
        ChoiceError: If an array is not of a floating type, or there is none.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 4 (filters).
    """
    tensors = {_name(n): _copied(n, a) for n, a in arrays.items()}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ChoiceError(f"array '{name}'", str(tensor.dtype), "of a floating type; pass others as buffers")
    fixed = {_name(n): _copied(n, a) for n, a in (buffers or {}).items()}
    back = {_name(n): n for n in (*arrays, *(buffers or {}))}
    axes = {_name(n): unit_axis if isinstance(unit_axis, int) else unit_axis.get(n, 0) for n in arrays}

    def renamed(state: Mapping[str, Tensor], inputs: Any) -> Any:
        return function({back[n]: t for n, t in state.items()}, inputs)

    return _ArrayModel(_ArrayModule(tensors, fixed, renamed), axes, **options)


def _name(name: str) -> str:
    return name.replace(".", "/")


def _copied(name: str, array: Any) -> Tensor:
    if isinstance(array, Tensor):
        return array.detach().clone()
    try:
        return torch.from_numpy(np.array(array))
    except TypeError as error:
        raise ChoiceError(f"array '{name}'", type(array).__name__, "an array of numbers or a tensor") from error


def wrap_sklearn(estimator: Any) -> ModelWrapper:
    """A fitted ``MLPClassifier`` or ``MLPRegressor`` of scikit-learn, which is never changed.

    Its own code is evaluated, in the type of its weights. A classifier's outputs are the probabilities of
    ``predict_proba``: the log loss is ``Loss(torch.nn.functional.nll_loss, ...)`` of their logarithm, as in
    ``forward=lambda model, batch: model(batch[0]).log()``. A regressor's are those of ``predict``. There are no
    derivatives but by differences.

    Args:
        estimator: Fitted.

    Raises:
        ChoiceError: If it is no multilayer perceptron, or not fitted.

    References:
        scikit-learn's user guide, section 1.17, Neural network models (supervised).
    """
    if not hasattr(estimator, "coefs_"):
        raise ChoiceError(
            "estimator", type(estimator).__name__, "a fitted MLPClassifier or MLPRegressor; call fit first"
        )
    weights = {f"coefs_/{k}": w for k, w in enumerate(estimator.coefs_)}
    biases = {f"intercepts_/{k}": b for k, b in enumerate(estimator.intercepts_)}

    def function(tensors: Mapping[str, Tensor], inputs: Any) -> Any:
        moved = copy.copy(estimator)
        moved.coefs_ = [tensors[n].detach().cpu().numpy() for n in weights]
        moved.intercepts_ = [tensors[n].detach().cpu().numpy() for n in biases]
        predict = moved.predict_proba if hasattr(moved, "predict_proba") else moved.predict
        return predict(inputs.detach().cpu().numpy() if isinstance(inputs, Tensor) else inputs)

    return wrap_arrays(weights | biases, function, unit_axis=-1)


def wrap_keras(model: Any) -> ModelWrapper:
    """A built Keras 3 model on any backend, which is never changed.

    It is evaluated by its ``stateless_call`` with ``training=False``. On the PyTorch backend derivatives are exact; on
    others, gradients are found by differences. Weights that are not trainable (statistics of batch norm, frozen layers)
    do not span the space. Filters are the entries of the last axis, of the first one in an ``Embedding``.

    Args:
        model: A ``keras.Model`` whose weights exist.

    Raises:
        ChoiceError: If it is no Keras model, or not built.

    References:
        Keras's API reference, ``Layer.stateless_call``.
    """
    if not hasattr(model, "stateless_call") or not getattr(model, "built", False):
        raise ChoiceError(
            "model", type(model).__name__, "a Keras 3 model that is built; call it once, or pass an Input"
        )
    import keras

    trained = {f"{k}/{v.path}": v for k, v in enumerate(model.trainable_variables)}  # paths need not be unique
    fixed = {f"{k}/{v.path}": v for k, v in enumerate(model.non_trainable_variables, len(trained))}
    on_torch = keras.backend.backend() == "torch"
    plain = (lambda v: v.value) if on_torch else keras.ops.convert_to_numpy
    arrays, buffers = ({n: plain(v) for n, v in vs.items()} for vs in (trained, fixed))
    axes = {n: 0 if n.endswith("/embeddings") else -1 for n in trained}

    def native(value: Any) -> Any:
        return value if on_torch or not isinstance(value, Tensor) else value.detach().cpu().numpy()

    def function(tensors: Mapping[str, Tensor], inputs: Any) -> Any:
        states = ([native(tensors[n]) for n in names] for names in (trained, fixed))
        outputs, _ = model.stateless_call(*states, native(inputs), training=False)
        return outputs if on_torch else keras.ops.convert_to_numpy(outputs)

    return wrap_arrays(arrays, function, axes, buffers)
