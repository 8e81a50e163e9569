"""Points and directions of parameter space: mappings from parameter names to tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .errors import MismatchError

Parameters = Mapping[str, Tensor]


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
    return sum(float(torch.dot(a[n].reshape(-1).double(), b[n].reshape(-1).double())) for n in a)


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
        t = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(t.shape)}{t.dtype}".encode())
        digest.update(t.reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b"")
    return digest.hexdigest()[:16]
