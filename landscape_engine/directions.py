"""Directions of parameter space: random, of descent, of curvature, of an optimizer, of a trajectory."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from .errors import ChoiceError, DirectionError, MismatchError
from .metrics.base import Metric
from .metrics.curvature import LargestCurvature
from .metrics.gradients import GradientNorm
from .models import ModelWrapper, wrap_model
from .normalization import HOLDS_ONE_DIMENSIONAL, moving_names, normalize, warn_of_parametrizations
from .parameters import Parameters, check_match, inner, norm, subtract, unflatten
from .trajectories import Trajectory, combinations, gram_matrix, read_tensors

FORMAT = "landscape directions 1"
MOMENTA = ("momentum_buffer", "exp_avg")


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


def _unit(vector: Parameters, what: str) -> dict[str, Tensor]:
    """A direction of length 1."""
    length = norm(vector)
    if not 0 < length < float("inf"):
        raise DirectionError(f"{what} is {'zero' if length == 0 else 'not finite'}, so it is no direction.")
    return {n: v / length for n, v in vector.items()}


def gradient_directions(model: nn.Module | ModelWrapper, loss: Metric) -> Directions:
    r"""The direction of steepest ascent, :math:`g / \|g\|` with :math:`g = \nabla L(\theta)`.

    Coordinates along it are distances; training moves to the negative side. ``facts["gradient_norm"]`` is the slope.

    Args:
        model: The model at the origin.
        loss: A metric of one number, such as ``Loss``.

    Raises:
        DirectionError: If the gradient is zero, as at a minimum.

    References:
        Goodfellow, Vinyals, Saxe 2015, Qualitatively characterizing neural network optimization problems.
    """
    here = wrap_model(model).private_copy().settled()
    gradient = GradientNorm(loss).gradient(here)
    vector = unflatten(gradient.to(here.dtype), here.snapshot())
    facts = {"kind": "gradient", "gradient_norm": float(gradient.norm())}
    return Directions((_unit(vector, f"the gradient of '{loss.name}'"),), facts)


def hessian_directions(
    model: nn.Module | ModelWrapper, loss: Metric, which: Sequence[int] = (0, -1), tolerance: float | None = None
) -> Directions:
    r"""Eigenvectors of the Hessian, :math:`H v_i = \lambda_i v_i`: along them the loss is curved most, or least.

    They are orthonormal, so coordinates are distances; the entry of largest absolute value is positive.

    Args:
        model: The model at the origin.
        loss: A metric of one number, such as ``Loss``.
        which: Places in the descending order of the eigenvalues: 0 is the largest, 1 the next, -1 the smallest.
        tolerance: Error allowed to eigenvalues, as a fraction of the largest.

    Returns:
        The directions; among their ``facts`` the ``eigenvalues``, and the ``residuals``
        :math:`\|H v - \lambda v\|`.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 6.
    """
    here = wrap_model(model).private_copy().settled()
    if not which or len(set(which)) < len(which):
        raise ChoiceError("which", tuple(which), "places of different eigenvalues, such as (0, -1)")
    largest, smallest = max(max(which) + 1, 0), max(-min(which), 0)
    found = LargestCurvature(loss, tolerance=tolerance).eigenpairs(here, largest, smallest)
    like, rows = here.snapshot(), list(which)
    vectors = tuple(unflatten(torch.from_numpy(found.vectors[k]), like) for k in rows)
    facts = {"eigenvalues": found.values[rows].tolist(), "residuals": found.residuals[rows].tolist()}
    return Directions(vectors, {"kind": "hessian", **facts})


def optimizer_directions(
    model: nn.Module | ModelWrapper, state: torch.optim.Optimizer | Mapping[str, Any], entry: str | None = None
) -> Directions:
    """The direction an optimizer remembers: its momentum, of length 1.

    Args:
        model: The model at the origin. The optimizer was made with all its parameters, in their order.
        state: The optimizer, its ``state_dict()``, or a checkpoint that holds one under a key with "optimizer" in it.
        entry: Which of its memories: ``"momentum_buffer"`` (SGD) or ``"exp_avg"`` (Adam) by default; any other with
            the shapes of the parameters, such as ``"exp_avg_sq"``.

    Raises:
        MismatchError: If the state is that of other parameters.
        ChoiceError: If it has no such entry.

    References:
        Kingma, Ba 2015, Adam: A Method for Stochastic Optimization, section 2 (the moments).
    """
    here = wrap_model(model)
    given = _optimizer_state(state)
    entries = [entry] if entry else list(MOMENTA)
    known = given["state"].values()
    found = next((e for e in entries if any(e in memory for memory in known)), None)
    if found is None:
        offered = sorted({e for memory in known for e, v in memory.items() if isinstance(v, Tensor) and v.ndim})
        raise ChoiceError("entry", entry, f"one of {', '.join(offered)}" if offered else "of an optimizer with memory")
    names = [n for group in given["param_groups"] for n in group.get("param_names", ())] or list(here.every_parameter)
    memories = [given["state"].get(k, {}).get(found) for group in given["param_groups"] for k in group["params"]]
    if len(names) != len(memories):
        raise MismatchError(
            f"the optimizer does not fit the model: it has {len(memories)} parameters, but the model has {len(names)}. "
            "Pass the optimizer of this model.",
            expected=len(names),
            found=len(memories),
        )
    by_name = {n: m for n, m in zip(names, memories, strict=True) if n in here.parameters and m is not None}
    vector = {n: by_name.get(n, torch.zeros_like(p)).to(p.device, here.dtype) for n, p in here.parameters.items()}
    check_match(vector, here.parameters, "the optimizer's memory does", "Pass the optimizer of this model.")
    return Directions((_unit(vector, f"the optimizer's {found}"),), {"kind": "optimizer", "entry": found})


def _optimizer_state(state: torch.optim.Optimizer | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(state, torch.optim.Optimizer):
        return state.state_dict()
    inner = [state, *(v for k, v in state.items() if "optim" in str(k).lower())] if isinstance(state, Mapping) else []
    for given in inner:
        if isinstance(given, Mapping) and {"state", "param_groups"} <= set(given):
            return given
    raise ChoiceError("state", type(state).__name__, "an optimizer, its state_dict(), or a checkpoint that holds one")


def difference(start: Parameters, end: Parameters) -> dict[str, Tensor]:
    r"""The direction :math:`\theta_{end} - \theta_{start}`: coordinate 0 is the start, 1 the end."""
    direction = subtract(end, start)
    if not any(bool(d.any()) for d in direction.values()):
        raise DirectionError("the two models are equal, so there is no direction from one to the other.")
    return direction


def principal_directions(
    trajectory: Trajectory | Sequence[Trajectory], model: ModelWrapper, count: int = 2
) -> Directions:
    r"""The directions along which a trajectory, or several together, moves most, orthonormal.

    With :math:`M` the matrix of rows :math:`\theta_k - \theta_{K-1}` (differences to the final checkpoint, not
    centred), the directions are its leading right singular vectors, found from the K x K Gram matrix
    :math:`M M^T = U \Lambda U^T` as :math:`d_i = M^T u_i / \sqrt{\lambda_i}`, in float64. The share of the movement
    that direction i holds is :math:`\lambda_i / \sum_j \lambda_j` (``facts["shares"]``). Signs are fixed: the first
    checkpoint has a negative first coordinate, the middle one a positive second coordinate.

    Of several trajectories, M has the rows of all, less the final checkpoint of the first one, which, unlike a mean,
    is a network that was trained. ``facts["shares_of_each"]`` are then the shares that each direction holds of the
    differences to each trajectory's own final checkpoint (NaN if it does not move).

    The parameters are read block by block, twice: in memory are a block of 128 MiB, the entries of one checkpoint
    that it is cut from, and the directions.

    Args:
        trajectory: The checkpoints, or those of several runs of one model.
        model: The model whose parameters span the space; other entries of the checkpoints are left out.
        count: How many directions, fewer than there are checkpoints.

    Raises:
        MismatchError: If the checkpoints do not fit the model.
        DirectionError: If the checkpoints move in fewer than ``count`` directions, or one of them is not finite.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 7.
    """
    runs = as_runs(trajectory)
    for run in runs:
        run.check_fits(model)
    moves = sum(len(run) for run in runs) - 1
    if not 1 <= count <= moves:
        raise ChoiceError("count", count, f"between 1 and {moves}, one less than there are checkpoints")
    names = list(model.parameters)
    gram = gram_matrix(runs, names)
    finite = gram.diagonal().isfinite()
    if not finite.all():
        steps = [step for run in runs for step in run.steps]
        broken = [step for step, good in zip(steps, finite.tolist(), strict=True) if not good]
        first = broken[0] if finite.any() else runs[0].steps[-1]  # what the final one, which all are compared with, is
        raise DirectionError(
            f"the checkpoint of step {first} has values that are not finite, so no direction leads there. Leave it "
            "out: the run has diverged.",
            step=first,
        )
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    total = float(gram.trace())
    if not total or float(values[-1]) <= 1e-12 * total:
        raise DirectionError(
            f"the checkpoints move in fewer than {count} directions, so they span no such subspace. "
            "Record more checkpoints, or choose a random plane."
        )
    vectors = vectors * _signs(vectors, (len(runs[0]) - 1) // 2)
    principal = combinations(runs, names, (vectors / values.sqrt()).T, model.dtype)
    facts: dict[str, Any] = {"kind": "trajectory", "shares": [float(v) / total for v in values]}
    if len(runs) > 1:
        facts["shares_of_each"] = _shares_of_each(runs, gram, vectors * values.sqrt())
    return Directions(principal, facts)


def as_runs(trajectory: Trajectory | Sequence[Trajectory]) -> tuple[Trajectory, ...]:
    """One trajectory or several, as several."""
    runs = (trajectory,) if isinstance(trajectory, Trajectory) else tuple(trajectory)
    if not runs:
        raise ChoiceError("trajectory", (), "one trajectory or more")
    return runs


def _signs(vectors: Tensor, middle: int) -> Tensor:
    """Those that make the first coordinate of the first row negative, the others of the middle row positive."""
    signs = torch.where(vectors[0] > 0, -1.0, 1.0).double()
    signs[1:] = torch.where(vectors[middle, 1:] < 0, -1.0, 1.0)
    return signs


def _shares_of_each(runs: Sequence[Trajectory], gram: Tensor, coordinates: Tensor) -> list[list[float]]:
    """How much of the squared differences to a run's own final checkpoint lies along each direction."""
    shares, start = [], 0
    for run in runs:
        own = slice(start, start + len(run))
        start += len(run)
        products, moved = gram[own, own], coordinates[own] - coordinates[own][-1]
        total = (products.diagonal() - 2 * products[:, -1] + products[-1, -1]).sum()
        still = float(total) <= 1e-12 * float(products.trace())  # nothing but rounding
        shares.append((moved.square().sum(0) / (math.nan if still else total)).tolist())
    return shares
