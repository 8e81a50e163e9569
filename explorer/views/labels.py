"""Where the labels of contour lines stand: on the line, turned with it, away from each other and from the path."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from explorer.numbers import format_level
from explorer.views.picture import Array, Picture

WIDTH, HEIGHT = 360, 277  # px of the frame that is assumed, since labels are placed before it is drawn


class Label(NamedTuple):
    """A level's label: its middle, its turn in radians, and its colors."""

    x: float
    y: float
    text: str
    angle: float
    color: str
    halo: str


def contour_labels(picture: Picture, taken: Array) -> list[Label]:
    """A label on the longest line of each major level where there is room for one.

    Args:
        picture: What is drawn.
        taken: Points of the plane to keep away from, of shape (m, 2), beside its lines and marks.
    """
    marks = np.array([(mark.x, mark.y) for mark in picture.marks]).reshape(-1, 2)
    taken = np.concatenate([*(stroke.points for stroke in picture.strokes), marks, taken])
    longest: dict[float, Array] = {}
    for level, line, _ in picture.contours:
        if picture.is_major(level) and len(line) > len(longest.get(level, ())):
            longest[level] = line
    labels: list[Label] = []
    for level, line in longest.items():
        spot = _spot(picture, line, [(label.x, label.y) for label in labels], taken)
        if spot is not None:
            halo = picture.color_of(picture.transform(level))
            color = "#ffffff" if luminance(halo) < 0.179 else "#000000"
            labels.append(Label(spot[0], spot[1], format_level(level), spot[2], color, halo))
    return labels


def pixels(picture: Picture) -> float:
    """Pixels that a unit of the plane takes in the assumed frame."""
    (left, right), (bottom, top) = picture.x_bounds, picture.y_bounds
    return min(WIDTH / (right - left), HEIGHT / (top - bottom))


def luminance(color: str) -> float:
    """Relative luminance of "#rrggbb", 0 to 1 (WCAG 2.2)."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _spot(
    picture: Picture, line: Array, placed: list[tuple[float, float]], taken: Array
) -> tuple[float, float, float] | None:
    """Where on a line a label reads best (x, y, angle): level, central, away from everything else."""
    (left, right), (bottom, top) = picture.x_bounds, picture.y_bounds
    scale = pixels(picture)
    best, lowest_cost = None, math.inf
    for index, reach in _stretches(line, 14 / scale):
        x, y = line[index]
        border_x, border_y = min(x - left, right - x) * scale, min(y - bottom, top - y) * scale
        crowded = _nearest(placed, x, y) * scale < 50 or _nearest(taken, x, y) * scale < 30
        if border_x < 30 or border_y < 18 or crowded:
            continue
        along = line[reach[1]] - line[reach[0]]
        angle = math.remainder(math.atan2(along[1], along[0]), math.pi)
        center = math.hypot(x - left - 0.62 * (right - left), y - (top + bottom) / 2) / (right - left)
        cost = abs(math.degrees(angle)) + 12 * center
        if cost < lowest_cost:
            best, lowest_cost = (float(x), float(y), angle), cost
    return best


def _stretches(line: Array, half: float) -> list[tuple[int, tuple[int, int]]]:
    """Points of a line with the indices about ``half`` a label before and behind them."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    step = max(1, len(line) // 120)
    indices = [i for i in range(0, len(line), step) if along[i] >= 2 * half and along[-1] - along[i] >= 2 * half]
    before = np.searchsorted(along, along[indices] - half)
    behind = np.searchsorted(along, along[indices] + half)
    return [(i, (int(a), int(b))) for i, a, b in zip(indices, before, behind, strict=True)]


def _nearest(points: Any, x: float, y: float) -> float:
    if not len(points):
        return math.inf
    return float(np.hypot(*(np.asarray(points) - (x, y)).T).min())
