"""The box that tells what is under the pointer, the same on every figure."""

from __future__ import annotations


def tip(content: str) -> str:
    """HTML of Bokeh's tooltip around some content; its ``b`` is what is told first."""
    return f"""<div class="map-tip" style="margin: -6px; padding: 6px 8px; border-radius: 3px;
  background: var(--card, #fff); box-shadow: 0 0 0 1px var(--hair, #dfe2e6); font: 12px/1.45 var(--font, sans-serif);
  color: var(--ink-2, #48515b); white-space: nowrap"><style>b {{ color: var(--ink, #14181d) }}</style>{content}</div>"""
