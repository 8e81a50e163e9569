"""What directions are, and how they are made orthogonal."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from ..errors import DirectionError
from ..parameters import Parameters, as_bytes, inner, norm, pieces, subtract
from ..trajectories import read_tensors

FORMAT = "landscape directions 1"
TYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


@final
@dataclass(frozen=True, eq=False)
class Directions:
    """Directions that span a subspace, and what is known of them.

    Args:
        vectors: One mapping a direction, in the working type of the model.
        facts: Scalars for the provenance: kind, seed, normalization, remaining cosine, zero filters, shares.
    """

    vectors: tuple[Parameters, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: each parameter stacked over the directions, the facts as JSON metadata.

        One tensor at a time is in memory, so directions of which seeds are kept may be larger than it.

        References:
            Hugging Face, safetensors, section "Format" of its README.
        """
        header: dict[str, Any] = {"__metadata__": {"format": FORMAT, "facts": json.dumps(self.facts)}}
        end = 0
        for name, t in self.vectors[0].items():
            start, end = end, end + len(self.vectors) * t.numel() * t.itemsize
            shape = [len(self.vectors), *t.shape]
            header[name] = {"dtype": TYPES[t.dtype], "shape": shape, "data_offsets": [start, end]}
        written = json.dumps(header).encode()
        written += b" " * (-len(written) % 8)
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(written)) + written)
            for name in self.vectors[0]:
                for vector in self.vectors:
                    for piece in pieces(vector[name]):
                        file.write(as_bytes(piece))

    def __add__(self, other: Directions) -> Directions:
        """These directions, then the others, each less its components along those before it."""
        vectors = orthogonalize([*self.vectors, *other.vectors])
        kind = " and ".join(dict.fromkeys([self.facts.get("kind", "given"), other.facts.get("kind", "given")]))
        return Directions(tuple(vectors), {**other.facts, **self.facts, "kind": kind})

    @classmethod
    def load(cls, path: str | Path) -> Directions:
        """Read what ``save`` wrote.

        Raises:
            FileFormatError: If the file is missing, damaged, or something else.
        """
        stacks, metadata = read_tensors(path, FORMAT, "directions", "Write some with Directions.save.")
        count = len(next(iter(stacks.values())))
        facts = json.loads(metadata.get("facts", "{}")) | {"loaded": True}
        return cls(tuple({n: s[k] for n, s in stacks.items()} for k in range(count)), facts)


def cosine(a: Parameters, b: Parameters) -> float:
    """Cosine of the angle between two directions."""
    return inner(a, b) / (norm(a) * norm(b))


def orthogonalize(vectors: Sequence[Parameters]) -> list[Parameters]:
    """Gram-Schmidt: each direction less its components along those before it; lengths are not made one.

    Raises:
        DirectionError: If a direction lies in the span of those before it.
    """
    result: list[Parameters] = []
    for vector in vectors:
        start = norm(vector)
        for other in result:
            share = inner(vector, other) / inner(other, other)
            vector = {n: v - share * other[n] for n, v in vector.items()}
        if norm(vector) <= 1e-6 * start:
            raise DirectionError(
                "the directions span no plane: one of them is a combination of the others. Choose others, or a line.",
                normalization=None,
            )
        result.append(vector)
    return result


def difference(start: Parameters, end: Parameters) -> dict[str, Tensor]:
    r"""The direction :math:`\theta_{end} - \theta_{start}`: coordinate 0 is the start, 1 the end."""
    direction = subtract(end, start)
    if not any(bool(d.any()) for d in direction.values()):
        raise DirectionError("the two models are equal, so there is no direction from one to the other.")
    return direction


def unit(vector: Parameters, what: str) -> dict[str, Tensor]:
    """A direction of length 1."""
    length = norm(vector)
    if not 0 < length < float("inf"):
        raise DirectionError(f"{what} is {'zero' if length == 0 else 'not finite'}, so it is no direction.")
    return {n: v / length for n, v in vector.items()}
