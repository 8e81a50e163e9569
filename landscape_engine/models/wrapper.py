"""Models as functions of their parameters, evaluated without ever touching the caller's modules."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map_only

from ..errors import ChoiceError
from ..parameters import Parameters, Selection, Watched, select
from .places import Place, Root, places, put
from .settings import PLAIN_ATTENTION, PLAIN_RECURRENCE

MODES = ("eval", "as-is")
BATCH_NORM = ("stored", "re-estimated", "batch")
_NORMS = nn.modules.batchnorm._BatchNorm
_DROPOUTS = nn.modules.dropout._DropoutNd

# A module that cannot be copied is used by one evaluation at a time, whoever asks.
_ONE_AT_A_TIME = threading.RLock()


class ModelWrapper:
    r"""A model :math:`f(\theta, x)` at a point :math:`\theta` of its parameter space.

    This is what a metric is called with. ``forward(x)`` evaluates the model at the wrapper's own parameters;
    ``at(theta)`` is the same model elsewhere. Neither changes the module that was wrapped.

    The parameters that span the space are all floating-point parameters, frozen ones included, or those that are
    selected; tied weights count once. Everything else (buffers, parameters that were not selected) is part of the
    function and not of the space.

    Args:
        module: The network.
        parameters: Which parameters span the space: a name pattern (``"layer3.*"``), several, or a predicate of
            (name, tensor); by default all.
        mode: ``"eval"``, whatever ``module.training`` says, or ``"as-is"``. As it is, dropout makes values noisy, and
            batch norm in training mode makes them depend on the batches.
        batch_norm: Statistics at a point: ``"stored"`` ones; ``"re-estimated"`` from ``batch_norm_data`` at each point;
            of each ``"batch"``, which makes values depend on the batches.
        batch_norm_data: Batches of inputs (of the first argument of the forward) for ``"re-estimated"``.

    References:
        Izmailov et al. 2018, Averaging Weights Leads to Wider Optima (re-estimated statistics, section 3.2).
    """

    _prefix = "parts.model."

    @staticmethod
    def forward_fn(model: Any, *args: Any, **kwargs: Any) -> Any:
        """What ``forward`` calls, with the model that ``call`` gives to its function."""
        return model(*args, **kwargs)

    def __init__(
        self,
        module: nn.Module,
        parameters: Selection | None = None,
        mode: str = "eval",
        batch_norm: str = "stored",
        batch_norm_data: Sequence[Tensor] = (),
    ) -> None:
        self._set_up(Root({"model": module}, module), parameters, mode, batch_norm, batch_norm_data)

    def _set_up(
        self,
        root: Root,
        parameters: Selection | None,
        mode: str,
        batch_norm: str,
        batch_norm_data: Sequence[Tensor],
    ) -> None:
        if mode not in MODES:
            raise ChoiceError("mode", mode, f"one of {', '.join(MODES)}")
        _check_batch_norm(batch_norm, batch_norm_data)
        self._root, self._alone = root, False
        self._places: dict[str, list[Place]] | None = None
        self._known: dict[Any, Any] = {}
        self.memory: dict[Any, Any] | None = None  # of an evaluation that goes from point to point
        self.mode, self.batch_norm, self._batch_norm_data = mode, batch_norm, tuple(batch_norm_data)
        self._batch_norm_forward: Callable[[ModelWrapper, Any], Any] | None = None
        own = {self._own(n): p.detach() for n, p in root.named_parameters()}
        self.parameters: Parameters = select(own, parameters)
        fixed = {n: p for n, p in own.items() if n not in self.parameters}
        self.buffers: Mapping[str, Tensor] = fixed | {self._own(n): b for n, b in root.named_buffers()}

    def _own(self, name: str) -> str:
        return name.removeprefix(self._prefix)

    def _full(self, name: str) -> str:
        return self._prefix + name

    @property
    def dtype(self) -> torch.dtype:
        """Type in which points are formed: float64 when a parameter is float64, float32 otherwise."""
        return torch.float64 if any(p.dtype == torch.float64 for p in self.parameters.values()) else torch.float32

    @property
    def facts(self) -> dict[str, Any]:
        """For the provenance: mode, batch-norm policy, and the modules that make values noisy."""
        noisy = [self._own(n) for n, m in self._root.named_modules() if isinstance(m, _DROPOUTS) and m.training]
        training = [self._own(n) for n, m in self._root.named_modules() if isinstance(m, _NORMS) and m.training]
        as_is = self.mode == "as-is"
        return {
            "mode": self.mode,
            "batch_norm": {"stored": "stored statistics"}.get(self.batch_norm, f"{self.batch_norm} statistics"),
            "active_dropout": noisy if as_is else [],
            "batch_norm_in_training": training if as_is else [],
        }

    def get_model(self) -> Any:
        """The model that was wrapped. Its own parameters are not those of this point."""
        return self._root.subject[0]

    def names(self) -> set[str]:
        """Names of all parameters and buffers, every one of several names of a tied tensor included."""
        return set(self.tensors())

    def modules(self) -> dict[str, nn.Module]:
        """Every submodule by its path, the model itself by an empty one; a shared one under each of its paths."""
        named = self._root.named_modules(remove_duplicate=False)
        return {self._own(f"{n}.").removesuffix("."): m for n, m in named if f"{n}.".startswith(self._prefix)}

    def tensors(self) -> dict[str, Tensor]:
        """The module's own parameters and buffers, not those of this point; a tied one under each of its names."""
        parameters = self._root.named_parameters(remove_duplicate=False)
        return {self._own(n): t for n, t in [*parameters, *self._root.named_buffers(remove_duplicate=False)]}

    @property
    def every_parameter(self) -> list[str]:
        """Names of all parameters in their order, those included that do not span the space."""
        return [self._own(n) for n, _ in self._root.named_parameters()]

    def owner(self, name: str) -> nn.Module:
        """The submodule that holds a parameter, which tells what a filter of it is."""
        return self._root.get_submodule(self._full(name).rpartition(".")[0])

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's output at this wrapper's parameters, for the arguments of the module's forward."""
        return self.call(self.forward_fn, *args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The same as ``forward``."""
        return self.forward(*args, **kwargs)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """``function(model, *args, **kwargs)``, where the model has this wrapper's parameters meanwhile.

        Whatever the function does with the model it is given counts: attributes, methods, several forward passes.
        """
        state = {**self.parameters, **self.buffers}
        if self._places is not None:
            with put(state, self._places):
                return self._root(function, *args, **kwargs)
        with self._evaluating():
            return functional_call(self._root, {self._full(n): t for n, t in state.items()}, (function, *args), kwargs)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """For what could not be copied: nobody else uses it meanwhile, and its modes are put back."""
        if not self._alone:
            yield
            return
        with _ONE_AT_A_TIME:
            modes = [(m, m.training) for m in self._root.modules()]
            try:
                self._set_mode(self._root)
                yield
            finally:
                for module, training in modes:
                    module.training = training

    @contextmanager
    def differentiable(self) -> Iterator[None]:
        """Forward passes in it can be differentiated twice, which fused attention and CUDA's fused LSTM cannot be."""
        recurrent = any(isinstance(m, nn.RNNBase) for m in self._root.modules())
        with PLAIN_ATTENTION.entered(), PLAIN_RECURRENCE.entered() if recurrent else nullcontext():
            yield

    def _set_mode(self, root: nn.Module) -> None:
        if self.mode == "eval":
            root.eval()
        if self.batch_norm == "batch":
            for module in root.modules():
                if isinstance(module, _NORMS):
                    module.train()

    def at(self, state: Mapping[str, Tensor]) -> ModelWrapper:
        """The same model elsewhere in parameter space.

        Args:
            state: Parameters, and buffers if they differ too, by name. Values are cast to the type and moved to the
                device of the model's own, which is how a float16 model is evaluated at points formed in float32.
        """
        moved = copy.copy(self)
        moved._known = {}
        moved.parameters = {n: state[n].to(p) for n, p in self.parameters.items()}
        fresh = self.mode == "as-is" or self.batch_norm == "batch"  # a forward pass may change them
        moved.buffers = {
            n: state[n].to(b) if n in state else b.clone() if fresh else b for n, b in self.buffers.items()
        }
        return moved

    def cast(self, dtype: torch.dtype) -> ModelWrapper:
        """The same model with parameters and buffers of another floating-point type, in which it then computes.

        Args:
            dtype: ``torch.float64``, for instance. Inputs must be of it too.
        """

        def changed(tensor: Tensor) -> Tensor:
            return tensor.to(dtype) if tensor.is_floating_point() else tensor

        other = copy.copy(self)
        other._known = {}
        other.parameters = {n: changed(p) for n, p in self.parameters.items()}
        other.buffers = {n: changed(b) for n, b in self.buffers.items()}
        other._batch_norm_data = tree_map_only(Tensor, changed, self._batch_norm_data)
        return other

    def once(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """What ``compute`` gives, computed once at this point, whoever asks under this key.

        Several metrics of one point, for instance the norm of a gradient and a step along it, share it so. It is
        computed anew when a parameter or buffer was changed in place, as training does.
        """
        version = tuple(t._version for t in (*self.parameters.values(), *self.buffers.values()))
        if key not in self._known or self._known[key][0] != version:
            self._known[key] = version, compute()
        return self._known[key][1]

    @property
    def has_statistics(self) -> bool:
        """Whether it has batch-norm layers that keep running statistics."""
        return any(isinstance(m, _NORMS) and m.track_running_stats for m in self._root.modules())

    def with_batch_norm(
        self, policy: str, data: Sequence[Any] = (), forward: Callable[[ModelWrapper, Any], Any] | None = None
    ) -> ModelWrapper:
        """The same model with another policy for batch norm.

        Args:
            policy: ``"stored"``, ``"re-estimated"`` or ``"batch"``.
            data: Batches for ``"re-estimated"``.
            forward: ``forward(model_wrapper, batch)`` evaluates the model for one of them; by default a batch is the
                first argument of the model's forward.
        """
        _check_batch_norm(policy, data)
        changed = copy.copy(self)
        changed._known, changed.batch_norm, changed._batch_norm_data = {}, policy, tuple(data)
        changed._batch_norm_forward = forward
        return changed

    def settled(self) -> ModelWrapper:
        """This point with its batch-norm statistics re-estimated, if that is the policy; else itself.

        They become the plain average over the batches of ``batch_norm_data``.
        """
        if self.batch_norm != "re-estimated":
            return self
        moved = self.at(self.parameters)
        norms = [(n, m) for n, m in moved._root.named_modules() if isinstance(m, _NORMS) and m.track_running_stats]
        before = [(m.momentum, m.training) for _, m in norms]
        names = {self._own(f"{n}.{b}") for n, m in norms for b, _ in m.named_buffers()}
        moved.buffers = {n: torch.zeros_like(b) if n in names else b for n, b in self.buffers.items()}
        try:
            for _, module in norms:
                module.momentum, module.training = None, True  # None: the average over batches
            for batch in self._batch_norm_data:
                moved.forward(batch) if self._batch_norm_forward is None else self._batch_norm_forward(moved, batch)
        finally:
            for (_, module), (momentum, training) in zip(norms, before, strict=True):
                module.momentum, module.training = momentum, training
        return moved

    def private_copy(self) -> ModelWrapper:
        """A copy for one thread, in its mode: parameters share their storage, everything else is copied.

        One module used by two threads at once gives wrong results silently, since ``functional_call`` swaps the
        parameters of the module in place while it runs. A model that cannot be copied (it holds a live environment, a
        lock) is swapped in place, one evaluation at a time, and restored.
        """
        private = copy.copy(self)
        private._known, private.memory = {}, None
        memo: dict[int, Any] = {id(p): p for p in self._root.parameters()}
        try:
            private._root = copy.deepcopy(self._root, memo)
            self._set_mode(private._root)
            private._places = {self._own(n): found for n, found in places(private._root).items()}
        except Exception:
            private._alone = True
        private.buffers = {n: b.clone() for n, b in self.buffers.items()}
        return private

    def compiled(self, **options: Any) -> ModelWrapper:
        """The same private copy, compiled at its first call.

        Args:
            **options: Of ``torch.compile``.
        """
        made = copy.copy(self)
        made._root = torch.compile(self._root, **options)  # type: ignore[assignment]
        return made

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the parameters in ``dtype``: the origin of a subspace, unmoved by later training."""
        return {n: p.to(self.dtype, copy=True) for n, p in self.parameters.items()}

    def watched(self) -> Watched:
        """The parameters in ``dtype``, not copied: for as long as nobody changes them, which is noticed."""
        return Watched(self.parameters, self.dtype)


def _check_batch_norm(policy: str, data: Sequence[Any]) -> None:
    if policy not in BATCH_NORM:
        raise ChoiceError("batch_norm", policy, f"one of {', '.join(BATCH_NORM)}")
    if policy == "re-estimated" and not len(data):
        raise ChoiceError("batch_norm_data", "empty", "batches of inputs, by which statistics are re-estimated")
    if policy != "re-estimated" and len(data):
        raise ChoiceError("batch_norm_data", f"{len(data)} batches", "left out unless batch_norm='re-estimated'")


class GeneralModelWrapper(ModelWrapper):
    """A model of several modules, for instance an agent of two networks, or anything with a forward of its own.

    Args:
        model: What ``forward_fn`` is called with; any object that uses the modules.
        modules: The modules whose parameters span the space: a list (parameters are then named ``"0.weight"``) or a
            mapping from names (``"actor.weight"``).
        forward_fn: ``forward_fn(model, x)``. It must use the model that it is given and none from outside.
        **options: ``parameters``, ``mode``, ``batch_norm``, ``batch_norm_data`` as for ``ModelWrapper``.
    """

    _prefix = "parts."

    def __init__(
        self,
        model: Any,
        modules: Sequence[nn.Module] | Mapping[str, nn.Module],
        forward_fn: Callable[..., Any],
        **options: Any,
    ) -> None:
        named = modules if isinstance(modules, Mapping) else {str(k): m for k, m in enumerate(modules)}
        if not named or not all(isinstance(m, nn.Module) for m in named.values()):
            raise ChoiceError("modules", list(named), "one torch.nn.Module or more")
        self.forward_fn = forward_fn  # type: ignore[method-assign]
        defaults = {"parameters": None, "mode": "eval", "batch_norm": "stored", "batch_norm_data": ()}
        self._set_up(Root(named, model), **{**defaults, **options})


def wrap_model(model: nn.Module | ModelWrapper, **options: Any) -> ModelWrapper:
    """A ``ModelWrapper`` of a network; a wrapper is returned as it is.

    Args:
        model: A network, or a wrapper.
        **options: ``parameters``, ``mode``, ``batch_norm``, ``batch_norm_data`` as for ``ModelWrapper``.

    Raises:
        ChoiceError: If it is neither, or has no floating-point parameter.
    """
    if isinstance(model, ModelWrapper):
        if options:
            raise ChoiceError("model", type(model).__name__, "a module, if it is to be wrapped with options")
        return model
    if not isinstance(model, nn.Module) or hasattr(model, "stateless_call"):  # Keras's on PyTorch are modules too
        expected = "a torch.nn.Module or a ModelWrapper, which wrap_keras, wrap_sklearn and wrap_arrays make of others"
        raise ChoiceError("model", type(model).__name__, expected)
    return ModelWrapper(model, **options)
