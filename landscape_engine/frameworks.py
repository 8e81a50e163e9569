"""Models of other frameworks: anything that offers named arrays and a function of them."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from .errors import ChoiceError, EvaluationError
from .models import ModelWrapper, Selection
from .normalization import Units

Arrays = Mapping[str, Any]
Axes = int | tuple[int, ...]
Function = Callable[[Mapping[str, Tensor], Any], Any]

# Under these names in the module, an array can be called what a module has already (``training``) and have dots.
_MARK, _DOT = "array ", "\0"


def _inner(name: str) -> str:
    return _MARK + name.replace(".", _DOT)


def _outer(name: str) -> str:
    return name.removeprefix(_MARK).replace(_DOT, ".")


@final
class _ArrayModule(nn.Module):
    """Named arrays as parameters and buffers, and a function of them as the forward."""

    def __init__(self, arrays: Mapping[str, Tensor], buffers: Mapping[str, Tensor], function: Function) -> None:
        super().__init__()
        for name, array in arrays.items():
            self.register_parameter(_inner(name), nn.Parameter(array, requires_grad=False))
        for name, array in buffers.items():
            self.register_buffer(_inner(name), array)
        self.function = lambda *given: function(*given)  # a plain function, which is not copied with the module

    def forward(self, inputs: Any) -> Any:
        held = [*self.named_parameters(remove_duplicate=False), *self.named_buffers(remove_duplicate=False)]
        return _as_tensors(self.function({_outer(n): t for n, t in held}, inputs))


def _as_tensors(outputs: Any) -> Any:
    """The outputs as tensors, which keep their graphs, in whatever holds them."""
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping):
        return {name: _as_tensors(o) for name, o in outputs.items()}
    if isinstance(outputs, tuple | list) and any(hasattr(o, "shape") for o in outputs):
        return tuple(map(_as_tensors, outputs))
    array = np.array(outputs)
    if array.dtype.kind not in "fiub":
        raise EvaluationError(
            f"the model's function returned {type(outputs).__name__}, which is no array of numbers. Return the outputs "
            "of the model, one row an example."
        )
    return torch.from_numpy(array)


@final
class _ArrayModel(ModelWrapper):
    """A wrapper whose parameters may have any name, and which knows the axes of their output units."""

    def __init__(self, module: _ArrayModule, units: Mapping[str, Units], parameters: Selection | None) -> None:
        super().__init__(module, parameters)
        self._units = units

    def _own(self, name: str) -> str:
        return _outer(super()._own(name))

    def _full(self, name: str) -> str:
        return super()._full(_inner(name))

    def owner(self, name: str) -> nn.Module:
        """What tells the filters of a parameter."""
        return self._units[name]


def wrap_arrays(
    arrays: Arrays,
    function: Function,
    unit_axis: Axes | Mapping[str, Axes] = 0,
    buffers: Arrays | None = None,
    parameters: Selection | None = None,
) -> ModelWrapper:
    r"""A model :math:`f(\theta, x)` of any framework, given as named arrays and a function of them.

    All that the engine does with a network it does with this. If the function computes with torch tensors, derivatives
    are exact; if it leaves torch, gradients are found by central differences, and there are no Hessians.

    Args:
        arrays: The parameters :math:`\theta`: NumPy arrays or tensors of a floating type, by name. They are copied, so
            that training the model later moves nothing here.
        function: ``function(tensors, inputs) -> outputs``: tensors by the same names, which it must not change, and
            what a metric calls the model with; outputs as a tensor or an array, one row an example, or several in a
            tuple or dict. It may be called by several threads at once.
        unit_axis: The axis of each weight that has one entry an output unit, for filter normalization: 0 for (out, in)
            as in PyTorch, -1 for (in, out). Several, as (1, 2) for (in, heads, out), count their units together; ()
            is for what has none, as a bias; arrays of one dimension never have. Or by name, 0 where a name is missing.
        buffers: Arrays that the function needs too and that do not span the space.
        parameters: Which arrays span the space, as for ``ModelWrapper``; by default all.

    Raises:
        ChoiceError: If an array is not of a floating type, is a buffer too or lacks its unit axis, or there is none.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 4 (filters).
    """
    fixed = {name: _copied(name, array) for name, array in (buffers or {}).items()}
    tensors = {name: _copied(name, array) for name, array in arrays.items()}
    axes = unit_axis if isinstance(unit_axis, Mapping) else dict.fromkeys(tensors, unit_axis)
    for name in axes.keys() - tensors.keys():
        raise ChoiceError("unit_axis", name, f"by names of arrays (here: {', '.join(list(tensors)[:5])})")
    units = {}
    for name, tensor in tensors.items():
        if name in fixed:
            raise ChoiceError(f"array '{name}'", "both", "either in arrays, which span the space, or in buffers")
        if not tensor.is_floating_point():
            raise ChoiceError(f"array '{name}'", str(tensor.dtype), "of a floating type; pass others as buffers")
        given = axes.get(name, 0)
        own = (given,) if isinstance(given, int) else tuple(given)
        if tensor.ndim > 1 and len({k % tensor.ndim for k in own if -tensor.ndim <= k < tensor.ndim}) < len(own):
            raise ChoiceError(f"unit_axis of '{name}'", given, f"one or more axes of its shape {tuple(tensor.shape)}")
        units[name] = Units(own)
    return _ArrayModel(_ArrayModule(tensors, fixed, function), units, parameters)


def _copied(name: str, array: Any) -> Tensor:
    if isinstance(array, Tensor):
        return array.detach().clone()
    try:
        return torch.from_numpy(np.array(array))
    except (TypeError, ValueError) as error:
        raise ChoiceError(f"array '{name}'", type(array).__name__, "an array of numbers or a tensor") from error


def wrap_sklearn(estimator: Any, parameters: Selection | None = None) -> ModelWrapper:
    """A fitted ``MLPClassifier`` or ``MLPRegressor`` of scikit-learn as it is now; it is never changed.

    Its own code is evaluated, in float64. A regressor's outputs are those of ``predict``, a classifier's the
    probabilities of ``predict_proba``. The log loss of classes 0, 1, ..., clipped as scikit-learn clips it, is

    >>> Loss(torch.nn.functional.nll_loss, inputs, targets,
    ...      forward=lambda model, batch: model(batch[0]).clamp_min(torch.finfo(torch.float64).eps).log())

    The penalty ``alpha`` is no part of it. There are no derivatives but by differences.

    Args:
        estimator: Fitted.
        parameters: Which of ``coefs_/0``, ``intercepts_/0``, ... span the space; by default all.

    Raises:
        ChoiceError: If it is no multilayer perceptron, or not fitted.

    References:
        scikit-learn's user guide, section 1.17, Neural network models (supervised).
    """
    if not hasattr(estimator, "coefs_"):
        raise ChoiceError(
            "estimator", type(estimator).__name__, "a fitted MLPClassifier or MLPRegressor; call fit first"
        )
    weights = {f"coefs_/{k}": np.asarray(w, float) for k, w in enumerate(estimator.coefs_)}
    biases = {f"intercepts_/{k}": np.asarray(b, float) for k, b in enumerate(estimator.intercepts_)}
    fitted = copy.copy(estimator)
    vars(fitted).pop("feature_names_in_", None)  # inputs are tensors, whose columns have no names

    def function(tensors: Mapping[str, Tensor], inputs: Any) -> Any:
        moved = copy.copy(fitted)
        moved.coefs_ = [tensors[n].detach().cpu().numpy() for n in weights]
        moved.intercepts_ = [tensors[n].detach().cpu().numpy() for n in biases]
        predict = moved.predict_proba if hasattr(moved, "predict_proba") else moved.predict
        return predict(inputs.detach().cpu().numpy() if isinstance(inputs, Tensor) else inputs)

    return wrap_arrays(weights | biases, function, unit_axis=-1, parameters=parameters)


def wrap_keras(model: Any, parameters: Selection | None = None) -> ModelWrapper:
    """A built Keras 3 model on any backend, as it is now; it is never changed.

    It is evaluated by its ``stateless_call`` with ``training=False``. On the PyTorch backend derivatives are exact; on
    others, gradients are found by differences. Weights that are not trainable (statistics of batch norm, frozen layers)
    do not span the space. Filters are found by the types of Keras's own layers; of a layer of your own they are the
    entries of the last axis.

    Args:
        model: A ``keras.Model`` whose weights exist.
        parameters: Which weights span the space; by default all that are trainable. They are named by their number and
            layer, as ``0/dense/kernel``, without the numbers that Keras gives, so that two models of one architecture
            have the same names.

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

    def named(variables: list[Any], first: int) -> dict[str, Any]:
        paths = (v.path.removeprefix(f"{model.name}/") for v in variables)
        plain = (re.sub(r"_\d+(?=/)", "", path) for path in paths)
        return {f"{k}/{name}": v for k, (name, v) in enumerate(zip(plain, variables, strict=True), first)}

    trained = named(model.trainable_variables, 0)
    fixed = named(model.non_trainable_variables, len(trained))
    on_torch = keras.backend.backend() == "torch"
    plain = (lambda v: v.value) if on_torch else keras.ops.convert_to_numpy
    arrays, buffers = ({n: plain(v) for n, v in vs.items()} for vs in (trained, fixed))
    special = _keras_units(model)
    axes = {n: special.get(id(v), -1) for n, v in trained.items()}

    def native(value: Any) -> Any:
        return value if on_torch or not isinstance(value, Tensor) else value.detach().cpu().numpy()

    def function(tensors: Mapping[str, Tensor], inputs: Any) -> Any:
        states = ([native(tensors[n]) for n in names] for names in (trained, fixed))
        outputs, _ = model.stateless_call(*states, keras.tree.map_structure(native, inputs), training=False)
        return outputs if on_torch else keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)

    return wrap_arrays(arrays, function, axes, buffers, parameters)


_KERAS_VECTORS = ("bias", "gamma", "beta", "alpha")  # one number a unit, whatever their shape


def _keras_units(model: Any) -> dict[int, Axes]:
    """The axes of the output units of those weights of Keras's layers where they are not the last one, by id."""
    from keras import layers

    transposed = layers.Conv1DTranspose | layers.Conv2DTranspose | layers.Conv3DTranspose  # (..., out, in)
    depthwise = layers.DepthwiseConv1D | layers.DepthwiseConv2D  # (..., in, multiplier)
    found: dict[int, Axes] = {}
    for layer in model._flatten_layers():
        for variable in layer.weights:
            if variable.name in _KERAS_VECTORS:
                found[id(variable)] = ()
            elif variable.name == "embeddings":
                found[id(variable)] = 0
            elif variable.name == "depthwise_kernel" or isinstance(layer, depthwise):
                found[id(variable)] = (-2, -1)
            elif isinstance(layer, transposed):
                found[id(variable)] = -2
            elif isinstance(layer, layers.EinsumDense) and variable.name == "kernel":  # attention: "abc,cde->abde"
                _, kernel, outputs = re.split(",|->", layer.equation)
                found[id(variable)] = tuple(k for k, letter in enumerate(kernel) if letter in outputs)
    return found
