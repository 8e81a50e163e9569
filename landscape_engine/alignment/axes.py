"""Axes of tensors as rows of units that may change places, and the equations between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final


class Refusal(BaseException):
    """An operation cannot be followed; whoever knows the layer makes a sentence of it.

    No ``Exception``, which a model might catch and then go another way than it goes for tensors.
    """


NEEDS_EXAMPLE = "the shapes of its tensors are not known. Pass example=, a batch of inputs"


@final
@dataclass(frozen=True)
class Block:
    """Consecutive entries of an axis: units that change places together with all others of their variable.

    Attributes:
        variable: Which permutation; None: the entries stay where they are.
        units: How many units; of entries that stay, how many, or None if not known.
        run: Consecutive entries of each unit, for instance the pixels of a channel that was flattened; None if not
            known; negative if not known, but the same wherever it is that number.
    """

    variable: int | None
    units: int | None
    run: int | None = 1

    @property
    def length(self) -> int | None:
        """How many entries, if known."""
        return None if self.units is None or self.run is None or self.run < 0 else self.units * self.run


Axis = tuple[Block, ...]


def times(run: int | None, other: int | None) -> int | None:
    """The product of two runs."""
    if run == 1 or other == 1:
        return other if run == 1 else run
    return None if run is None or other is None or min(run, other) < 0 else run * other


def fixed(length: int | None = None) -> Axis:
    """An axis whose entries stay."""
    return (Block(None, length),)


@final
@dataclass
class _Variable:
    name: str
    size: int
    image: Axis | None = None


@final
class Equations:
    """Permutations as unknowns, one for each axis of each parameter, and what a network demands of them.

    Two axes that are added, multiplied or contracted must be in the same order. Each such equation makes two unknowns
    one, or replaces one by what the other is made of: parts (a concatenation, a slice), units with a run of entries (a
    flattened channel), or entries that stay.
    """

    def __init__(self) -> None:
        self._variables: list[_Variable] = []

    def fresh(self, name: str, size: int) -> Axis:
        """A new unknown; a single entry has nothing to change places with. Without a name, it takes another's."""
        if size < 2:
            return fixed(size)
        self._variables.append(_Variable(name, size))
        return (Block(len(self._variables) - 1, size),)

    def name(self, variable: int) -> str:
        """What an unknown is called."""
        return self._variables[variable].name

    def expand(self, axis: Axis) -> Axis:
        """The axis in unknowns that no equation has replaced."""
        found: list[Block] = []
        for block in axis:
            image = None if block.variable is None else self._variables[block.variable].image
            if image is None:
                found.append(block)
            else:
                found += self.expand(tuple(replace(b, run=times(b.run, block.run)) for b in image))
        return tuple(found)

    def stays(self, axis: Axis) -> bool:
        """Whether no entry of the axis changes its place."""
        return all(b.variable is None for b in self.expand(axis))

    def length(self, axis: Axis) -> int | None:
        """How many entries an axis has, if known."""
        total = 0
        for block in axis:
            if block.length is None:
                return None
            total += block.length
        return total

    def fix(self, axis: Axis) -> None:
        """Demand that the entries of an axis stay."""
        for block in self.expand(axis):
            if block.variable is not None and self._variables[block.variable].image is None:
                variable = self._variables[block.variable]
                variable.image = fixed(variable.size)

    def completed(self, axis: Axis, length: int) -> Axis:
        """The axis with the one length that was not known in it.

        Raises:
            Refusal: If more are not known, or if the axis has another length.
        """
        axis = self.expand(axis)
        unknown = [b for b in axis if b.length is None]
        rest = length - sum(b.length or 0 for b in axis)
        if not unknown and rest:
            raise Refusal(f"one of its axes is taken to have {length - rest} entries, but it has {length}")
        if not unknown:
            return axis
        if len(unknown) > 1 and (len({b.run for b in unknown}) > 1 or unknown[0].run is None or unknown[0].run > 0):
            raise Refusal(NEEDS_EXAMPLE)
        plain = unknown[0].variable is None and len(unknown) == 1
        units = 1 if plain else sum(b.units or 0 for b in unknown)
        if rest < 0 or not units or rest % units:
            raise Refusal(f"an axis of {length} entries cannot be made of what it is taken to be made of")
        whole = fixed(rest)[0]
        return tuple(b if b.length is not None else whole if plain else replace(b, run=rest // units) for b in axis)

    def equal(self, a: Axis, b: Axis) -> None:
        """Demand that two axes are in the same order.

        Raises:
            Refusal: If they do not have the same length.
        """
        a, b = self.expand(a), self.expand(b)
        known = self.length(a) if self.length(a) is not None else self.length(b)
        if known is None:
            self._equal_of_unknown_length(a, b)
            return
        a, b = (tuple(x for x in self.completed(axis, known) if x.length) for axis in (a, b))
        while a and b:
            size = min(a[0].length or 0, b[0].length or 0)
            (head_a, a), (head_b, b) = self.cut(a, size), self.cut(b, size)
            a, b, head_a, head_b = (self.expand(x) for x in (a, b, head_a, head_b))
            if len(head_a) == len(head_b) == 1:
                self._bind(head_a[0], head_b[0])
            else:  # to cut the one has cut the other, since both have the same unknown in them
                self.equal(head_a, head_b)
            a, b = self.expand(a), self.expand(b)

    def _equal_of_unknown_length(self, a: Axis, b: Axis) -> None:
        if len(a) == len(b) == 1 and None not in (a[0].variable, b[0].variable) and a[0].units == b[0].units:
            self._bind(replace(a[0], run=1), replace(b[0], run=1))
        elif a != b:
            self.fix(a)
            self.fix(b)

    def _bind(self, a: Block, b: Block) -> None:
        """Two blocks of one length."""
        if a == b:
            return
        if a.variable is None or b.variable is None:
            self.fix((a, b))
        elif a.run == b.run:
            older, younger = sorted((a.variable, b.variable), key=lambda v: (not self.name(v), v))
            self._variables[younger].image = (Block(older, a.units),)
        elif a.run == 1:
            self._variables[a.variable].image = (b,)
        elif b.run == 1:
            self._variables[b.variable].image = (a,)
        else:
            self.fix((a, b))

    def cut(self, axis: Axis, length: int) -> tuple[Axis, Axis]:
        """The first ``length`` entries of an axis, and the others, which no longer change places with them."""
        axis = self.expand(axis)
        head: list[Block] = []
        for k, block in enumerate(axis):
            if block.length is None:
                raise Refusal(NEEDS_EXAMPLE)
            if length <= 0:
                return tuple(head), axis[k:]
            if block.length <= length:
                head.append(block)
                length -= block.length
                continue
            first, second = self._cut_block(block, length)
            return self.expand((*head, *first)), self.expand((*second, *axis[k + 1 :]))
        return tuple(head), ()

    def _cut_block(self, block: Block, length: int) -> tuple[Axis, Axis]:
        total, run = block.length or 0, block.run or 1
        if block.variable is not None and length % run:
            self.fix((block,))
        if self.stays((block,)):
            return fixed(length), fixed(total - length)
        assert block.variable is not None
        variable, units = self._variables[block.variable], length // run
        named = variable.name
        first = self.fresh(named and f"{named}[:{units}]", units)
        second = self.fresh(named and f"{named}[{units}:]", variable.size - units)
        variable.image = first + second
        whole = self.expand((block,))
        return (whole[0],), (whole[1],)

    def segments(self, axis: Axis, count: int) -> list[Axis]:
        """An axis of known length in ``count`` equal parts; units change places within their part only."""
        length = self.length(self.expand(axis))
        if length is None or count < 1 or length % count:
            raise Refusal(NEEDS_EXAMPLE)
        return self.parts(axis, [length // count] * count)

    def parts(self, axis: Axis, lengths: Sequence[int]) -> list[Axis]:
        """An axis in consecutive parts of these lengths."""
        found, rest = [], axis
        for length in lengths:
            head, rest = self.cut(rest, length)
            found.append(head)
        return [self.expand(part) for part in found]
