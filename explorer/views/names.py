"""Where the names of marked places stand: beside their marks, over as little else as possible."""

from __future__ import annotations

from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from explorer.views.labels import pixels
from explorer.views.picture import Array, Picture

LETTER, LINE, SIGN = 7.0, 15, 12  # px: of a letter, of a line of text, of a mark
PHONE = 2 / 3  # of the assumed frame is what a phone shows
_SIDES = {  # of a mark: px to the right and up to the middle of its text, and how that is aligned
    "below": (0, -19, "center"),
    "above": (0, 18, "center"),
    "right": (11, 0, "left"),
    "left": (-11, 0, "right"),
    "below left": (6, -19, "right"),
    "below right": (-6, -19, "left"),
}


_BEFORE = {"left": 0.0, "center": 0.5, "right": 1.0}  # share of a text that stands left of its place


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
        sides = sorted(_SIDES, key="above".__ne__) if mark.kind in ("barrier", "drop") else list(_SIDES)
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
    left = x + right - _BEFORE[align] * width
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


def covered(picture: Picture, written: list[Name]) -> Array:
    """Points of the plane under names, dense enough to keep others away, of shape (m, 2)."""
    scale = pixels(picture)
    points = [np.zeros((0, 2))]
    for name in written:
        width = LETTER * len(name.text)
        left = name.x * scale + name.right - _BEFORE[name.align] * width
        across = np.linspace(left, left + width, 5)
        points.append(np.column_stack([across, np.full(5, name.y * scale - name.down)]) / scale)
    return np.concatenate(points)
