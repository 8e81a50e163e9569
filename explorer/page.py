"""The page around the explorer: header, drawer and dialog."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import cache

import panel as pn
from bokeh.settings import settings
from threadpoolctl import threadpool_limits

from explorer import controls
from explorer.app import Explorer
from explorer.theme import PAGE_CSS, PAGE_SX, THEME_CONFIG, TOKENS_CSS
from explorer.views.component import Page
from explorer.views.opening import OpeningView


@cache
def _begin() -> None:
    """What a process that serves pages does once."""
    threadpool_limits(1, "blas")  # two threads of a small matrix wait for each other on a busy machine
    gc.freeze()  # what was imported is no garbage: looking through it takes 0.3 s of every second or third visit
    settings.perform_document_validation = False  # a tenth of the time that a page takes


def page(models: Sequence[str] = ()) -> Page:
    """The whole page: header, drawer and board.

    Args:
        models: Keys of models of the caller's, which can be chosen beside the samples; the first one is shown.
    """
    _begin()
    pn.config.global_css = [TOKENS_CSS, PAGE_CSS]
    explorer = Explorer(models=models)
    own = OpeningView(explorer.state)
    frame = Page(
        meta_title="Loss landscape",
        header=[explorer.header],
        sidebar=[controls.drawer(explorer.state, explorer.runner, own.button)],
        main=[explorer, own.dialog],
        theme_config=THEME_CONFIG,
        sx=PAGE_SX,
        sidebar_width=304,
        sidebar_resizable=False,
    )
    own.button.on_click(lambda event: frame.param.update(sidebar_open=not explorer.header.narrow))
    pn.state.on_session_destroyed(lambda context: own.close())
    explorer.state.dark = frame.dark_theme
    frame.link(explorer.state, dark_theme="dark")
    explorer.header.jscallback(args={"frame": frame}, narrow="frame.data.sidebar_open = !source.narrow")
    explorer.header.jscallback(args={"frame": frame}, night="frame.data.dark_theme = source.night")
    return frame
