"""How `make docs` builds these pages: Markdown, notebooks that are run, docstrings. It needs no network."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util import logging as sphinx_logging

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import reference_pages  # noqa: E402

project = "Loss landscape explorer"
release = installed("loss-landscape-explorer")
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]

# Markdown and notebooks. A page that is a notebook is run from nothing in each build.
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_show_tb = True  # a cell that fails is a warning, and so an error
nb_execution_timeout = 300
nb_merge_streams = True
nb_output_stderr = "remove-warn"
# What the notebooks' Python starts with: the look of the figures, one thread, no settings from a home folder.
_profile = HERE / "_build" / "ipython" / "profile_default"
_profile.mkdir(parents=True, exist_ok=True)
(_profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 'ERROR'\n", encoding="utf-8")
os.environ |= {"IPYTHONDIR": str(_profile.parent), "MATPLOTLIBRC": str(HERE / "gallery" / "matplotlibrc")}
os.environ |= {"OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
logging.getLogger("traitlets").setLevel(logging.WARNING)

# Docstrings.
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autosummary_generate = False
napoleon_use_ivar = True
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 110
toc_object_entries_show_parents = "hide"

# Formulas: MathJax in one file that loads nothing more, so it works from a folder and without a network.
_mathjax = find_spec("sphinx-mathjax-offline")
assert _mathjax is not None and _mathjax.origin is not None
mathjax_path = "tex-svg-full.js"
mathjax_options = {"defer": "defer"}
mathjax3_config = {"options": {"enableMenu": False}}

# The look: the tokens of the explorer (explorer/tokens.css). Gray page, magenta for "here".
html_theme = "furo"
html_title = project
html_static_path = ["_static", str(Path(_mathjax.origin).parent / "static" / "mathjax" / mathjax_path)]
html_css_files = ["style.css"]
html_favicon = "_static/favicon.svg"
pygments_style, pygments_dark_style = "friendly", "github-dark"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
_FONT = {
    "font-stack": "-apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', Arial, "
    "sans-serif",
    "font-stack--monospace": "ui-monospace, 'SF Mono', 'Cascadia Mono', 'Noto Sans Mono', 'Liberation Mono', monospace",
}
html_theme_options = {
    "light_css_variables": _FONT
    | {
        "color-brand-primary": "#14181d",
        "color-brand-content": "#1b6ca8",
        "color-brand-visited": "#1b6ca8",
        "color-foreground-primary": "#14181d",
        "color-foreground-secondary": "#48515b",
        "color-foreground-muted": "#626c77",
        "color-background-primary": "#ffffff",
        "color-background-secondary": "#f3f4f6",
        "color-background-border": "#dfe2e6",
    },
    "dark_css_variables": {
        "color-brand-primary": "#eef1f4",
        "color-brand-content": "#6db7ee",
        "color-brand-visited": "#6db7ee",
        "color-foreground-primary": "#eef1f4",
        "color-foreground-secondary": "#b9c1ca",
        "color-foreground-muted": "#939da8",
        "color-background-primary": "#161a1f",
        "color-background-secondary": "#0d1013",
        "color-background-border": "#3b434b",
    },
}

NAMES = {name: f"{package}.{name}" for package, names in reference_pages.exported().items() for name in names}
AMBIGUOUS = {"point", "load", "save", "trace", "density", "dense"}
"""Common words: linked only where the text says ``le.save``."""


class LinkNames(SphinxTransform):
    """Each exported name in code style links to its entry, in docstrings and pages alike."""

    default_priority = 600

    def apply(self, **_: Any) -> None:
        """Wrap the literals that are names."""
        for literal in list(self.document.findall(nodes.literal)):
            text = literal.astext().partition("(")[0]
            first = text.removeprefix("le.").partition(".")[0]
            if first not in NAMES or text in AMBIGUOUS or not self.is_prose(literal.parent):
                continue
            target = NAMES[first] + text.removeprefix("le.")[len(first) :]
            link = pending_xref("", refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refwarn=False)
            literal.replace_self(link)
            link += literal

    @staticmethod
    def is_prose(node: nodes.Node) -> bool:
        """Whether a name in it may become a link: in a text, a table, the description of an argument."""
        described = isinstance(node, nodes.inline) and bool(node.get("translatable"))
        return described or isinstance(node, nodes.paragraph | nodes.entry)


def skip_field(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what Python writes for the fields of a named tuple; the class says what they are."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def name_default(app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str) -> Any:
    """Write a default that is made for each object as Python can read it, so that the types before it link."""
    return (signature.replace("<factory>", "..."), returns) if signature else None


def check_names(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn, which fails the build, of an exported name that has no entry."""
    entries = env.get_domain("py").objects  # type: ignore[attr-defined]
    for name in NAMES.values():
        if name not in entries:
            sphinx_logging.getLogger(__name__).warning("%s is exported, but has no entry in the reference", name)


def write_reference(app: Sphinx) -> None:
    """Make the pages of the reference from what the engine exports."""
    importlib.reload(reference_pages).write(HERE / "reference")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", write_reference)
    app.connect("env-check-consistency", check_names)
    app.connect("autodoc-skip-member", skip_field)
    app.connect("autodoc-process-signature", name_default)
    app.add_transform(LinkNames)
