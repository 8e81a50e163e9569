"""Random directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import ChoiceError
from ..models import ModelWrapper
from ..normalization import HOLDS_ONE_DIMENSIONAL, moving_names, normalize, warn_of_parametrizations
from ..parameters import Parameters, dot
from .base import Directions, orthogonalize
from .seeds import Products, Seeds, draw

KEEP = ("auto", "tensors", "seeds")
KEPT = 2**30  # bytes that random directions may take, unless their tensors are asked for


def random_directions(
    model: ModelWrapper,
    count: int,
    normalization: str = "filter",
    seed: int = 0,
    one_dimensional: bool = False,
    first_axis: int = 0,
    keep: str = "auto",
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
        keep: What is held in memory: the ``"tensors"`` of the directions, or only their ``"seeds"``, from which the
            same numbers are made whenever they are needed, at some 5 ns each. ``"auto"`` keeps seeds where the tensors
            would take more than 1 GiB.

    Raises:
        ChoiceError: If the normalization or ``keep`` is unknown.
        DirectionError: If nothing would move.

    References:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 4.
    """
    if keep not in KEEP:
        raise ChoiceError("keep", keep, f"one of {', '.join(KEEP)}")
    if normalization in HOLDS_ONE_DIMENSIONAL:
        warn_of_parametrizations(model)
    if keep == "auto":
        size = sum(p.numel() for p in model.parameters.values()) * model.dtype.itemsize
        keep = "seeds" if count * size > KEPT else "tensors"
    make = _seeded if keep == "seeds" else _stored
    vectors, zeros, products = make(model, count, normalization, seed, one_dimensional, first_axis)
    known = {"kind": "random", "seed": seed, "normalization": normalization, "zero_filters": zeros}
    return Directions(vectors, {**known, **_measures(products, count)})


Made = tuple[tuple[Parameters, ...], int, Mapping[str, Products]]


def _seeded(model: ModelWrapper, *choices: Any) -> Made:
    seeds = Seeds(model, *choices)
    return seeds.directions, seeds.zeros, seeds.products


def _stored(
    model: ModelWrapper, count: int, normalization: str, seed: int, one_dimensional: bool, first_axis: int
) -> Made:
    moving = set(moving_names(model, normalization, one_dimensional))
    raw: list[Parameters] = [
        {
            name: _whole(draw(p.shape, seed, axis, name)).to(p.device, model.dtype)
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
    products = {n: [[dot(a[n], b[n]) for b in vectors] for a in vectors] for n in model.parameters}
    return vectors, normalized[0].zeros, products


def _whole(drawn: Iterator[Tensor]) -> Tensor:
    first, *others = drawn
    return torch.cat([first, *others]) if others else first


def _measures(products: Mapping[str, Products], count: int) -> dict[str, Any]:
    """Lengths of the directions, and of each of their tensors; the cosine of two."""
    gram = [[sum(p[i][j] for p in products.values()) for j in range(count)] for i in range(count)]
    lengths = [gram[k][k] ** 0.5 for k in range(count)]
    layers = {n: [p[k][k] ** 0.5 for k in range(count)] for n, p in products.items()}
    cosine = {"cosine": gram[0][1] / (lengths[0] * lengths[1])} if count == 2 else {}
    return {"lengths": lengths, "layer_lengths": layers, **cosine}
