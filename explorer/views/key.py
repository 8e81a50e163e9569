"""The line under the map: what its marks mean, and how far it can be believed."""

from __future__ import annotations

from explorer.numbers import format_number, percent
from explorer.views.picture import Picture

COLLAPSED = 0.5  # a plane that holds less of a path's movement shows little of it
_PATH = """<svg width="26" height="10"><path d="M1 5H25" stroke="#101418" stroke-width="5" stroke-linecap="round"/>
<path d="M1 5H25" stroke="#fff" stroke-width="2.4"/><circle cx="13" cy="5" r="3" fill="#fff" stroke="#101418"
stroke-width="1.4"/></svg>"""
_BEST = """<svg width="13" height="13"><path d="M6.5 1V12M1 6.5H12" stroke="currentColor" stroke-width="2"/></svg>"""
_DASHED = """<svg width="24" height="4"><path d="M0 2H24" stroke="currentColor" stroke-width="1.4"
stroke-dasharray="4 3"/></svg>"""


def map_key(picture: Picture, held: float) -> str:
    """The key of a map as HTML.

    Args:
        picture: What is drawn.
        held: Share of the training path's squared movement that lies in the plane.
    """
    extreme = "highest" if picture.high_is_better else "lowest"
    if held < COLLAPSED:
        items = [f"{_PATH}training path: a dot ({percent(held)} of its movement)"]
    else:
        items = [f"{_PATH}training path, projected", f"{_BEST}{extreme}, {format_number(picture.best()[2])}"]
    dashed = any(line.dashed for line in picture.lines())
    items.append(f"{_DASHED}may still move, error" if dashed else "estimated error")
    items[-1] += f" {percent(picture.error_share)}"
    return f"<div class='row'>{''.join(f'<span>{item}</span>' for item in items)}</div>"
