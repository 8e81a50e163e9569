"""What a start costs: importing the engine, and the first surface of the page, beside what was allowed for them.

The page's own overhead is the time from a request to its first picture (the plane, the path on it, 81 evaluations, the
first landscape, the map and the surface made of it) less the time of 81 plain evaluations. What the browser adds
measures `first_surface.py`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator

import landscape_engine as le
from explorer import sources
from explorer.app import Explorer
from explorer.profiles import profiles
from explorer.result import Result

from ..measure import TURNS, Row, seconds

IMPORT, OVERHEAD, NODES = 0.3, 0.15, 81
TIMED = "import time, torch; start = time.perf_counter(); import landscape_engine{}; print(time.perf_counter() - start)"


def rows(device: str) -> Iterator[Row]:
    """Both, on the CPU whatever the device."""
    bare, first = (imported(what) for what in ("", "; landscape_engine.refine"))
    note = f"the first name that is used takes {first:.2f} s: SciPy, xarray"
    yield Row("`import landscape_engine` beyond PyTorch", f"{IMPORT} s", bare / IMPORT, 1, at_most=True, note=note)
    explorer = Explorer()
    explorer.runner.close()
    request = explorer.state.request
    source = sources.load(request.model)
    metrics = sources.load(request.model).metrics(request.split, request.samples, request.metric)
    plain = le.Evaluator(source.subspace(request), metrics, strategy="loop")
    points = [(0.01 * k, 0.0) for k in range(NODES)]
    counts: list[int] = []

    def first_surface() -> None:
        plane, track = source.subspace(request), source.track(request)
        landscape = next(le.refine(metrics, plane, resolution=request.resolution, tolerance=request.tolerance / 100))
        counts.append(int(landscape["evaluated"].sum()))
        on_it = {n: [plane.project(track.state_at(n, float(t))) for t in track.positions] for n in track.lines}
        known = next(profiles(request, track))
        explorer._show(Result(request, track, plane, landscape, on_it, known, le.Progress(0, 0, 0.0)))

    first_surface()
    found = [seconds(first_surface) - seconds(lambda: plain.many(points)) for _ in range(TURNS)]
    own = statistics.median(found)
    what = f"the page's first surface of {request.model}, beside {max(counts)} evaluations"
    yield Row(what, f"{OVERHEAD} s", own / OVERHEAD, 1, at_most=True, note=f"{1e3 * own:.0f} ms")


def imported(more: str) -> float:
    """Seconds that the engine takes after PyTorch is there, in new processes."""
    command = [sys.executable, "-c", TIMED.format(more)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(TURNS)]
    return statistics.median(map(float, runs))
