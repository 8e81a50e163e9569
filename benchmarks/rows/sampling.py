"""How many evaluations a picture takes, beside python-adaptive's `Learner2D`.

A plane is computed at every one of 129 x 129 nodes. A refinement is run on these values; the learner then asks for
points, one after the other, until its interpolant is as near to all of them as the refinement's. It is given the exact
value at each point that it asks for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from adaptive import Learner2D
from numpy.typing import NDArray

import landscape_engine as le
import sample_models

from ..measure import Row

RESOLUTION, STEP, MOST = 129, 20, 3000


def rows(device: str) -> Iterator[Row]:
    """The learner's number of evaluations by the refinement's."""
    sample = sample_models.load("digits_mlp")
    loss = sample.metrics("train")[0]
    planes = {
        "random plane": le.Plane.random(sample.model, seed=0),
        "trajectory plane": le.Plane.trajectory(sample.model, sample.trajectory),
    }
    for name, plane in planes.items():
        alpha, beta = plane.axes(RESOLUTION)
        evaluator = le.Evaluator(plane, loss)
        nodes = [(a, b) for a in alpha for b in beta]
        found = evaluator.many(nodes, planned=len(nodes))
        truth = np.array([f[loss.name].value for f in found]).reshape(RESOLUTION, RESOLUTION)
        *_, landscape = le.refine(loss, plane, resolution=RESOLUTION)
        error = np.abs(landscape[loss.name].values - truth).max()
        ours = int(landscape["evaluated"].sum())
        theirs = asked(evaluator, loss.name, plane, truth, float(error))
        many = theirs if theirs < MOST else f"more than {MOST}"
        note = f"{ours} against {many}; error {error / np.ptp(truth):.2%} of the range"
        yield Row(
            f"digits_mlp, {name}: evaluations to the same true error",
            "adaptive's `Learner2D`",
            theirs / ours,
            1,
            note=note,
        )


def asked(evaluator: le.Evaluator, name: str, plane: le.Plane, truth: NDArray[np.float64], error: float) -> int:
    """How many points the learner asks for until it is as near; ``MOST`` if it does not come so near."""
    learner = Learner2D(lambda point: evaluator(point)[name].value, bounds=plane.bounds)
    grid = np.meshgrid(*plane.axes(RESOLUTION), indexing="ij")
    while learner.npoints < MOST:
        for point in learner.ask(STEP)[0]:
            learner.tell(point, learner.function(point))
        interpolant = learner.interpolator(scaled=True)
        scaled = learner._scale(np.column_stack([axis.ravel() for axis in grid]))
        if np.nanmax(np.abs(interpolant(scaled).reshape(truth.shape) - truth)) <= error:
            return learner.npoints
    return MOST
