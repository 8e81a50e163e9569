"""Directions that a model has where it is: of its gradient, of its curvature, of its optimizer's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ChoiceError, MismatchError
from ..metrics.base import Metric
from ..metrics.curvature import LargestCurvature
from ..metrics.gradients import GradientNorm
from ..models import ModelWrapper, wrap_model
from ..parameters import check_match, unflatten
from .base import Directions, unit

MOMENTA = ("momentum_buffer", "exp_avg")


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
    return Directions((unit(vector, f"the gradient of '{loss.name}'"),), facts)


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
    return Directions((unit(vector, f"the optimizer's {found}"),), {"kind": "optimizer", "entry": found})


def _optimizer_state(state: torch.optim.Optimizer | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(state, torch.optim.Optimizer):
        return state.state_dict()
    inner = [state, *(v for k, v in state.items() if "optim" in str(k).lower())] if isinstance(state, Mapping) else []
    for given in inner:
        if isinstance(given, Mapping) and {"state", "param_groups"} <= set(given):
            return given
    raise ChoiceError("state", type(state).__name__, "an optimizer, its state_dict(), or a checkpoint that holds one")
