"""``python -m science``: reproduce published claims, print the table, write the page."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import torch

from . import page
from .claims import CLAIMS

DOCS = Path(__file__).parent.parent / "docs"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the named claims, or all: 0 is well, 1 a number outside its tolerance (or within) that should not be."""
    names = [claim.name for claim in CLAIMS]
    parser = argparse.ArgumentParser(prog="python -m science", description=__doc__.partition(": ")[2])
    parser.add_argument("names", nargs="*", metavar="name", help=f"all when left out: {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="those that take less than 20 seconds")
    parser.add_argument("--folder", type=Path, default=DOCS / "science", help="of the figures; the page goes beside it")
    arguments = parser.parse_args(argv)
    if unknown := sorted(set(arguments.names) - set(names)):
        parser.error(f"no claim is called {', '.join(unknown)}; there are {', '.join(names)}")
    chosen = [c for c in CLAIMS if c.name in (arguments.names or names) and (c.quick or not arguments.quick)]

    torch.set_num_threads(1)  # so that sums, and with them training runs, are the same however many cores there are
    arguments.folder.mkdir(parents=True, exist_ok=True)
    found = page.load(arguments.folder, CLAIMS)
    for claim in chosen:
        start = time.perf_counter()
        with matplotlib.rc_context(fname=DOCS / "gallery" / "matplotlibrc"):
            finding = claim.run()
            finding.figure.savefig(arguments.folder / f"{claim.name}.png", dpi=130, metadata={"Software": None})
        found[claim.name] = page.record(finding, time.perf_counter() - start)
        page.save(arguments.folder, found, CLAIMS)  # after each, so that a run that is cut off loses nothing
        print(f"{claim.name}: {found[claim.name]['seconds']:.1f} s", flush=True)
    print(f"\n{page.table(chosen, found)}\n\n{sum(found[c.name]['seconds'] for c in chosen):.0f} s in all")
    surprises = [(claim, name) for claim in chosen for name in claim.surprises(found[claim.name]["values"])]
    for claim, name in surprises:
        print(f"{claim.name}: not as its `explained` says: {name}")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
