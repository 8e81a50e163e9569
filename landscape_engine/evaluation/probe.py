"""Which way to evaluate is the fastest here: a short trial at the first points of a run."""

from __future__ import annotations

import math
import re
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from typing import final

import torch

from ..errors import ChoiceError
from ..metrics.base import Estimate
from ..models import ModelWrapper
from .base import Found, Options, Point, Strategy, convolves, is_on_cpu
from .strategies import STRATEGIES

WORTH_A_PROBE = 200  # points to be evaluated
PROBED = 2  # points at which values are compared
OFFERED = 24  # points that a probe can make use of
TIMED = 16  # points whose time is taken, of those evaluated together, if the probe may cost as much
HOPELESS = 1.5  # times as slow: what is tried no more
SHARE, MOST = 0.05, 0.3  # what a probe may cost: of the time of the run, and in seconds
GAIN = 1.1  # by which something else must be faster
ROWS = (256, 64, 32)  # examples at a time that are tried

Known = tuple[Point, dict[str, Estimate]]


def parse(name: str) -> tuple[str, Options]:
    """A strategy and its options from the name that a result records.

    Raises:
        ChoiceError: If there is none of this name.
    """
    kind, *words = name.split(", ")
    rows = [int(m[1]) for w in words if (m := re.fullmatch(r"([1-9]\d*) examples at a time", w))]
    options = Options(rows[0] if rows else None, "channels last" in words)
    if kind not in ("auto", *STRATEGIES) or words != options.words or (kind == "auto" and words):
        raise ChoiceError("strategy", name, f"one of auto, {', '.join(STRATEGIES)}")
    return kind, options


def clock(model: ModelWrapper) -> Callable[[], float]:
    """What a trial is timed by: where one thread does all the work, what others do meanwhile does not count."""
    return time.thread_time if is_on_cpu(model) and torch.get_num_threads() == 1 else time.perf_counter


def forced(loop: Strategy, points: Sequence[Point], name: str) -> tuple[Strategy, Found]:
    """The strategy of a name if it fits and gives the values of the plain loop, else the loop; and those values."""
    kind, options = parse(name)
    try:
        with torch.no_grad():
            found = loop(points[:PROBED])
    except Exception:
        return loop, []  # the evaluation itself will say what is wrong, and where
    trial = _Trial(loop, [*zip(points, found, strict=False)], [])
    if STRATEGIES[kind].fits(loop.subspace, loop.pipeline, loop.model):
        trial.take(lambda: STRATEGIES[kind](loop.subspace, loop.pipeline, loop.model, options))
    return trial.best, found


def choose(
    loop: Strategy, known: Sequence[Known], seconds: float, points: Sequence[Point], planned: int
) -> tuple[Strategy, Found]:
    """The fastest of those that give the values of the plain loop, and the values of the first of the points.

    One thing after another is tried, and kept if it is faster: each strategy and, where the loop is still the best,
    fewer examples at a time and channels last; these first for a model that convolves, which gains most by them.
    What is evaluated on the way at points of the run is not evaluated again.

    Args:
        loop: The plain loop.
        known: Points that it has evaluated, and what it found.
        seconds: That it took for one, by ``clock``.
        points: The next of the run.
        planned: How many points there will be, roughly.
    """
    trial = _Trial(loop, known, points, seconds, planned)
    others = [k for k in STRATEGIES.values() if k.offered and k is not type(loop)]
    kinds = [k for k in others if k.fits(loop.subspace, loop.pipeline, loop.model)]
    if convolves(loop.model):
        _arrange(trial)
    for kind in kinds:
        trial.consider(partial(kind, loop.subspace, loop.pipeline, loop.model, trial.best.options))
    if trial.best is loop and not convolves(loop.model):
        _arrange(trial)
    return trial.best, trial.found


def _arrange(trial: _Trial) -> None:
    """Try other ways to take the examples."""
    trial.consider(partial(trial.best.altered, channels_last=True), 1)
    for rows in ROWS:
        if rows < trial.best.rows and not trial.consider(partial(trial.best.altered, rows=rows), 1):
            break


@final
class _Trial:
    """The best way so far, and what finding it has cost.

    Attributes:
        best: The plain loop at first.
        found: Values of the first points of the run.
        seconds: What a point takes by the best way.
    """

    def __init__(
        self, loop: Strategy, known: Sequence[Known], points: Sequence[Point], seconds: float = 0, planned: int = 0
    ) -> None:
        self.best, self.seconds, self.found = loop, seconds, Found()
        self._known, self._points, self._spent, self._loop = known[:PROBED], points, 0.0, loop
        self._clock, self._planned, self._on_gpu = clock(loop.model), planned, not is_on_cpu(loop.model)
        self._allowed = min(MOST, SHARE * planned * seconds)

    def take(self, make: Callable[[], Strategy]) -> None:
        """Take another way if it gives the same values."""
        made = self._verified(make) if self._known else None
        self.best = made or self.best

    def consider(self, make: Callable[[], Strategy | None], compared: int = PROBED) -> bool:
        """Take another way if it gives the same values at some points in less time; whether it does."""
        least = compared * self.seconds
        if not self._known or self._spent + least > self._allowed:
            return False
        start, known = self._clock(), len(self.found)
        made = self._verified(make, compared)
        took = math.inf if made is None else self._raced(made)
        self._spent += max(0.0, self._clock() - start - (len(self.found) - known) * self.seconds)
        if made is None or took * GAIN > self.seconds:
            return False
        self.best, self.seconds = made, took
        return True

    def _verified(self, make: Callable[[], Strategy | None], compared: int = PROBED) -> Strategy | None:
        """What was made, if it gives the values of the loop at the first points."""
        points, expected = zip(*self._known[:compared], strict=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what its time and its values will tell
                made = make()
                found = None if made is None else self._timed(made, points)[0]
        except Exception:  # what it cannot do, the loop can
            return None
        return made if found is not None and _agree(found, expected, _rounding(self._loop.model)) else None

    def _raced(self, made: Strategy) -> float:
        """Its time of a point, the shortest of its tries; infinite if one fails, as for want of memory."""
        try:
            return self._shortest(made)
        except Exception:
            return math.inf

    def _shortest(self, made: Strategy) -> float:
        """On a CPU the shorter of two tries, unless the first one is hopeless; on a GPU of ever more points at once.

        A GPU takes as long for few of them as for many. The tries end when they have taken what the probe may.
        """
        few = min(made.chunk, TIMED, max(PROBED, int((self._allowed - self._spent) / self.seconds)))
        most = max(few, min(made.chunk, self._planned))
        best, spent = math.inf, 0.0
        for count in [c for c in (few, 8 * few) if c < most] + [most] if self._on_gpu else (few, few):
            fresh = self._points[len(self.found) : len(self.found) + count]
            repeated = cycle([*fresh, *(point for point, _ in self._known)])
            taken = count if self._on_gpu else len(fresh) or PROBED
            found, took = self._timed(made, [*islice(repeated, taken)])
            self.found += found[: len(fresh)]
            best, spent = min(best, took), spent + took * taken
            if spent > self._allowed or (best > HOPELESS * self.seconds and not self._on_gpu):
                break
        return best

    def _timed(self, strategy: Strategy, points: Sequence[Point]) -> tuple[Found, float]:
        start = self._clock()
        with torch.no_grad():
            found = strategy(points)
        return found, (self._clock() - start) / len(points)


def _rounding(model: ModelWrapper) -> float:
    """What two ways to compute the same may differ by; products in TF32, as a GPU may take them, have 10 bits."""
    if model.dtype != torch.float32:
        return 1e-12
    rough = torch.backends.cuda.matmul.allow_tf32 or (torch.backends.cudnn.allow_tf32 and convolves(model))
    return 2e-3 if rough and not is_on_cpu(model) else 1e-5


def _agree(found: Found, expected: Found, tolerance: float) -> bool:
    def near(a: Estimate, b: Estimate) -> bool:
        pair = (a.value, b.value)
        return all(map(math.isnan, pair)) or math.isclose(*pair, rel_tol=tolerance, abs_tol=min(tolerance, 1e-5))

    return all(
        near(a[n], b[n]) for a, b in zip(found, expected, strict=True) for n in b if isinstance(b[n].value, float)
    )
