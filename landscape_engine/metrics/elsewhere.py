"""The same metrics on other examples: on some of them, or in another type of numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from .base import Metric
from .data import Examples

__all__ = ["in_type", "on_subset"]


def on_subset(metrics: Sequence[Metric], size: int, seed: int = 0) -> list[Metric]:
    """The metrics on a random subset of the examples of each; see ``Examples.subset``.

    Args:
        metrics: Those of one pipeline. One without examples stays as it is.
        size: Examples.
        seed: Of the choice.
    """
    return _changed(metrics, lambda data: data.subset(size, seed), lambda module: module)


def in_type(metrics: Sequence[Metric], dtype: torch.dtype) -> list[Metric]:
    """The metrics on the same examples in another floating-point type, class weights of a loss included.

    Args:
        metrics: Those of one pipeline.
        dtype: Of inputs and of targets that are not class indices.
    """
    return _changed(metrics, lambda data: data.cast(dtype), lambda module: copy.deepcopy(module).to(dtype))


def _changed(
    metrics: Sequence[Metric], examples: Callable[[Examples], Examples], module: Callable[[nn.Module], nn.Module]
) -> list[Metric]:
    """Copies of metrics in which examples and modules are changed; what they share, they share again."""
    made: dict[int, Any] = {}
    seen: list[Examples] = []

    def new(old: Any) -> Any:
        if id(old) not in made:
            made[id(old)] = _data(old) if isinstance(old, Examples) else _metric(old)
        return made[id(old)]

    def _data(old: Examples) -> Examples:
        same = next((e for e in seen if e.is_same_as(old)), None)
        seen.append(old)
        return examples(old) if same is None else old.sharing(made[id(same)])

    def _metric(old: Metric) -> Metric:
        copied = copy.copy(old)
        for key, value in vars(old).items():
            if isinstance(value, Metric | Examples):
                setattr(copied, key, new(value))
            elif isinstance(value, nn.Module):
                setattr(copied, key, module(value))
        return copied

    return [new(metric) for metric in metrics]
