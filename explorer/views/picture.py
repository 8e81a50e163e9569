"""What is drawn of a landscape: levels, bands, contour lines and numbers, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, final

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from explorer.numbers import said_error
from explorer.theme import FATHOM

Array = NDArray[Any]
Ring = Array
Polygon = list[Ring]

_NOWHERE: Array = np.zeros((0, 2))

MOST_LEVELS = 24
DOT = 0.03  # of a side
FEWEST_LEVELS = 4
_MANTISSAS = ((1.0, 1.4, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0,))


class Line(NamedTuple):
    """A run of a contour line that is dashed or solid throughout."""

    level: float
    major: bool
    dashed: bool
    x: Array
    y: Array


class Bands(NamedTuple):
    """One row a band: polygons (each a list of rings, holes after the outer one) and colors."""

    xs: list[list[Polygon]]
    ys: list[list[Polygon]]
    colors: list[str]


def is_dot(points: Array, sides: Sequence[tuple[float, float]]) -> bool:
    """Whether a line is so short that it is seen as a dot.

    Args:
        points: Of it, of shape (m, dimensions).
        sides: Bounds of the picture.
    """
    return bool(np.all(np.ptp(points, axis=0) < DOT * np.ptp(np.array(sides), axis=1)))


class Stroke(NamedTuple):
    """A line over a landscape.

    Attributes:
        style: "path" (solid), "curve" (dotted), "straight" (long dashes) or "aligned" (short ones).
        points: In coordinates of the plane, of shape (m, 2); NaN where there is nothing to draw.
        knots: The points of it that get a dot, of shape (k, 2).
        notes: What is told at each of them.
    """

    style: str
    points: Array
    knots: Array = _NOWHERE
    notes: Sequence[str] = ()


class Mark(NamedTuple):
    """A place on a landscape.

    Attributes:
        kind: What it is, which decides its sign.
        x: Alpha.
        y: Beta.
        text: What is written there.
        note: What is told there, besides the value.
    """

    kind: str
    x: float
    y: float
    text: str = ""
    note: str = ""


class _Ladder(NamedTuple):
    levels: tuple[float, ...]
    step: float | None  # None: a ladder of mantissas


@final
@dataclass(frozen=True, eq=False)
class Picture:
    """One state of a landscape, ready to be drawn.

    Attributes:
        x: Alpha of the nodes' columns, ascending, of shape (nx,).
        y: Beta of the nodes' rows, ascending, of shape (ny,).
        values: The metric, of shape (ny, nx); what is not finite is left out.
        error: Estimated error of the transformed metric (natural log where ``scale`` is "log"), of shape
            (ny, nx); 0 where computed.
        evaluated: Whether a node was computed, of shape (ny, nx).
        scale: Of colors, levels and heights.
        x_title: Title of the alpha axis.
        y_title: Title of the beta axis.
        z_title: Name of the metric.
        units: Units of the metric, or "".
        strokes: Lines over it, from the lowest to the topmost.
        marks: Places that are named or told by a sign.
        high_is_better: Whether the best node is the highest.
        stderr: Standard error from sampling the data, NaN where it is not known, of shape (ny, nx); None if nowhere.
    """

    x: Array
    y: Array
    values: Array
    error: Array
    evaluated: Array
    scale: Literal["log", "linear"] = "log"
    x_title: str = "α"
    y_title: str = "β"
    z_title: str = "Loss"
    units: str = ""
    strokes: tuple[Stroke, ...] = ()
    marks: tuple[Mark, ...] = ()
    high_is_better: bool = False
    stderr: Array | None = None

    def __post_init__(self) -> None:
        shape = (len(self.y), len(self.x))
        for name in ("values", "error", "evaluated"):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, the nodes make {shape}")

    @property
    def x_bounds(self) -> tuple[float, float]:
        """First and last alpha."""
        return float(self.x[0]), float(self.x[-1])

    @property
    def y_bounds(self) -> tuple[float, float]:
        """First and last beta."""
        return float(self.y[0]), float(self.y[-1])

    @cached_property
    def z(self) -> Array:
        """The transformed metric, NaN where it is not finite."""
        values = np.where(np.isfinite(self.values), self.values, np.nan)
        if self.scale == "linear":
            return values
        positive = values[values > 0]
        floor = positive.min() / 10 if positive.size else 1.0
        return np.log(np.where(values <= 0, floor, values))

    @cached_property
    def sampling(self) -> Array:
        """``stderr`` of the nearest node where it is known; NaN if it is nowhere."""
        known = np.isfinite(self.stderr) if self.stderr is not None else np.zeros(self.values.shape, dtype=bool)
        if self.stderr is None or not known.any():
            return np.full(self.values.shape, np.nan)
        nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
        found: Array = self.stderr[tuple(nearest)]
        return found

    @cached_property
    def low(self) -> float:
        """Lower end of the colors, in the units of ``z``."""
        return self._range[0]

    @cached_property
    def high(self) -> float:
        """Upper end of the colors, in the units of ``z``."""
        return self._range[1]

    @cached_property
    def _range(self) -> tuple[float, float]:
        finite = self.z[np.isfinite(self.z)]
        if not finite.size:
            return 0.0, 1.0
        low, high = float(finite.min()), float(finite.max())
        if high - low <= 1e-12 * max(1.0, abs(low)):  # a flat picture: colors need some range
            return low - 0.5, high + 0.5
        return low, high

    @property
    def levels(self) -> tuple[float, ...]:
        """Values of the contour lines, ascending, all inside the range."""
        return self._ladder.levels

    @cached_property
    def _ladder(self) -> _Ladder:
        if self.scale == "linear":
            return _steps(self.low, self.high)
        low, high = math.exp(self.low), math.exp(self.high)
        for mantissas in _MANTISSAS:
            levels = _decades(low, high, mantissas)
            if len(levels) <= MOST_LEVELS:
                break
        return _Ladder(levels, None) if len(levels) >= FEWEST_LEVELS else _steps(low, high)

    @property
    def error_share(self) -> float:
        """The largest estimated error as a share of the range; NaN where one is not known."""
        return float(self.error.max()) / (self.high - self.low)

    @property
    def said_error(self) -> str:
        """The largest estimated error in words."""
        return said_error(float(self.error.max()), self.error_share, self.scale)

    def is_major(self, level: float) -> bool:
        """Whether a level bears a label and the heavier line."""
        step = self._ladder.step
        if step is not None:
            return round(level / step) % 2 == 0
        mantissa = level / 10 ** math.floor(math.log10(level) + 1e-9)
        return any(math.isclose(mantissa, round_one, rel_tol=1e-6) for round_one in (1, 2, 5))

    def transform(self, value: float) -> float:
        """A value of the metric in the units of ``z``; a log needs it positive."""
        return math.log(value) if self.scale == "log" else float(value)

    @cached_property
    def edges(self) -> tuple[float, ...]:
        """Edges of the bands in the units of ``z``, from ``low`` to ``high``."""
        return (self.low, *(self.transform(level) for level in self.levels), self.high)

    def color_of(self, z: float) -> str:
        """The colormap's color of a transformed value; the ends' colors beyond the range."""
        share = (z - self.low) / (self.high - self.low)
        return FATHOM[min(len(FATHOM) - 1, max(0, round(share * (len(FATHOM) - 1))))]

    @cached_property
    def band_colors(self) -> tuple[str, ...]:
        """Color of each band: that of its middle."""
        pairs = zip(self.edges[:-1], self.edges[1:], strict=True)
        return tuple(self.color_of((below + above) / 2) for below, above in pairs)

    def bands(self) -> Bands:
        """The bands between the levels, one row each, empty where the metric never lies in one."""
        margin = 1 + self.high - self.low
        edges = [self.low - margin, *self.edges[1:-1], self.high + margin]
        generator = self._generator
        rows = [_polygons(*generator.filled(below, above)) for below, above in zip(edges[:-1], edges[1:], strict=True)]
        xs = [[[ring[:, 0] for ring in polygon] for polygon in row] for row in rows]
        ys = [[[ring[:, 1] for ring in polygon] for polygon in row] for row in rows]
        return Bands(xs, ys, list(self.band_colors))

    def lines(self) -> list[Line]:
        """The contour lines, cut where they change between solid and dashed.

        A run is dashed where the estimated error could move the line half way to the next level.
        """
        found = []
        for level, line, uncertain in self.contours:
            major = self.is_major(level)
            for start, stop in _runs(uncertain):
                run = line[start : stop + 1]
                found.append(Line(level, major, bool(uncertain[start]), run[:, 0], run[:, 1]))
        return found

    def segments(self) -> NDArray[np.float32]:
        """The contour lines' segments: x0, y0, x1, y1, level in the units of ``z``, 1 for major else 0."""
        parts = [np.zeros((0, 6))]
        for level, line, _ in self.contours:
            rest = np.tile([self.transform(level), float(self.is_major(level))], (len(line) - 1, 1))
            parts.append(np.hstack([line[:-1], line[1:], rest]))
        return np.concatenate(parts).astype(np.float32)

    def best(self) -> tuple[float, float, float]:
        """Coordinates and value of the lowest finite node, of the highest if high is better; NaN if there is none.

        Of several with the same value, as on a plateau, it is the one that is nearest to the middle.
        """
        finite = np.isfinite(self.values)
        if not finite.any():
            return math.nan, math.nan, math.nan
        height = -self.values if self.high_is_better else self.values
        lowest = np.argwhere(np.where(finite, height, np.inf) == height[finite].min())
        off = np.abs(lowest - (np.array(finite.shape) - 1) / 2).max(axis=1)
        row, column = lowest[off.argmin()]
        return float(self.x[column]), float(self.y[row]), float(self.values[row, column])

    def value_at(self, points: Array) -> tuple[Array, Array]:
        """The metric and its estimated error at points of the plane, interpolated linearly in ``z``.

        Args:
            points: Of shape (m, 2).

        Returns:
            Values, exact at nodes, and errors in the units of ``z``; NaN outside the plane.
        """
        points = np.asarray(points, dtype=float).reshape(-1, 2)
        column, right = _cells(self.x, points[:, 0])
        row, up = _cells(self.y, points[:, 1])
        z = _blend(self.z, row, column, up, right)
        values = np.exp(z) if self.scale == "log" else z
        exact = np.isin(right, (0.0, 1.0)) & np.isin(up, (0.0, 1.0))
        at_node = np.where(np.isfinite(self.values), self.values, np.nan)
        at_node = at_node[row + (up == 1), column + (right == 1)]
        return np.where(exact, at_node, values), _blend(self.error, row, column, up, right)

    def height_at(self, points: Array) -> Array:
        """``z`` at points of the plane, of shape (m, 2), interpolated linearly; NaN outside."""
        points = np.asarray(points, dtype=float).reshape(-1, 2)
        (column, right), (row, up) = _cells(self.x, points[:, 0]), _cells(self.y, points[:, 1])
        return _blend(self.z, row, column, up, right)

    @cached_property
    def _generator(self) -> Any:  # its results differ by the types of lines and fills
        return contourpy.contour_generator(
            self.x,
            self.y,
            np.ma.masked_invalid(self.z),
            corner_mask=True,
            line_type=contourpy.LineType.Separate,
            fill_type=contourpy.FillType.OuterOffset,
        )

    @cached_property
    def contours(self) -> list[tuple[float, Array, Array]]:
        """Every contour line: its level, its points, and whether each of its segments is uncertain."""
        error = np.where(np.isfinite(self.error), self.error, np.inf)
        found = []
        for index, level in enumerate(self.levels):
            reach = self._half_way(index)
            for line in self._generator.lines(self.edges[index + 1]):
                column, right = _cells(self.x, line[:, 0])
                row, up = _cells(self.y, line[:, 1])
                doubt = _blend(error, row, column, up, right)
                found.append((level, line, (doubt[:-1] + doubt[1:]) / 2 >= reach))
        return found

    def _half_way(self, index: int) -> float:
        """Half the distance from a level to the nearer of its neighbors, in the units of ``z``."""
        inner = self.edges[1:-1]
        gaps = np.diff(inner[max(0, index - 1) : index + 2])
        return float(gaps.min() if gaps.size else self.high - self.low) / 2


def _steps(low: float, high: float) -> _Ladder:
    """About twelve levels strictly between two values, a round step apart."""
    raw = (high - low) / 12
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.8)
    first, last = math.ceil(low / step), math.floor(high / step)
    levels = (float(f"{count * step:.12g}") for count in range(first, last + 1))
    return _Ladder(tuple(level for level in levels if low < level < high), step)


def _decades(low: float, high: float, mantissas: tuple[float, ...]) -> tuple[float, ...]:
    """All products of a mantissa and a power of ten strictly between two values."""
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    levels = (float(f"{mantissa:g}e{power}") for power in powers for mantissa in mantissas)
    return tuple(level for level in levels if low < level < high)


def _polygons(points: list[Array], offsets: list[Array]) -> list[Polygon]:
    """Split contourpy's polygons into rings, the outer one first."""
    return [np.split(ring, cuts[1:-1]) for ring, cuts in zip(points, offsets, strict=True)]


def _runs(flags: Array) -> list[tuple[int, int]]:
    """Half-open ranges in which the flags do not change."""
    cuts = [0, *(np.flatnonzero(np.diff(flags)) + 1).tolist(), len(flags)]
    return list(zip(cuts[:-1], cuts[1:], strict=True)) if len(flags) else []


def _cells(nodes: Array, at: Array) -> tuple[Array, Array]:
    """The cell that holds each coordinate and the place in it, 0 to 1; NaN outside."""
    cell = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, len(nodes) - 2)
    place = (at - nodes[cell]) / (nodes[cell + 1] - nodes[cell])
    inside = (at >= nodes[0]) & (at <= nodes[-1])
    return cell, np.where(inside, place, np.nan)


def _blend(grid: Array, row: Array, column: Array, up: Array, right: Array) -> Array:
    """Bilinear interpolation in which a corner of weight zero does not count, even when not finite."""
    total = np.zeros(len(row))
    for above in (0, 1):
        for beyond in (0, 1):
            weight = (up if above else 1 - up) * (right if beyond else 1 - right)
            corner = grid[row + above, column + beyond]
            total += weight * np.where(weight == 0, 0.0, corner)
    return total
