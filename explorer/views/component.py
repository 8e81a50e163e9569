"""What our own elements in the browser have in common."""

from __future__ import annotations

from typing import Any

import panel_material_ui as pmui
from panel.custom import JSComponent


class Tagged:
    """Whose changes cost the same however large the page is."""

    @classmethod
    def _patch_datamodel_ref(cls, props: Any, ref: str) -> None:
        """Tag a changed element's model, as Panel does, and no other: those that it holds have tagged their own.

        Panel 1.9.4 looks for models in all that a ``jscallback`` refers to, which is the page, at every change.
        """
        tag = f"__ref:{ref}"
        if tag not in props.tags:
            props.tags.append(tag)


class Component(Tagged, JSComponent):
    """An element in JavaScript.

    Its module is a ``_bundle``: a page loads it as a file, as it is, and a browser that has been here keeps it.
    """

    __abstract = True


# es-module-shims reads all of a module before the browser may, for names without paths, which the bundles do not have.
# Bokeh 3.9 asks the style sheets for each property of each line and text, ten thousand times for a page; none sets any.
# It also has every page read what draws figures with WebGL, as none of ours does.
_EARLY = """{% extends base %}
{% block js_resources %}{% for line in bokeh_js.splitlines() if "bokeh-gl" not in line %}{{ line }}
{% endfor %}{% endblock %}
{% block preamble %}{{ super() }}<link rel="modulepreload" href="BUNDLE">{% endblock %}
{% block loader_script %}{{ super() }}
<script>{
  const shim = window.importShim;
  const withNames = (url) => (error) => error instanceof TypeError ? shim(url) : Promise.reject(error);
  window.importShim = Object.assign((url) => import(url).catch(withNames(url)), shim);
  addEventListener("DOMContentLoaded", () => setTimeout(() => importShim("BUNDLE")));
  window.Bokeh.require("core/visuals/visual").VisualProperties.prototype._get_css_value = () => "";
}</script>
{% endblock %}
"""


class Page(Tagged, pmui.Page):
    """The page around all elements. It loads their module while the server still writes the document."""

    def __init__(self, **params: Any) -> None:
        super().__init__(template=_EARLY.replace("BUNDLE", self._render_esm(server=True)), **params)
