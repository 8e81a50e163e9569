"""Curves whose points are chosen so that the mean loss along them is small."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ..errors import ChoiceError
from ..iteration import Outcome, Watch
from ..metrics.base import Metric
from ..subspaces import Curve
from .search import Model, Search, Settings, profile, settled_model

GOLDEN = (5**0.5 - 1) / 2


def straight_line(a: Model, b: Model, metric: Metric, resolution: int = 61) -> Curve:
    """The straight line between two models, with the metric along it: what every other path is compared with.

    Args:
        a: Start, at t = 0.
        b: End, at t = 1 (see ``bezier``).
        metric: A metric of one number.
        resolution: Nodes of the profile.

    Returns:
        A curve with ``profile`` and ``barrier``. Batch-norm statistics are re-estimated along it (see ``bezier``).

    References:
        Goodfellow, Vinyals, Saxe 2015, Qualitatively characterizing neural network optimization problems.
    """
    line = Curve.polygonal([settled_model(a, metric), b])
    found = profile(line, metric, resolution)
    return replace(line, facts={"kind": "straight line"}, profile=found, outcome=Outcome.CONVERGED)


def bezier(
    a: Model,
    b: Model,
    metric: Metric,
    degree: int = 2,
    steps: int = 600,
    learning_rate: float = 0.1,
    batch_size: int | None = 256,
    tolerance: float = 0.01,
    seed: int = 0,
    resolution: int = 61,
    watch: Watch | None = None,
    start: Curve | None = None,
    throw: bool = False,
) -> Curve:
    r"""A Bezier curve of low loss between two models.

    The control points between the ends are chosen to make the mean of the loss along the curve small,
    :math:`\int_0^1 L(\varphi(t)) \, dt`. Each step takes one t and one minibatch, and moves every control point by Adam
    along its share of the gradient, :math:`-\binom{m}{k} (1 - t)^{m - k} t^k \, \nabla L(\varphi(t))`. The t are spread
    evenly by the golden ratio; the learning rate falls to 0 along a half cosine.

    Batch norm: during the search layers take the statistics of each minibatch, as in training; the profile, and
    anything that is evaluated on the curve later, has them re-estimated at each point from the data of the metric,
    unless the model was wrapped with another policy.

    Args:
        a: Start, at t = 0. Code and buffers are its.
        b: End, at t = 1; a model of the same architecture. Where ``a`` was wrapped with a choice of parameters, only
            these move: the end is ``a`` with those of ``b``, and so is what the barrier is measured from.
        metric: What is made small: a loss that can be differentiated.
        degree: 2 (one control point between the ends) or 3 (two).
        steps: How many at most.
        learning_rate: Of Adam, as a share of the root mean square difference between the parameters of a and b.
        batch_size: Examples of a step; None for all. Losses that are no mean over examples take all of them.
        tolerance: The search ends when the barrier is at most this share of that of the straight line; it looks at the
            start, some five times more, and at the end.
        seed: Of the order of the examples.
        resolution: Nodes of the profile.
        watch: Called after each step with a ``Step``; the search stops when it returns False.
        start: A curve that this function returned for the same models, to go on from. With the same arguments, a
            search that was stopped and resumed ends where one ends that was not.
        throw: Raise unless the search converges.

    Returns:
        The curve with its ``outcome``, ``barrier`` and ``profile``. It is a subspace: any metric can be evaluated on
        it, and ``curve.plane()`` is the plane that it lies in.

    Raises:
        SearchError: If it has not converged, and ``throw``.
        MismatchError: If the models do not fit each other.

    References:
        Garipov, Izmailov, Podoprikhin, Vetrov, Wilson 2018, Loss Surfaces, Mode Connectivity, and Fast Ensembling of
        DNNs, sections 3.1 to 3.3.
    """
    if degree not in (2, 3):
        raise ChoiceError("degree", degree, "2 or 3")
    settings = Settings(steps, learning_rate, batch_size, tolerance, seed, resolution)
    return _low(Search(a, b, metric, Curve.bezier, degree - 1, settings, start), watch, throw, "the Bezier curve")


def polygonal_chain(
    a: Model,
    b: Model,
    metric: Metric,
    bends: int = 1,
    steps: int = 600,
    learning_rate: float = 0.1,
    batch_size: int | None = 256,
    tolerance: float = 0.01,
    seed: int = 0,
    resolution: int = 61,
    watch: Watch | None = None,
    start: Curve | None = None,
    throw: bool = False,
) -> Curve:
    r"""A chain of straight pieces of low loss between two models.

    As ``bezier``, whose arguments it has, with the bends in place of the control points: the two at the ends of the
    piece that t falls on take the gradient, each the nearer the more.

    Args:
        a: Start, at t = 0.
        b: End, at t = 1.
        metric: What is made small.
        bends: How many, 1 or more, evenly spaced in t.
        steps: See ``bezier``.
        learning_rate: See ``bezier``.
        batch_size: See ``bezier``.
        tolerance: See ``bezier``.
        seed: See ``bezier``.
        resolution: See ``bezier``.
        watch: See ``bezier``.
        start: See ``bezier``.
        throw: See ``bezier``.

    Returns:
        See ``bezier``.

    References:
        Garipov et al. 2018, section 3.2.
    """
    if bends < 1:
        raise ChoiceError("bends", bends, "1 or more")
    settings = Settings(steps, learning_rate, batch_size, tolerance, seed, resolution)
    return _low(Search(a, b, metric, Curve.polygonal, bends, settings, start), watch, throw, "the polygonal chain")


def _low(search: Search, watch: Watch | None, throw: bool, what: str) -> Curve:
    """Make the mean loss along a curve of fixed weights small."""
    weights = search.curve().weights

    def forces(number: int) -> tuple[float, Tensor]:
        t = (0.5 + number * GOLDEN) % 1
        share = weights(t).to(search.points)
        value, slope = search.slopes(share @ search.points, number)
        return value, -share[1:-1, None] * slope

    return search.run(forces, search.is_low, watch, throw, what)
