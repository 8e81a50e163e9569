"""The pages of the reference: one a module of the engine, made from what it exports.

A new name, a new metric, a new module appear by themselves: nothing lists them a second time.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ENGINE = "landscape_engine"
EXPORTING = (ENGINE, f"{ENGINE}.metrics")
"""Packages whose ``__all__`` is a promise."""

WHOLE = ("directions", "normalization")
"""Modules of which everything public is shown, exported there or not."""


def exported() -> dict[str, list[str]]:
    """The names that a reader may import, by the module they are imported from."""
    names = {package: [n for n in _in_order(package) if not _is_module(package, n)] for package in EXPORTING}
    of = [getattr(importlib.import_module(package), name) for package, all_ in names.items() for name in all_]
    shown = {_page(getattr(thing, "__module__", "")) for thing in of}
    for found in pkgutil.iter_modules(importlib.import_module(ENGINE).__path__):
        module = importlib.import_module(f"{ENGINE}.{found.name}")
        if found.name in WHOLE:
            rest = [n for n, thing in vars(module).items() if _is_own(n, thing, module) and thing not in of]
            names[module.__name__] = rest
        elif not found.name.startswith("_") and found.name not in shown and hasattr(module, "__all__"):
            names[module.__name__] = list(module.__all__)
    return names


def _in_order(package: str) -> list[str]:
    """The names of a package's ``__all__`` as its source lists them."""
    source = _source(package)
    return sorted(importlib.import_module(package).__all__, key=lambda name: source.rfind(f'"{name}"'))


def _source(package: str) -> str:
    """The text that declares a package's names: its stub if it has one."""
    file = Path(str(importlib.import_module(package).__file__))
    stub = file.with_suffix(".pyi")
    return (stub if stub.exists() else file).read_text(encoding="utf-8")


def _is_module(package: str, name: str) -> bool:
    """A module among the exported names has a page of its own."""
    return inspect.ismodule(_thing(package, name))


def pages() -> dict[str, str]:
    """The reStructuredText of each page by file name, and ``overview.txt``, which the index includes."""
    entries: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for package, names in exported().items():
        for name in names:
            module = getattr(_thing(package, name), "__module__", None) or package
            module = module if module.startswith(f"{ENGINE}.") else package
            entries.setdefault(_page(module), {}).setdefault(module, []).append((package, name))
    written = {f"{page}.rst": _text(page, sections) for page, sections in entries.items()}
    return written | {"overview.txt": _overview(entries)}


def write(folder: Path) -> None:
    """Write the pages, and remove those of modules that are gone."""
    texts = pages()
    for old in [*folder.glob("*.rst"), *folder.glob("*.txt")]:
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _page(module: str) -> str:
    """``landscape_engine.subspaces.affine`` stands on the page ``subspaces``."""
    return module.partition(".")[2].partition(".")[0]


def _is_own(name: str, thing: Any, module: ModuleType) -> bool:
    shown = inspect.isclass(thing) or inspect.isfunction(thing)
    return shown and not name.startswith("_") and f"{thing.__module__}.".startswith(f"{module.__name__}.")


def _text(page: str, sections: dict[str, list[tuple[str, str]]]) -> str:
    lines = [*_heading(_title(page), "="), "", _about(f"{ENGINE}.{page}"), ""]
    for module, names in sorted(sections.items(), key=lambda item: _place(item[0])):
        if len(sections) > 1 and module != f"{ENGINE}.{page}":
            lines += [*_heading(_title(module.rpartition(".")[2]), "-"), "", _about(module), ""]
        for package in dict(names):
            own = [name for origin, name in names if origin == package]
            summed_up = [name for name in own if callable(_thing(package, name))]
            lines += [f".. currentmodule:: {package}", ""]
            if summed_up:
                lines += [".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in summed_up), ""]
            for name in own:
                lines += [*_directive(package, name), ""]
    return "\n".join(lines)


def _directive(package: str, name: str) -> Iterator[str]:
    thing = _thing(package, name)
    if inspect.isclass(thing) and issubclass(thing, Exception):
        yield f".. autoexception:: {name}"
        yield "   :show-inheritance:"
    elif inspect.isclass(thing):
        yield f".. autoclass:: {name}"
        if _is_used_by_its_members(thing):
            yield "   :members:"
            yield "   :inherited-members: tuple, Exception, Module"
        else:
            yield "   :show-inheritance:"
    elif callable(thing):
        yield f".. autofunction:: {name}"
    else:
        yield f".. py:data:: {name}"  # a table or a number: its docstring would be that of its type
        yield f"   :type: {type(thing).__name__}"


def _thing(package: str, name: str) -> Any:
    return getattr(importlib.import_module(package), name)


def _is_used_by_its_members(thing: type) -> bool:
    """A metric is made and handed on: only those to be extended show their methods."""
    from landscape_engine.metrics import Metric

    return inspect.isabstract(thing) or not issubclass(thing, Metric)


def _overview(entries: dict[str, Any]) -> str:
    order = [page for page in entries if page != "metrics"]
    order.insert(order.index("models") + 1 if "models" in order else 0, "metrics")
    lines = []
    for page in order:
        found = [entry for sections in entries[page].values() for entry in sections]
        names = [f":py:obj:`{name} <{package}.{name}>`" for package, name in found]
        lines += [f":doc:`{_title(page)} <{page}>`", f"   {_about(f'{ENGINE}.{page}', first=True)}", ""]
        lines += [f"   {', '.join(names)}", ""]
    contents = ["", ".. toctree::", "   :hidden:", "", *(f"   {page}" for page in order), ""]
    return "\n".join(lines + contents)


def _about(module: str, first: bool = False) -> str:
    text = inspect.getdoc(importlib.import_module(module)) or ""
    return text.partition("\n\n")[0].replace("\n", " ") if first else text


def _place(module: str) -> int:
    """Where a module stands in its package: as its ``__init__`` imports them, which is the order of need."""
    source = _source(module.rpartition(".")[0])
    return source.find(f"from .{module.rpartition('.')[2]} ")


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _heading(title: str, line: str) -> list[str]:
    return [title, line * len(title)]
