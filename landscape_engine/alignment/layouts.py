"""What is known of the axes of a tensor, and how operations that move entries about change it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from .axes import NEEDS_EXAMPLE, Axis, Equations, Refusal, fixed, times

_NOT_KNOWN = itertools.count(-1, -1)


@final
@dataclass(frozen=True)
class Count:
    """A number that follows from shapes which are not known.

    Attributes:
        axis: The axis whose length it is, if it is one.
    """

    axis: Axis | None = None

    def _other(self, *_: object) -> Count:
        return Count()

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __floordiv__ = __rfloordiv__ = _other
    __truediv__ = __rtruediv__ = __neg__ = __mod__ = __pow__ = _other

    def _refuse(self, *_: object) -> bool:
        raise Refusal(NEEDS_EXAMPLE)

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = _refuse
    __hash__ = object.__hash__

    def __index__(self) -> int:
        raise Refusal(NEEDS_EXAMPLE)

    __int__ = __float__ = __index__


@final
@dataclass(frozen=True)
class Layout:
    """The axes of a tensor.

    Attributes:
        axes: The last ones, or all.
        first: Dimension 0, if there may be more axes before those that are listed, whose entries stay. It is known by
            its identity: a batch goes through a network, and with it its length, which is not known.
    """

    axes: tuple[Axis, ...]
    first: Axis | None = None

    @property
    def open(self) -> bool:
        """Whether there may be more axes before those that are listed."""
        return self.first is not None

    def anew(self) -> Layout:
        """The same after an operation that may have changed what dimension 0 is."""
        return replace(self, first=fixed()) if self.open else self

    def reach(self, count: int) -> Layout:
        """The same with at least ``count`` axes listed."""
        missing = count - len(self.axes)
        if missing > 0 and not self.open:
            raise Refusal(f"it expects {count} axes or more, but there are {len(self.axes)}")
        return replace(self, axes=(fixed(),) * missing + self.axes) if missing > 0 else self

    def batched(self, count: int) -> Layout:
        """The same with ``count`` axes or one more, the examples of a batch, if it is not known whether it has it."""
        if self.first is None:
            return self.reach(count)
        return Layout((self.first, *self.reach(count).axes)) if len(self.axes) <= count else Layout(self.axes)

    def index(self, dim: int) -> int:
        """Where in ``axes`` a dimension is."""
        if dim >= 0 and self.open:
            raise Refusal(NEEDS_EXAMPLE)
        found = dim if dim >= 0 else len(self.axes) + dim
        if not 0 <= found < len(self.axes):
            raise Refusal(NEEDS_EXAMPLE if self.open else f"there is no dimension {dim}")
        return found

    def with_axis(self, index: int, axis: Axis) -> Layout:
        """The same with another axis at a place in ``axes``."""
        return replace(self, axes=(*self.axes[:index], axis, *self.axes[index + 1 :]))

    def size(self, equations: Equations, dim: int) -> int | Count:
        """How long a dimension is."""
        if self.open and (dim >= 0 or -dim > len(self.axes)):
            return Count(self.first if dim == 0 else None)
        axis = self.axes[self.index(dim)]
        length = equations.length(equations.expand(axis))
        return Count(axis) if length is None else length


def stays(equations: Equations, layout: Layout) -> bool:
    """Whether no entry changes its place."""
    return all(equations.stays(axis) for axis in layout.axes)


def fix(equations: Equations, layout: Layout) -> None:
    """Demand that every entry stays."""
    for axis in layout.axes:
        equations.fix(axis)


def fit(equations: Equations, layout: Layout, shape: Sequence[int]) -> Layout:
    """What is known, completed by the shape that the tensor is seen to have."""
    if len(layout.axes) > len(shape) or (len(layout.axes) < len(shape) and not layout.open):
        raise Refusal(f"its result is taken to have {len(layout.axes)} axes, but it has {len(shape)}")
    axes = layout.reach(len(shape)).axes
    return Layout(tuple(equations.completed(axis, n) for axis, n in zip(axes, shape, strict=True)))


def broadcast(equations: Equations, layouts: Sequence[Layout]) -> Layout:
    """The result of an operation on entries that face each other, whose axes must be in the same order."""
    count = max(len(x.axes) for x in layouts)
    axes = []
    for back in range(count, 0, -1):
        facing = [x.axes[-back] for x in layouts if len(x.axes) >= back]
        facing += [fixed() for x in layouts if len(x.axes) < back and x.open]
        long = [axis for axis in facing if equations.length(equations.expand(axis)) != 1] or facing[:1]
        for axis in long[1:]:
            equations.equal(long[0], axis)
        known = [axis for axis in long if equations.length(equations.expand(axis)) is not None]
        axes.append((known or long)[0])
    firsts = [x.first for x in layouts if x.first is not None]
    same = all(first is firsts[0] for first in firsts)
    return Layout(tuple(axes), (firsts[0] if same else fixed()) if firsts else None)


def merge(equations: Equations, axes: Sequence[Axis]) -> Axis:
    """Several neighboring axes as one, the last the fastest."""
    merged = fixed(1)
    for axis in reversed(axes):
        axis = equations.expand(axis)
        length = equations.length(axis)
        if not equations.stays(merged) and not equations.stays(axis):
            equations.fix(axis)
        if equations.stays(merged):
            inner = equations.length(equations.expand(merged))
            merged = _runs(equations.expand(axis), inner)
        elif length is None:
            raise Refusal(NEEDS_EXAMPLE)
        else:
            merged = equations.expand(merged) * length
    return merged


def _runs(axis: Axis, inner: int | None) -> Axis:
    """Each entry in place of so many, or of a number that is not known yet."""
    if all(b.variable is None for b in axis):
        lengths = [None if b.length is None or inner is None else b.length * inner for b in axis]
        return fixed(None if None in lengths else sum(n for n in lengths if n is not None))
    run = next(_NOT_KNOWN) if inner is None else inner
    return tuple(replace(b, run=times(b.run, run)) for b in axis)


def repeated(axis: Axis, times: int) -> Axis:
    """An axis each of whose entries is repeated in place."""
    return _runs(axis, times)


def split(equations: Equations, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
    """One axis as several, the last the fastest: its units move with the first of them that is longer than 1."""
    axis = equations.expand(axis)
    if len(sizes) == 1:
        return [equations.completed(axis, sizes[0])]
    if equations.stays(axis):
        return [fixed(n) for n in sizes]
    first, rest = sizes[0], list(sizes[1:])
    inner = 1
    for n in rest:
        inner *= n
    if first == 1:
        return [fixed(1), *split(equations, axis, rest)]
    axis = equations.completed(axis, first * inner)
    period, odd = divmod(len(axis), first)
    if not odd and axis == axis[:period] * first:  # each of the first holds the same units
        return [fixed(first), *split(equations, axis[:period], rest)]
    units = equations.fresh("", first)
    equations.equal(axis, repeated(units, inner))
    return [equations.expand(units), *(fixed(n) for n in rest)]


def reshape(equations: Equations, layout: Layout, old: Sequence[int], new: Sequence[int]) -> Layout:
    """A tensor in another shape, both known: the fewest neighboring axes are merged, and split again."""
    if 0 in old:
        raise Refusal("it has no entries")
    axes: list[Axis] = []
    i = j = 0
    while i < len(old) or j < len(new):
        i, j, from_, to = *_block(old, new, i, j), i, j
        if i - from_ == 1 and j - to == 1:
            axes.append(layout.axes[from_])
        else:
            merged = merge(equations, layout.axes[from_:i]) if i > from_ else fixed(1)
            axes += split(equations, merged, new[to:j]) if j > to else []
    return Layout(tuple(axes))


def _block(old: Sequence[int], new: Sequence[int], i: int, j: int) -> tuple[int, int]:
    """The ends of the smallest blocks of both shapes that begin at (i, j) and have as many entries."""
    if i < len(old) and j < len(new) and old[i] == new[j]:
        return i + 1, j + 1
    if i < len(old) and old[i] == 1:
        return i + 1, j
    if j < len(new) and new[j] == 1:
        return i, j + 1
    a, b = old[i], new[j]
    i, j = i + 1, j + 1
    while a != b:
        if a < b:
            a, i = a * old[i], i + 1
        else:
            b, j = b * new[j], j + 1
    return i, j
