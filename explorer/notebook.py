"""The explorer and its pictures inside a notebook: JupyterLab, Notebook 7, VS Code."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import panel as pn
import panel_material_ui as pmui
from panel_material_ui.theme import MaterialDesign

from explorer.theme import THEME_CONFIG, TOKENS_CSS
from explorer.views.host import Host
from landscape_engine import LandscapeError

# As high as what is inside: in a notebook there is no height to fill.
FREE = "flex: none !important; height: auto !important; max-height: none !important; box-sizing: border-box;"
ROOT_CSS = f"""
:host {{ {FREE} background: var(--page); color: var(--ink); container-type: inline-size;
  border: 1px solid var(--hair); border-radius: var(--r-card); }}
"""
HERE_CSS = TOKENS_CSS.replace(":root", ":host").replace('[data-theme="dark"]', ":host(.dark)") + ROOT_CSS
"""The design tokens for what is below one element, since the document belongs to the notebook."""

FRAME_CSS = f"""
:host {{ {FREE} display: grid !important; grid-template-columns: minmax(0, 1fr); align-items: start; }}
.bk-drawer {{ background: var(--card); border-bottom: 1px solid var(--hair); }}
@container (min-width: 1000px) {{ :host {{ grid-template-columns: 284px minmax(0, 1fr); }}
  .bk-head {{ grid-column: 1 / -1; }}
  .bk-drawer {{ border-right: 1px solid var(--hair); border-bottom: 0; border-radius: 0 0 0 var(--r-card);
    align-self: stretch; }} }}
"""
HEAD_CSS = f"""
:host {{ {FREE} background: var(--card); padding: 10px 16px; min-height: 56px; border-bottom: 1px solid var(--hair);
  border-radius: var(--r-card) var(--r-card) 0 0; }}
"""
BOARD_CSS = f"""
:host {{ {FREE} container-type: inline-size; min-width: 0; }}
.plane, .line {{ {FREE} }}
"""


@contextmanager
def plainly() -> Iterator[None]:
    """What is refused in it is one sentence in a notebook, and not the way of the error through the code."""
    try:
        yield
    except LandscapeError as error:
        sentence = f"{type(error).__name__}: {error}"
        error.__dict__["_render_traceback_"] = lambda: [sentence]  # what IPython asks an error for
        raise


class Plain(MaterialDesign):
    """The design of a root that stays one: a root of Material UI, which it usually gets, restyles all figures."""

    def _wrapper(self, viewable: Any) -> Any:
        return viewable


class Displayed(pn.Column):
    """What is displayed in a notebook. All that is done about it is done in the notebook's own thread.

    JupyterLab since 4.4 has another one, a subshell, take what the browser says, if the kernel has them, as ipykernel
    since 7: github.com/jupyterlab/jupyterlab/pull/17363. What is answered there would come between the pieces of what a
    run tells meanwhile, and the browser could make nothing of either.
    """

    def _on_msg(self, ref: str, manager: Any, msg: Any) -> None:
        loop, take = getattr(getattr(shell(), "kernel", None), "io_loop", None), super()._on_msg
        if loop is None or threading.current_thread() is threading.main_thread():
            take(ref, manager, msg)
        else:
            loop.add_callback(take, ref, manager, msg)


def shell() -> Any:
    """The notebook's IPython, None outside a notebook."""
    if "IPython" not in sys.modules:
        return None
    found = sys.modules["IPython"].get_ipython()
    return found if hasattr(found, "kernel") else None


_loaded: dict[str, Any] = {}


def ready() -> bool:
    """Load into the notebook what displays need, from this machine; whether it is a notebook.

    Some megabytes become output of the cell. They are loaded once, and again when that cell, having lost its output, is
    run again, since the page may have been opened anew since then.
    """
    found = shell()
    if found is None:
        return False
    cell, run = found.parent_header.get("metadata", {}).get("cellId", ""), found.execution_count
    if _loaded.get("cell", cell) == cell and _loaded.get("run") != run:
        pn.extension(inline=True)
        _loaded.update(cell=cell, run=run)
    return True


def display(view: Any) -> bool:
    """Display something where the call stands; whether this is a notebook."""
    if not ready():
        return False
    sys.modules["IPython"].display.display(view)
    return True


def themed(host: Host, content: Any, paint: Callable[[bool], None]) -> pn.Column:
    """Something in the look of the page, in the notebook's theme.

    Args:
        host: Tells of the notebook; it stands beside the content.
        content: What is displayed.
        paint: Gives the figures in it the colors of the light or the dark theme.
    """
    wide = {"sizing_mode": "stretch_width", "height_policy": "fit", "margin": 0}
    inner = pmui.Column(content, theme_config=THEME_CONFIG, stylesheets=[f":host {{ {FREE} }}"], **wide)
    view = Displayed(inner, host, stylesheets=[HERE_CSS], design=Plain, **wide)

    def repaint(event: Any) -> None:
        view.css_classes = ["dark"] if event.new else []
        paint(event.new)
        push(view)

    host.param.watch(repaint, "dark")
    for part in view.select(lambda part: hasattr(part, "stylesheets")):  # widths are the element's, not the window's
        part.stylesheets = [s.replace("@media (m", "@container (m") for s in part.stylesheets]
    return view


def framed(header: Any, drawer: Any, board: Any) -> pn.Column:
    """The whole explorer: the drawer beside the cards, or above them where there is little room."""
    wide = {"sizing_mode": "stretch_width", "height_policy": "fit", "margin": 0}
    return pn.Column(
        pn.Row(header, stylesheets=[HEAD_CSS], css_classes=["bk-head"], **wide),
        pn.Column(drawer, css_classes=["bk-drawer"], **wide),
        pn.Column(board, stylesheets=[BOARD_CSS], **wide),
        stylesheets=[FRAME_CSS],
        **wide,
    )


def push(view: Any) -> None:
    """Send changes of Bokeh's own models to where a view is displayed: in a notebook Panel sends only its own."""
    pn.io.push_notebook(view)
