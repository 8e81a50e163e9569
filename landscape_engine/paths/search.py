"""What all searches for a path share: a loss and its gradient, Adam on the inner points, checks, the profile."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.optim.adam import adam

from ..errors import ChoiceError, EvaluationError, LandscapeError
from ..evaluation import evaluate
from ..hessian import Objective
from ..iteration import Outcome, Step, Watch, goes_on, settle
from ..metrics.base import ExampleMetric, Metric
from ..metrics.data import join, length
from ..models import ModelWrapper, wrap_model
from ..parameters import Parameters, flatten, unflatten
from ..subspaces import Curve

Model = nn.Module | ModelWrapper

CHECKS = 5  # times that a search looks whether it is done, after its first step
ROUNDING = 1e-6  # of a loss in float32, as a share of it

Make = Callable[[Sequence[ModelWrapper]], Curve]


@final
@dataclass(frozen=True)
class Settings:
    """The choices that all searches have (see ``bezier``)."""

    steps: int
    learning_rate: float
    batch_size: int | None
    tolerance: float
    seed: int
    resolution: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ChoiceError("steps", self.steps, "1 or more")
        if not self.learning_rate > 0:
            raise ChoiceError("learning_rate", self.learning_rate, "greater than 0")
        if not self.tolerance >= 0:
            raise ChoiceError("tolerance", self.tolerance, "0 or more")
        if self.batch_size is not None and not (isinstance(self.batch_size, int) and self.batch_size >= 1):
            raise ChoiceError("batch_size", self.batch_size, "a whole number, 1 or more, or None")


@final
class Slopes:
    """The loss of a model and its gradient at points that are given as vectors.

    Args:
        model: The model, for its code and buffers. Batch norm takes the statistics of each batch, as in training.
        metric: What is differentiated.
        batch_size: Examples of a minibatch; None for all examples.
        seed: Of the order of the minibatches.
    """

    def __init__(self, model: ModelWrapper, metric: Metric, batch_size: int | None, seed: int) -> None:
        private = model.with_batch_norm("batch") if model.has_statistics else model
        self._model, self._metric, self._seed = private.private_copy(), metric, seed
        self._total = metric.total(self._model)  # a metric that averages in a way of its own is whole from here on
        partial = isinstance(metric, ExampleMetric) and not metric.whole
        self._size = batch_size if partial else None

    def _objective(self, point: Tensor, number: int) -> Objective:
        def parts(theta: Parameters) -> Any:
            model = self._model.at(theta)
            if self._size is None or not isinstance(self._metric, ExampleMetric):
                return self._metric.parts(model, self._total)
            batch = self._metric.data.minibatch(self._size, number, self._seed)
            try:
                return [self._metric.on(model, batch)]
            except LandscapeError:
                raise
            except Exception as error:  # the whole set went through: it is the size, as for batch norm of one example
                raise EvaluationError(
                    f"step {number + 1} failed on its minibatch ({type(error).__name__}: {error}). Choose batch_size, "
                    "or that of the loader, so that the model can be trained with each minibatch.",
                    point={},
                ) from error

        return Objective(unflatten(point, self._model.parameters), parts, f"metric '{self._metric.name}'")

    def value(self, point: Tensor, number: int) -> float:
        """The loss on minibatch ``number``."""
        objective = self._objective(point, number)
        return objective.value(objective.theta)

    def __call__(self, point: Tensor, number: int) -> tuple[float, Tensor]:
        """The loss on minibatch ``number`` and its gradient."""
        return self._objective(point, number).value_and_gradient()


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """What Adam knows of the points that it moves (Kingma and Ba 2015, algorithm 1), with its usual decay rates.

    ``torch.optim.Adam`` does the same, but its first use imports ``torch._dynamo``, which takes longer than a search.

    Attributes:
        first: Decayed mean of the gradients, in the shape of the points.
        second: Decayed mean of their squares.
        count: Steps taken since the moments were 0.
    """

    first: Tensor
    second: Tensor
    count: Tensor

    @classmethod
    def zero(cls, points: Tensor) -> Moments:
        """Those at the start."""
        return cls(torch.zeros_like(points), torch.zeros_like(points), torch.tensor(0.0, dtype=torch.float32))

    def copy(self) -> Moments:
        """The same, to be changed."""
        return Moments(self.first.clone(), self.second.clone(), self.count.clone())

    def step(self, points: Tensor, gradient: Tensor, rate: float) -> None:
        """Move the points, in place, and remember the gradient."""
        adam(
            [points], [gradient], [self.first], [self.second], [], [self.count],
            amsgrad=False, beta1=0.9, beta2=0.999, lr=rate, weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip


@final
@dataclass(frozen=True, eq=False)
class Memory:
    """What a search needs to go on where it was.

    Attributes:
        made: What makes the curve, and how many points were between its ends at first.
        count: Steps taken.
        points: (m + 1, n): the ends and the points between them.
        moments: Of Adam.
    """

    made: tuple[str, int]
    count: int
    points: Tensor
    moments: Moments


def settled_model(model: Model, metric: Metric) -> ModelWrapper:
    """The model with its batch-norm statistics re-estimated at each point, from the data of the metric.

    Between two networks stored statistics are those of neither. A policy that the caller has chosen stays.
    """
    if not isinstance(metric, Metric) or metric.dims:
        raise ChoiceError("metric", type(metric).__name__, "a metric of one number, such as Loss")
    wrapper = wrap_model(model)
    if not wrapper.has_statistics or wrapper.batch_norm != "stored" or wrapper.mode != "eval":
        return wrapper
    if metric.data is None:
        return wrapper
    batches = list(metric.data.batches())
    if len(batches) > 1 and length(batches[-1]) == 1:  # of one example there is no variance
        batches[-2:] = [join(batches[-2:])]
    return wrapper.with_batch_norm("re-estimated", batches, metric.data.outputs)


@final
class Search:
    """Adam on the points of a curve between its ends, which stay.

    Args:
        a: Start of the curve.
        b: End of the curve.
        metric: What is made small.
        make: Makes a curve of models.
        inner: How many points there are between the ends at first, evenly spaced on the straight line.
        settings: Choices.
        start: A curve of an earlier search of the same kind, to go on from.
    """

    def __init__(
        self, a: Model, b: Model, metric: Metric, make: Make, inner: int, settings: Settings, start: Curve | None
    ) -> None:
        self.metric, self.make, self.settings = metric, make, settings
        self.model = settled_model(a, metric)
        line = Curve.polygonal([self.model, wrap_model(b)])
        ends = [flatten(line.path[k]) for k in (0, 1)]
        self.unit = math.sqrt(float((ends[1] - ends[0]).double().square().mean()))
        if self.unit == 0:
            raise ChoiceError("b", "equal to a", "another model than a")
        self.height = self._measured(line).barrier
        self.slopes = Slopes(self.model, metric, settings.batch_size, settings.seed)
        shares = torch.linspace(0, 1, inner + 2, dtype=ends[0].dtype)[:, None].to(ends[0].device)
        self.made = make.__name__, inner
        self.count, self.points = 0, torch.lerp(ends[0], ends[1], shares)
        self.points[-1] = ends[1]
        self.restart()
        if start is not None:
            self._resume(start.memory, ends)

    def _resume(self, memory: Any, ends: list[Tensor]) -> None:
        same = isinstance(memory, Memory) and memory.made == self.made and memory.points.shape[1] == len(ends[0])
        if not same or not (torch.equal(memory.points[0], ends[0]) and torch.equal(memory.points[-1], ends[1])):
            found = "that of another search" if isinstance(memory, Memory) else "one without a memory"
            raise ChoiceError("start", found, "a curve that this search returned for the same models")
        self.count, self.points = memory.count, memory.points.clone()
        self.restart()
        self.moments = memory.moments.copy()

    def restart(self) -> None:
        """Forget the moments, since the points are others."""
        self.points = self.points.clone()
        self.moving = self.points[1:-1]
        self.moments = Moments.zero(self.moving)

    def step(self, forces: Tensor) -> None:
        """Move the inner points along the forces, which are minus what Adam takes for a gradient."""
        share = self.count / self.settings.steps
        rate = self.settings.learning_rate * self.unit * (1 + math.cos(math.pi * share)) / 2
        self.moments.step(self.moving, -forces.to(self.moving), rate)
        self.count += 1

    def curve(self) -> Curve:
        """The curve through the points as they are."""
        states = [self.model.at(unflatten(p, self.model.parameters)) for p in self.points]
        return self.make(states)

    def _measured(self, curve: Curve) -> Curve:
        """A curve with its profile."""
        return replace(curve, profile=profile(curve, self.metric, self.settings.resolution))

    def is_low(self) -> bool:
        """Whether the barrier is as small, beside that of the straight line, as the tolerance asks for."""
        curve = self._measured(self.curve())
        rounding = ROUNDING * float(np.abs(np.asarray(curve.profile)).max())
        return curve.barrier <= self.settings.tolerance * self.height + rounding

    def run(
        self,
        forces: Callable[[int], tuple[float, Tensor]],
        check: Callable[[], bool],
        watch: Watch | None,
        throw: bool,
        what: str,
        every: int | None = None,
    ) -> Curve:
        """Take the steps.

        Args:
            forces: Gives a value and the forces on the inner points, for the number of the step.
            check: Whether the search is done; asked a few times.
            watch: See ``bezier``.
            throw: See ``bezier``.
            what: What is searched, for a message.
            every: Steps from one check to the next; by default a fifth of all.
        """
        limit = self.settings.steps
        every = every or max(1, limit // CHECKS)
        outcome = Outcome.LIMIT
        while True:
            if (self.count % every == 0 or self.count >= limit) and check():
                outcome = Outcome.CONVERGED
            if outcome is Outcome.CONVERGED or self.count >= limit:
                break
            value, pull = forces(self.count)
            if not (math.isfinite(value) and bool(torch.isfinite(pull).all())):
                outcome = Outcome.FAILED
                break
            self.step(pull)
            if not goes_on(watch, Step(self.count, limit, value)):
                outcome = Outcome.STOPPED
                break
        curve = self._measured(self.curve())
        found = replace(
            curve,
            facts={**curve.facts, "metric": self.metric.name, "steps": self.count, "seed": self.settings.seed},
            outcome=outcome,
            memory=Memory(self.made, self.count, self.points.clone(), self.moments.copy()),
        )
        return settle(found, what, throw)


def profile(curve: Curve, metric: Metric, resolution: int) -> xr.DataArray:
    """The values of a metric along a curve, at evenly spaced nodes and at the points of the curve."""
    if resolution < 3:
        raise ChoiceError("resolution", resolution, "3 or more")
    (lo, hi), knots = curve.bounds[0], curve.knots or ()
    nodes = np.unique(np.concatenate([np.linspace(lo, hi, resolution), np.asarray(knots, dtype=float)]))
    values = evaluate(curve, metric, [(float(t),) for t in nodes])[metric.name]
    labels = {"long_name": metric.long_name or metric.name, "units": metric.units}
    return xr.DataArray(values, {"t": ("t", nodes, curve.describe("t"))}, ("t",), metric.name, labels)
