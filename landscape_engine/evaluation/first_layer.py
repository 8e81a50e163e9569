"""The first layer is affine in the coordinates of a line or plane: products that are computed once serve all points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..metrics.base import Metric
from ..metrics.data import tensors
from ..parameters import Parameters
from ..subspaces import AffineSubspace

MEMORY = 2**30  # bytes that all products may take
LAYERS = (F.linear, torch.conv1d, torch.conv2d, torch.conv3d, F.conv1d, F.conv2d, F.conv3d)


@final
class FirstLayer(TorchFunctionMode):
    r"""Answers layers whose input is the data itself by :math:`W(c) x = W_0 x + \sum_k c_k D_k x`.

    The products with the origin and with the directions are computed at the first point, one for each batch. A layer
    is answered only if its weight is the very tensor that stands for a parameter at this point, and its input a view
    of the data that the metrics hold, unchanged since; anything else is computed as it is. Nothing is answered under
    autocast or where gradients are recorded.

    Args:
        subspace: Where the points are.
        metrics: Whose data are held.
    """

    def __init__(self, subspace: AffineSubspace, metrics: Sequence[Metric]) -> None:
        super().__init__()
        self._terms: tuple[Parameters, ...] = (subspace.origin, *subspace.directions)
        batches = [b for m in metrics if m.data is not None for b in m.data.batches()]
        self._held = {t.untyped_storage().data_ptr() for b in batches for t in tensors(b) if t.is_floating_point()}
        self._kept = batches  # so that no other tensor takes their place in memory
        self._products: dict[tuple[Any, ...], Tensor | None] = {}
        self._room = MEMORY
        self._names: Mapping[int, str] = {}
        self._shares: Sequence[float] = ()

    @contextmanager
    def at(self, coordinates: Sequence[float], parameters: Parameters) -> Iterator[None]:
        """Answer layers of the model that has these parameters, at a point."""
        self._names = {id(t): n for n, t in parameters.items()}
        self._shares = (1.0, *map(float, coordinates))
        with self:
            yield

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in LAYERS and len(args) > 1:
            found = self._answer(func, args, kwargs)
            if found is not None:
                return found
        return func(*args, **kwargs)

    def _answer(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
        inputs, weight, *rest = args
        name = self._names.get(id(weight))
        if name is None or not isinstance(inputs, Tensor) or torch.is_grad_enabled() or torch.is_autocast_enabled():
            return None
        storage = inputs.untyped_storage().data_ptr()
        if storage not in self._held or weight.dtype != self._terms[0][name].dtype:
            return None
        bias, options = (rest[0], rest[1:]) if rest else (kwargs.get("bias"), ())
        others = {k: v for k, v in kwargs.items() if k != "bias"}
        key = (func, name, inputs.data_ptr(), inputs._version, inputs.shape, inputs.stride(), str(options), str(others))
        if key not in self._products:
            self._products[key] = self._multiply(func, inputs, name, options, others)
        products = self._products[key]
        if products is None:
            return None
        shares = torch.tensor(self._shares, dtype=products.dtype, device=products.device)
        found = (shares @ products.flatten(1)).view(products.shape[1:])
        if bias is None:
            return found
        return found.add_(bias if func is F.linear else bias.reshape(-1, *[1] * (weight.ndim - 2)))

    def _multiply(
        self, func: Any, inputs: Tensor, name: str, options: Sequence[Any], others: Mapping[str, Any]
    ) -> Tensor | None:
        """The products with all terms, (terms, *outputs); None if they take too much memory."""
        first = func(inputs, self._terms[0][name], None, *options, **others)
        size = first.numel() * first.element_size() * len(self._terms)
        if size > self._room:
            return None
        self._room -= size
        rest = [func(inputs, term[name], None, *options, **others) for term in self._terms[1:]]
        return torch.stack([first, *rest])
