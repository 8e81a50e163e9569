"""The board and its cards: where things stand at each width of the window."""

from __future__ import annotations

from typing import Any

import panel as pn

BOARD_CSS = """
:host { display: grid !important; grid-template-columns: repeat(12, minmax(0, 1fr)); gap: 16px; padding: 16px;
  align-content: start; grid-auto-rows: max-content; height: max-content !important; box-sizing: border-box; }
.bk-map, .bk-surface, .bk-profile, .bk-inspector, .bk-spectrum, .bk-movement {
  align-self: stretch !important; height: auto !important; }
.bk-map, .bk-surface { grid-column: span 6; }
.bk-profile { grid-column: span 8; } .bk-inspector { grid-column: span 4; }
:host(.line) .bk-map, :host(.line) .bk-surface, :host(.plane) .bk-curve { display: none !important; }
:host(.alone) .bk-profile { display: none !important; } :host(.alone) .bk-inspector { grid-column: 1 / -1; }
.bk-banner, .bk-curve, .bk-spectrum, .bk-movement { grid-column: 1 / -1; }
:host(.curved.moves) .bk-spectrum { grid-column: span 8; } :host(.curved) .bk-movement { grid-column: span 4; }
:host(:not(.moves)) .bk-movement { display: none !important; }
.bk-map, .bk-surface, .bk-curve, .bk-profile, .bk-inspector { opacity: var(--strength, 1);
  transition: opacity var(--t-mid, 200ms) var(--rest, 0s); }
@media (max-width: 1100px) { .bk-profile, .bk-inspector, :host(.curved) .bk-movement,
  :host(.curved.moves) .bk-spectrum { grid-column: 1 / -1; } }
@media (max-width: 900px) { :host(.part) { --part-tools: none; } :host { gap: 12px; padding: 12px; } }
@media (max-width: 600px) { :host { gap: 8px; padding: 8px; } .bk-map, .bk-surface { grid-column: 1 / -1; }
  .bk-surface { min-height: 380px; }
  :host(.on-map) .bk-surface, :host(.on-surface) .bk-map { display: none !important; } }
"""
SWITCH = """
const rest = board.css_classes.filter((name) => !name.startsWith('on-'));
board.css_classes = [...rest, 'on-' + source.value.toLowerCase()];
"""
CARD_CSS = """
:host { background: var(--card); border: 1px solid var(--hair); border-radius: var(--r-card); min-width: 0;
  padding: 12px 16px; box-sizing: border-box; }
@media (max-width: 600px) { :host { padding: 8px 12px; } }
"""
TEXT_CSS = """
:host { font: 400 var(--fs-caption)/1.35 var(--font); color: var(--ink-2); }
h2 { font-size: var(--fs-title); font-weight: 600; color: var(--ink); margin: 0; line-height: 32px; }
.row { display: flex; margin-top: 6px; flex-wrap: wrap; gap: 2px 16px; min-height: 1.35em; }
.row span { display: inline-flex; align-items: center; gap: 6px; } .row > span:last-child { margin-left: auto; }
.note { line-height: 32px; white-space: nowrap; }
.note i { font-style: normal; }
@media (max-width: 600px) { .note { display: grid; align-content: center; min-height: 36px; text-align: right;
  max-width: calc(100vw - 13.6rem); white-space: normal; line-height: 1.3; } .note i { display: none; } }
.lines > span:last-child { margin-left: 0; } svg { flex: none; }
.below { margin-top: 2px; container-type: inline-size; }
.fit { flex: 1 1 16.5em; height: 1.35em; overflow: hidden; display: flex; flex-wrap: wrap; gap: 0 12px; }
@container (max-width: 400px) { .fit { height: auto; min-height: 1.35em; } }
"""
BANNER_CSS = """
:host { font: 400 var(--fs-body)/1.45 var(--font); color: var(--ink); }
p { margin: 0; padding: 12px 16px; background: var(--error-soft); border: 1px solid var(--error);
  border-radius: var(--r-card); }
"""
GIVES_WAY = "@media (max-width: 900px) { :host { display: var(--part-tools, flex) !important; } }"
GIVES_WAY_ON_PHONE = GIVES_WAY.replace("900px", "600px")
WIDE_ONLY = "@media (max-width: 600px) { :host { display: none !important; } }"
PHONE_ONLY = "@media (min-width: 601px) { :host { display: none !important; } }"


class Text(pn.pane.HTML):
    """HTML that keeps its style sheets when it changes.

    Panel would send them again, and in a notebook by their addresses elsewhere instead of their contents.
    """

    def _update(self, ref: str, model: Any) -> None:
        changed = self._get_properties(model.document)
        model.update(**{name: value for name, value in changed.items() if name != "stylesheets"})


def text(html: Any = "", *stylesheets: str, **options: Any) -> Text:
    """A line of text, in the small type of a card unless other style sheets are given."""
    return Text(html, stylesheets=list(stylesheets or (TEXT_CSS,)), **{"margin": 0, **options})


def title(words: str, *stylesheets: str) -> pn.pane.HTML:
    """The title of a card."""
    return text(f"<h2>{words}</h2>", TEXT_CSS, *stylesheets)


def head(words: str | pn.pane.HTML, *tools: Any, on_phone: Any = None) -> pn.Row:
    """The head of a card: its title, which ``on_phone`` replaces on a phone, and its tools at the right."""
    left = [title(words, *([WIDE_ONLY] if on_phone else [])) if isinstance(words, str) else words]
    if on_phone is not None:
        left.append(pn.Row(on_phone, stylesheets=[PHONE_ONLY], margin=0))
    gap = pn.Spacer(sizing_mode="stretch_width")
    return pn.Row(*left, gap, *tools, sizing_mode="stretch_width", height=36, margin=0, styles={"gap": "8px"})


def card(name: str, *children: Any, **options: Any) -> pn.Column:
    """A card, placed on the board by its name."""
    css = {"stylesheets": [CARD_CSS], "css_classes": [f"bk-{name}"]}
    wide = any("both" in (getattr(child, "sizing_mode", "") or "") for child in children)
    return pn.Column(*children, **css, **options, sizing_mode="stretch_both" if wide else "stretch_width", margin=0)


def board(*cards: Any) -> pn.Column:
    """The cards of the page.

    Its classes say what is shown: ``plane`` (map and surface; of these a phone shows one, by ``on-map`` or
    ``on-surface``) or ``line`` (the curve), ``alone`` where there is no track to follow, ``curved`` where there
    are derivatives, ``moves`` where it is known how much of the movement of a training each direction holds.
    """
    css = {"stylesheets": [BOARD_CSS], "css_classes": ["on-map", "plane"]}
    return pn.Column(*cards, **css, sizing_mode="stretch_both", margin=0)


def dimmed(before: bool) -> dict[str, str]:
    """Styles of a board which does, or does not, answer other choices than those that are made.

    They are no classes: Bokeh 3.9 lays out all of the page anew when those change.
    """
    return {"--strength": ".45", "--rest": "300ms"} if before else {"--strength": "1", "--rest": "0s"}


def when(wanted: Any, *children: Any, **options: Any) -> pn.Column:
    """Children that are in sight while something is so; before it was so once, they are no part of the page.

    Args:
        wanted: A reactive expression.
        *children: What is shown.
        **options: Of the column that holds them.
    """
    place = pn.Column(visible=wanted, **{"margin": 0, "sizing_mode": "stretch_width", **options})

    def fill(now: bool) -> None:
        if now and not place.objects:
            place.objects = list(children)

    wanted.rx.watch(fill)
    fill(wanted.rx.value)
    return place
