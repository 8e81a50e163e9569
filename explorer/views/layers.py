"""The columns of what the map draws in lines and signs: a row a line, or a sign."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource

from explorer.theme import FATHOM, MAP_INK, MAP_LIGHT
from explorer.views.labels import luminance, pixels
from explorer.views.picture import MOST_LEVELS, Array, Picture

LINE = ("xs", "ys", "color", "width", "alpha", "dash", "offset", "cap")  # columns of what is drawn in lines,
SIGN = ("kind", "x", "y", "note", "marker", "size", "fill", "line", "width")  # and of the signs on them
_EMPTY: dict[str, Any] = {
    **{"xs": [], "ys": [], "x": math.nan, "y": math.nan, "text": "", "angle": 0.0, "halo": MAP_INK},
    **{"color": MAP_INK, "width": 0.0, "alpha": 0.0, "dash": [], "offset": 0, "cap": "butt", "style": ""},
    **{"right": 0.0, "down": 0.0, "align": "left", "text_color": MAP_INK},
    **{"kind": "", "note": "", "marker": "circle", "size": 0.0, "fill": MAP_INK, "line": MAP_INK},
}
STROKES = {  # core and casing of each style: width, dashes and where in them it begins, all in px
    "path": ((2.4, [], 0), (5.2, [], 0)),
    "straight": ((2, [9, 9], 17), (4.6, [11, 7], 0)),
    "aligned": ((1.8, [4, 6], 9), (4.4, [6, 4], 0)),
    "curve": ((3.4, [0, 9], 0), (6, [0, 9], 0)),
}
_KNOT = {"marker": "circle", "size": 6, "fill": MAP_LIGHT, "line": MAP_INK, "width": 1.4}
_CROSS = (  # cased as lines are
    {"size": 12, "fill": MAP_LIGHT, "line": MAP_LIGHT, "width": 4.4},
    {"size": 12, "fill": MAP_INK, "line": MAP_INK, "width": 1.8},
)
_SIGNS: dict[str, list[dict[str, Any]]] = {  # of the marks, from the back to the front
    "start": [{"marker": "square", "size": 10, "fill": MAP_LIGHT, "line": MAP_INK, "width": 1.8}],
    "final": [{"marker": "diamond", "size": 17, "fill": MAP_INK, "line": MAP_LIGHT, "width": 1.8}],
    "shadow": [{"marker": "diamond", "size": 14, "fill": MAP_LIGHT, "line": MAP_INK, "width": 1.8}],
    "barrier": [{"marker": "triangle", "size": 11, "fill": MAP_LIGHT, "line": MAP_INK, "width": 1.8}],
    "drop": [{"marker": "inverted_triangle", "size": 11, "fill": MAP_LIGHT, "line": MAP_INK, "width": 1.8}],
    **{kind: [{"marker": "cross", **part} for part in _CROSS] for kind in ("best", "minimum", "maximum")},
    "saddle": [{"marker": "x", **part} for part in _CROSS],
}
ARM = 8  # px from the middle of a cross to the end of its casing
_LINE_WIDTHS = {True: 1.15, False: 0.75}
SEEN = {
    True: (0.35, 1.0),
    False: (0.0, 0.65),
}  # part of the colormap that lines alone show on a dark page, or a light one
COLORS_ALONE = {dark: [FATHOM[round(k)] for k in np.linspace(*ends, 256) * 255] for dark, ends in SEEN.items()}
_LINE_ALPHAS = {True: 0.62, False: 0.30}


def line_columns(picture: Picture, alone: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """Two rows a level, solid and dashed; a NaN ends each run.

    Args:
        picture: What is drawn.
        alone: Colors that lines have where there are no bands, from low to high.
    """
    rows, lines = [], picture.lines()
    for dash, level in product(([], [4, 3]), picture.levels):
        runs = [line for line in lines if line.level == level and line.dashed == bool(dash)]
        major = picture.is_major(level)
        dark = luminance(picture.color_of(picture.transform(level))) < 0.08
        color, width, alpha = MAP_LIGHT if dark else MAP_INK, _LINE_WIDTHS[major], _LINE_ALPHAS[major]
        if alone is not None:
            color, alpha = color_alone(picture, picture.transform(level), alone), 1.0
            width += 0.6
        xs, ys = _joined([run.x for run in runs]), _joined([run.y for run in runs])
        rows.append((xs, ys, color, width, alpha, dash, 0, "butt"))
    return _columns(rows, LINE)


def color_alone(picture: Picture, z: float, palette: Sequence[str]) -> str:
    """The color of a transformed value where there are no bands."""
    share = (z - picture.low) / (picture.high - picture.low)
    return palette[round(share * (len(palette) - 1))]


def stroke_columns(picture: Picture) -> dict[str, list[Any]]:
    """Two rows a stroke, casing and core."""
    rows = []
    for stroke in sorted(picture.strokes, key=lambda stroke: [*STROKES].index(stroke.style)):
        core, casing = STROKES[stroke.style]
        xs, ys = stroke.points[:, 0], stroke.points[:, 1]
        for color, (width, dash, offset) in ((MAP_INK, casing), (MAP_LIGHT, core)):
            cap = "butt" if dash and dash[0] else "round"
            rows.append((xs, ys, color, width, 1.0, dash, offset, cap, stroke.style))
    return _columns(rows, (*LINE, "style"))


def sign_columns(picture: Picture) -> dict[str, list[Any]]:
    """The dots of the strokes, and one or two rows a mark; one that stands on an edge is drawn whole, beside it."""
    rows: list[dict[str, Any]] = []
    for stroke in picture.strokes:
        notes = stroke.notes or [""] * len(stroke.knots)
        dots = [(*stroke.knots[k].tolist(), notes[k]) for k in _thinned(picture, stroke.knots)]
        rows += [{"kind": "knot", "x": x, "y": y, "note": note, **_KNOT} for x, y, note in dots]
    bounds, arm = (picture.x_bounds, picture.y_bounds), ARM / pixels(picture)
    for mark in sorted(picture.marks, key=lambda mark: [*_SIGNS].index(mark.kind)):
        seen = list(zip((mark.x, mark.y), bounds, strict=True))
        inside = all(low <= place <= high for place, (low, high) in seen)
        x, y = (min(max(at, low + arm), high - arm) if inside else at for at, (low, high) in seen)
        at = {"kind": mark.kind, "x": x, "y": y, "note": mark.note}
        rows += [{**at, **sign} for sign in _SIGNS[mark.kind]]
    return _columns([[row[name] for name in SIGN] for row in rows], SIGN)


def _columns(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [row[k] for row in rows] for k, name in enumerate(names)}


def _joined(runs: list[Array]) -> Array:
    return np.concatenate([np.append(run, np.nan) for run in runs]) if runs else np.zeros(0)


def fill(source: ColumnDataSource, columns: Mapping[str, Sequence[Any]], least: int = MOST_LEVELS + 1) -> None:
    """Give a source other columns, with empty rows up to as many as it had, and to a number at least.

    BokehJS takes new columns in steps, paints between them, and fails when there are fewer rows than before.
    """
    rows = max(least, *map(len, source.data.values()))
    data = {name: [*column, *[_EMPTY[name]] * (rows - len(column))] for name, column in columns.items()}
    if "xs" in data or data != source.data:  # lines are arrays, which are never compared
        source.data = data


def node_columns(picture: Picture) -> dict[str, Array]:
    """The computed nodes."""
    rows, columns = np.nonzero(picture.evaluated)
    return {"x": picture.x[columns], "y": picture.y[rows]}


def image_columns(picture: Picture) -> dict[str, list[Any]]:
    """An invisible image whose pixels are centered on the nodes, for the tooltip."""
    (left, right), (bottom, top) = picture.x_bounds, picture.y_bounds
    rows, columns = picture.values.shape
    wide, high = (right - left) / (columns - 1), (top - bottom) / (rows - 1)
    origin = np.where(picture.evaluated, -1.0, picture.error)
    origin = np.where(np.isfinite(picture.values), origin, -2.0)
    values = picture.values.astype(np.float32)
    return {
        "image": [np.zeros(values.shape, dtype=np.uint8)],
        "value": [values],
        "origin": [origin.astype(np.float32)],
        "sampling": [picture.sampling.astype(np.float32)],
        "x": [left - wide / 2],
        "y": [bottom - high / 2],
        "dw": [wide * columns],
        "dh": [high * rows],
        "units": [picture.units],
    }


def _thinned(picture: Picture, knots: Array) -> list[int]:
    """The dots of a line without those nearer than 8 px to the one before; the last always stays."""
    scale, last = pixels(picture), len(knots) - 1
    kept: list[int] = []
    for k in range(last):
        if not kept or np.hypot(*((knots[k] - knots[kept[-1]]) * scale)) >= 8:
            kept.append(k)
    return kept + [last] * (last >= 0)
