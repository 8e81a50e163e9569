"""Symbols that stand for tensors while a model's forward runs: they know the order of units, and no numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, final

import torch
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

# What a tensor tells of itself that does not depend on its values.
FACTS = """
shape size ndim dim ndimension __len__ numel nelement stride is_contiguous is_floating_point is_complex element_size
get_device dtype device requires_grad is_cuda is_cpu is_meta is_nested is_quantized is_mkldnn is_sparse is_leaf layout
itemsize
""".split()
NUMBERS = "__bool__ __int__ __float__ __complex__ __index__ __contains__ __array__ item tolist numpy is_nonzero".split()
"""What reads values out of a tensor."""

_EMPTY = torch.empty(0, device="meta")  # without a value: what escapes the symbols cannot be taken for a result


@final
class Symbol(Tensor):
    """Stands for a tensor, and is one for whoever asks; its entries are never computed with.

    Attributes:
        reader: Who runs the forward.
        order: What is known of its axes.
        value: What it is for the example, if there is one.
    """

    reader: Reader
    order: Layout
    value: Any

    @staticmethod
    def of(reader: Reader, order: Layout, value: Any = None) -> Symbol:
        """A new symbol."""
        found: Symbol = Tensor._make_subclass(Symbol, _EMPTY)
        found.reader, found.order, found.value = reader, order, value
        return found

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Every operation on symbols and every question to one comes here."""
        given = tree_flatten((args, kwargs or {}))[0]
        reader = next(x.reader for x in given if isinstance(x, Symbol))
        return reader.apply(name_of(function), function, args, kwargs or {})


def _method(name: str) -> Callable[..., Any]:
    def method(self: Symbol, *args: Any, **kwargs: Any) -> Any:
        return self.reader.apply(name, getattr(Tensor, name), (self, *args), kwargs)

    method.__doc__ = f"As ``Tensor.{name}``, of sizes that may not be known."
    return method


for _name in "view reshape expand unflatten split chunk".split():  # PyTorch itself refuses sizes that are not known
    setattr(Symbol, _name, _method(_name))


def fact(name: str, symbol: Symbol, *args: Any) -> Any:
    """What can be told of a symbol when its shape is not known.

    Raises:
        Refusal: If it cannot be told.
    """
    sizes = _Sizes(symbol)
    if name == "shape" or (name == "size" and not args):
        return sizes
    if name == "size":
        return sizes[args[0]]
    if name in ("dim", "ndim", "ndimension"):
        return len(sizes)
    if name == "device":
        return symbol.reader.device
    if name in ("is_nested", "is_quantized", "is_mkldnn", "is_sparse"):
        return False
    raise Refusal(NEEDS_EXAMPLE)


@final
class _Sizes:
    """The shape of a symbol that may not be known."""

    def __init__(self, symbol: Symbol) -> None:
        self._order, self._equations = symbol.order, symbol.reader.equations

    def __getitem__(self, dim: Any) -> Any:
        return self._order.size(self._equations, dim) if isinstance(dim, int) else tuple(self)[dim]

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __len__(self) -> int:
        if self._order.open:
            raise Refusal(NEEDS_EXAMPLE)
        return len(self._order.axes)

    def __eq__(self, other: object) -> bool:
        raise Refusal(NEEDS_EXAMPLE)

    __hash__ = object.__hash__
