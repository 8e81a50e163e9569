"""What a result is: an xarray Dataset with coordinates, errors and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from .metrics.base import Metric
from .parameters import fingerprint
from .subspaces import Subspace

Array = NDArray[np.float64]

SCALES = ("linear", "log", "symlog")


def transform(values: Array, scale: str, vmax: float | None = None) -> Array:
    r"""Values as a scale shows them: :math:`v`, :math:`\ln v`, or :math:`\mathrm{sign}(v) \ln(1 + |v|)`.

    On a log scale, values at or below 0 count as a tenth of the smallest positive one.

    Args:
        values: Of a metric; NaN and infinity stay as they are.
        scale: One of ``SCALES``.
        vmax: Finite values above it count as equal to it.
    """
    v = np.asarray(values, dtype=float)
    if vmax is not None:
        v = np.where(np.isfinite(v), np.minimum(v, vmax), v)
    if scale == "linear":
        return v
    if scale == "symlog":
        return np.sign(v) * np.log1p(np.abs(v))
    positive = v[np.isfinite(v) & (v > 0)]
    floor = positive.min() / 10 if positive.size else 1.0
    return np.log(np.where(v <= 0, floor, v))


def inverse(transformed: Array, scale: str) -> Array:
    """Values of a metric from what ``transform`` made of them."""
    t = np.asarray(transformed, dtype=float)
    if scale == "linear":
        return t
    if scale == "symlog":
        return np.sign(t) * np.expm1(np.abs(t))
    return np.exp(t)


def package_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("loss-landscape-explorer")
    except PackageNotFoundError:
        return "unknown"


def provenance(subspace: Subspace, metrics: Sequence[Metric]) -> dict[str, Any]:
    """How a result came about, for one JSON string: versions, subspace, model, data, precision, settings."""
    data = {m.name: m.data.fingerprint() for m in metrics if m.data is not None}
    return {
        "versions": {
            "loss-landscape-explorer": package_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "subspace": {"type": type(subspace).__name__, "bounds": subspace.bounds, **subspace.facts},
        "model": fingerprint(subspace.model.parameters),
        "metrics": {m.name: m.facts for m in metrics},
        "data": data,
        **subspace.model.facts,
        "precision": str(subspace.model.dtype).removeprefix("torch."),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
    }


def build(
    subspace: Subspace,
    axes: Sequence[Array],
    metrics: Sequence[Metric],
    variables: Mapping[str, tuple[NDArray[Any], dict[str, Any]]],
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """A Dataset over the dims of a subspace.

    Args:
        subspace: Whose dims and coordinates these are.
        axes: Node coordinates of each dim.
        metrics: Give ``long_name`` and ``units`` to the variables of their names.
        variables: By name, an array over the dims and its attributes.
        attributes: Scalars and strings; ``provenance`` among them.
    """
    coordinates = {dim: (dim, axis, subspace.describe(dim)) for dim, axis in zip(subspace.dims, axes, strict=True)}
    labels = {m.name: {"long_name": m.long_name or m.name, "units": m.units} for m in metrics}
    data = {
        name: (subspace.dims, array, {**labels.get(name, {}), **attrs}) for name, (array, attrs) in variables.items()
    }
    return xr.Dataset(data, coordinates, dict(attributes))
