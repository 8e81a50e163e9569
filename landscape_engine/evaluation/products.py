"""A linear layer of many points is one batched product."""

from __future__ import annotations

from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _Linear(torch.autograd.Function):
    """A linear layer of rows of features; for many weights at once, with the rows innermost in memory.

    Small layers have few features and many rows. Rows innermost are what a product, a bias, an activation and a softmax
    can all take a whole vector of at a time.
    """

    @staticmethod
    def forward(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(inputs, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[Tensor, int]:
        size = info.batch_size
        inputs, weight, bias = (
            t.expand(size, *t.shape) if dim is None else t.movedim(dim, 0)
            for t, dim in zip(tensors, in_dims, strict=True)
        )
        return torch.baddbmm(bias[..., None], weight, inputs.mT).mT, 0


@final
class Products(TorchFunctionMode):
    """Within ``vmap``, linear layers of rows of features are batched products; anything else is as it is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear and not kwargs and len(args) == 3 and args[2] is not None:
            inputs, weight, _ = args
            if inputs.ndim == weight.ndim == 2:
                return _Linear.apply(*args)
        return func(*args, **(kwargs or {}))
