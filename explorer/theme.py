"""Colors, fonts and themes of the page: one rule, the page is gray, the data has the color, magenta is "here"."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from bokeh.models import Axis, CustomJS, Grid, Label, LabelSet, Model, Plot, Title

_HERE = pathlib.Path(__file__).parent

TOKENS_CSS: str = (_HERE / "tokens.css").read_text(encoding="utf-8")
"""The design tokens as CSS custom properties; ``[data-theme="dark"]`` holds the dark ones."""

PAGE_CSS = """
#loader { background: var(--page); } .spinner { width: 24px; height: 24px; border: 3px solid var(--hair);
  border-top-color: var(--ink-2); }
[data-measured] #loader:not(.error) { display: none !important; }
"""
"""What the document shows until the header is there: a small ring on the page's own ground."""

FATHOM: list[str] = json.loads((_HERE / "fathom.json").read_text(encoding="utf-8"))
"""The colormap of the metric, 256 colors from deep indigo (low) to sand (high); the same in both themes."""

FONT = (
    '-apple-system, BlinkMacSystemFont, "Segoe UI Variable Text", "Segoe UI", "Noto Sans", '
    '"Liberation Sans", Arial, sans-serif'
)
MAP_INK = "#101418"
MAP_LIGHT = "#ffffff"
MAP_HERE = "#e0187a"

LIGHT: dict[str, str] = {
    "page": "#f3f4f6",
    "card": "#ffffff",
    "sunken": "#f3f4f6",
    "press": "#e1e4e8",
    "hover": "#eceef1",
    "ink": "#14181d",
    "ink2": "#48515b",
    "ink3": "#626c77",
    "hair": "#dfe2e6",
    "edge": "#828b95",
    "on_ink": "#ffffff",
    "here": "#c9156b",
    "ok": "#17713f",
    "warn": "#8a5800",
    "error": "#b3261e",
    "grid": "#e9ebee",
    "line_main": "#14181d",
    "line2": "#1b6ca8",
    "line3": "#68727d",
}
DARK: dict[str, str] = {
    "page": "#0d1013",
    "card": "#161a1f",
    "sunken": "#0f1215",
    "press": "#2a3138",
    "hover": "#20262c",
    "ink": "#eef1f4",
    "ink2": "#b9c1ca",
    "ink3": "#939da8",
    "hair": "#2a3037",
    "edge": "#6d7782",
    "on_ink": "#14181d",
    "here": "#ff74b4",
    "ok": "#62c78e",
    "warn": "#f0b64a",
    "error": "#ff9088",
    "grid": "#242a30",
    "line_main": "#eef1f4",
    "line2": "#6db7ee",
    "line3": "#98a2ad",
}


def _palette(colors: dict[str, str], mode: str) -> dict[str, Any]:
    return {
        "mode": mode,
        "primary": {"main": colors["ink"], "contrastText": colors["on_ink"]},  # controls: ink, not a hue
        "secondary": {"main": colors["here"], "contrastText": colors["on_ink"]},  # the path slider only
        "error": {"main": colors["error"]},
        "warning": {"main": colors["warn"]},
        "success": {"main": colors["ok"]},
        "info": {"main": colors["ink2"]},
        "background": {"default": colors["page"], "paper": colors["card"]},
        "text": {"primary": colors["ink"], "secondary": colors["ink2"], "disabled": colors["ink3"]},
        "divider": colors["hair"],
        "action": {"hover": colors["hover"], "selected": colors["press"]},
    }


def _typography() -> dict[str, Any]:
    return {
        "fontFamily": FONT,
        "fontSize": 14,
        "h1": {"fontSize": "1.0625rem", "fontWeight": 600, "letterSpacing": "-0.01em"},
        "h2": {"fontSize": "0.9375rem", "fontWeight": 600},
        "h3": {"fontSize": "0.8125rem", "fontWeight": 600},
        "h4": {"fontSize": "2rem", "fontWeight": 600, "letterSpacing": "-0.02em"},
        "body1": {"fontSize": "0.875rem", "lineHeight": 1.45},
        "body2": {"fontSize": "0.8125rem", "lineHeight": 1.45},
        "caption": {"fontSize": "0.75rem", "lineHeight": 1.35},
        "button": {"textTransform": "none", "fontWeight": 600, "fontSize": "0.875rem"},
    }


def _surfaces(colors: dict[str, str]) -> dict[str, Any]:
    """Overrides of what lies on the page: bar, drawer, papers and cards, without shadows."""
    bar = {
        "backgroundColor": colors["card"],
        "color": colors["ink"],
        "backgroundImage": "none",
        "borderBottom": f"1px solid {colors['hair']}",
        "boxShadow": "none",
        "& .title": {"color": f"{colors['ink']} !important", "fontSize": "1.0625rem"},  # Page writes white
    }
    drawer = {
        "backgroundColor": colors["card"],
        "backgroundImage": "none",
        "borderRight": f"1px solid {colors['hair']}",
        ".MuiDrawer-modal > & > .MuiToolbar-root": {"display": "none"},  # room for a header that it covers there
    }
    unmeasured = {"visibility": "var(--drawer)"}  # until the header has told the page that it is narrow
    card = {"border": f"1px solid {colors['hair']}", "borderRadius": 10, "boxShadow": "none"}
    return {
        "MuiCssBaseline": {"styleOverrides": {"body": {"fontVariantNumeric": "tabular-nums"}}},
        "MuiAppBar": {
            "defaultProps": {"elevation": 0, "color": "inherit"},
            "styleOverrides": {"root": bar},
        },
        "MuiDrawer": {"styleOverrides": {"paper": drawer, "root": {"@media (max-width: 1100px)": unmeasured}}},
        "MuiToolbar": {
            "styleOverrides": {
                "root": {
                    "minHeight": "56px !important",
                    "padding": "0 16px !important",
                    "& > .MuiBox-root": {"minWidth": 0},  # a long subtitle is cut, and not what stands beside it
                }
            }
        },
        "MuiAccordion": {
            "styleOverrides": {"root": {"border": 0, "boxShadow": "none !important", "&::before": {"display": "none"}}}
        },
        "MuiAccordionSummary": {"styleOverrides": {"root": {"padding": "0 10px", "fontSize": "0.8125rem"}}},
        "MuiAccordionDetails": {"styleOverrides": {"root": {"padding": "0 0 8px"}}},
        "MuiPaper": {
            "defaultProps": {"elevation": 0},
            "styleOverrides": {"root": {"backgroundImage": "none"}},
        },
        "MuiCard": {"styleOverrides": {"root": card}},
    }


def _controls(colors: dict[str, str]) -> dict[str, Any]:
    """Overrides of what is pressed, dragged or typed into."""
    return {
        "MuiButton": {"styleOverrides": {"root": {"boxShadow": "none", "&:hover": {"boxShadow": "none"}}}},
        "MuiOutlinedInput": {
            "styleOverrides": {
                "notchedOutline": {"borderColor": colors["edge"]},
                "root": {"fontSize": "0.875rem"},
            }
        },
        "MuiFormHelperText": {
            "styleOverrides": {"root": {"marginLeft": 0, "fontSize": "0.75rem", "color": colors["ink2"]}}
        },
        "MuiToggleButton": {"styleOverrides": {"root": _toggle(colors)}},
        "MuiSlider": {
            "styleOverrides": {
                "rail": {"color": colors["edge"], "opacity": 1},
                "thumb": {
                    "width": 20,
                    "height": 20,
                    "border": f"3px solid {colors['card']}",
                    "boxShadow": f"0 0 0 1.5px {colors['here']}",
                },
            }
        },
    }


def _toggle(colors: dict[str, str]) -> dict[str, Any]:
    return {
        "fontSize": "0.8125rem",
        "textTransform": "none",
        "padding": "4px 10px",
        "color": colors["ink2"],
        "borderColor": colors["edge"],
        "&.Mui-selected": {
            "backgroundColor": colors["press"],
            "color": colors["ink"],
            "fontWeight": 600,
            "boxShadow": f"inset 0 -2px 0 {colors['ink']}",
        },
    }


def _notices(colors: dict[str, str]) -> dict[str, Any]:
    """Overrides of what tells: tooltips and progress."""
    tooltip = {
        "backgroundColor": colors["card"],
        "color": colors["ink"],
        "border": f"1px solid {colors['hair']}",
        "fontSize": "0.75rem",
        "boxShadow": "0 1px 2px rgb(15 20 26 / .10), 0 8px 24px rgb(15 20 26 / .14)",
    }
    progress = {"height": 3, "backgroundColor": colors["hair"]}
    return {
        "MuiTooltip": {"styleOverrides": {"tooltip": tooltip}},
        "MuiLinearProgress": {"styleOverrides": {"root": progress}},
    }


def _material(colors: dict[str, str], mode: str) -> dict[str, Any]:
    return {
        "breakpoints": {"values": {"xs": 0, "sm": 1101, "md": 1200, "lg": 1400, "xl": 1800}},  # sm: drawer beside
        "palette": _palette(colors, mode),
        "shape": {"borderRadius": 6},
        "typography": _typography(),
        "components": {**_surfaces(colors), **_controls(colors), **_notices(colors)},
    }


THEME_CONFIG: dict[str, Any] = {"light": _material(LIGHT, "light"), "dark": _material(DARK, "dark")}
"""``theme_config`` of ``panel_material_ui.Page``."""

PAGE_SX: dict[str, Any] = {
    "& main": {"backgroundColor": "background.default"},
    "& header > .MuiLinearProgress-root": {"display": "none"},  # the header has a line of its own
}
"""``sx`` of ``panel_material_ui.Page``: it paints its main area as paper, cards need the gray of the page."""

# Bokeh 3.9 clears its canvas from half a pixel on: what was once painted across its edge would stay there. And it
# outlines a figure that was tapped, though nothing in it is done by keys.
CLEAN = ".bk-Canvas { clip-path: inset(1px 0 0 1px); --highlight-color: transparent; }"


def without_selection(figure: Plot) -> None:
    """Take away how Bokeh would draw what is not selected, or muted: nothing here ever is, and a page opens sooner."""
    for renderer in figure.renderers:
        renderer.update(nonselection_glyph=None, muted_glyph=None)


def without_press(figure: Plot) -> None:
    """Let a person press for as long as they like before they drag or let go.

    Bokeh 3.9 takes what is held for 0.3 s for a press, after which there is neither a drag nor a tap; a browser that is
    busy takes as long for anything.
    """
    code = """const view = Bokeh.index.find_one(figure)
if (view) view.canvas_view.ui_event_bus.ui_gestures._start_timeout = () => {}"""
    figure.js_on_change("outer_width", CustomJS(args={"figure": figure}, code=code))


_PLAIN = {"#444444", LIGHT["ink"], DARK["ink"]}  # Bokeh's own color of a label and ours


def apply_theme(figure: Plot, dark: bool) -> None:
    """Set colors and fonts of a figure's existing axes, grids, frame, title and labels, in place.

    A label that has a color of its own keeps it.

    Args:
        figure: A Bokeh figure.
        dark: Whether the page is dark.
    """
    colors = DARK if dark else LIGHT
    figure.update(background_fill_color=None, border_fill_color=None, outline_line_color=colors["edge"])
    for model in (figure.title, *figure.above, *figure.below, *figure.left, *figure.right, *figure.center):
        model.update(**_attributes(model, colors))


def _attributes(model: Model, colors: dict[str, str]) -> dict[str, Any]:
    """The properties that the theme sets on one model of a figure."""
    if isinstance(model, Axis):
        return _axis(colors)
    if isinstance(model, Grid):
        return {"grid_line_color": colors["grid"], "grid_line_width": 1}
    if isinstance(model, Title):
        return {**_text("text_", 13), "text_color": colors["ink"], "align": "left"}
    if isinstance(model, Label):
        color = colors["ink"] if model.text_color in _PLAIN else model.text_color
        return {"text_font": FONT, "text_font_size": "12px", "text_color": color}
    if isinstance(model, LabelSet):
        return {"text_font": FONT, "text_font_size": "12px"}
    return {}


def _axis(colors: dict[str, str]) -> dict[str, Any]:
    return {
        "axis_line_color": colors["edge"],
        "major_tick_line_color": colors["edge"],
        "minor_tick_line_color": colors["edge"],
        "major_tick_in": 0,
        "major_tick_out": 4,
        "minor_tick_in": 0,
        "minor_tick_out": 2,
        "major_label_text_color": colors["ink2"],
        "major_label_text_font": FONT,
        "major_label_text_font_size": "12px",
        **_text("axis_label_text_", 13),
        "axis_label_text_color": colors["ink"],
    }


def _text(prefix: str, size: int) -> dict[str, str]:
    return {f"{prefix}font": FONT, f"{prefix}font_size": f"{size}px", f"{prefix}font_style": "normal"}
