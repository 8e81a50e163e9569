"""Where the weights are in what a file holds: programs put other things around them, and words before their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from landscape_engine.trajectories import files

ENTRIES = (*files.ENTRIES, "net", "network", "weights")
"""Where programs keep the model's state among other things, the most usual first; Lightning's is the first."""
PREFIXES = (*files.WRAPPERS, "model.", "net.", "network.")
"""What stands before every name: of DataParallel, of torch.compile, of the attribute that holds the network."""
COUNTERS = ("n_averaged",)
"""What wrappers keep beside the network: the count of AveragedModel."""


class Layout(NamedTuple):
    """The model's state, and what was around it.

    Attributes:
        state: Parameters and buffers by name.
        entries: The entries that held it, from the outside in.
        prefixes: What was cut off all names, from the outside in.
        left_out: The names of what lay beside it.
    """

    state: dict[str, Tensor]
    entries: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def find(found: Any) -> Layout | None:
    """The model's state in what a file holds; None if there is none, or more than one and none has a usual name."""
    entries: list[str] = []
    left_out: list[str] = []
    while holders := _holders(found):
        entry = next((e for e in ENTRIES if e in holders), None)
        if entry is None and len(holders) > 1:
            return None
        entries.append(entry or holders[0])
        left_out += [str(key) for key in found if key != entries[-1]]
        found = found[entries[-1]]
    inside = found if isinstance(found, Mapping) else {}
    state = {name: value.detach() for name, value in inside.items() if _is_weight(name, value)}
    left_out += [str(key) for key in inside if key not in state]
    if not state:
        return None
    state, prefixes = _without_prefixes(state)
    return Layout(state, tuple(entries), prefixes, tuple(left_out))


def _is_weight(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and name not in COUNTERS


def _holders(found: Any) -> list[str]:
    """The entries with a state somewhere in them; that of an optimizer is no such, since numbers are its names."""
    if not isinstance(found, Mapping):
        return []
    mappings = {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, Mapping)}
    return [k for k, v in mappings.items() if any(_is_weight(n, t) for n, t in v.items()) or _holders(v)]


def _without_prefixes(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    prefixes: list[str] = []
    while prefix := next((p for p in PREFIXES if all(n.startswith(p) for n in state)), None):
        prefixes.append(prefix)
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state, tuple(prefixes)
