"""Linear layers of many points at once, with the examples innermost in memory."""

from __future__ import annotations

from typing import Any, final

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


@final
class Products(TorchFunctionMode):
    """Within ``vmap``, linear layers of rows of features leave the rows innermost; anything else is as it is.

    Small layers have few features and many rows. Rows innermost are what a product, a bias, an activation and a softmax
    can all take a whole vector of at a time.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear and not kwargs and len(args) == 3 and args[2] is not None:
            inputs, weight, bias = args
            if inputs.ndim == weight.ndim == 2:
                return torch.mm(weight, inputs.mT).add_(bias[:, None]).mT
        return func(*args, **(kwargs or {}))
