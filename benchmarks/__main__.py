"""`python -m benchmarks`: time every row, print the table, write `benchmarks/RESULTS.md`.

Groups that are not named keep the rows of their last run, which stand in `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import json
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .measure import Row
from .rows import GROUPS, ON_CPU, rows

HERE = Path(__file__).parent
PACKAGES = ("torch", "numpy", "loss-landscapes")
HEAD = """# How fast it is

Made by `make bench`, on a GPU by `make bench DEVICE=cuda`. Each number is a ratio of two things that were measured in
one process, turn by turn, the median of five turns; the module of `benchmarks/rows/` that a section is named after says
how. Ratios depend on the machine; run them on yours.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Time the named groups, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition(": ")[2])
    parser.add_argument("names", nargs="*", metavar="group", help=f"all when left out: {', '.join(GROUPS)}")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    arguments = parser.parse_args(argv)
    if unknown := sorted(set(arguments.names) - set(GROUPS)):
        parser.error(f"no group is called {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for name in arguments.names or [n for n in GROUPS if arguments.device == "cpu" or n not in ON_CPU]:
        timed = []
        for row in rows(name, arguments.device):
            timed.append(asdict(row))
            print(line(row), flush=True)
        found = {"machine": machine(arguments.device), "rows": timed}
        file = HERE / "results" / arguments.device / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (HERE / "RESULTS.md").write_text(page(), encoding="utf-8")


def machine(device: str) -> str:
    """What the numbers of a run depend on."""
    where = "CPU, one thread" if device == "cpu" else torch.cuda.get_device_name()
    made = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{where}, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {made}"


def line(row: Row) -> str:
    """A row as Markdown."""
    limit = f"at {'most' if row.at_most else 'least'} {row.limit:g}"
    verdict = "" if row.met else "**short** "
    return f"| {row.what} | {row.against} | {row.ratio:.3g} | {verdict}{limit} | {row.note} |"


def page() -> str:
    """All that was found, on whatever devices."""
    parts = [HEAD]
    for device in sorted(p.name for p in (HERE / "results").iterdir()):
        parts.append(f"\n## On {device}\n")
        for name in GROUPS:
            file = HERE / "results" / device / f"{name}.json"
            if file.exists():
                found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
                parts.append(f"\n### {name}\n\n{found['machine']}\n")
                parts.append("\n| | against | ratio | wanted | |\n|---|---|---|---|---|")
                parts.extend("\n" + line(Row(**row)) for row in found["rows"])
                parts.append("\n")
    return "".join(parts)


if __name__ == "__main__":
    main()
