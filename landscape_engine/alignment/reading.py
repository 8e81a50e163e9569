"""A model's forward, run on symbols that know the order of units and no numbers."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_any, tree_flatten, tree_map

from ..errors import ChoiceError, StructureError
from ..models import GeneralModelWrapper, ModelWrapper
from .axes import NEEDS_EXAMPLE, Equations, Refusal, fixed
from .layouts import Count, Layout, fit, fix, stays
from .rules import LAYERS, name_of, rule_of
from .symbols import DEPENDS_ON_DATA, FACTS, NUMBERS, Symbol, fact

_UNKNOWN = (
    "what it does to the order of its units is not known. Linear, convolution, norm, embedding, pooling, dropout and "
    "activation layers, sums, products, concatenation and reshaping are: build the model of those, or align the part "
    "of it that is"
)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


@final
class _Mode(TorchFunctionMode):
    """Sees the operations on parameters and buffers alone, in which there is no symbol."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = tree_flatten((args, kwargs))[0]
        if any(isinstance(x, Symbol) for x in given) or any(self.reader.holds(x) for x in given):
            return self.reader.apply(name_of(function), function, args, kwargs)
        return function(*args, **kwargs)


def arguments(example: Any) -> tuple[Any, ...]:
    """What a forward is called with for an example: a batch, or several of them."""
    return tuple(example) if isinstance(example, tuple | list) else (example,)


@final
class Reader:
    """Runs a model on symbols, and collects what its operations demand.

    Args:
        model: The model; a private copy of it is run.
        example: A batch of inputs, or a tuple of them, one for each argument of the forward.

    Attributes:
        equations: What is demanded.
        layouts: The axes of each parameter and buffer that the forward uses, by name.

    Raises:
        StructureError: If anything in the forward is not known.
    """

    def __init__(self, model: ModelWrapper, example: Any = None) -> None:
        self.equations, self.layouts = Equations(), dict[str, Layout]()
        self._model, self._private = model, model.private_copy()
        self._modules = self._private.modules()
        if set(map(id, self._modules.values())) & set(map(id, model.modules().values())):
            kind = type(model.get_model()).__name__
            raise StructureError(
                f"the model ({kind}) cannot be aligned: it cannot be copied. Take out of it what is no network.",
                layer="",
                kind=kind,
            )
        self._refusal: StructureError | None = None
        self._stack: list[tuple[str, nn.Module]] = [("", self._modules.get("", nn.Module()))]
        self._names = self._held()
        self.device, self._off = next(iter(model.parameters.values())).device, False
        self._run(example)

    def _held(self) -> dict[int, tuple[str, str, Tensor]]:
        """Of each parameter and buffer its name and what its axes are called after."""
        held: dict[int, tuple[str, str, Tensor]] = {}
        for name, tensor in self._private.tensors().items():
            path = name.rpartition(".")[0]
            called = path if path and type(self._modules.get(path)) in LAYERS else name
            held.setdefault(id(tensor), (name, called, tensor))
        return held

    def holds(self, x: object) -> bool:
        """Whether this is a parameter or buffer of the model."""
        return isinstance(x, Tensor) and id(x) in self._names and not self._off

    def _run(self, example: Any) -> None:
        for path, module in {id(m): (p, m) for p, m in reversed(self._modules.items())}.values():
            if isinstance(module, torch.jit.ScriptModule):
                self._stack.append((path, module))
                raise self._refused("it is TorchScript, which cannot be looked into")
            module.forward = self._followed(path, module, getattr(module, "_orig_mod", module.forward))
        subject, forward = self._private.get_model(), self._private.forward_fn
        inputs = [self._input(x) for x in self._examples(example, subject, forward)]
        try:
            with torch.no_grad(), _Mode(self):
                outputs = forward(subject, *inputs)
        except StructureError:
            raise
        except (Exception, Refusal) as error:
            raise self._refused(_told(error)) from error
        if self._refusal is not None:  # the model caught it, and went another way than it goes for tensors
            raise self._refusal
        for output in tree_flatten(outputs)[0]:
            if isinstance(output, Symbol) or self.holds(output):
                fix(self.equations, self._layouts(output))
            elif not isinstance(output, Tensor | int | float | str | None):
                raise self._refused(f"its output is a {type(output).__name__}, which holds tensors in an unknown way")

    def _examples(self, example: Any, subject: Any, forward: Callable[..., Any]) -> Sequence[Any]:
        if example is not None:
            return arguments(example)
        own = isinstance(self._private, GeneralModelWrapper) or not isinstance(subject, nn.Module)
        signature = inspect.signature(forward if own else type(subject).forward)
        names = list(signature.parameters.values())[1:]
        needed = [p for p in names if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        return [None] * (len(needed) or 1)

    def _input(self, example: Any) -> Any:
        if example is None:
            return Symbol.of(self, Layout((), fixed()))
        return tree_map(lambda x: self._constant(x.clone()) if isinstance(x, Tensor) else x, example)

    def _constant(self, value: Tensor) -> Symbol:
        return Symbol.of(self, fit(self.equations, Layout((), fixed()), value.shape), value)

    def _followed(self, path: str, module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        replaced = "forward" in vars(module)  # somebody's own, which hides that of the class
        layer = forward if replaced else self._layer(module, forward)

        def follow(*args: Any, **kwargs: Any) -> Any:
            if self._off:
                return forward(*args, **kwargs)
            self._stack.append((path, module))
            try:
                return layer(*args, **kwargs)
            except StructureError:
                raise
            except (Exception, Refusal) as error:
                raise self._refused(_told(error)) from error
            finally:
                self._stack.pop()

        return follow

    def _layer(self, module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        """The forward of a module for symbols."""
        rule = LAYERS.get(type(module))
        if rule is not None:
            following = partial(rule, self.equations, module, self._of(module))
            return lambda *args, **kwargs: self._result(forward, following, args, kwargs, layer=True)
        if not type(module).__module__.startswith("torch.nn.") or isinstance(module, _CONTAINERS):
            return forward
        tensors = [*module.parameters(), *module.buffers()]
        return lambda *args, **kwargs: self._result(forward, None, args, kwargs, layer=bool(tensors))

    def _of(self, module: nn.Module) -> Callable[[str], Layout | None]:
        def held(name: str) -> Layout | None:
            tensor = getattr(module, name, None)
            if isinstance(tensor, Symbol):
                return tensor.order
            return None if tensor is None else self.layout_of(tensor)

        return held

    def layout_of(self, tensor: Tensor) -> Layout:
        """The axes of a tensor: of a parameter or buffer one unknown each; those of a constant stay."""
        if id(tensor) not in self._names:
            if tensor.is_meta:
                raise Refusal("it computes outside of PyTorch's functions")
            return fit(self.equations, Layout((), fixed()), tensor.shape)
        name, called, _ = self._names[id(tensor)]
        if name not in self.layouts:
            self.layouts[name] = Layout(tuple(self.equations.fresh(called, n) for n in tensor.shape))
        return self.layouts[name]

    def apply(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The result of an operation on symbols, or on parameters and buffers."""
        if name in NUMBERS:
            raise self._refused(DEPENDS_ON_DATA)
        rule = rule_of("detach" if name == "data" else name)
        try:
            if name in FACTS:
                return self._fact(name, function, args, kwargs)
            if kwargs.get("out") is not None:
                raise Refusal("it writes to a tensor that is given (out=)")
            if args and self.holds(args[0]) and (name.endswith("_") and name[-2:] != "__" or name.startswith("__i")):
                raise Refusal("it changes a parameter or buffer while the model runs")
            return self._result(function, None if rule is None else partial(rule, self.equations), args, kwargs)
        except (Refusal, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise self._refused(_told(error), (name or getattr(function, "__name__", "")).strip("_")) from error

    def _fact(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if isinstance(args[0], Symbol) and args[0].value is None:
            return fact(name, args[0], *args[1:], *kwargs.values())
        return function(*(x.value if isinstance(x, Symbol) else x for x in args), **kwargs)

    def _result(
        self, function: Callable[..., Any], rule: Callable[..., Any] | None, args: Any, kwargs: Any, layer: bool = False
    ) -> Any:
        try:
            if rule is None:
                raise Refusal(_UNKNOWN)
            layout = rule(*self._layouts(args), **self._layouts(kwargs))
        except Refusal:
            given = tree_flatten((args, kwargs))[0]
            moving = [x for x in given if isinstance(x, Symbol) and not stays(self.equations, x.order)]
            if moving or any(self.holds(x) for x in given) or layer:
                raise
            return self._unmoved(self._value(function, args, kwargs))
        value = self._value(function, args, kwargs)
        if isinstance(layout, tuple):
            values = value if value is not None else itertools.repeat(None, len(layout))
            return tuple(self._symbol(x, v) for x, v in zip(layout, values, strict=True))
        return self._symbol(layout, value)

    def _unmoved(self, value: Any) -> Any:
        """The result of whatever is done to tensors none of whose entries moves."""
        if value is None:
            return Symbol.of(self, Layout((), fixed()))
        if not all(isinstance(x, Tensor) for x in tree_flatten(value)[0]):
            raise Refusal(DEPENDS_ON_DATA)
        return tree_map(self._constant, value)

    def _symbol(self, layout: Layout, value: Any) -> Symbol:
        return Symbol.of(self, layout if value is None else fit(self.equations, layout, value.shape), value)

    def _layouts(self, given: Any) -> Any:
        def layout(x: Any) -> Any:
            return x.order if isinstance(x, Symbol) else self.layout_of(x) if isinstance(x, Tensor) else x

        return tree_map(layout, given)

    def _value(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """What the operation gives for the example, if there is one."""
        if tree_any(lambda x: isinstance(x, Symbol) and x.value is None, (args, kwargs)):
            return None
        alone = not tree_any(lambda x: isinstance(x, Symbol), (args, kwargs))  # it may write to a parameter

        def of(x: Any) -> Any:
            return x.value if isinstance(x, Symbol) else x.clone() if alone and isinstance(x, Tensor) else x

        args, kwargs = tree_map(of, (args, kwargs))
        self._off = True
        try:
            return function(*args, **kwargs)
        finally:
            self._off = False

    def _refused(self, reason: str, operation: str = "") -> StructureError:
        path, module = self._stack[-1]
        kind = type(module if path else self._model.get_model()).__name__
        where = f"layer '{path}' ({kind})" if path else f"the model ({kind})"
        what = f"the operation '{operation}' in {where}" if operation else where
        self._refusal = StructureError(f"{what} cannot be aligned: {reason.rstrip('.')}.", layer=path, kind=kind)
        return self._refusal


def _told(error: BaseException) -> str:
    if isinstance(error, Refusal):
        return str(error)
    said = str(error).strip().splitlines()
    if isinstance(error, TypeError) and Count.__name__ in str(error):
        return NEEDS_EXAMPLE
    return (
        f"its forward cannot be followed ({type(error).__name__}{': ' + said[0] if said else ''}). Write it with "
        "operations on tensors only, and pass example=, a batch of inputs that the model takes"
    )


def check_example(example: Any) -> None:
    """Raise unless an example is a batch of inputs, or a tuple of them."""
    if example is not None and not tree_any(lambda x: isinstance(x, Tensor), example):
        raise ChoiceError("example", type(example).__name__, "a batch of inputs, or a tuple of them")
