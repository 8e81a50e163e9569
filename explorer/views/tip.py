"""The box that tells what is under the pointer, the same on every figure."""

from __future__ import annotations

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
