"""Contrast of the page's colors, by the formula of WCAG 2.2 (relative luminance, contrast ratio)."""

import re

import pytest

from explorer.theme import DARK, FATHOM, LIGHT, MAP_INK, MAP_LIGHT, TOKENS_CSS
from explorer.views.layers import COLORS_ALONE

TEXT, PART = 4.5, 3.0  # of text; of parts of controls and of graphics
THEMES = pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])


def luminance(color):
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_has_the_contrast_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)  # the lightest gray for text on white


@THEMES
@pytest.mark.parametrize("ground", ["card", "page", "sunken"])
@pytest.mark.parametrize("name", ["ink", "ink2", "ink3", "here", "ok", "warn", "error"])
def test_text_is_read_on_every_ground(colors, ground, name):
    assert contrast(colors[name], colors[ground]) >= TEXT


@THEMES
def test_what_is_pressed_is_read_and_borders_are_seen(colors):
    for ground in ("press", "hover"):
        assert contrast(colors["ink"], colors[ground]) >= TEXT
    assert contrast(colors["on_ink"], colors["ink"]) >= TEXT
    assert contrast(colors["edge"], colors["card"]) >= PART


@THEMES
def test_the_names_of_curves_have_their_colors_and_are_read(colors):
    assert all(contrast(colors[name], colors["card"]) >= TEXT for name in ("line_main", "line2", "line3"))


def test_what_lies_on_the_map_is_seen_on_all_its_colors():
    assert all(max(contrast(MAP_INK, color), contrast(MAP_LIGHT, color)) >= 4.3 for color in FATHOM)


@THEMES
def test_a_contour_line_is_seen_where_there_are_no_bands(colors):
    assert min(contrast(color, colors["card"]) for color in COLORS_ALONE[colors is DARK]) >= 2.2


@THEMES
def test_the_style_sheet_has_the_colors_of_the_figures(colors):
    parts = TOKENS_CSS.split('[data-theme="dark"]')
    sheet = dict(re.findall(r"--([a-z0-9-]+):\s*(#[0-9a-f]{6})", parts[colors is DARK].partition("}")[0]))
    names = {"ink2": "ink-2", "ink3": "ink-3", "on_ink": "on-ink", "line_main": "line-main", "line2": "line-2"}
    names |= {"line3": "line-3"}
    shared = {name: sheet[names.get(name, name)] for name in colors if names.get(name, name) in sheet}
    assert len(shared) >= 15 and shared == {name: colors[name] for name in shared}
