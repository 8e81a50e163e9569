"""The engine off the event loop: one job a session, the newest result wins, errors become sentences."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, final

import torch

import landscape_engine as le
from explorer import cost, sources
from explorer.basins import basins
from explorer.insight import Insight, insight, network_at, said
from explorer.profiles import Profile, profiles
from explorer.result import Result
from explorer.spectrum import spectrum
from explorer.state import Marker, Request, State
from explorer.tracks import Track

log = logging.getLogger("explorer")

FIRST_LOOK, COMING = 1.0, 2.0  # seconds that a page in the making waits for its first picture, and its run for it
DEBOUNCE = 0.3  # seconds that choices must have rested before another one is answered at once
FLUSH = 0.1  # seconds between two messages to the page
PICTURE = 0.4  # seconds between two pictures
SLOW, FEW = 0.006, 100  # seconds of an evaluation above which first pictures are drafts, on so many examples
QUICK = 0.1  # seconds of an evaluation up to which a gradient is computed unasked


class _Canceled(Exception):
    """Raised in the worker when its job was called off."""


@final
class _Job:
    """One run in a thread of its own."""

    def __init__(self, runner: Runner, request: Request) -> None:
        self.runner, self.request = runner, request
        self.stop, self.looked, self.go = threading.Event(), threading.Event(), threading.Event()
        self.progress = le.Progress(0, 0, 0.0)
        self.search: le.Step | None = None
        self.expected = 0  # evaluations, before they are planned
        self.thread = threading.Thread(target=self._run, name="landscape", daemon=True)

    def _run(self) -> None:
        torch.set_num_threads(1)  # two threads of a small product wait for each other on a busy machine
        try:
            for result in self._results():
                self.runner.post(self, "running", "", result)
                if result.profiles:
                    self.looked.set()
                    self.go.wait(COMING)
            self.runner.post(self, "done", "", None)
        except _Canceled:
            pass
        except Exception as error:
            self.runner.post(self, "failed", _sentence(error), None)
        finally:
            self.looked.set()

    def _results(self) -> Any:
        request, source = self.request, sources.load(self.request.model)
        track = source.track(request, self._watch)
        self._check(self.progress)
        self.search, subspace = None, source.subspace(request)
        self._check(self.progress)
        projections = {
            line: [subspace.project(track.state_at(line, float(place))) for place in track.positions]
            for line in track.lines
        }
        metrics = source.metrics(request.split, request.samples, request.metric)
        drive = f"{request.split}_{request.metric}"
        driver = next((m for m in metrics if m.name == drive and m.smooth), None)
        start = source.recall(request, {m.name for m in metrics})
        self.expected = 0 if start is not None else cost.evaluations(request)
        exact: dict[str, Profile] = {}
        for landscape in le.refine(
            metrics,
            subspace,
            resolution=request.resolution,
            tolerance=request.tolerance / 100,
            scale=request.scale,
            drive=None if driver is None else drive,
            start=start,
            subset=FEW if driver is not None and start is None and _is_slow(driver, subspace) else None,
            interval=PICTURE,
            progress=self._check,
        ):
            if "draft" not in landscape.attrs:
                source.keep(request, landscape)
            result = Result(request, track, subspace, landscape, projections, exact, self.progress)
            yield result
            if not exact:
                exact = profiles(request, track, lambda: self._check(self.progress))
                yield replace(result, profiles=exact)

    def _watch(self, step: le.Step) -> bool:
        """Show how far a search is; whether it goes on."""
        self.search = step
        self.runner.heartbeat(self)
        return not self.stop.is_set()

    def _check(self, progress: le.Progress) -> None:
        self.progress = progress
        if self.stop.is_set():
            raise _Canceled
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


def _insight(request: Request, track: Track, subspace: Any, at: Marker, thorough: bool, check: Any) -> Insight:
    """A look at the network at a marker, or why it failed: so that it is not tried again."""
    try:
        return insight(request, track, subspace, at, thorough, check)
    except _Canceled:
        raise
    except Exception as error:
        return Insight(request, at, failure=_sentence(error))


def _sentence(error: Exception) -> str:
    """What went wrong, for the page; what was not foreseen goes to the log as well."""
    if isinstance(error, le.LandscapeError):
        return f"{str(error)[:1].upper()}{str(error)[1:]}"
    log.error("The run failed", exc_info=error)
    return f"The run failed: {type(error).__name__}: {error}"


@final
class Runner:
    """Runs the job that answers the state's choices, and writes what it finds back to the state.

    Args:
        state: Read and written on the event loop only.

    Attributes:
        held: Whether results wait until the page is there.
        progress: Of the run.
        planned: Its evaluations, those that are expected included.
        share: Of it that is done, which never falls back.
        search: How far the search for a curve before it is; None where there is none.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.progress, self.planned, self.share = le.Progress(0, 0, 0.0), 0, 0.0
        self.search: le.Step | None = None
        self.on_progress: Callable[[], None] = lambda: None
        self._job: _Job | None = None
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._mail: list[tuple[_Job, str, str, Result | None]] = []
        self._scheduled = False
        self.held = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._document: Any = None
        self._beat = 0.0
        self._besides: dict[str, threading.Event] = {}
        self._requested: Request | None = None
        self._asked, self._choosing = 0.0, False
        names = [name for name in Request._fields if name != "checkpoints"] + ["first", "second", "third"]
        state.param.watch(lambda *events: self._answer(), names, precedence=1)  # once all that depends is chosen

    def _answer(self) -> None:
        """Start anew, if what is asked for has changed: at once, or while it changes often, once it rests."""
        if self._choosing or self.state.request == self._requested:
            return
        now = time.monotonic()
        rested, self._asked = now - self._asked > DEBOUNCE, now
        self.start(0.0 if rested else DEBOUNCE)

    @contextmanager
    def choosing(self) -> Iterator[None]:
        """Several choices that are one: the run that answers them starts when the last is made."""
        self._choosing = True
        try:
            yield
        finally:
            self._choosing = False
            self._answer()

    def open(self, document: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Start for a page that is being built, if there is something to start; see ``look``.

        Args:
            document: Of the page; None in a notebook, where there is only a loop.
            loop: On which the state is written.
        """
        self._document, self._loop = document, loop
        if self.state.is_incomplete:
            return
        self._requested, self.held = self.state.request, True
        self.state.param.update(phase="running", cost=self._cost(0))
        self._job = _Job(self, self.state.request)
        self._job.thread.start()

    def look(self) -> None:
        """Wait for a first look, so that the page opens with it, and no more."""
        assert self._job is not None
        self._job.looked.wait(FIRST_LOOK)
        self._flush()

    def proceed(self) -> None:
        """Go on: the page is there, and results reach it through the loop."""
        self.held = False
        if self._job is not None:
            self._job.go.set()
        self._schedule()

    def start(self, delay: float = 0.0) -> None:
        """Call off the running job and start the one that answers the choices, after a delay."""
        known = self._cost(0)
        self._call_off()
        self._requested, self.search = self.state.request, None
        self.progress, self.planned, self.share = le.Progress(0, 0, 0.0), 0, 0.0
        if self.state.is_incomplete:
            self.state.param.update(phase="idle", message="", cost="")
            return
        self.state.param.update(phase="running", message="", cost=known)
        self._timer = threading.Timer(delay, self._begin, [self.state.request])
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """Call off the running job; what it has found stays."""
        if self.state.phase == "running":
            self._call_off()
            self.state.phase = "canceled"

    def look_around(self) -> None:
        """Look at the network at the marker, unless that is known, or another one is still being looked at."""
        shown, at, known = self.state.result, self.state.marker, self.state.insight
        if shown is None or shown.profile is None or self.state.looking:
            return
        if known is None or (known.request, known.at) != (shown.request, at):
            quick = (cost.pace(shown.request) or QUICK) < QUICK
            seen = shown.request, shown.track, shown.subspace, at, quick
            self._beside("looking", lambda check: {"insight": _insight(*seen, check)})

    def study(self) -> None:
        """Compute the curvature at the marker."""
        shown, at = self.state.result, self.state.marker
        if shown is not None:
            seen = at, shown.track, shown.subspace
            self._beside(
                "studying",
                lambda check: {"spectrum": spectrum(shown.request, network_at(*seen), said(at, shown.track), check)},
            )

    def mark(self) -> None:
        """Find the minima and saddles of the picture."""
        shown = self.state.result
        if shown is not None:
            found = shown.request, shown.subspace, shown.landscape
            self._beside("marking", lambda check: {"basins": basins(*found, check)})

    def _beside(self, busy: str, work: Callable[[Callable[[], None]], dict[str, Any]]) -> None:
        """Do something beside the run, in a thread of its own; a newer question of its kind replaces an older one.

        Args:
            busy: Of the state: true meanwhile.
            work: Gives what the state is told; what it is given is to be called now and then, and may end it.
        """
        if busy in self._besides:
            self._besides[busy].set()
        stop = self._besides[busy] = threading.Event()
        self.state.param.update(**{busy: True})

        def check() -> None:
            if stop.is_set():
                raise _Canceled

        def run() -> None:
            torch.set_num_threads(1)
            found: dict[str, Any] = {busy: False}
            try:
                found |= work(check)
            except _Canceled:
                return
            except Exception as error:
                found["message"] = _sentence(error)
            self._deliver(lambda: None if stop.is_set() else self.state.param.update(**found))

        threading.Thread(target=run, name="landscape", daemon=True).start()

    def _cost(self, planned: int) -> str:
        """What the run that answers the choices costs, in words; at least so many evaluations are planned."""
        request = self.state.request
        return cost.sentence(max(planned, cost.evaluations(request)), cost.pace(request))

    def _deliver(self, update: Callable[[], None]) -> None:
        """Do something on the event loop, if there still is a document."""
        if self._loop is None:
            update()
        else:
            self._loop.call_soon_threadsafe(self._tick, update)

    def _tick(self, update: Callable[[], None]) -> None:
        """On the loop, do something as its document wants it, if that has not ended."""
        if self._document is None:
            update()
        elif self._document.session_context is not None:
            self._document.add_next_tick_callback(update)

    def close(self) -> None:
        """Call off everything, for good: the session has ended."""
        for stop in self._besides.values():
            stop.set()
        self._call_off()
        self._document = self._loop = None

    def _call_off(self) -> None:
        with self._lock:
            self._mail.clear()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None  # so that one that has just fired starts nothing
            if self._job is not None:
                self._job.stop.set()
                self._job.go.set()
            self._job = None

    def _begin(self, request: Request) -> None:
        job = _Job(self, request)
        with self._lock:
            if self._timer is None or threading.current_thread() is not self._timer:
                return
            self._job = job
            job.go.set()
            job.thread.start()

    def heartbeat(self, job: _Job) -> None:
        """Show the progress of a job, at most ten times a second."""
        now = time.monotonic()
        if now - self._beat >= FLUSH:
            self._beat = now
            self.post(job, "running", "", None)

    def post(self, job: _Job, phase: str, message: str, result: Result | None) -> None:
        """Take what a job has found, from its thread; the newest result replaces one not yet shown."""
        with self._lock:
            if job is not self._job or job.stop.is_set():
                return
            if result is None and self._mail:
                result = self._mail[-1][3]
            self._mail = [(job, phase, message, result)]
        if not self.held:
            self._schedule()

    def _schedule(self) -> None:
        with self._lock:
            if self._scheduled:
                return
            self._scheduled = True
        if self._loop is None:
            self._flush()
        else:
            self._loop.call_soon_threadsafe(self._loop.call_later, FLUSH / 2, self._kick)

    def _kick(self) -> None:
        if self._document is not None and self._document.session_context is None:
            self._scheduled = False
            return
        self._tick(self._flush)

    def _flush(self) -> None:
        with self._lock:
            mail, self._mail, self._scheduled = self._mail, [], False
            if not mail or mail[0][0] is not self._job:
                return
        job, phase, message, result = mail[0]
        self.progress, self.search = job.progress, job.search
        self.planned = max(self.progress.planned, job.expected)
        self.share = max(self.share, self.progress.evaluated / max(self.planned, 1))
        found: dict[str, Any] = {"phase": phase}
        if cost.learn(job.request, self.progress):
            found["cost"] = self._cost(self.progress.planned)
        elif phase == "done" and not self.progress.evaluated:
            found["cost"] = "Known from before"
        found |= {"message": message} if message else {}
        found |= {"result": result} if result is not None else {}
        self.state.param.update(**found)
        self.on_progress()
