"""The documentation: exported names are in the reference, metrics say what they compute, links lead somewhere."""

import importlib.util
import inspect
import re
import sys
from pathlib import Path

import pytest

from landscape_engine import metrics

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("docs/*/*.md")])
PAGES = [page for page in PAGES if "_build" not in page.parts]

# Abstract ones are contracts: what they compute is up to the metrics that extend them.
QUANTITIES = [
    name
    for name, thing in ((name, getattr(metrics, name)) for name in metrics.__all__)
    if inspect.isclass(thing) and issubclass(thing, metrics.Metric) and not inspect.isabstract(thing)
]

ENTRY = r"\.\. (?:auto|py:)(?:class|exception|function|data):: (\w+)"


def load_reference_pages():
    spec = importlib.util.spec_from_file_location("reference_pages", ROOT / "docs" / "reference_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documented():
    """Full names of the entries of the reference, from the pages as Sphinx reads them."""
    found = set()
    for text in load_reference_pages().pages().values():
        package = None
        for line in text.splitlines():
            if line.startswith(".. currentmodule:: "):
                package = line.split()[-1]
            if entry := re.fullmatch(ENTRY, line):
                found.add(f"{package}.{entry[1]}")
    return found


@pytest.mark.parametrize("package", ["landscape_engine", "landscape_engine.metrics"])
def test_every_exported_name_has_an_entry_in_the_reference(package):
    entries = documented()
    for name in importlib.import_module(package).__all__:
        thing = getattr(importlib.import_module(package), name)
        inside = [f"{thing.__name__}.{n}" for n in thing.__all__] if inspect.ismodule(thing) else [f"{package}.{name}"]
        assert set(inside) <= entries


def test_a_name_exported_tomorrow_has_an_entry_too(monkeypatch):
    class Tomorrow(metrics.Metric):
        """Not there yet."""

        __module__ = "landscape_engine.metrics.tomorrow"

    monkeypatch.setattr(metrics, "Tomorrow", Tomorrow, raising=False)
    monkeypatch.setattr(metrics, "__all__", [*metrics.__all__, "Tomorrow"])
    monkeypatch.setitem(sys.modules, Tomorrow.__module__, type(sys)("tomorrow"))
    assert "landscape_engine.metrics.Tomorrow" in documented()


@pytest.mark.parametrize("name", QUANTITIES)
def test_every_metric_states_its_formula_and_its_source(name):
    text = inspect.getdoc(getattr(metrics, name))
    assert ":math:`" in text or ".. math::" in text
    assert "References:" in text or re.search(r"\([A-Z]\w+[^()]*\b(?:19|20)\d\d\b[^()]*\)", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_to_files(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not re.match(r"[a-z]+:", link) and not (page.parent / link).exists()]
    assert missing == []
