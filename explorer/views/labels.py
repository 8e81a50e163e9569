"""Where the labels of contour lines stand: on the line, turned with it, away from each other and from the path."""

from __future__ import annotations

import math
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np

from explorer.numbers import format_level
from explorer.views.picture import Array, Picture

LETTER, LINE, SIGN = 7.0, 15, 12  # px: of a letter, of a line of text, of a mark
PHONE = 2 / 3  # of the frame below that a phone shows
_SIDES = {  # of a mark: px to the right and up to the middle of its text, and how that is aligned
    "below": (0, -19, "center"),
    "above": (0, 18, "center"),
    "right": (11, 0, "left"),
    "left": (-11, 0, "right"),
    "below left": (6, -19, "right"),
    "below right": (-6, -19, "left"),
}
WIDTH, HEIGHT = 360, 277  # px of the frame that is assumed, since labels are placed before it is drawn


class Label(NamedTuple):
    """A level's label: its middle, its turn in radians, and its colors."""

    x: float
    y: float
    text: str
    angle: float
    color: str
    halo: str


def contour_labels(picture: Picture) -> list[Label]:
    """A label on the longest line of each major level where there is room for one."""
    longest: dict[float, Array] = {}
    for level, line, _ in picture.contours:
        if picture.is_major(level) and len(line) > len(longest.get(level, ())):
            longest[level] = line
    labels: list[Label] = []
    for level, line in longest.items():
        spot = _spot(picture, line, [(label.x, label.y) for label in labels])
        if spot is not None:
            halo = picture.color_of(picture.transform(level))
            color = "#ffffff" if luminance(halo) < 0.179 else "#000000"
            labels.append(Label(spot[0], spot[1], format_level(level), spot[2], color, halo))
    return labels


class Name(NamedTuple):
    """The text of a mark and where it stands beside it: pixels to the right and down, and which side faces it."""

    x: float
    y: float
    text: str
    right: float
    down: float
    align: str


def names(picture: Picture) -> list[Name]:
    """The texts of the marks, on those sides of them where they cover least, on a phone too."""
    scale = pixels(picture) * PHONE
    frame = [bound * scale for bound in (*picture.x_bounds, *picture.y_bounds)]
    lines = np.concatenate([*(stroke.points for stroke in picture.strokes), np.zeros((0, 2))]) * scale
    signs = [_Box(m.x * scale - SIGN / 2, m.y * scale - SIGN / 2, SIGN, SIGN) for m in picture.marks]
    named = [mark for mark in picture.marks if mark.text]
    options = []
    for mark in named:
        sides = sorted(_SIDES, key="above".__ne__) if mark.kind == "barrier" else list(_SIDES)
        boxes = [_box(mark.x * scale, mark.y * scale, LETTER * len(mark.text), side) for side in sides]
        costs = [k + _covered(box, signs, lines, frame) for k, box in enumerate(boxes)]
        options.append(list(zip(sides, boxes, costs, strict=True)))
    chosen = min(product(*options), key=_cost)
    places = [(mark, *_SIDES[side]) for mark, (side, _, _) in zip(named, chosen, strict=True)]
    return [Name(mark.x, mark.y, mark.text, right, -up, align) for mark, right, up, align in places]


class _Box(NamedTuple):
    left: float
    bottom: float
    width: float
    height: float

    def overlaps(self, other: _Box) -> bool:
        across = self.left < other.left + other.width and other.left < self.left + self.width
        return across and self.bottom < other.bottom + other.height and other.bottom < self.bottom + self.height


def _box(x: float, y: float, width: float, side: str) -> _Box:
    """The box of a text of a width on one side of a place, in pixels."""
    right, up, align = _SIDES[side]
    left = x + right - {"left": 0.0, "center": 0.5, "right": 1.0}[align] * width
    return _Box(left, y + up - LINE / 2, width, LINE)


def _covered(box: _Box, signs: list[_Box], lines: Array, frame: list[float]) -> float:
    """How bad a place for a text is: outside the frame, over signs, over lines."""
    left, right, bottom, top = frame
    inside = box.left >= left and box.left + box.width <= right and box.bottom >= bottom and box.bottom + LINE <= top
    within = (np.abs(lines - (box.left + box.width / 2, box.bottom + LINE / 2)) < (box.width / 2, LINE / 2)).all(axis=1)
    return 1000 * (not inside) + 100 * sum(box.overlaps(sign) for sign in signs) + 2 * float(within.sum())


def _cost(chosen: tuple[tuple[str, _Box, float], ...]) -> float:
    """The same of several together, which may cover each other."""
    return sum(cost for _, _, cost in chosen) + 100 * sum(a[1].overlaps(b[1]) for a, b in combinations(chosen, 2))


def pixels(picture: Picture) -> float:
    """Pixels that a unit of the plane takes in the assumed frame."""
    (left, right), (bottom, top) = picture.x_bounds, picture.y_bounds
    return min(WIDTH / (right - left), HEIGHT / (top - bottom))


def luminance(color: str) -> float:
    """Relative luminance of "#rrggbb", 0 to 1 (WCAG 2.2)."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _spot(picture: Picture, line: Array, placed: list[tuple[float, float]]) -> tuple[float, float, float] | None:
    """Where on a line a label reads best (x, y, angle): level, central, away from everything else."""
    (left, right), (bottom, top) = picture.x_bounds, picture.y_bounds
    scale = pixels(picture)
    marks = [np.array([[mark.x, mark.y]]) for mark in picture.marks]
    path = np.concatenate([*(stroke.points for stroke in picture.strokes), *marks, np.zeros((0, 2))])
    best, lowest_cost = None, math.inf
    for index, reach in _stretches(line, 14 / scale):
        x, y = line[index]
        border_x, border_y = min(x - left, right - x) * scale, min(y - bottom, top - y) * scale
        crowded = _nearest(placed, x, y) * scale < 50 or _nearest(path, x, y) * scale < 30
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
