"""The card "Where training moved": how much of the movement lies along each principal direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from explorer.views.cards import text

SHOWN = 6  # directions with a row of their own
LEAST = 5e-4  # a smaller share is none to be seen
CSS = """
:host { font: 400 var(--fs-small)/1.45 var(--font); color: var(--ink); font-variant-numeric: tabular-nums; }
p { margin: 0 0 8px; color: var(--ink-2); } p b { color: var(--ink); font-weight: 600; }
ol { display: grid; grid-template-columns: max-content 1fr max-content; gap: 6px 12px; margin: 0; padding: 0;
  list-style: none; align-items: center; }
li { display: contents; } i { height: 10px; border-radius: 2px; background: var(--line-3); min-width: 1px; }
li span:last-child { text-align: right; }
.drawn i { background: var(--ink); } .drawn span { font-weight: 600; } li:not(.drawn) span { color: var(--ink-2); }
"""


class MovementView:
    """Says it for the plane that was drawn along the first of these directions.

    Attributes:
        view: What is shown.
        known: Whether it is known.
    """

    def __init__(self) -> None:
        self.known = False
        self.view = text("", CSS, sizing_mode="stretch_width")

    def show(self, facts: Mapping[str, Any]) -> None:
        """Show what is known of a subspace."""
        shares = facts.get("spectrum")
        self.known = bool(shares)
        self.view.object = movement_html(shares) if shares else ""


def movement_html(shares: Sequence[float], drawn: int = 2) -> str:
    """A bar for each direction, those that span the plane in ink.

    Args:
        shares: Of the movement of the training, one a direction, descending.
        drawn: How many of them span the picture.
    """
    seen = [share for share in shares[:SHOWN] if share >= LEAST]
    rest = 1 - sum(seen)
    rows = [(f"PC {k + 1}", share, "drawn" * (k < drawn)) for k, share in enumerate(seen)]
    rows += [("others", rest, "")] if rest >= LEAST else []
    longest = max(share for _, share, _ in rows)
    bars = "".join(
        f"<li class='{kind}'><span>{name}</span><i style='width: {100 * share / longest:.1f}%'></i>"
        f"<span>{100 * share:.1f} %</span></li>"
        for name, share, kind in rows
    )
    return (
        "<p>How much of the squared distances to the final network lies along each principal direction. The plane "
        f"shows the first {drawn}: <b>{100 * sum(shares[:drawn]):.1f}&nbsp;%</b>.</p><ol>{bars}</ol>"
    )
