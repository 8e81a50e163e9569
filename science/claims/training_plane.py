"""How much of a training path lies in a plane."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from matplotlib.figure import Figure

import landscape_engine as le
from sample_models.digits_cnn.recipe import RECIPE as CNN
from sample_models.digits_mlp.recipe import RECIPE as MLP
from sample_models.training import Supervised

from ..claim import Claim, Finding, Number

RUNS: tuple[tuple[str, Supervised, int], ...] = (
    *(("MLP", MLP, seed) for seed in range(5)),
    *(("CNN", CNN, seed) for seed in range(2)),
)
PLANES = range(10)
EVERY_STEP = 4000  # so many geometric steps that none of a few hundred is left out
PRINCIPAL, RANDOM, MEAN, WALK = (
    "plane of the run, least of the runs",
    "random plane, most of all",
    "random plane, mean of all",
    "plane of a random walk",
)


def epochs(recipe: Supervised, seed: int) -> le.Trajectory:
    """A run's initialization and its end of each epoch."""
    path = replace(recipe, seed=seed, checkpoints=EVERY_STEP).train()
    each = slice(None, None, path.steps[-1] // recipe.epochs)
    return le.Trajectory({n: s[each] for n, s in path.states.items()}, path.steps[each])


def held(plane: le.Plane, path: le.Trajectory) -> float:
    """The share of the squared movement, seen from the final checkpoint, that a plane holds."""
    falls = [plane.project(path[k]) for k in range(len(path))]
    return 1 - sum(f.residual**2 for f in falls) / sum(f.distance**2 for f in falls)


def random_walk(path: le.Trajectory) -> le.Trajectory:
    """Independent Gaussian steps, as many as the path has, in a space of its size."""
    torch.manual_seed(0)
    return le.Trajectory({n: torch.randn_like(s).cumsum(0) for n, s in path.states.items()}, path.steps)


def run() -> Finding:
    """Train, and project each run on its own plane and on random ones."""
    names, own = [], []
    others: dict[str, list[float]] = {"MLP": [], "CNN": []}
    figure = Figure(figsize=(7.2, 3.0))
    left, right = figure.subplots(1, 2)
    for name, recipe, seed in RUNS:
        path = epochs(recipe, seed)
        plane = le.Plane.trajectory(recipe.build(), path)
        names.append(f"{name}, seed {seed}")
        own.append(held(plane, path))
        end = recipe.at(path[-1])
        others[name] += [held(le.Plane.random(end, seed=k), path) for k in PLANES]
        x, y = np.array([plane.project(path[k]).coordinates for k in range(len(path))]).T
        left.plot(x, y, "o-", markersize=2.5, linewidth=1, color="#1b6ca8" if name == "MLP" else "#68727d")
    model = MLP.build()
    walk = random_walk(epochs(MLP, 0))
    control = held(le.Plane.trajectory(model, walk), walk)
    left.set(title="Runs, each on its plane", xlabel="distance along PC 1", ylabel="along PC 2")
    right.barh(names[::-1], own[::-1], height=0.6, color="#1b6ca8")
    right.axvline(control, color="#c9156b", linewidth=1.2)
    right.text(control - 0.01, -0.9, "random walk ", color="#c9156b", ha="right", va="center", fontsize=8)
    right.set(title="Share of the squared movement", xlim=(0, 1), ylim=(-1.3, None))
    seen = "Own plane: " + "; ".join(f"{n} {s:.1%}".replace("%", " %") for n, s in zip(names, own, strict=True))
    ranges = (f"{name} {min(of):.3%} to {max(of):.3%}" for name, of in others.items())
    seen += f". Random planes: {', '.join(ranges)}.".replace("%", " %")
    every = [share for of in others.values() for share in of]
    values = {PRINCIPAL: min(own), RANDOM: max(every), MEAN: float(np.mean(every)), WALK: control}
    return Finding(values, figure, seen)


CLAIM = Claim(
    name="training_plane",
    title="A training path is nearly flat, and random planes do not see it",
    says="The plane of the two leading principal directions of a run holds nearly all of its movement; a random plane "
    "holds nearly nothing.",
    source="Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 7 "
    "([1712.09913](https://arxiv.org/abs/1712.09913))",
    done="The recipes of `digits_mlp` from five seeds and of `digits_cnn` (batch norm) from two, a checkpoint at the "
    "end of each epoch as in the paper. The share of $\\sum_k \\|\\theta_k - \\theta_K\\|^2$ that lies in "
    "`le.Plane.trajectory`, and in ten filter-normalized `le.Plane.random` of each run. As a control, the same for a "
    "walk of as many independent Gaussian steps.",
    numbers=(
        Number(PRINCIPAL, least=0.9, form=".1%"),
        Number(RANDOM, most=0.001, form=".2%"),
        Number(MEAN, form=".2%"),
        Number(WALK, form=".1%"),
    ),
    discussion="The first half holds, and is weak evidence: seen from its end, even a random walk of many steps has "
    "$\\frac{8}{\\pi^2} (1 + \\frac{1}{9})$ = 90 % of its squared movement in two directions, since early "
    "checkpoints are far from the end and late ones near it. What training adds is the step from there to "
    "97 or 98 %. See Antognini, Sohl-Dickstein 2018 ([1806.08805](https://arxiv.org/abs/1806.08805)). "
    "That random planes show nothing of a path needs no training either: in a space of many dimensions "
    "they are nearly orthogonal to any fixed direction.",
    explained={
        RANDOM: "What is judged is the worst of seventy planes, as it was set up; their mean is half the "
        "tolerance. A plane of directions without normalization holds 2/n of a movement on average, with "
        "n parameters: 0.02 % for the perceptron (n = 9,610), 0.05 % for the convolutional network (n = "
        "4,258). It scatters like a sum of two squares, so that the worst of seventy is several times the "
        "mean. Filter normalization doubles the mean: half of the movement is in the weights of the last "
        "layer, an eighth of all, whose weights are larger, so that the directions point there too.",
    },
    caption="Each run on its own plane (blue: MLP, gray: CNN), from the initialization to the final checkpoint at the "
    "origin, and the share of its movement that the plane holds.",
    run=run,
    quick=True,
)
