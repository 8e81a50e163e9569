"""The straight path from an initialization to where training ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

import landscape_engine as le
from sample_models.digits_mlp.recipe import RECIPE

from ..claim import Claim, Finding, Number

SEEDS = range(10)
NODES = 51
MONOTONE, RISES = "seeds whose path falls all the way", "rising nodes of the worst path"


def profile(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The training loss at nodes from the initialization to the end, and at the checkpoints between."""
    recipe = replace(RECIPE, seed=seed)
    path = recipe.train()
    loss, _ = recipe.metrics("train")
    start, end = (recipe.at(path[k]) for k in (0, -1))
    straight = le.linear_interpolation(start, end, loss, steps=NODES)
    true = le.evaluate(le.Curve.along(end, path), loss, [(k,) for k in range(len(path))])
    return np.asarray(straight), true[loss.name]


def run() -> Finding:
    """Train from ten seeds and look at ten straight lines."""
    lines, runs = zip(*(profile(seed) for seed in SEEDS), strict=True)
    rises = [int((np.diff(line) > 0).sum()) for line in lines]
    values = {MONOTONE: float(rises.count(0)), RISES: float(max(rises))}
    figure = Figure(figsize=(7.2, 3.2))
    left, right = figure.subplots(1, 2, sharey=True)
    left.plot(np.linspace(0, 1, NODES), np.transpose(lines), linewidth=1.1, color="#1b6ca8")
    left.set(title="Straight line", xlabel="α: share of the way to the solution", ylabel="Training loss, nats")
    for losses in runs:
        right.plot(np.linspace(0, 1, len(losses)), losses, linewidth=1.1, color="#68727d")
    right.set(title="Training itself", xlabel="share of its checkpoints", ylim=(0, None))
    ends = [float(line[-1]) for line in lines]
    seen = (
        f"Nodes at which the loss is above the node before, for each seed: {', '.join(map(str, rises))}. Training loss "
        f"at the end: {min(ends):.3f} to {max(ends):.3f} nats."
    )
    return Finding(values, figure, seen)


CLAIM = Claim(
    name="straight_path",
    title="The straight path to a solution falls all the way",
    says="On the straight line from the initialization to the trained network the training loss has no barrier: it "
    "falls from node to node.",
    source="Goodfellow, Vinyals, Saxe 2015, Qualitatively characterizing neural network optimization problems, "
    "section 3 ([1412.6544](https://arxiv.org/abs/1412.6544))",
    done="The recipe of the sample model `digits_mlp` (64-128-10, ReLU, SGD with momentum, 24 epochs) from ten seeds. "
    f"The training loss of all 1,437 examples at {NODES} nodes of `le.linear_interpolation`; a path counts if no node "
    "is above the one before it, by however little.",
    numbers=(
        Number(MONOTONE, least=9, form=".0f"),
        Number(RISES, form=".0f"),
    ),
    discussion="All paths fall, without a single node above the one before. That says less than it seems: the path "
    "is steep only in its first half, and no more is claimed than that nothing stands in the way. Wider "
    "or deeper networks, larger learning rates and batch norm are known to break the rule (Lucas et al. "
    "2021, [2104.11044](https://arxiv.org/abs/2104.11044)); a small perceptron on easy data is the case "
    "in which it is safest.",
    caption="The training loss of ten seeds on the straight line from initialization to solution (left), and at the "
    "checkpoints of the training runs themselves (right), which did not go straight.",
    run=run,
    quick=True,
)
