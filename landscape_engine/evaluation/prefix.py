"""What a model computes before the point matters: tensors that are constant, or affine in the coordinates."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor

from ..metrics.data import replace, tensors
from ..models import ModelWrapper
from ..subspaces import AffineSubspace

MEMORY = 2**30  # bytes that all known tensors may take

Argument = tuple[int, str]
INPUT = (0, "input")


class Rule(NamedTuple):
    """In which of its arguments a function is affine.

    Attributes:
        factors: Of these, one may vary.
        addends: All of these may vary.
        fixed: These may not, and must be there.
    """

    factors: tuple[Argument, ...] = (INPUT,)
    addends: tuple[Argument, ...] = ()
    fixed: tuple[Argument, ...] = ()


_PRODUCT = Rule((INPUT, (1, "weight")), ((2, "bias"),))
_SUM = Rule((), (INPUT, (1, "other")))
_NORM = Rule((INPUT, (3, "weight")), ((4, "bias"),), ((1, "running_mean"), (2, "running_var")))
RULES: dict[Callable[..., Any], Rule] = {
    **dict.fromkeys((F.linear, F.conv1d, F.conv2d, F.conv3d), _PRODUCT),
    **dict.fromkeys((torch.add, Tensor.add, torch.sub, Tensor.sub), _SUM),
    **dict.fromkeys((Tensor.__add__, Tensor.__radd__, Tensor.__sub__), _SUM),
    F.batch_norm: _NORM,
    **dict.fromkeys((torch.flatten, Tensor.flatten, Tensor.unflatten, torch.unflatten), Rule()),
    **dict.fromkeys((torch.reshape, Tensor.reshape, Tensor.view, Tensor.contiguous), Rule()),
    **dict.fromkeys((torch.transpose, Tensor.transpose, torch.permute, Tensor.permute), Rule()),
    **dict.fromkeys((F.avg_pool1d, F.avg_pool2d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d), Rule()),
}
_GETTERS = ("shape", "dtype", "device", "ndim", "layout", "is_cuda", "requires_grad", "is_sparse", "_version")
QUESTIONS = {getattr(Tensor, n).__get__ for n in _GETTERS} | {Tensor.size, Tensor.dim, Tensor.numel, Tensor.stride}
QUESTIONS |= {
    Tensor.is_floating_point,
    Tensor.is_contiguous,
    Tensor.__len__,
    Tensor.is_complex,
    torch.is_floating_point,
}


@final
class _Node:
    """A tensor as it is at every point: its value at the origin, and its changes along the directions.

    Attributes:
        terms: The value, and one change a direction, None where there is none; only the value if it is constant.
        made: By function and arguments, what was computed from it; None where that is not known.
    """

    def __init__(self, terms: Sequence[Tensor | None]) -> None:
        value = terms[0]
        assert value is not None
        self.value, self.terms = value, tuple(terms) if any(t is not None for t in terms[1:]) else (value,)
        self.made: dict[Any, _Node | None] = {}
        self._versions = self._now()

    def _now(self) -> list[int]:
        return [t._version for t in self.terms if t is not None]

    @property
    def varies(self) -> bool:
        return len(self.terms) > 1

    def check(self) -> None:
        """Raise if a model has changed it in place, behind our back."""
        if self._versions != self._now():
            raise RuntimeError("a tensor that serves several points was changed in place")


class Known(Tensor):
    """A tensor of which all terms are known. What cannot be computed from these is computed from its value."""

    node: _Node
    prefix: Prefix
    owner: str | None
    plain: Tensor | None

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in QUESTIONS:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        known = next(t for t in tensors((args, kwargs)) if isinstance(t, Known))
        return known.prefix.compute(func, args, kwargs)


@final
class Prefix:
    r"""Computes once what a model does before the point matters, which is then the same at all points.

    The data are constant, and so is what layers make of them whose parameters the subspace leaves alone. The first
    layer that it moves is affine in the coordinates, :math:`W(c) x = W_0 x + \sum_k c_k D_k x`, and stays so through
    batch norm with stored statistics, sums, means and reshaping. The terms are computed at the first point, for each
    batch; later ones add them up. From the first function on that is not affine, all is computed as it is.

    Args:
        subspace: Where the points are.
        model: A private copy of the model.
        batches: The data that the metrics hold.
    """

    def __init__(self, subspace: AffineSubspace, model: ModelWrapper, batches: Sequence[Any] = ()) -> None:
        self._subspace, self._model = subspace, model
        moving = {n: [d[n] if bool(d[n].any()) else None for d in subspace.directions] for n in subspace.origin}
        self._nodes = {n: _Node((o, *moving[n])) for n, o in subspace.origin.items()}
        self._nodes |= {n: _Node((b,)) for n, b in model.buffers.items()}
        self.hold(batches)
        self._used: set[str] = set()
        self._asked: set[str] = set()
        self._shares: tuple[float, ...] = ()

    def hold(self, batches: Any) -> None:
        """Know these data, and no others any more."""
        self._room = MEMORY
        self._data = {self._place(t): _Node((t,)) for t in tensors(batches)}

    @staticmethod
    def _place(t: Tensor) -> Any:
        return t.data_ptr(), t.shape, t.stride(), t.dtype

    def at(self, coordinates: Sequence[float]) -> ModelWrapper:
        """The model at a point, before whose calls its tensors become known ones."""
        self._shares = (1.0, *map(float, coordinates))
        plain = self._asked - self._used  # of these, only the values matter
        states = {n: self._value(node) if n in plain else node.value for n, node in self._nodes.items()}
        moved = self._model.at(states)
        known = {n: self._known(node, n) for n, node in self._nodes.items() if n not in plain}
        moved.parameters = {n: known.get(n, t) for n, t in moved.parameters.items()}
        moved.buffers = {n: known.get(n, t) for n, t in moved.buffers.items()}
        moved.call = functools.partial(self._call, self._shares, moved.call)  # type: ignore[method-assign]
        return moved

    def _call(
        self,
        shares: tuple[float, ...],
        call: Callable[..., Any],
        function: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        self._shares = shares

        def given(t: Tensor) -> Tensor:
            node = self._data.get(self._place(t)) if type(t) is Tensor else None
            return t if node is None else self._known(node)

        return replace(call(function, *replace(args, given), **replace(kwargs, given)), self._plain)

    def _known(self, node: _Node, name: str | None = None) -> Known:
        node.check()
        known = node.value.as_subclass(Known)
        known.node, known.prefix, known.owner, known.plain = node, self, name, None
        return known

    def _value(self, node: _Node) -> Tensor:
        value = node.value
        for share, term in zip(self._shares[1:], node.terms[1:], strict=False):
            if term is not None and share:
                value = torch.add(value, term, alpha=share) if value is node.value else value.add_(term, alpha=share)
        return value

    def _plain(self, t: Tensor) -> Tensor:
        """Its value at this point, formed when it is first asked for."""
        if not isinstance(t, Known):
            return t
        if t.plain is None:
            t.plain = self._value(t.node)
            self._asked |= {t.owner} if t.owner else set()
        return t.plain

    def compute(self, func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
        """What a function gives, known if that can be."""
        if _in_place(func, kwargs):
            for t in tensors((args, kwargs)):
                if isinstance(t, Known):
                    t.plain, t.owner = self._plain(t).clone(), None
        else:
            key = (func, self._described(args), self._described(kwargs))
            if None not in key and not torch.is_grad_enabled() and not torch.is_autocast_enabled():
                found = self._follow(key, func, args, kwargs)
                if found is not None:
                    return self._known(found)
        return func(*replace(args, self._plain), **replace(kwargs, self._plain))

    def _described(self, value: Any) -> Any:
        """Something equal for equal arguments at any point; None if there is no telling."""
        if isinstance(value, Known):
            return id(value.node) if value.plain is None or value.owner else None
        if isinstance(value, tuple | list | dict):
            entries = value.items() if isinstance(value, dict) else value
            found = tuple(self._described(v) for v in entries)
            return None if None in found else found
        plain = value is None or isinstance(value, bool | int | float | str | slice | torch.dtype | type(...))
        return repr(value) if plain else None

    def _follow(self, key: Any, func: Callable[..., Any], args: Any, kwargs: Any) -> _Node | None:
        known = [t for t in tensors((args, kwargs)) if isinstance(t, Known)]
        made = known[0].node.made
        if key not in made:
            made[key] = self._make(func, args, kwargs, [t.node for t in known])
        if made[key] is not None:
            self._used |= {t.owner for t in known if t.owner}
        return made[key]

    def _make(self, func: Callable[..., Any], args: Any, kwargs: Any, nodes: Sequence[_Node]) -> _Node | None:
        varying = [node for node in nodes if node.varies]
        rule = RULES.get(func)
        if varying and (rule is None or not _is_affine(rule, args, kwargs)):
            return None

        def term(k: int | None) -> Any:
            """Of the k-th terms of what varies; of nothing but what does not, for None."""

            def chosen(t: Tensor) -> Tensor:
                if not isinstance(t, Known) or not t.node.varies:
                    return t.node.value if isinstance(t, Known) else t
                found = None if k is None else t.node.terms[k]
                return torch.zeros_like(t.node.value) if found is None else found

            return func(*replace(args, chosen), **replace(kwargs, chosen))

        value = term(0)
        size = value.numel() * value.element_size() if isinstance(value, Tensor) else self._room + 1
        if size * (1 + (len(self._subspace.directions) if varying else 0)) > self._room:
            return None
        self._room -= size * (1 + (len(self._subspace.directions) if varying else 0))
        if not varying or rule is None:
            return _Node((value,))
        offset = term(None) if _has_offset(rule, args, kwargs) else None
        moved = [k for k in range(1, len(self._shares)) if any(n.terms[k] is not None for n in varying)]
        changes = {k: term(k) if offset is None else term(k) - offset for k in moved}
        return _Node((value, *(changes.get(k) for k in range(1, len(self._shares)))))


def _in_place(func: Callable[..., Any], kwargs: Mapping[str, Any]) -> bool:
    name = getattr(func, "__name__", "")
    dunder = name.startswith("__i") or name == "__setitem__"
    return dunder or (name.endswith("_") and not name.endswith("__")) or "out" in kwargs or bool(kwargs.get("inplace"))


def _argument(place: Argument, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return args[place[0]] if place[0] < len(args) else kwargs.get(place[1])


def _varies(value: Any) -> bool:
    return isinstance(value, Known) and value.node.varies


def _is_affine(rule: Rule, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    factors, fixed = ([_argument(p, args, kwargs) for p in places] for places in (rule.factors, rule.fixed))
    in_training = bool(rule.fixed) and bool(_argument((5, "training"), args, kwargs))
    stays = all(isinstance(t, Tensor) and not _varies(t) for t in fixed)
    return sum(map(_varies, factors)) <= 1 and stays and not in_training


def _has_offset(rule: Rule, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether something is added that does not vary."""
    added = [_argument(p, args, kwargs) for p in (*rule.addends, *rule.fixed)]
    return any(t is not None and not _varies(t) for t in added)
