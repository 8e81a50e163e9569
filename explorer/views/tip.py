"""The box that tells what is under the pointer, the same on every figure."""

from __future__ import annotations

from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure

_CSS = """
:host { padding: 0 !important; border: 0 !important; opacity: 1 !important; overflow: visible !important;
  background: none !important; }
.map-tip { padding: 6px 8px; border: 1px solid var(--hair, #dfe2e6); border-radius: var(--r-control, 6px);
  background: var(--card, #fff); box-shadow: var(--e-float, none); font: 12px/1.45 var(--font, sans-serif);
  color: var(--ink-2, #48515b); white-space: nowrap; }
b { color: var(--ink, #14181d); }
"""


def tip(content: str) -> str:
    """HTML of Bokeh's tooltip around some content; its ``b`` is what is told first."""
    return f"""<div class="map-tip"><style>{_CSS}</style>{content}</div>"""


def tell_above(plot: figure, source: ColumnDataSource, x: str, y: str, content: str) -> None:
    """Have a plot tell of the place that is nearest to the pointer across, in a box that covers no line.

    Args:
        plot: To which it is added.
        source: Of the places.
        x: Column of their positions.
        y: Column of what lies above all lines.
        content: Of the box, with columns as Bokeh's tooltips have them.
    """
    target = plot.line(x, y, source=source, line_alpha=0)
    over = {"mode": "vline", "attachment": "above", "show_arrow": False, "visible": False}
    plot.add_tools(HoverTool(renderers=[target], tooltips=tip(content), **over))
