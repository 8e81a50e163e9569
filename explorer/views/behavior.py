"""What the network at the marker does, for people to see."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from explorer.behavior import Behavior, Continued, Mistake, Regions
from explorer.numbers import percent
from explorer.state import SET_NAMES

# Of classes: Okabe, Ito 2008, Color Universal Design, which color-blind people tell apart.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8c8c8c")
HEIGHT = 120  # px of the plane of the inputs
FAINT, STRONG = 40, 190  # opacity of a region where the network is as unsure, and as sure, as can be
CSS = """
.does { margin-top: 10px; min-height: 101px; }
.does h3 { font-size: var(--fs-small); font-weight: 600; margin: 0 0 6px; }
.does h3 span, .does p, figcaption { font-weight: 400; color: var(--ink-2); font-size: var(--fs-caption); }
.does p { margin: 4px 0 0; } .thumbs { display: flex; gap: 4px 16px; flex-wrap: wrap; } figure { margin: 0; }
.thumbs img { width: 44px; height: 44px; image-rendering: pixelated; display: block; object-fit: contain;
  border: 1px solid var(--hair); border-radius: 4px; background: #fff; }
figcaption b { color: var(--ink); font-weight: 600; }
.regions { display: flex; gap: 16px; align-items: end; flex-wrap: wrap; }
.regions svg { border: 1px solid var(--edge); border-radius: 2px; display: block; max-width: 100%; }
.classes { display: grid; gap: 2px; font-size: var(--fs-caption); color: var(--ink-2); }
.classes i { display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 6px; }
.tokens { font: var(--fs-caption)/1.6 var(--mono, monospace); color: var(--ink); overflow-wrap: anywhere; }
.tokens i { font-style: normal; color: var(--ink-2); } .tokens b { font-weight: 600; }
.tokens s { color: var(--warn); margin-right: 3px; }
"""


WAITING = "<div class='does'></div>"
"""Keeps its room."""


def behavior_html(found: Behavior, split: str) -> str:
    """A behavior as HTML.

    Args:
        found: On a set.
        split: The set.
    """
    what = f"{SET_NAMES[split]} examples".strip()
    some = "" if found.whole else "the first "
    if found.regions is not None:
        return _block("What it tells apart", f"on {what}", _regions(found.regions, found), "")
    unit = "tokens" if found.sequences else what
    errors = (
        f"{found.wrong:,} of {some}{found.count:,} {unit} are wrong ({percent(found.wrong / max(found.count, 1))})."
    )
    if found.sequences:
        return _block("What it says comes next", f"in {what}", "".join(map(_sequence, found.sequences)), errors)
    if not found.wrong:
        return _block("Mistakes", f"on {what}", "", f"None of {some}{found.count:,}.")
    body = "".join(map(_mistake, found.mistakes))
    if not found.mistakes:
        return _block("Mistakes", f"on {what}", "", errors)
    return _block("Most confident mistakes", f"on {what}", f"<div class='thumbs'>{body}</div>", errors)


def _block(head: str, note: str, body: str, below: str) -> str:
    return f"<div class='does'><h3>{head} <span>{note}</span></h3>{body}" + f"<p>{below}</p>" * bool(below) + "</div>"


def _mistake(found: Mistake) -> str:
    sure = f"{100 * found.confidence:.0f} % sure"
    said = f"example {found.number + 1}: {found.target}, taken for {found.said}, {sure}"
    picture = ""
    if found.picture is not None:
        ink = 255 - found.picture if found.picture.ndim == 2 else found.picture
        picture = f"<img src='{_data_url(ink)}' alt='{said}'>"
    return f"<figure title='{said}'>{picture}<figcaption>{found.target} as <b>{found.said}</b></figcaption></figure>"


def _sequence(found: Continued) -> str:
    """What was read, and what the network says comes next: a mistake struck, with what is right after it."""
    pairs = zip(found.targets, found.said, strict=True)
    words = (f"{right}" if right == said else f"<s>{said}</s><b>{right}</b>" for right, said in pairs)
    read = f"<i>{' '.join(map(str, found.read))}</i> → " if found.read else ""
    return f"<div class='tokens'>{'' if found.whole else '… '}{read}{' '.join(words)}</div>"


def _regions(found: Regions, known: Behavior) -> str:
    """The plane of the inputs: a color a class, stronger where the network is surer; the examples, mistakes ringed."""
    (left, bottom), (right, top) = found.low, found.high
    width = HEIGHT * float(np.clip((right - left) / (top - bottom), 0.5, 2.0))
    place = (found.points - found.low) / (found.high - found.low) * (width, HEIGHT)
    place[:, 1] = HEIGHT - place[:, 1]
    dots = "".join(_dots(place, found.targets, found.wrong))
    image = f"<image href='{_data_url(_colored(found))}' width='{width:.0f}' height='{HEIGHT}'"
    said = f"{known.wrong:,} of {'' if known.whole else 'the first '}{known.count:,} wrong"
    names = "".join(
        f"<span><i style='background:{COLORS[k % len(COLORS)]}'></i>class {k}</span>" for k in range(known.classes)
    )
    return (
        f"<div class='regions'><svg role='img' aria-label='The plane of the inputs, {said}' "
        f"width='{width:.0f}' height='{HEIGHT}' viewBox='0 0 {width:.0f} {HEIGHT}'>"
        f"{image} preserveAspectRatio='none'/>{dots}</svg>"
        f"<div class='classes'>{names}<span>{said}, ringed</span></div></div>"
    )


def _dots(places: np.ndarray, targets: np.ndarray, wrong: np.ndarray) -> Iterator[str]:
    for mistaken in (False, True):  # these on top
        ring = "stroke='var(--ink)' stroke-width='1.4'" if mistaken else "stroke='#fff' stroke-width='.5'"
        for k in np.flatnonzero(wrong == mistaken):
            x, y = places[k]
            color = COLORS[int(targets[k]) % len(COLORS)]
            yield f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{3 if mistaken else 1.8}' fill='{color}' {ring}/>"


def _colored(found: Regions) -> np.ndarray:
    """Bytes (rows, columns, 4) from the top to the bottom."""
    colors = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in COLORS], np.uint8)
    count = max(int(found.classes.max()) + 1, 2)
    sure = np.clip((found.confidence - 1 / count) / (1 - 1 / count), 0, 1)
    alpha = (FAINT + (STRONG - FAINT) * sure).astype(np.uint8)
    return np.dstack([colors[found.classes % len(COLORS)], alpha])[::-1]


def _data_url(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
