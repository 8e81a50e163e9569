"""One run in a thread of its own: ever finer pictures, and in turn with them exact values along the lines."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, final

import torch

import landscape_engine as le
from explorer import cost, sources
from explorer.measures import MEASURES
from explorer.profiles import Profile, known_of, profiles
from explorer.result import Result
from explorer.state import Request

if TYPE_CHECKING:
    from explorer.jobs import Runner

log = logging.getLogger("explorer")

PICTURE, RAREST = 0.4, 2.0  # seconds between two pictures, at first and at last
RARER = 0.15  # share of the time of a run after which there is another picture: the later, the less it differs
SLOW, FEW = 0.006, 100  # seconds of an evaluation above which first pictures are drafts, on so many examples


class Along(NamedTuple):
    """How far the values along the lines are.

    Attributes:
        seconds: Spent on them.
        missing: How many there are not yet.
        pace: Seconds of each; 0 if that is not known.
    """

    seconds: float = 0.0
    missing: int = 0
    pace: float = 0.0


class Canceled(Exception):
    """Raised in the worker when its job was called off."""


@final
class Job:
    """One run in a thread of its own."""

    def __init__(self, runner: Runner, request: Request) -> None:
        self.runner, self.request = runner, request
        self.stop, self.looked, self.go = threading.Event(), threading.Event(), threading.Event()
        self.progress = le.Progress(0, 0, 0.0)
        self.search: le.Step | None = None
        self.refined = False
        self._aside = 0.0  # seconds of the refinement in which it stood still
        self.expected = 0  # evaluations, before they are planned
        self.along = Along()
        self.thread = threading.Thread(target=self._run, name="landscape", daemon=True)

    def _run(self) -> None:
        torch.set_num_threads(1)  # two threads of a small product wait for each other on a busy machine
        try:
            for result in self._results():
                self.runner.post(self, "running", "", result)
                if result.profile["evaluated"].any():
                    self.looked.set()
                    self.go.wait()
            self.runner.post(self, "done", "", None)
        except Canceled:
            pass
        except Exception as error:
            self.runner.post(self, "failed", sentence(error), None)
        finally:
            self.looked.set()

    def _results(self) -> Any:
        request, source = self.request, sources.load(self.request.model)
        track = source.track(request, self._watch)
        self._check()
        self.search, subspace = None, source.subspace(request)
        self._check()
        projections = {
            line: [subspace.project(track.state_at(line, float(place))) for place in track.positions]
            for line in track.lines
        }
        metrics = source.metrics(request.split, request.samples, request.metric)
        drive = f"{request.split}_{request.metric}"
        driver = next(m for m in metrics if m.name == drive)
        start = source.recall(request, {m.name for m in metrics})
        self.expected = 0 if start is not None else cost.evaluations(request)
        path = self._timed(profiles(request, track, self._check))
        exact, shown, began, due = next(path), None, time.monotonic(), 0.0
        for landscape in le.refine(
            metrics,
            subspace,
            resolution=request.resolution,
            tolerance=request.tolerance / 100 if driver.smooth else 0.0,
            scale=request.scale,
            drive=drive,
            start=start,
            subset=FEW if driver.smooth and start is None and _is_slow(driver, subspace) else None,
            interval=PICTURE,
            progress=self._refined,
        ):
            if "draft" not in landscape.attrs:
                source.keep(request, landscape)
            result = Result(request, track, subspace, landscape, projections, exact, self.progress)
            if shown is None or time.monotonic() >= due:
                yield (shown := result)
                due = time.monotonic() + min(max(PICTURE, RARER * (time.monotonic() - began)), RAREST)
            for exact in islice(path, 1):  # map and path become finer in turn
                yield replace(shown, profiles=exact)
        self.refined = True
        yield replace(result, profiles=exact)
        for exact in path:
            yield replace(result, profiles=exact)

    def _timed(self, path: Iterator[dict[str, Profile]]) -> Iterator[dict[str, Profile]]:
        """Ever more values along the lines, of which it is seen how long they take."""
        seconds, first, each = 0.0, -1, MEASURES[self.request.metric].each
        while True:
            start = time.thread_time()  # which stands still while the run stands aside
            exact = next(path, None)
            if exact is None:
                return
            seconds += time.thread_time() - start
            known, wanted = known_of(exact, each)
            first = known if first < 0 else first
            self.along = Along(seconds, wanted - known, seconds / (known - first) if known > first else 0.0)
            yield exact

    def _watch(self, step: le.Step) -> bool:
        """Show how far a search is; whether it goes on."""
        self.search = step
        self.runner.stand_aside()
        self.runner.heartbeat(self)
        return not self.stop.is_set()

    def _refined(self, progress: le.Progress) -> None:
        """Show the progress of the picture, without the time that the run stands aside."""
        self.progress, start = replace(progress, seconds=progress.seconds - self._aside), time.perf_counter()
        self._check()
        self._aside += time.perf_counter() - start

    def _check(self) -> None:
        self.runner.stand_aside()
        if self.stop.is_set():
            raise Canceled
        self.runner.heartbeat(self)


def _is_slow(metric: le.metrics.Metric, subspace: Any) -> bool:
    """Whether a first picture would take long, and fewer examples make it sooner."""
    if metric.data is None or metric.data.count <= FEW or not subspace.smooth:
        return False
    evaluate, middle = le.Evaluator(subspace, metric, strategy="loop"), [(a + b) / 2 for a, b in subspace.bounds]
    evaluate(middle)  # the first time takes longer
    start = time.perf_counter()
    evaluate(middle)
    return time.perf_counter() - start > SLOW


def sentence(error: Exception) -> str:
    """What went wrong, for the page; what was not foreseen goes to the log as well."""
    if isinstance(error, le.LandscapeError):
        return f"{str(error)[:1].upper()}{str(error)[1:]}"
    log.error("The run failed", exc_info=error)
    return f"The run failed: {type(error).__name__}: {error}"
