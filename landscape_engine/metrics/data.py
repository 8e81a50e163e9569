"""What metrics of examples are measured on: tensors, data sets and loaders, in batches."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import ChoiceError, MismatchError
from ..models import ModelWrapper
from ..parameters import fingerprint

TARGETS = ("targets", "target", "labels", "label", "y")
"""Keys under which the targets of a batch that is a dict are looked for."""


@final
class Examples:
    """Batches of examples, and how a model is called with one.

    Args:
        data: Inputs and targets as a tuple of two tensors of one length, a ``Dataset``, a ``DataLoader``, or any
            iterable of batches.
        batch_size: Examples in one forward pass; it changes memory and speed, never a value. A loader has its own.
        forward: ``forward(model, batch)`` gives the outputs. By default the model is called with all but the last
            entry of a batch that is a tuple, and with the entries of a batch that is a dict, as keywords, without its
            targets.
        targets: The key of the targets in a batch that is a dict, or a function of the batch.
        keep: Whether what is not tensors is read once and kept, so that random transformations are drawn once and not
            at every point. If not, it is streamed: read anew for each pass, of which many points share one; for what
            does not fit in memory. Each pass must then give the same examples, in any order.
    """

    def __init__(
        self,
        data: Any,
        batch_size: int = 4096,
        forward: Callable[[Any, Any], Any] | None = None,
        targets: str | Callable[[Any], Any] | None = None,
        keep: bool = True,
    ) -> None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ChoiceError("batch_size", batch_size, "a whole number, 1 or more")
        self.batch_size, self._forward, self._targets = batch_size, forward, targets
        self._pair = _as_pair(data)
        self._source: Any = data
        self.streamed = not keep and self._pair is None
        if self.streamed and isinstance(data, Iterator):
            raise ChoiceError("data", type(data).__name__, "what can be read more than once, or keep=True")
        self._kept: list[Any] | None = None
        self._mutated: bool | None = None

    def batches(self) -> Iterator[Any]:
        """The batches, in order; of a pair of tensors, views."""
        if self._pair is not None:
            return zip(*(t.split(self.batch_size) for t in self._pair), strict=True)
        if self.streamed:
            return iter(_iterable(self._source, self.batch_size))
        if self._kept is None:
            self._kept = list(_iterable(self._source, self.batch_size))
            if not self._kept:
                raise ChoiceError("data", 0, "one batch or more")
        return iter(self._kept)

    def minibatch(self, size: int, number: int, seed: int = 0) -> Any:
        """Minibatch ``number`` of passes through the shuffled examples; it depends on nothing but its arguments.

        Each pass has its own order, and no example twice. Examples that do not fill a last minibatch wait for another
        pass. What is not a pair of tensors is shuffled batch by batch, whatever their size.

        Args:
            size: Examples.
            number: 0 or more.
            seed: Of the orders.
        """
        if self.streamed:
            raise ChoiceError("data", "streamed", "kept in memory where single minibatches are asked for")
        kept = None if self._pair is not None else list(self.batches())
        count, size = (len(self._pair[0]), size) if self._pair is not None else (len(kept or ()), 1)
        size = min(size, count)
        turn, place = divmod(number, count // size)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + turn)
        chosen = torch.randperm(count, generator=generator)[place * size : (place + 1) * size]
        if self._pair is not None:
            return tuple(t[chosen.to(t.device)] for t in self._pair)
        assert kept is not None
        return kept[int(chosen)]

    def subset(self, size: int, seed: int = 0) -> Examples:
        """Some of the examples, at random, in their order; all of them if there are no more.

        Args:
            size: How many, 1 or more.
            seed: The same one chooses the same examples of a number of them.

        Raises:
            ChoiceError: If the tensors of a batch have not one row an example each, so that none can be taken out.
        """
        if not isinstance(size, int) or size < 1:
            raise ChoiceError("subset", size, "a whole number of examples, 1 or more")
        count = self.count
        if size >= count:
            return self
        chosen = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:size].sort().values
        parts, before = [], 0
        for batch in [self._pair] if self._pair is not None else self.batches():
            if len({len(t) if t.ndim else 0 for t in tensors(batch)}) != 1:
                raise ChoiceError("subset", size, "None for batches whose tensors have not one row an example each")
            own = chosen[(chosen >= before) & (chosen < before + length(batch))] - before
            before += length(batch)
            if len(own):
                parts.append(replace(batch, partial(_rows, own)))
        return self._holding(parts)

    def cast(self, dtype: torch.dtype) -> Examples:
        """The same examples, their floating-point numbers in another type."""

        def changed(tensor: Tensor) -> Tensor:
            return tensor.to(dtype) if tensor.is_floating_point() else tensor

        batches = [self._pair] if self._pair is not None else self.batches()
        return self._holding([replace(batch, changed) for batch in batches])

    def _holding(self, batches: list[Any]) -> Examples:
        """The same, of other batches: one pair of tensors if these are one."""
        other = copy.copy(self)
        if self._pair is not None:
            other._pair = other._source = batches[0]
        else:
            other._kept, other._source, other.streamed = batches, batches, False
        return other

    def arranged(self, rows: int | None = None, channels_last: bool = False) -> Examples:
        """The same examples, fewer at a time or with the channels of pictures last in memory: no value changes.

        Args:
            rows: At most so many at a time, if they are a pair of tensors; other batches stay as they were given.
            channels_last: For inputs (N, C, H, W).
        """
        if self._pair is None:
            return self
        other, (inputs, targets) = copy.copy(self), self._pair
        other.batch_size = min(self.batch_size, rows or self.batch_size)
        if channels_last and inputs.ndim == 4:
            other._pair = inputs.contiguous(memory_format=torch.channels_last), targets
        return other

    def sharing(self, other: Examples) -> Examples:
        """The same, of the batches of another one, with which it then shares forward passes."""
        mine = copy.copy(self)
        mine._pair, mine._source, mine._kept, mine.streamed = other._pair, other._source, other._kept, other.streamed
        return mine

    @property
    def count(self) -> int:
        """Number of examples: of rows, or of the entries of the first tensor of each batch."""
        return len(self._pair[0]) if self._pair is not None else sum(map(length, self.batches()))

    def few(self, count: int = 2) -> Any:
        """The first examples, all of one batch; that batch whole if its tensors do not have one row an example.

        Args:
            count: How many, at most.
        """
        batch = next(iter(self.batches()))
        rows = {len(t) if t.ndim else 0 for t in tensors(batch)}
        return replace(batch, lambda t: t[:count]) if len(rows) == 1 and rows != {0} else batch

    def outputs(self, model: ModelWrapper, batch: Any) -> Any:
        """What the model makes of a batch, which it cannot change.

        A model that changes its inputs in place is noticed at its first batch, by the version counters of the
        tensors, and is given copies from then on.
        """
        given = batch if self._mutated is False else replace(batch, torch.Tensor.clone)
        versions = [t._version for t in tensors(given)]
        outputs = model.call(self._forward, given) if self._forward else _call(model, given, self._target_key(given))
        if self._mutated is None:
            self._mutated = versions != [t._version for t in tensors(given)]
        return outputs

    def targets(self, batch: Any) -> Any:
        """The targets of a batch; None where there are none."""
        if callable(self._targets):
            return self._targets(batch)
        if isinstance(batch, Mapping):
            key = self._target_key(batch)
            return None if key is None else batch[key]
        return batch[-1] if isinstance(batch, Sequence) and len(batch) > 1 else None

    def _target_key(self, batch: Any) -> str | None:
        if not isinstance(batch, Mapping):
            return None
        if isinstance(self._targets, str):
            if self._targets not in batch:
                raise MismatchError(
                    f"the batches have no '{self._targets}': their keys are {', '.join(map(str, batch))}. "
                    "Pass targets= the key of the targets.",
                    expected=self._targets,
                    found=list(batch),
                )
            return self._targets
        return next((key for key in TARGETS if key in batch), None)

    def is_same_as(self, other: Examples) -> bool:
        """Whether one forward pass serves both: the very same data, batches and forward."""
        if self._pair is None or other._pair is None:
            same = self._source is other._source
        else:
            same = all(a is b for a, b in zip(self._pair, other._pair, strict=True))
        return same and self.batch_size == other.batch_size and self._forward is other._forward

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that identify the data, or the first batch of streamed ones."""
        if self._pair is not None:
            return fingerprint({"inputs": self._pair[0], "targets": self._pair[1]})
        found = (t for batch in islice(self.batches(), 1 if self.streamed else None) for t in tensors(batch))
        return fingerprint({f"{k:08d}": t for k, t in enumerate(found)})


def _rows(chosen: Tensor, tensor: Tensor) -> Tensor:
    return tensor[chosen.to(tensor.device)]


def length(batch: Any) -> int:
    """Number of examples in a batch: the length of the first tensor in it."""
    return len(tensors(batch)[0])


def _as_pair(data: Any) -> tuple[Tensor, Tensor] | None:
    if not (isinstance(data, tuple) and len(data) == 2 and all(isinstance(t, Tensor) for t in data)):
        return None
    inputs, targets = data
    if len(inputs) != len(targets):
        raise MismatchError(
            f"inputs and targets do not fit: there are {len(inputs)} inputs, but {len(targets)} targets."
            " Pass one target for each input.",
            expected=len(inputs),
            found=len(targets),
        )
    if not len(inputs):
        raise ChoiceError("inputs", 0, "one example or more")
    return inputs, targets


def _iterable(source: Any, batch_size: int) -> Iterable[Any]:
    if isinstance(source, DataLoader) and source.drop_last:
        warnings.warn("the loader has drop_last=True, so the examples it drops do not count", stacklevel=4)
    if isinstance(source, Dataset):
        return DataLoader(source, batch_size=batch_size)
    if not isinstance(source, Iterable):
        raise ChoiceError("data", type(source).__name__, "two tensors, a Dataset, a DataLoader or batches")
    return source


def _call(model: ModelWrapper, batch: Any, target_key: str | None) -> Any:
    if isinstance(batch, Mapping):
        return model.forward(**{str(k): v for k, v in batch.items() if k != target_key})
    if isinstance(batch, Sequence):
        return model.forward(*(batch[:-1] if len(batch) > 1 else batch))
    return model.forward(batch)


def tensors(batch: Any) -> list[Tensor]:
    """The tensors in a batch or in what a model returned."""
    found: list[Tensor] = []
    replace(batch, lambda t: found.append(t) or t)  # type: ignore[func-returns-value]
    return found


def replace(batch: Any, function: Callable[[Tensor], Any]) -> Any:
    """The batch with each tensor in it replaced by what the function makes of it."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {k: replace(v, function) for k, v in batch.items()}
    if isinstance(batch, tuple | list):
        parts = [replace(v, function) for v in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def join(parts: Sequence[Any]) -> Any:
    """Tensors put one after the other, in whatever holds them."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat([p if p.ndim else p.reshape(1) for p in parts])
    if isinstance(first, Mapping):
        return {k: join([p[k] for p in parts]) for k in first}
    if isinstance(first, tuple | list):
        entries = [join([p[k] for p in parts]) for k in range(len(first))]
        return type(first)(*entries) if hasattr(first, "_fields") else type(first)(entries)
    return first
