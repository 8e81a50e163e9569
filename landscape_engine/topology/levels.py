"""From a landscape to the levels of one metric."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..errors import ChoiceError
from ..landscape import SCALES, Array, transform
from .flooding import DUAL

UNORDERED = ("seed", "sample")
"""Dims whose neighbors are not near each other."""


def one_metric(
    landscape: xr.DataArray | xr.Dataset, variable: str | None, scale: str
) -> tuple[xr.DataArray, float | None]:
    """One metric of a landscape, and its largest estimated error on a scale if that is known."""
    if isinstance(landscape, xr.DataArray):
        if variable not in (None, landscape.name):
            raise ChoiceError("variable", variable, f"'{landscape.name}', which the landscape is, or left out")
        return landscape, None
    names = [str(n) for n in landscape.data_vars]
    beside = {"evaluated", *(f"{n}{suffix}" for n in names for suffix in ("_error", "_stderr"))}
    offered = [n for n in names if n not in beside]
    if variable is None and len(offered) == 1:
        variable = offered[0]
    if variable not in offered:
        raise ChoiceError("variable", variable, f"one of {', '.join(offered)}")
    if f"{variable}_error" not in names:
        if "evaluated" in names and not landscape["evaluated"].all():
            raise ChoiceError("variable", variable, "the metric that drove the refinement, since others have gaps")
        return landscape[variable], None
    errors = landscape[f"{variable}_error"]
    largest = float(np.max(errors.values, initial=0.0, where=np.isfinite(errors.values)))
    surface, vmax = landscape[variable], errors.attrs.get("vmax")
    if vmax is not None:  # above it nodes were not computed, and the error is that of the surface cut off there
        surface = surface.where(~(np.isfinite(surface) & (surface > vmax)), vmax)
    return surface, largest if largest == 0 or errors.attrs.get("scale") == scale else None


def on_scale(surface: xr.DataArray, scale: str, neighbors: str) -> Array:
    """The surface on a scale with its dims in alphabetical order, NaN where it is not finite."""
    if scale not in SCALES:
        raise ChoiceError("scale", scale, f"one of {', '.join(SCALES)}")
    if neighbors not in DUAL:
        raise ChoiceError("neighbors", neighbors, f"one of {', '.join(DUAL)}")
    dims = sorted(map(str, surface.dims))
    if not dims or set(dims) & set(UNORDERED):
        raise ChoiceError("landscape", dims, "over continuous coordinates; select one seed or sample first")
    values = surface.transpose(*dims).values.astype(float)
    if not np.isfinite(values).any():
        raise ChoiceError("landscape", surface.name, "a surface with a finite value")
    return transform(np.where(np.isfinite(values), values, np.nan), scale)


def least_persistence(threshold: float | None, error: float | None, scale: str) -> float:
    """What persistence must exceed: a threshold, or twice the error if it is None."""
    if threshold is None and error is None:
        raise ChoiceError("threshold", None, f"a number, since the surface's error on a {scale} scale is not known")
    least = 2 * (error or 0.0) if threshold is None else threshold
    if not 0 <= least < np.inf:
        raise ChoiceError("threshold", least, "a finite number, 0 or more")
    return least
