"""The card "At the marker": the network there, and whether the map can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import NamedTuple

from explorer.numbers import format_number, percent, plus_minus

COMING = ("…",)  # in place of a number that comes a little later
MANY = 2.0  # so much higher a value is told as a multiple
TRUSTED = 0.1  # the map can be trusted where it is within this share of the true value


class Reading(NamedTuple):
    """What is known at the marker: ``true`` on the set the map shows, ``others`` on other ones, their errors.

    ``gradient_norm`` and others come a little later; None says that they may. ``nearest`` is a checkpoint and how far
    it is. ``elsewhere`` is how far off the picture may be at other places, in words, while that is much.
    """

    where: str
    metric: str
    units: str
    names: tuple[str, ...]
    true: float
    stderr: float
    others: tuple[tuple[float, float] | None, ...]
    accuracy: Mapping[str, float]
    on_map: float
    map_error: float
    residual: float
    share: float
    place: str = "plane"
    exact: bool = True
    beside: tuple[tuple[str, float], ...] = ()
    gradient_norm: float | None = None
    gradient_share: float = math.nan
    nearest: tuple[str, float] | None = None
    picked: bool = False
    elsewhere: str = ""


def _verdict(r: Reading) -> tuple[str, str]:
    shown = "map" if r.place == "plane" else r.place
    if not math.isfinite(r.on_map):
        return "warn", f"This network falls outside the {shown}."
    if not r.exact:
        return "", f"The number above lies between two exact ones: go to a checkpoint to compare the {shown} with it."
    doubt = r.map_error / abs(r.on_map) if r.on_map else 0.0
    if doubt > TRUSTED:
        return "warn", f"The {shown} is coarse here: it may be off by {doubt * 100:.0f} %. The large number is exact."
    gap = (r.on_map - r.true) / abs(r.true) if r.true else math.inf if r.on_map else 0.0
    if abs(gap) <= TRUSTED:
        most = max(1, math.ceil(abs(gap) * 100))
        if r.elsewhere:
            return "warn", (
                f"The {shown} is right here, within {most} % of this network’s {r.metric}. "
                f"Elsewhere it may still be off by {r.elsewhere}."
            )
        return "ok", f"The {shown} can be trusted here: its {r.metric} is within {most} % of this network’s."
    side = "higher" if gap > 0 else "lower"
    size = f"{abs(gap) * 100:.0f} % {side}" if math.isfinite(gap) else side
    if MANY <= gap < math.inf:
        size = f"{format_number(gap + 1, 2)} times as high"
    return "warn", (
        f"Read the {shown} with care here: it shows a network {format_number(r.residual, 2)} away from this one, "
        f"whose {r.metric} is {size}."
    )


def _row(label: str, value: str, note: str = "") -> str:
    return f"<tr><th>{escape(label)}</th><td>{escape(value)} <small>{escape(note)}</small></td></tr>"


def _accuracy(shares: Mapping[str, float]) -> str:
    """The accuracy on each set, in one row."""
    label = f"Accuracy, {' / '.join(shares)}".removesuffix(", ")
    return _row(label, " / ".join(f"{share * 100:.1f} %" for share in shares.values()))


def inspector_html(r: Reading, does: str = "") -> str:
    """The card's body as HTML.

    Args:
        r: What is known.
        does: What the network does, as HTML.
    """
    kind, verdict = _verdict(r)
    share = "" if math.isnan(r.share) or not r.residual else f"{r.share * 100:.1f} % of the distance to the end"
    shown = "map" if r.place == "plane" else r.place
    rows = [
        _row(
            f"{r.metric[:1].upper()}{r.metric[1:]} on the {shown}",
            format_number(r.on_map),
            plus_minus(r.on_map, r.map_error) if r.map_error else "computed",
        )
        if math.isfinite(r.on_map)
        else _row(f"{r.metric[:1].upper()}{r.metric[1:]} on the {shown}", "outside"),
        *(_row(f"{r.metric[:1].upper()}{r.metric[1:]} on the {line}", format_number(v)) for line, v in r.beside),
        *(
            _row(
                name[:1].upper() + name[1:],
                *(COMING if other is None else (format_number(other[0]), plus_minus(*other))),
            )
            for name, other in zip(r.names[1:], r.others, strict=True)
        ),
        _accuracy(r.accuracy) if r.accuracy else "",
        _gradient(r, shown) if r.metric != "gradient norm" else "",
        _row(f"Distance from {r.nearest[0]}", format_number(r.nearest[1], 2)) if r.nearest is not None else "",
        "" if r.picked else _row(f"Distance from the {r.place}", format_number(r.residual, 2), share),
    ]
    units = f"{escape(r.units)}, " if r.units else ""
    doubt = plus_minus(r.true, r.stderr)
    sampled = f"sampling {doubt}" if doubt.startswith("error") else f"{doubt} from sampling"
    below = "between two exact values: interpolated" if not r.exact else sampled if doubt else ""
    return f"""<div class="columns"><div>
{_head(r.where, r.picked)}
<div class="big"><b>{format_number(r.true)}</b><span>{units}{r.names[0]}<br>
{below}</span></div>
<p class="verdict {kind}">{escape(verdict)}</p></div><table>{"".join(rows)}</table>{does}</div>"""


def _head(where: str, picked: bool) -> str:
    title = "At the point" if picked else "At the marker"
    return f'<div class="where"><i></i><b>{title}</b><span>{escape(where)}</span></div>'


def waiting_html(where: str, words: str, picked: bool) -> str:
    """The card while nothing is known of a network, or where nothing can be."""
    return f"{_head(where, picked)}<p class='verdict'>{escape(words)}</p>"


def _gradient(r: Reading, shown: str) -> str:
    """The row of the gradient, whose room is kept until it is known: how long it is, and how much the picture has."""
    if r.gradient_norm is None:
        return _row("Gradient norm", *COMING)
    held = f"{percent(r.gradient_share)} along the {shown}" if math.isfinite(r.gradient_share) else ""
    return _row("Gradient norm", format_number(r.gradient_norm), held) if math.isfinite(r.gradient_norm) else ""


CSS = """
:host { font: 400 var(--fs-small)/1.45 var(--font); color: var(--ink); font-variant-numeric: tabular-nums; }
.where { display: flex; align-items: center; gap: 8px; flex-wrap: wrap; } .where b { font-size: var(--fs-title); }
.where span, .big span, th, small { color: var(--ink-2); font-size: var(--fs-caption); font-weight: 400; }
.where i { width: 12px; height: 12px; border-radius: 50%; background: var(--here); margin: 3px;
  box-shadow: 0 0 0 2px var(--card), 0 0 0 3px var(--here); }
.big { display: flex; align-items: center; gap: 12px; margin: 10px 0; line-height: 1.25; }
.big b { font-size: var(--fs-figure); font-weight: 600; letter-spacing: -.02em; }
.verdict { margin: 0 0 12px; padding-left: 12px; border-left: 3px solid var(--edge); line-height: 1.4; }
.verdict.ok { border-color: var(--ok); } .verdict.warn { border-color: var(--warn); }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-size: var(--fs-small); }
td { text-align: right; white-space: nowrap; } th, td { padding: 3px 0; border-top: 1px solid var(--hair); }
.columns { display: grid; gap: 0 32px; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr)); }
.columns > table { grid-row: span 2; }
tr:first-child > * { border-top: 0; }
"""
