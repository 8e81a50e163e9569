"""What an architecture is: options, a network made from them, and how weights tell which options made it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn

from landscape_engine import ChoiceError, LandscapeError

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each parameter and buffer, under its name in a state dict."""
Renaming = Callable[[Shapes], Mapping[str, str]]
"""From the shapes of weights: each name among them to that in the network. What is left out is not needed."""
HEADS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 25, 32)
"""Of attention, as they are usual."""


@final
@dataclass(frozen=True)
class Option:
    """One choice in an architecture.

    Args:
        default: Unless something else is chosen.
        help: What it is, in a few words.
        choices: All that can be chosen, or empty if any whole number within ``bounds`` can.
        bounds: The least and the greatest number; of each entry, if the default is a tuple of numbers.
    """

    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    bounds: tuple[int, int] = (1, 1_000_000)

    def check(self, name: str, value: Any) -> None:
        """Raise ``ChoiceError`` unless this can be chosen.

        Args:
            name: Of the option, to be told.
            value: What was chosen.
        """
        if self.choices:
            if value not in self.choices:
                raise ChoiceError(name, value, f"one of {', '.join(map(str, self.choices))}")
            return
        several = isinstance(self.default, tuple)
        entries = value if several else (value,)
        least, greatest = self.bounds
        if not (isinstance(entries, tuple) and all(type(n) is int and least <= n <= greatest for n in entries)):
            what = "a tuple of whole numbers" if several else "a whole number"
            raise ChoiceError(name, value, f"{what} between {least} and {greatest}")


@final
@dataclass(frozen=True, eq=False)
class Architecture:
    """A family of networks that a few options tell apart.

    Args:
        name: By which it is chosen.
        title: What it is, with its source.
        options: By name.
        make: Makes the network from all options.
        read: The options that made weights of these shapes, as far as they look like this architecture; where shapes
            cannot tell, what is usual. It may raise ``LookupError`` or ``ValueError`` where a name or a dimension is
            missing, and may be wrong: the network that it describes is compared with the weights anyway.
        input_of: The shape of one example, without the dimension of the batch.
        renaming: From names in weights to those of the network, where others are in use.
        tokens: Whether examples are whole numbers, not real ones.
    """

    name: str
    title: str
    options: Mapping[str, Option]
    make: Callable[..., nn.Module]
    read: Callable[[Shapes], dict[str, Any] | None]
    input_of: Callable[..., tuple[int, ...]]
    renaming: Renaming = field(default=lambda shapes: {name: name for name in shapes})
    tokens: bool = False

    def complete(self, **options: Any) -> dict[str, Any]:
        """All options, those that are not given at their defaults.

        Raises:
            ChoiceError: If there is no such option, or it does not have that value.
        """
        for name, value in options.items():
            if name not in self.options:
                raise ChoiceError(f"option of {self.name}", name, f"one of {', '.join(self.options)}")
            self.options[name].check(name, value)
        return {name: options.get(name, option.default) for name, option in self.options.items()}

    def build(self, **options: Any) -> nn.Module:
        """A new network with random weights, in training mode as any new module.

        Raises:
            ChoiceError: If options are not those of the architecture, or do not go together.
        """
        return self.make(**self.complete(**options))

    def input_shape(self, **options: Any) -> tuple[int, ...]:
        """The shape of one example, without the dimension of the batch."""
        return self.input_of(**self.complete(**options))

    def example(self, count: int = 2, **options: Any) -> Tensor:
        """A batch of zeros that the network can read, to see what comes out.

        Args:
            count: Examples in it.
            **options: Of the network.
        """
        kind = torch.int64 if self.tokens else torch.float32
        return torch.zeros(count, *self.input_shape(**options), dtype=kind)

    def recognized(self, shapes: Shapes) -> dict[str, Any] | None:
        """The options that give exactly these names and shapes; None if none do."""
        match = self.match(shapes)
        return None if match is None else match.options

    def match(self, shapes: Shapes) -> Match | None:
        """The options that give these shapes, with what they leave open and how the names are related.

        A network is built from the options without memory for its weights, and compared name by name. What is tied
        may be there once, as some formats keep it, and counts of batch norm may be missing, as in old files.
        """
        try:
            names = self.renaming(shapes)
            own = {names[name]: tuple(shape) for name, shape in shapes.items() if name in names}
            options = self.read(own)
        except (LookupError, ValueError):
            return None
        if options is None or len(own) < len(names) or not self._gives(options, own):
            return None
        return Match(self, options, self._open(options, own), names)

    def _gives(self, options: dict[str, Any], shapes: Shapes) -> bool:
        try:
            with torch.device("meta"):
                model = self.build(**options)
        except LandscapeError:
            return False
        expected, tied = {}, defaultdict(set)
        for name, tensor in model.state_dict(keep_vars=True).items():
            expected[name] = tuple(tensor.shape)
            if tensor.ndim or tensor.is_floating_point():  # no count
                tied[id(tensor)].add(name)
        return shapes.items() <= expected.items() and all(names & shapes.keys() for names in tied.values())

    def _open(self, options: dict[str, Any], shapes: Shapes) -> tuple[str, ...]:
        """The options that could be another of their choices, with the same names and shapes."""
        others = {name: [c for c in o.choices if c != options[name]] for name, o in self.options.items()}
        return tuple(n for n, some in others.items() if any(self._gives({**options, n: c}, shapes) for c in some))


@final
@dataclass(frozen=True, eq=False)
class Match:
    """An architecture that has weights of given names and shapes.

    Args:
        architecture: Which.
        options: That give these shapes; of those in ``open``, the usual ones.
        open: The options that shapes cannot tell, to be chosen by who knows.
        names: From each name in the weights to that in the network.
    """

    architecture: Architecture
    options: dict[str, Any]
    open: tuple[str, ...]
    names: Mapping[str, str]

    def build(self, **chosen: Any) -> nn.Module:
        """A new network with these options.

        Args:
            **chosen: Others, of those that are open.
        """
        return self.architecture.build(**{**self.options, **chosen})

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights under the names that they have in the network."""
        return {self.names[name]: tensor for name, tensor in state.items() if name in self.names}


def spelled(*rules: tuple[str, str]) -> Renaming:
    """Renaming by regular expressions, each replaced wherever it is found.

    Args:
        *rules: Pattern and replacement, in the order in which they are applied.
    """

    def renamed(name: str) -> str:
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        return name

    return lambda shapes: {name: renamed(name) for name in shapes}


def how_many(pattern: str, shapes: Shapes) -> int:
    """How many different numbers stand where a pattern has its group."""
    return len({found[1] for name in shapes if (found := re.match(pattern, name))})


def usual_heads(width: int) -> int:
    """How many heads attention of a width has as a rule: of 64 entries each, or of fewer where 64 do not divide it."""
    return next(h for h in sorted(HEADS, key=lambda h: abs(width / h - 64)) if width % h == 0)
