"""What steps in other random directions meet, around the one of a random line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

import landscape_engine as le
from explorer import sources
from explorer.profiles import halved
from explorer.state import Request
from landscape_engine.parameters import norm

DIRECTIONS, DISTANCES = 20, 16  # how many; that of the line is one of them
INSIDE = (0.1, 0.9)  # quantiles that bound what is drawn


@final
@dataclass(frozen=True, eq=False)
class Spread:
    """A metric at steps in random directions, by the length of the step.

    Args:
        request: Of the random line.
        radii: (n,), lengths of the steps in units of the line's axis, ascending from 0.
        values: (n, ``DIRECTIONS``), of the metric; not finite where it is not.
    """

    request: Request
    radii: NDArray[np.float64]
    values: NDArray[np.float64]

    def is_of(self, request: Request) -> bool:
        """Whether it belongs to the line of a request, however that is drawn."""
        return same_line(self.request, request)

    @property
    def distances(self) -> int:
        """At how many distances other directions are known; ``DISTANCES`` are wanted."""
        return len(self.radii) - 1

    @property
    def quantiles(self) -> NDArray[np.float64]:
        """(3, n): lower bound of the middle, the median and upper bound; what is not finite counts as the largest."""
        ranked = np.where(np.isfinite(self.values), self.values, np.inf)
        return np.quantile(ranked, (INSIDE[0], 0.5, INSIDE[1]), axis=1, method="inverted_cdf")  # never between two


def same_line(one: Request, other: Request) -> bool:
    """Whether two requests ask for the same metric on the same line, however it is drawn."""
    one, other = (request._replace(resolution=0, tolerance=0.0, scale="") for request in (one, other))
    return one == other


def spread(
    request: Request,
    line: le.Line | le.Plane,
    start: Spread | None = None,
    check: Callable[[], None] = lambda: None,
    tell: Callable[[Spread], None] = lambda found: None,
) -> Spread:
    """Evaluate the metric of a random line in other random directions, coarse first.

    Args:
        request: Of the line.
        line: The line.
        start: What is known of the line before.
        check: Called before each evaluation; what it raises ends the work.
        tell: Given what is known after each distance.
    """
    source, name = sources.load(request.model), f"{request.split}_{request.metric}"
    metrics = source.metrics(request.split, request.samples, request.metric)
    # A sphere's directions have length 1 where they are not normalized; those of a line keep the length they have.
    unit = norm(line.spanned_by.vectors[0]) if request.normalization == "none" else 1.0
    radii = max(abs(end) for side in line.bounds for end in side) * np.arange(DISTANCES + 1) / DISTANCES
    sphere = le.Sphere(source.model(request), tuple(unit * radii), DIRECTIONS, request.normalization, request.seed)
    evaluate = le.Evaluator(sphere, next(m for m in metrics if m.name == name))

    def value(radius: float, sample: int) -> float:
        check()
        return float(evaluate((radius, sample))[name].value)

    known: dict[int, Any] = {0: [value(0.0, 0)] * DIRECTIONS}
    if start is not None:
        known |= {int(np.argmin(abs(radii - r))): row for r, row in zip(start.radii, start.values, strict=True)}

    def so_far() -> Spread:
        at = sorted(known)
        return Spread(request, radii[at], np.array([known[k] for k in at]))

    for k in (k for k in halved(DISTANCES) if k not in known):
        known[k] = [value(sphere.radii[k], sample) for sample in range(DIRECTIONS)]
        tell(so_far())
    return so_far()
