"""The page of the claims, and the file of what was found that it is made from."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .claim import Claim, Finding, Number

FOUND = "found.json"
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")
HEAD = ["Claim", "Source", "Number", "Tolerance", "Found", ""]
INTRO = """\
<!-- Made by `make science`: change science/, not this page. -->
# Published claims, reproduced

What the literature says of loss landscapes, measured from scratch: every network is trained here, on scikit-learn's
1,797 handwritten digits of 8 x 8 pixels (1,437 for training), and every number comes from this project's engine.

`make science` runs all of it on one core, prints the table and writes this page;
`python -m science {example}` runs one row again. It took {minutes} in all, with {versions}.

The tolerances were set before these runs and not changed for them. Settings (widths, learning rates, numbers of steps)
were found by trial, some with the number in view, which the sections say. A number outside its tolerance stays in the
table, marked, and its section says why.
Small networks on small images cannot confirm a claim about large ones; they show whether the effect is there, how
large, and that the tools measure what the papers measured.
"""


def versions() -> dict[str, str]:
    """What a finding was computed with."""
    return {"Python": platform.python_version(), **{name: version(name).partition("+")[0] for name in PACKAGES}}


def record(finding: Finding, seconds: float) -> dict[str, Any]:
    """What is kept of a finding, beside its figure."""
    values = {name: float(value) for name, value in finding.values.items()}
    return {"values": values, "seen": finding.seen, "seconds": round(seconds, 1), "versions": versions()}


def load(folder: Path, claims: Sequence[Claim]) -> dict[str, dict[str, Any]]:
    """What was found so far, by the names of the claims; not of claims whose numbers are others by now."""
    path = folder / FOUND
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    numbers = {claim.name: {number.name for number in claim.numbers} for claim in claims}
    return {name: entry for name, entry in found.items() if numbers.get(name) == set(entry["values"])}


def save(folder: Path, found: Mapping[str, Mapping[str, Any]], claims: Sequence[Claim]) -> None:
    """Write what was found, and the page beside its folder."""
    kept = {claim.name: found[claim.name] for claim in claims if claim.name in found}
    (folder / FOUND).write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    folder.with_suffix(".md").write_text(render(claims, kept), encoding="utf-8")


def render(claims: Sequence[Claim], found: Mapping[str, Mapping[str, Any]]) -> str:
    """The page as Markdown: introduction, table, a section for each claim that was run."""
    shown = [claim for claim in claims if claim.name in found]
    seconds = sum(found[claim.name]["seconds"] for claim in shown)
    used = {f"{k} {v}": None for claim in shown for k, v in found[claim.name]["versions"].items()}
    intro = INTRO.format(example=shown[0].name, minutes=_spoken(seconds), versions=", ".join(used))
    lines = [_row(HEAD), _row(["---"] * len(HEAD))]
    for claim in shown:
        first = [f"[{claim.title}](#{_anchor(claim.title)})", _short(claim)]
        for number in (n for n in claim.numbers if n.judged):
            lines.append(_row([*first, *_cells(number, found[claim.name]["values"])]))
            first = ["", ""]
    return "\n".join([intro, *lines, "", *(_section(claim, found[claim.name]) for claim in shown)])


def table(claims: Sequence[Claim], found: Mapping[str, Mapping[str, Any]]) -> str:
    """The rows for a terminal: claim, number, tolerance, found."""
    rows = [["claim", "number", "tolerance", "found", ""]]
    for claim in claims:
        rows += [[claim.name, *_cells(n, found[claim.name]["values"])] for n in claim.numbers if n.judged]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _section(claim: Claim, found: Mapping[str, Any]) -> str:
    head = ["Number", "Tolerance", "Found", ""]
    rows = [_row(head), _row(["---"] * len(head)), *(_row(_cells(n, found["values"])) for n in claim.numbers)]
    texts = [("Claim", claim.says), ("Source", claim.source), ("Done", f"{claim.done} ({_spoken(found['seconds'])}.)")]
    return "\n".join(
        [
            f"## {claim.title}",
            "",
            *(line for name, text in texts for line in (f"**{name}.** {text}", "")),
            *rows,
            "",
            found["seen"],
            "",
            *(line for name, why in claim.explained.items() for line in (f"**Outside: {name}.** {why}", "")),
            f"![{claim.title}](science/{claim.name}.png)",
            "",
            f"*{claim.caption}*",
            "",
            claim.discussion,
            "",
        ]
    )


def _cells(number: Number, values: Mapping[str, float]) -> list[str]:
    value = values[number.name]
    mark = "" if not number.judged else "within" if number.holds(value) else "**outside**"
    return [number.name, number.tolerance, number.shown(value), mark]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _short(claim: Claim) -> str:
    """The sources, each up to its year."""
    years = (re.match(r".*?\d{4}", source) for source in claim.source.split("; "))
    return "; ".join(year[0] for year in years if year)


def _anchor(title: str) -> str:
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c == "-")


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
