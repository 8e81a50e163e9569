"""Points and directions of parameter space: mappings from parameter names to tensors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import final

import torch
from torch import Tensor

from .errors import ChoiceError, MismatchError

Parameters = Mapping[str, Tensor]
Selection = str | Sequence[str] | Callable[[str, Tensor], bool]

PIECE = 2**15  # numbers that are worked on at a time: they stay in the processor's cache, and PyTorch uses one thread
SAMPLE = 8  # numbers along each dimension of a tensor that tell whether it has changed


@final
class Watched(Mapping[str, Tensor]):
    """Tensors that belong to somebody else: not copied, and refused once they have changed.

    A change is seen by PyTorch's count of changes, and by samples of the numbers, since fused optimizers and whoever
    writes to ``.data`` do not count.

    Args:
        tensors: By name.
        dtype: In which they are given out; those of another type are cast each time.

    Raises:
        MismatchError: When a tensor is asked for that has changed.
    """

    def __init__(self, tensors: Parameters, dtype: torch.dtype) -> None:
        self.tensors, self.dtype = dict(tensors), dtype
        self._marks = {n: _mark(t) for n, t in tensors.items()}

    def __getitem__(self, name: str) -> Tensor:
        tensor, (version, sample) = self.tensors[name], self._marks[name]
        found, now = _mark(tensor)
        if found != version or not torch.equal(now, sample):
            raise MismatchError(
                f"the model does not fit what was built from it: parameter '{name}' has changed since, and its numbers "
                "are shared, not copied. Build it again, or with keep='tensors'.",
                what="the model",
                parameter=name,
            )
        return tensor.to(self.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def _mark(tensor: Tensor) -> tuple[int, Tensor]:
    """What changes with a tensor: how often it was, and the bytes of a few of its numbers."""
    few = tensor[tuple(slice(None, None, max(1, -(-n // SAMPLE))) for n in tensor.shape)]
    version = 0 if tensor.is_inference() else tensor._version
    return version, few.contiguous().clone().reshape(-1).view(torch.uint8)


def cut(shape: Sequence[int]) -> list[int]:
    """How many entries of its first dimension each piece of a tensor has.

    A piece has about ``PIECE`` numbers, a multiple of 16 of them except for the last, which has no fewer than 16: so
    the normal numbers that fill the pieces one by one are those that fill the tensor at once.
    """
    size = math.prod(shape)
    if size <= PIECE:
        return [shape[0]] if shape else []
    row = size // shape[0]
    unit = 16 // math.gcd(16, row)
    rows = unit * max(1, PIECE // (row * unit))
    count, rest = divmod(shape[0], rows)
    if rest * row >= 16 or not count:
        return [rows] * count + [rest]
    return [rows] * (count - 1) + [rows + rest]


def pieces(tensor: Tensor) -> tuple[Tensor, ...]:
    """Views of a tensor that together are all of it, in the order of its numbers (see ``cut``)."""
    return tensor.split(cut(tensor.shape)) if tensor.numel() > PIECE else (tensor,)


def dot(a: Tensor, b: Tensor) -> float:
    """Sum of the products of all numbers of two tensors, in float64."""
    return sum(
        float(torch.dot(x.reshape(-1).double(), y.reshape(-1).double()))
        for x, y in zip(pieces(a), pieces(b), strict=True)
    )


def check_match(found: Parameters, expected: Parameters, what: str, remedy: str) -> None:
    """Raise unless two mappings have the same names and shapes.

    Args:
        found: The mapping in question.
        expected: The mapping it must fit, usually the model's parameters.
        what: What ``found`` is, with its verb, for example ``"the direction does"``.
        remedy: The sentence that says what to do.

    Raises:
        MismatchError: With the first name that is missing, unexpected or of another shape.
    """
    where = f"{what} not fit the model: "
    for name in expected:
        if name not in found:
            raise MismatchError(
                f"{where}parameter '{name}' is missing. {remedy}", what=what, parameter=name, expected=name
            )
        shape, wanted = tuple(found[name].shape), tuple(expected[name].shape)
        if shape != wanted:
            raise MismatchError(
                f"{where}parameter '{name}' has shape {shape}, but the model's has shape {wanted}. {remedy}",
                what=what,
                parameter=name,
                expected=wanted,
                found=shape,
            )
    for name in found:
        if name not in expected:
            raise MismatchError(
                f"{where}parameter '{name}' is not in the model. {remedy}",
                what=what,
                parameter=name,
                found=name,
            )


def inner(a: Parameters, b: Parameters) -> float:
    r"""Inner product :math:`\langle a, b \rangle = \sum_i a_i b_i` over all parameters, in float64."""
    return sum(dot(x, x if b is a else b[n]) for n, x in a.items())


def norm(a: Parameters) -> float:
    r"""Euclidean norm :math:`\|a\| = \sqrt{\langle a, a \rangle}`, in float64."""
    return inner(a, a) ** 0.5


def subtract(a: Parameters, b: Parameters) -> dict[str, Tensor]:
    """Difference ``a - b``, parameter by parameter."""
    return {n: a[n] - b[n] for n in a}


def combine(origin: Parameters, directions: Sequence[Parameters], coordinates: Sequence[float]) -> dict[str, Tensor]:
    r"""The point :math:`\theta = \theta_0 + \sum_k c_k d_k`.

    A direction whose coordinate is exactly 0 adds nothing at all, so that the origin is reproduced bit by bit.

    Args:
        origin: :math:`\theta_0`.
        directions: The :math:`d_k`, each with the names and shapes of ``origin``.
        coordinates: The :math:`c_k`, in units of the directions.
    """
    moving = [(float(c), d) for c, d in zip(coordinates, directions, strict=True) if c != 0]
    point = dict(origin)
    for name in point:
        for c, d in moving:
            point[name] = torch.add(point[name], d[name], alpha=c)
    return point


def flatten(a: Parameters) -> Tensor:
    """All parameters as one vector, in the order of the mapping."""
    return torch.cat([t.reshape(-1) for t in a.values()])


def unflatten(vector: Tensor, like: Parameters) -> dict[str, Tensor]:
    """The inverse of ``flatten``: a vector cut into the shapes, types and devices of ``like``."""
    parts = vector.split([t.numel() for t in like.values()])
    return {n: part.reshape(t.shape).to(t) for (n, t), part in zip(like.items(), parts, strict=True)}


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Sixteen hexadecimal digits that change when a name, shape, type or value changes (SHA-256)."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        t = tensors[name]
        digest.update(label(name, t.shape, t.dtype))
        for piece in pieces(t):
            digest.update(as_bytes(piece))
    return digest.hexdigest()[:16]


def label(name: str, shape: Sequence[int], dtype: torch.dtype) -> bytes:
    """What a fingerprint has of a tensor before its numbers."""
    return f"{name}{tuple(shape)}{dtype}".encode()


def as_bytes(tensor: Tensor) -> bytes:
    """The numbers of a tensor as they lie in memory."""
    t = tensor.detach().cpu().contiguous()
    return t.reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b""


def select(own: Parameters, selection: Selection | None) -> dict[str, Tensor]:
    """The floating-point parameters that a selection chooses.

    Args:
        own: Parameters by name.
        selection: A name pattern (``"layer3.*"``), several, a predicate of (name, tensor), or None for all.

    Raises:
        ChoiceError: If it chooses none.
    """
    if selection is None or callable(selection):
        chosen = {n: p for n, p in own.items() if selection is None or selection(n, p)}
    else:
        patterns = [selection] if isinstance(selection, str) else list(selection)
        chosen = {n: p for n, p in own.items() if any(fnmatchcase(n, pattern) for pattern in patterns)}
    chosen = {n: p for n, p in chosen.items() if p.is_floating_point()}
    if not chosen:
        some = ", ".join(list(own)[:5]) or "none at all"
        raise ChoiceError("parameters", selection, f"a choice of at least one floating-point parameter (here: {some})")
    return chosen
