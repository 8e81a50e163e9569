"""Symbols that stand for tensors while a model's forward runs: they know the order of units, and no numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, final

from torch import Tensor
from torch.utils._pytree import tree_flatten

from .axes import NEEDS_EXAMPLE, Refusal
from .layouts import Layout
from .rules import name_of

if TYPE_CHECKING:
    from .reading import Reader

DEPENDS_ON_DATA = (
    "its forward depends on the values of the data. Write it without branches and numbers that are read from tensors, "
    "or align the part of it that has none"
)

PROPERTIES = set("shape ndim dtype device requires_grad is_cuda layout is_leaf is_sparse itemsize".split())
"""What a tensor tells of itself that does not depend on its values."""


class Symbol:
    """Stands for a tensor; ``value`` is what it is for the example, if there is one."""

    def __init__(self, reader: Reader, layout: Layout, value: Any = None) -> None:
        self.reader, self.layout, self.value = reader, layout, value

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = tree_flatten((args, kwargs or {}))[0]
        reader = next(x.reader for x in given if isinstance(x, Symbol))
        return reader.apply(name_of(function), function, args, kwargs or {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(Tensor, name):
            raise AttributeError(f"a tensor has no attribute {name!r}")
        if callable(getattr(Tensor, name)):
            return self._method(name)
        if name not in PROPERTIES:
            return self.reader.apply("detach" if name == "data" else name, getattr(Tensor, name).__get__, (self,), {})
        if self.value is not None:
            return getattr(self.value, name)
        if name == "device":
            return self.reader.device
        raise Refusal(NEEDS_EXAMPLE)

    def _method(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.reader.apply(name, getattr(Tensor, name), (self, *args), kwargs)

    @property
    def shape(self) -> Any:
        """Known, or as numbers that are not."""
        if self.value is not None:
            return self.value.shape
        return _Sizes(self)

    @property
    def ndim(self) -> int:
        """How many axes."""
        return self.dim()

    def dim(self) -> int:
        """How many axes."""
        if self.value is not None:
            return self.value.dim()
        if self.layout.open:
            raise Refusal(NEEDS_EXAMPLE)
        return len(self.layout.axes)

    def size(self, dim: int | None = None) -> Any:
        """Of one axis, or of all."""
        return self.shape if dim is None else self.shape[dim]

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Symbol]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        return self._method("__getitem__")(index)

    def __bool__(self) -> bool:
        raise Refusal(DEPENDS_ON_DATA)

    def _refuse(self, *_: object) -> Any:
        """No number is known."""
        raise Refusal(DEPENDS_ON_DATA)

    __int__ = __float__ = __index__ = __contains__ = __array__ = _refuse
    item = tolist = numpy = _refuse
    __hash__ = object.__hash__


def _operator(name: str) -> Callable[..., Any]:
    return lambda self, *args: self._method(name)(*args)


for _name in """
__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __floordiv__ __rfloordiv__ __pow__ __rpow__
__mod__ __rmod__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __and__ __or__ __xor__ __neg__ __abs__ __invert__ __pos__
__matmul__ __rmatmul__
""".split():
    setattr(Symbol, _name, _operator(_name))


@final
class _Sizes:
    """The shape of a symbol that may not be known."""

    def __init__(self, symbol: Symbol) -> None:
        self._symbol = symbol

    def __getitem__(self, dim: Any) -> Any:
        if isinstance(dim, int):
            return self._symbol.layout.size(self._symbol.reader.equations, dim)
        return tuple(self)[dim]

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __len__(self) -> int:
        return self._symbol.dim()

    def __eq__(self, other: object) -> bool:
        raise Refusal(NEEDS_EXAMPLE)

    __hash__ = object.__hash__
