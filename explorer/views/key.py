"""The line under the map: what its marks mean, and how far it can be believed."""

from __future__ import annotations

import math

from explorer.basins import Basins
from explorer.numbers import format_number, percent
from explorer.views.picture import Picture, is_dot

COLLAPSED = 0.5  # a plane that holds less of a path's movement shows little of it
_PATH = """<svg width="26" height="10"><path d="M1 5H25" stroke="#101418" stroke-width="5" stroke-linecap="round"/>
<path d="M1 5H25" stroke="#fff" stroke-width="2.4"/><circle cx="13" cy="5" r="3" fill="#fff" stroke="#101418"
stroke-width="1.4"/></svg>"""
_LINE = """<svg width="31" height="8"><path d="{0}" stroke="#101418" stroke-width="{1}" stroke-linecap="{2}"/>
<path d="{0}" stroke="#fff" stroke-width="{3}" stroke-linecap="{4}"/></svg>"""
_LINES = {
    "path": _PATH,
    "curve": _LINE.format("M4 4h.1M12 4h.1M20 4h.1M28 4h.1", 6, "round", 3.4, "round"),
    "straight": _LINE.format("M3 4H12M19 4H28", 4.6, "square", 2, "butt"),
    "aligned": _LINE.format("M3 4H7M14 4H18M25 4H29", 4.4, "square", 1.8, "butt"),
}
NAMES = {"path": "training path, projected", "curve": "curve", "straight": "straight line"}
BEST = """<svg width="13" height="13"><path d="M6.5 1V12M1 6.5H12" stroke="currentColor" stroke-width="2"/></svg>"""
_SADDLE = """<svg width="13" height="13"><path d="M2.5 2.5L10.5 10.5M2.5 10.5L10.5 2.5" stroke="currentColor"
stroke-width="2"/></svg>"""
_NODE = (
    """<span><svg width="9" height="9"><circle cx="4.5" cy="4.5" r="1.7" fill="currentColor"/></svg>computed</span>"""
)
_KINDS = {"minimum": BEST, "maximum": BEST, "saddle": _SADDLE}
BAND = """<svg width="22" height="10"><rect width="22" height="10" rx="2" fill="currentColor" opacity=".22"/></svg>"""
DASHED = """<svg width="24" height="4"><path d="M0 2H24" stroke="currentColor" stroke-width="1.4"
stroke-dasharray="4 3"/></svg>"""


def points_key(found: Basins | None, extreme: str = "minimum") -> str:
    """What the marks of a plane's minima and saddles are, and what they are not, as HTML.

    Args:
        found: What is marked; None while it is looked for.
        extreme: What the plane may have of its own: a minimum, or a maximum where high is better.
    """
    if found is None:
        return f"<span>Looking for {extreme[:-2]}a and saddles …</span>"
    kinds = [kind for kind in _KINDS if any(point.kind == kind for point in found.points)]
    if not found.sought:
        return "<span>Its values are sampled or jump: no critical points are marked</span>"
    if not kinds:
        place = "plane" if found.request.window is None else "part of the plane"
        return f"<span>No {extreme} or saddle lies inside this {place}</span>"
    slopes = [point.gradient_norm for point in found.points if math.isfinite(point.gradient_norm)]
    only = " only" * all(point.of_plane_only for point in found.points)
    signs = "</span><span>".join(_KINDS[kind] + kind for kind in kinds)
    tail = f"<span>gradient norm ≥ {format_number(min(slopes), 2)}</span>" if slopes else ""
    return f"<span>{signs} of this plane{only}</span>{tail}"


def map_key(picture: Picture, held: float, off: float = 0.0, points: str = "", nodes: bool = False) -> str:
    """The key of a map as HTML: its lines, and below them its points and how far it can be believed.

    Args:
        picture: What is drawn.
        held: Share of the squared movement of the line that is followed that lies in the plane; NaN if not known.
        off: Distance of the aligned network from the plane, where it is drawn.
        points: What ``points_key`` says; it has a place of its own, so that nothing moves when it appears.
        nodes: Whether the computed nodes are drawn.
    """
    styles = [stroke.style for stroke in picture.strokes]
    extreme = "highest" if picture.high_is_better else "lowest"
    path = next((stroke.points for stroke in picture.strokes if stroke.style == "path"), None)
    if path is not None and (held < COLLAPSED or is_dot(path, (picture.x_bounds, picture.y_bounds))):
        share = f" ({percent(held)} of its movement)" if math.isfinite(held) else ""
        items = [f"{_PATH}training path: a dot{share}"]
    else:
        names = {**NAMES, "aligned": f"aligned, {format_number(off, 2)} off the plane"}
        items = [_LINES[style] + names[style] for style in _LINES if style in styles]
    if any(mark.kind == "best" for mark in picture.marks):
        alpha, beta, value = picture.best()
        place = f"α {format_number(alpha, 2)}, β {format_number(beta, 2)}"
        edge = alpha in picture.x_bounds or beta in picture.y_bounds
        best = f"{BEST}{extreme}, {format_number(value)} at {place}{', on the edge' * edge}"
        if "straight" in styles:  # three ways fill their line
            points = points or f"<span>{best}</span>"
        else:
            items.append(best)
    dashed = any(line.dashed for line in picture.lines())
    doubt = f"{DASHED}coarse, estimated error" if dashed else "estimated error"
    lines = "".join(f"<span>{item}</span>" for item in items)
    below = f"<div class='fit'>{_NODE * nodes}{points}</div><span>{doubt} {picture.said_error}</span>"
    return f"<div class='row lines'>{lines}</div><div class='row below'>{below}</div>"
