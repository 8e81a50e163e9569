"""How near a plain evaluation comes to what the processor can do: its multiplications a second by a matrix product's.

The operations of a forward pass are counted by PyTorch. The matrix product is the fastest of several sizes, in turn
with the evaluations, as many of it as make the same work. It moves nothing but two squares that stay in the cache, so
1 cannot be reached where layers are narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import landscape_engine as le
from landscape_engine.metrics import Loss

from ..measure import Row, ratio, seconds
from .evaluation import cases

SIZES, EVALUATIONS = {"cpu": (256, 512, 1024), "cuda": (1024, 4096, 8192)}, 10
LIMITS = {"MLP 784": 0.9, "MLP 3072": 0.9, "digits_cnn": 0.7}


def best_product(device: str) -> tuple[Callable[[], object], int]:
    """The matrix product of the highest rate, and its floating-point operations."""
    found = []
    for size in SIZES[device]:
        a, b = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
        product, operations = partial(torch.mm, a, b), 2 * size**3
        product()
        found.append((operations / min(seconds(product, device) for _ in range(5)), product, operations))
    _, product, operations = max(found, key=lambda rate: rate[0])
    return product, operations


def rows(device: str) -> Iterator[Row]:
    """The share of the best rate, for each network."""
    for case in cases():
        limit = next((limit for name, limit in LIMITS.items() if case.name.startswith(name)), None)
        if limit is None:
            continue
        model, inputs, targets = case.model.to(device), case.inputs.to(device), case.targets.to(device)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(inputs)
        evaluator = le.Evaluator(le.Plane.random(model), Loss(F.cross_entropy, inputs, targets), strategy="loop")
        points = [(0.1 * k, -0.2 * k) for k in range(1, EVALUATIONS + 1)]
        evaluator.many(points)
        product, operations = best_product(device)
        work = EVALUATIONS * counter.get_total_flops()
        times = -(-work // operations)

        def products(product: Callable[[], object] = product, times: int = times) -> None:
            for _ in range(times):
                product()

        def forward(model: nn.Module = model, inputs: Tensor = inputs) -> None:
            with torch.no_grad():
                for _ in range(EVALUATIONS):
                    model(inputs)

        scale = work / (times * operations)
        found, bare = (ratio(products, f, scale, device) for f in (partial(evaluator.many, points), forward))
        what = f"{case.name}: operations a second, plain loop"
        note = f"{bare:.2g} by PyTorch's forward pass alone"
        note += "; products are so short there that starting them is most of a point" * (device != "cpu")
        yield Row(what, "the best matrix product", found, limit, note=note)
