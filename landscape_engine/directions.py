"""Directions of parameter space: random, between two models, and the principal ones of a trajectory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from .errors import ChoiceError, DirectionError
from .models import ModelWrapper
from .normalization import HOLDS_ONE_DIMENSIONAL, moving_names, normalize, warn_of_parametrizations
from .parameters import Parameters, inner, norm, subtract
from .trajectories import Trajectory, read_tensors

FORMAT = "landscape directions 1"


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
        """Write one safetensors file: each parameter stacked over the directions, the facts as JSON metadata."""
        stacks = {n: torch.stack([v[n] for v in self.vectors]).contiguous() for n in self.vectors[0]}
        save_file(stacks, path, metadata={"format": FORMAT, "facts": json.dumps(self.facts)})

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


def _gaussian(shape: Sequence[int], seed: int, axis: int, name: str) -> Tensor:
    """Standard normal float32 numbers that depend on nothing but the key, so that they can be drawn again."""
    key = hashlib.sha256(f"{seed}/{axis}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)


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


def random_directions(
    model: ModelWrapper,
    count: int,
    normalization: str = "filter",
    seed: int = 0,
    one_dimensional: bool = False,
    first_axis: int = 0,
) -> Directions:
    r"""Gaussian directions, orthogonalized, then normalized to the size of the model's parameters.

    Each tensor is drawn by a generator of its own, keyed by (seed, axis, parameter name), so that a direction does
    not depend on the order of parameters and can be made again tensor by tensor. The order matters: made orthogonal
    *after* normalization, the directions would no longer be invariant to a rescaling of units. What remains of the
    cosine is in ``facts["cosine"]``.

    Args:
        model: The model at the origin.
        count: How many directions.
        normalization: ``"none"``, ``"model"``, ``"layer"`` or ``"filter"`` (see ``normalize``).
        seed: Any integer; the same seed gives the same directions on every machine.
        one_dimensional: Move biases and norm-layer weights too under ``"layer"`` and ``"filter"``.
        first_axis: Key of the first direction; those of different axes are independent.

    Raises:
        ChoiceError: If the normalization is unknown.
        DirectionError: If nothing would move.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 4.
    """
    if normalization in HOLDS_ONE_DIMENSIONAL:
        warn_of_parametrizations(model)
    moving = set(moving_names(model, normalization, one_dimensional))
    raw: list[Parameters] = [
        {
            name: _gaussian(p.shape, seed, axis, name).to(p.device, model.dtype)
            if name in moving
            else torch.zeros(p.shape, dtype=model.dtype, device=p.device)
            for name, p in model.parameters.items()
        }
        for axis in range(first_axis, first_axis + count)
    ]
    if moving:
        raw = orthogonalize(raw)
    normalized = [normalize(d, model, normalization) for d in raw]
    vectors = tuple(d.direction for d in normalized)
    facts: dict[str, Any] = {
        "kind": "random",
        "seed": seed,
        "normalization": normalization,
        "zero_filters": normalized[0].zeros,
        "lengths": [norm(v) for v in vectors],
        "layer_lengths": {n: [norm({n: v[n]}) for v in vectors] for n in moving_names(model, "none", True)},
    }
    if count == 2:
        facts["cosine"] = cosine(*vectors)
    return Directions(vectors, facts)


def difference(start: Parameters, end: Parameters) -> dict[str, Tensor]:
    r"""The direction :math:`\theta_{end} - \theta_{start}`: coordinate 0 is the start, 1 the end."""
    direction = subtract(end, start)
    if not any(bool(d.any()) for d in direction.values()):
        raise DirectionError("the two models are equal, so there is no direction from one to the other.")
    return direction


def principal_directions(trajectory: Trajectory, model: ModelWrapper, count: int = 2) -> Directions:
    r"""The directions along which a trajectory moves most, orthonormal.

    With :math:`M` the matrix of rows :math:`\theta_k - \theta_{K-1}` (differences to the final checkpoint, not
    centred), the directions are its leading right singular vectors, found from the K x K Gram matrix
    :math:`M M^T = U \Lambda U^T` as :math:`d_i = M^T u_i / \sqrt{\lambda_i}`, in float64. The share of the movement
    that direction i holds is :math:`\lambda_i / \sum_j \lambda_j` (``facts["shares"]``). Signs are fixed: the first
    checkpoint has a negative first coordinate, the middle one a positive second coordinate.

    Args:
        trajectory: The checkpoints.
        model: The model whose parameters span the space; other entries of the checkpoints are left out.
        count: How many directions, at most K - 1.

    Raises:
        MismatchError: If the checkpoints do not fit the model.
        DirectionError: If the checkpoints move in fewer than ``count`` directions.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 7.
    """
    trajectory.check_fits(model)
    if not 1 <= count <= len(trajectory) - 1:
        raise ChoiceError("count", count, f"between 1 and {len(trajectory) - 1}, one less than there are checkpoints")
    moves = {n: (s := trajectory.states[n].double())[:-1].sub(s[-1]) for n in model.parameters}
    rows = [m.reshape(len(m), -1) for m in moves.values() if m.numel()]
    gram = sum(r @ r.T for r in rows)
    assert isinstance(gram, Tensor)
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    total = float(gram.trace())
    if not total or float(values[-1]) <= 1e-12 * total:
        raise DirectionError(
            f"the checkpoints move in fewer than {count} directions, so they span no such subspace. "
            "Record more checkpoints, or choose a random plane."
        )
    coordinates = vectors * values.sqrt()
    signs = np.where(coordinates[0].numpy() > 0, -1.0, 1.0)
    if count > 1:
        signs[1:] = np.where(coordinates[len(coordinates) // 2, 1:].numpy() < 0, -1.0, 1.0)
    weights = vectors * torch.from_numpy(signs) / values.sqrt()
    principal = tuple(
        {n: torch.tensordot(weights[:, i], m, dims=([0], [0])).to(model.dtype) for n, m in moves.items()}
        for i in range(count)
    )
    return Directions(principal, {"kind": "trajectory", "shares": [float(v) / total for v in values]})
