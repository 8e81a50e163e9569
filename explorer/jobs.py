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

import landscape_engine as le
from explorer import cost
from explorer.basins import basins
from explorer.beside import Beside, Told
from explorer.insight import Insight, insight
from explorer.job import Canceled, Job, sentence
from explorer.result import Result
from explorer.spectrum import spectrum
from explorer.spread import same_line, spread
from explorer.state import Marker, Request, State

log = logging.getLogger("explorer")

FIRST_LOOK = 1.0  # seconds that the building of a page waits for its first picture
DRAWN = 3.0  # and at most that its run waits for it to be drawn, once it is there
DEBOUNCE = 0.3  # seconds that choices must have rested before another one is answered at once
FLUSH, BEAT = 0.1, 0.2  # seconds between two messages to the page, and between two that tell of progress alone
PATIENCE, PAINTED = 1.0, 0.1  # seconds that a run waits at most for a look at a point, and once that is told
QUICK = 0.1  # seconds of an evaluation up to which a gradient is computed unasked


@final
class Runner:
    """Runs the job that answers the state's choices, and writes what it finds back to the state.

    Args:
        state: Read and written on the event loop only.

    Attributes:
        held: Whether results wait until the page is there, or what is displayed in a notebook.
        progress: Of the run.
        left: Seconds of it that are still to come, as far as its evaluations tell.
        share: Of it that is done, which never falls back.
        search: How far the search for a curve before it is; None where there is none.
        refined: Whether the picture is as fine as it was asked for; values along the track may still be missing.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.progress, self.left, self.share = le.Progress(0, 0, 0.0), 0.0, 0.0
        self.search: le.Step | None = None
        self.refined = False
        self.on_progress: Callable[[], None] = lambda: None
        self._job: Job | None = None
        self._timer: threading.Timer | None = None
        self._lock, self._first = threading.Lock(), threading.RLock()
        self._mail: list[tuple[Job, str, str, Result | None]] = []
        self._scheduled = False
        self.held = False
        self._waiting: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._document: Any = None
        self._beat = 0.0
        self.beside = Beside(state, self._deliver)
        self._requested: Request | None = None
        self._line: Request | None = None  # of which other directions are evaluated
        self._looked_at: tuple[Request, Marker] | None = None
        self._aside = 0.0  # until when a run stands aside
        self._asked, self._choosing = 0.0, False
        names = [name for name in Request._fields if name != "checkpoints"] + ["first", "second", "third"]
        state.param.watch(lambda event: self._expect(event.new), "picked")
        state.param.watch(lambda event: self._told(event.new), "insight")
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
            with self._first:
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
        self.state.param.update(phase="running", cost=self._cost())
        self._job = Job(self, self.state.request)
        self._job.thread.start()

    def look(self) -> None:
        """Wait for a first look, so that the page opens with it, and no more."""
        assert self._job is not None
        self._job.looked.wait(FIRST_LOOK)
        self._flush()

    def tell(self) -> None:
        """Tell the page what is known: it is there, and results reach it through the loop."""
        self._release()
        if self._loop is not None:
            self._loop.call_later(DRAWN, self.proceed)

    def proceed(self) -> None:
        """Compute on, and tell what is found: the page is drawn, which takes all that the machine has."""
        if self._job is not None:
            self._job.go.set()
        self._release()

    def _release(self) -> None:
        """Let go what was held."""
        with self._lock:
            self.held = False
            waiting, self._waiting = self._waiting, []
        for update in waiting:
            self._deliver(update)
        self._schedule()

    def start(self, delay: float = 0.0) -> None:
        """Call off the running job and start the one that answers the choices, after a delay."""
        known = self._cost()
        self._call_off()
        self._requested, self.search, self.refined = self.state.request, None, False
        if self._line is not None and not same_line(self._line, self.state.request):
            self.beside.drop("spreading")
        self.progress, self.left, self.share = le.Progress(0, 0, 0.0), 0.0, 0.0
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
        """Look at the network at the marker, unless that is known; again, once it is known that there is time for more.

        One that is being looked at is told first, so that a marker that moves tells something on its way.
        """
        shown, at, known = self.state.result, self.state.marker, self.state.insight
        if shown is None or (self.state.looking and not self._gives_way_to(shown.request, at)):
            return
        evaluated = at.picked is not None or shown.awaits(at.t, shown.track.followed)
        quick = (cost.pace(shown.request) or QUICK) < QUICK
        if known is not None and (not known.whole or (known.request, known.at) != (shown.request, at)):
            known = None
        if known is None or not (known.values or known.failure or not evaluated) or known.thorough < quick:
            self._looked_at = shown.request, at
            self._expect(at.picked)

            def look(check: Callable[[], None], tell: Told) -> dict[str, Any]:
                found = Insight(shown.request, at)

                def so_far(some: Insight) -> None:
                    nonlocal found
                    found = some
                    if known is None:  # what is told already stands until there is more
                        tell({"insight": some})

                try:
                    found = insight(shown.request, shown.track, shown.subspace, at, evaluated, quick, check, so_far)
                    if known is not None:
                        found = replace(found, values={**known.values, **found.values})
                except Canceled:
                    raise
                except Exception as error:  # the card says it or shows what is known, and it is not tried again
                    failure = sentence(error) if known is None else ""
                    found = replace(known or found, thorough=True, whole=True, failure=failure)
                return {"insight": found}

            self.beside.do("looking", self.give_way, look)

    def _gives_way_to(self, request: Request, at: Marker) -> bool:
        """Whether the look that is on is of no use any more: at another picture's network, or on the way to a point."""
        before, there = self._looked_at or (request, at)
        return before != request or (there.picked is None and at.picked is not None)

    def study(self) -> None:
        """Compute the curvature at the marker."""
        shown, at = self.state.result, self.state.marker
        if shown is not None:
            seen = shown.request, shown.track, shown.subspace, at
            self.beside.do("studying", self.stand_aside, lambda check, tell: {"spectrum": spectrum(*seen, check)})

    def mark(self) -> None:
        """Find the minima and saddles of the picture."""
        shown = self.state.result
        if shown is not None:
            found = shown.request, shown.subspace, shown.landscape
            self.beside.do("marking", self.stand_aside, lambda check, tell: {"basins": basins(*found, check)})

    def spread(self) -> None:
        """Evaluate other random directions than that of the line that is shown, as long as that is asked for."""
        shown, known = self.state.result, self.state.spread
        if shown is not None:
            start = known if known is not None and known.is_of(shown.request) else None
            self._line, line = shown.request, (shown.request, shown.subspace, start)

            def work(check: Callable[[], None], tell: Told) -> dict[str, Any]:
                return {"spread": spread(*line, check, lambda found: tell({"spread": found}))}

            self.beside.do("spreading", self.stand_aside, work)

    def _cost(self) -> str:
        """What the run that answers the choices may cost, in words."""
        request = self.state.request
        return cost.sentence(cost.evaluations(request), cost.pace(request))

    def _deliver(self, update: Callable[[], None]) -> None:
        """Do something on the event loop, if there still is a document; a notebook must be shown first."""
        with self._lock:
            waits = self.held and self._document is None
            self._waiting += [update] if waits else []
        if waits:
            return
        if self._loop is None:
            update()
        elif not self._loop.is_closed():  # as it is where a server has ended
            self._loop.call_soon_threadsafe(self._tick, update)

    def _tick(self, update: Callable[[], None]) -> None:
        """On the loop, do something as its document wants it, if that has not ended."""
        if self._document is None:
            update()
        elif self._document.session_context is not None:
            self._document.add_next_tick_callback(update)

    def close(self) -> None:
        """Call off everything, for good: the session has ended."""
        self.beside.close()
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
        job = Job(self, request)
        with self._lock:
            if self._timer is None or threading.current_thread() is not self._timer:
                return
            self._job = job
            job.go.set()
            job.thread.start()

    def give_way(self) -> None:
        """Wait while the page changes, called from a thread: Python lets only one of them run, and a person waits."""
        with self._first:
            pass

    def stand_aside(self) -> None:
        """Wait while the page changes or a point is looked at, which comes before a run, or while nobody has it."""
        self.give_way()
        while self._is_aside or self._is_deserted:
            time.sleep(FLUSH / 10)

    @property
    def _is_aside(self) -> bool:
        return time.monotonic() < self._aside

    @property
    def _is_deserted(self) -> bool:
        """Whether the browser that had the page has gone: it may come back before its session ends."""
        session = getattr(getattr(self._document, "session_context", None), "session", None)
        return not self.held and session is not None and session.connection_count == 0

    def _expect(self, picked: tuple[float, ...] | None) -> None:
        """Let a run stand aside, before anything is done about a point that a person waits for."""
        self._aside = time.monotonic() + PATIENCE if picked is not None else 0.0

    def _told(self, found: Insight | None) -> None:
        """Let a run go on, once all that is told of a point is painted."""
        if found is not None and found.whole:
            self._aside = min(self._aside, time.monotonic() + PAINTED)

    def heartbeat(self, job: Job) -> None:
        """Show the progress of a job, at most five times a second."""
        now = time.monotonic()
        if now - self._beat >= BEAT:
            self._beat = now
            self.post(job, "running", "", None)

    def post(self, job: Job, phase: str, message: str, result: Result | None) -> None:
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
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.call_later, FLUSH / 2, self._kick, False)

    def _kick(self, waited: bool) -> None:
        """On the loop, tell what was found: a moment later if a point is looked at, for which a person waits."""
        if self._document is not None and self._document.session_context is None:
            self._scheduled = False
        elif self._is_aside and not waited:
            asyncio.get_running_loop().call_later(DEBOUNCE, self._kick, True)
        else:
            self._tick(self._flush)

    def _flush(self) -> None:
        with self._lock:
            mail, self._mail, self._scheduled = self._mail, [], False
            if not mail or mail[0][0] is not self._job:
                return
        with self._first:
            before = self.state.result
            try:
                self._write(*mail[0])
            except Exception as error:  # whatever cannot be drawn is a sentence, too, and the picture before stays
                log.error("The picture cannot be drawn", exc_info=error)
                if mail[0][0] is self._job:
                    self._call_off()
                    told = f"The picture cannot be drawn: {type(error).__name__}: {error}"
                    self.state.param.update(phase="failed", message=told, result=before)

    def _write(self, job: Job, phase: str, message: str, result: Result | None) -> None:
        """Tell the state what a job has found."""
        self.progress, self.search, self.refined = job.progress, job.search, job.refined
        planned = self.progress.evaluated if job.refined else max(self.progress.planned, job.expected)
        along, spent = job.along, self.progress.seconds + job.along.seconds
        self.left = cost.left(self.progress, planned) + along.missing * (along.pace or self.progress.pace)
        if self.progress.evaluated:
            self.share = max(self.share, spent / max(spent + self.left, 1e-9))
        found: dict[str, Any] = {"phase": phase}
        if cost.learn(job.request, self.progress, planned):
            again = planned * cost.pace(job.request)  # when all along the lines is known
            found["cost"] = cost.sentence(planned, (spent + self.left if along.missing else again) / planned)
        elif phase == "done" and not self.progress.evaluated:
            found["cost"] = "Known from before"
        found |= {"message": message} if message else {}
        if result is not None:
            self.state.result = result  # drawn before it is said to be done
        self.state.param.update(**found)
        self.on_progress()
