"""What was found at points evaluated before, from which a search at the next point starts."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray

from ..models import ModelWrapper
from ..parameters import flatten

ROOM = 2**26  # numbers that are remembered at most, beside those of the last point
SKETCH = 64  # numbers that stand for a point

Array = NDArray[np.float64]


class _Found(NamedTuple):
    place: NDArray[np.float32]
    vectors: NDArray[np.float32]


@final
class Neighbors:
    r"""Vectors that were found at points, and those of the point that is nearest to another.

    A point is known by a sketch :math:`S \theta` of 64 sums of parameters with random signs, which keeps distances to
    about a sixth; vectors are kept in float32. The oldest are forgotten where there is no room.

    Args:
        room: Numbers that are kept at most, beside those of the last point.

    References:
        Charikar, Chen, Farach-Colton 2002, Finding Frequent Items in Data Streams (the sketch).
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room, self._count = room, 0
        self._found: dict[Hashable, deque[_Found]] = {}
        self._signs: torch.Tensor | None = None

    @classmethod
    def of(cls, model: ModelWrapper) -> Neighbors | None:
        """Those that the evaluation of a model remembers; None where each point is evaluated for itself."""
        return None if model.memory is None else model.memory.setdefault(cls, cls())

    def nearest(self, key: Hashable, model: ModelWrapper) -> Array | None:
        """The vectors found under a key at the nearest point, the later one of two; None if there are none."""
        found = self._found.get(key)
        if not found:
            return None
        here = self._sketch(model)
        distances = np.linalg.norm([f.place - here for f in reversed(found)], axis=1)
        return found[-1 - int(distances.argmin())].vectors.astype(np.float64)

    def remember(self, key: Hashable, model: ModelWrapper, vectors: Array) -> None:
        """Keep what was found at a model's parameters."""
        found = self._found.setdefault(key, deque())
        found.append(_Found(self._sketch(model), vectors.astype(np.float32)))
        self._count += vectors.size
        while self._count > self._room and len(found) > 1:
            self._count -= found.popleft().vectors.size

    def _sketch(self, model: ModelWrapper) -> NDArray[np.float32]:
        theta = flatten(model.parameters).float()
        if self._signs is None:
            signs = np.random.default_rng(0).integers(0, 2, len(theta)) * 2.0 - 1.0
            self._signs = torch.from_numpy(signs).to(theta)
        signed = torch.nn.functional.pad(self._signs * theta, (0, -len(theta) % SKETCH))
        found: NDArray[np.float32] = signed.reshape(-1, SKETCH).sum(dim=0).cpu().numpy()
        return found
