"""Ticks of a value axis that may be logarithmic, on figures whose data are transformed beforehand."""

from __future__ import annotations

import numpy as np
from bokeh.models import Grid
from bokeh.plotting import figure
from numpy.typing import NDArray

from explorer.numbers import SUPERSCRIPTS

Array = NDArray[np.float64]


def tick_values(plot: figure, low: float, high: float, scale: str) -> None:
    """Set the ticks of a figure's y axis, whose ticker is fixed, for limits of the transformed values."""
    values, minor, grid = _log_ticks(low, high) if scale == "log" else _linear_ticks(low, high)
    change = np.log if scale == "log" else np.asarray
    values = [v for v in values if change(v) - low > 0.04 * (high - low)]  # a label at the very edge is cut
    ticks = [float(v) for v in change(values)]
    axis = plot.left[0]
    axis.ticker.update(ticks=ticks, minor_ticks=[float(v) for v in change(minor)])
    axis.major_label_overrides = {t: number(v) for t, v in zip(ticks, values, strict=True)}
    (grid_lines,) = (g for g in plot.center if isinstance(g, Grid) and g.dimension == 1)
    grid_lines.ticker.ticks = [float(v) for v in change(grid)]


def drawn(values: Array, scale: str) -> Array:
    """The values as drawn on a linear axis; NaN where a logarithm has none."""
    values = np.asarray(values, float)
    return np.log(np.where(values > 0, values, np.nan)) if scale == "log" else values


def undrawn(z: Array, scale: str) -> Array:
    """The values that are drawn so."""
    return np.exp(z) if scale == "log" else z


def _log_ticks(low: float, high: float) -> tuple[list[float], list[float], list[float]]:
    """Labeled values, the others that get a tick, and those with a grid line, for limits of the logarithm."""
    powers = range(int(np.floor(low / np.log(10))), int(np.ceil(high / np.log(10))) + 1)
    every = [(m, float(f"{m}e{e}")) for e in powers for m in range(1, 10) if low <= np.log(m) + e * np.log(10) <= high]
    tens = [v for m, v in every if m == 1]
    labeled = [v for m, v in every if m in (1, 2, 5)] if high - low < 3.4 * np.log(10) else tens
    if len(labeled) < 2:
        values = _linear_ticks(float(np.exp(low)), float(np.exp(high)))[0]
        return values, [], tens or values
    return labeled, [v for _, v in every if v not in labeled], tens


def _linear_ticks(low: float, high: float) -> tuple[list[float], list[float], list[float]]:
    span = high - low
    unit = 10.0 ** np.floor(np.log10(span / 5))
    size = next(u * unit for u in (1, 2, 5, 10) if span / (u * unit) <= 6)
    values = [float(f"{size * k:.12g}") for k in range(int(np.ceil(low / size)), int(np.floor(high / size)) + 1)]
    return values, [], values


def number(value: float) -> str:
    """A tick's text: plain from 0.001 to 99,999, with a power of ten elsewhere."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:,.6g}" if abs(value) >= 1e4 else f"{value:.6g}".replace("-", "\u2212")
    digits, power = f"{value:.3e}".split("e")
    digits = digits.rstrip("0").rstrip(".").replace("-", "\u2212")
    raised = str(int(power)).translate(SUPERSCRIPTS)
    return f"10{raised}" if digits == "1" else f"{digits} \u00d7 10{raised}"
