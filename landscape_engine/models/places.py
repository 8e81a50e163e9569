"""A model's modules under one root, and other tensors in the places of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class Root(nn.Module):
    """All modules of a model under one root, which ``functional_call`` needs, and the object they belong to."""

    def __init__(self, parts: Mapping[str, nn.Module], subject: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(dict(parts))
        self.subject = (subject,)  # in a tuple: not a second registration of the same module

    def forward(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What the function makes of the model."""
        return function(self.subject[0], *args, **kwargs)


Place = tuple[dict[str, Any], str]


def places(root: nn.Module) -> dict[str, list[Place]]:
    """Where the modules keep each parameter and buffer; one that is tied has several places.

    ``functional_call`` looks for them anew at each call, which takes longer than a small network. It stays where a
    module may change between two calls, as the user's own may.
    """
    held: dict[int, list[Place]] = {}
    for module in root.modules():
        for holder in (module._parameters, module._buffers):
            for key, tensor in holder.items():
                held.setdefault(id(tensor), []).append((holder, key))
    return {n: held[id(t)] for n, t in [*root.named_parameters(), *root.named_buffers()]}


@contextmanager
def put(state: Mapping[str, Tensor], places: Mapping[str, list[Place]]) -> Iterator[None]:
    """Tensors in their places, and back what was there."""
    changes = [(holder, key, holder[key], t) for name, t in state.items() for holder, key in places[name]]
    try:
        for holder, key, _, tensor in changes:
            holder[key] = tensor
        yield
    finally:
        for holder, key, before, _ in changes:
            holder[key] = before
