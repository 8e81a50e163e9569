"""Paths of low loss between two networks trained apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

import landscape_engine as le
from landscape_engine import paths
from sample_models.two_seeds.recipe import RECIPE

from ..claim import Claim, Finding, Number

PAIRS = ((1, 2), (3, 4), (5, 6))
KINDS: dict[str, Callable[..., le.Curve]] = {
    "Bezier curve": paths.bezier,
    "polygonal chain": paths.polygonal_chain,
    "nudged elastic band": paths.nudged_elastic_band,
}
STRAIGHT, TEST = "barrier of the straight line, smallest of the pairs, nats", "test accuracy on a path less at its ends"


def share(kind: str) -> str:
    """The name of a judged number."""
    return f"{kind}: barrier to that of the straight line, largest of the pairs"


def points(curve: le.Curve) -> tuple[np.ndarray, np.ndarray]:
    """The nodes of a curve's profile and the loss there."""
    assert curve.profile is not None
    return np.asarray(curve.profile["t"]), np.asarray(curve.profile)


def run() -> Finding:
    """Train pairs of networks, find every kind of path, compare barriers."""
    figure = Figure(figsize=(7.2, 3.2))
    panels = figure.subplots(1, 2)
    train, (_, accuracy) = RECIPE.metrics("train")[0], RECIPE.metrics("test")
    straight, falls, texts = [], [], []
    shares: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for pair in PAIRS:
        a, b = (RECIPE.at(replace(RECIPE, seed=seed).train()[-1]) for seed in pair)
        line = paths.straight_line(a, b, train)
        found = {kind: search(a, b, train) for kind, search in KINDS.items()}
        straight.append(line.barrier)
        for kind, curve in found.items():
            shares[kind].append(curve.barrier / line.barrier)
            along = le.evaluate(curve, accuracy, [(t,) for t in np.linspace(0, 1, 21)])[accuracy.name]
            falls.append(float(min(along) - min(along[0], along[-1])))
        texts.append(f"{line.barrier:.2f} nats, then {', '.join(f'{c.barrier:.4f}' for c in found.values())}")
        if pair == PAIRS[0]:
            for axes in panels:
                axes.plot(*points(line), color="#14181d", label="straight line")
                for (kind, curve), style in zip(found.items(), ("-", (0, (4, 2)), (0, (1, 1.5))), strict=True):
                    axes.plot(*points(curve), linestyle=style, color="#1b6ca8", label=kind)
    values = {share(kind): max(of) for kind, of in shares.items()}
    values |= {STRAIGHT: min(straight), TEST: min(falls)}
    panels[0].set(title="Training loss, nats", xlabel="t", ylim=(0, None))
    panels[1].set(title="The same, low part", xlabel="t", ylim=(0, 0.1))
    panels[1].legend(loc="upper center", fontsize=8)
    kinds = ", ".join(kind for kind in KINDS)
    return Finding(values, figure, f"Barriers of each pair, straight line, then {kinds}: {'; '.join(texts)}.")


CLAIM = Claim(
    name="low_paths",
    title="Two solutions are connected by a path of low loss",
    says="Between two networks trained from different seeds, a Bezier curve, a polygonal chain with one bend and a "
    "nudged elastic band pass with next to no barrier, where the straight line has a high one.",
    source="Garipov et al. 2018, Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs, sections 3 and 4 "
    "([1802.10026](https://arxiv.org/abs/1802.10026)); Draxler et al. 2018, Essentially No Barriers in Neural Network "
    "Energy Landscape, section 4 ([1803.00885](https://arxiv.org/abs/1803.00885))",
    done="The recipe of the sample model `two_seeds` (64-32-32-32-10, ReLU) from three pairs of seeds. `paths.bezier`, "
    "`paths.polygonal_chain` and `paths.nudged_elastic_band` with their default settings on the training loss; "
    "barriers of the training loss of all examples, at 61 nodes or more.",
    numbers=(
        *(Number(share(kind), most=0.05, form=".1%") for kind in KINDS),
        Number(STRAIGHT, form=".2f"),
        Number(TEST, form=".1%"),
    ),
    discussion="Every kind of path removes all but a hundredth of the barrier, so what looks like two valleys on the "
    "straight line is one. Three narrow hidden layers were chosen because they make the straight line's "
    "barrier high. The searches stop as soon as the barrier is a hundredth of the straight line's, so the "
    "shares say that a low path was found, not which kind could go lowest. A barrier of 0.0000 means that "
    "no node is above the straight line between the losses of the two ends. Nowhere on a path is the test "
    "accuracy much below that of its ends.",
    caption="The training loss on the straight line between two networks and on three kinds of found path; at the "
    "right the lowest part, magnified.",
    run=run,
    quick=True,
)
