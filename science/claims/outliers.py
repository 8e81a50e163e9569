"""How many eigenvalues of the Hessian stand apart from the rest."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

import landscape_engine as le
from landscape_engine.hessian import eigenpairs
from landscape_engine.metrics import LargestCurvature
from sample_models.data import DIGITS, DataSet, Split
from sample_models.digits_mlp.recipe import RECIPE

from ..claim import Claim, Finding, Number

CLASSES = range(3, 11)
SEEDS = range(3)
JUDGED = {3: (2, 4), 5: (4, 6), 10: (7, 13)}
SHARE, SLOPE = "runs with C - 1 or C outliers", "outliers gained for each class, least squares"


def names(classes: int) -> tuple[str, str]:
    """The two numbers of a number of classes."""
    return f"{classes} classes: fewest outliers of a run", f"{classes} classes: most outliers of a run"


def build(classes: int) -> nn.Module:
    """The untrained network."""
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, classes))


def first(classes: int) -> tuple[Split, Split]:
    """The digits below a number."""
    train, test = (Split(*(part[s.targets < classes] for part in s)) for s in DIGITS.load())
    return train, test


def spectrum(classes: int, seed: int) -> NDArray[np.float64]:
    """The largest eigenvalues of the Hessian of the training loss at the end of a run, descending."""
    data = DataSet(partial(first, classes), DIGITS.source, DIGITS.license)
    recipe = replace(RECIPE, build=partial(build, classes), data=data, seed=seed)
    model, (loss, _) = recipe.at(recipe.train()[-1]), recipe.metrics("train")
    operator = LargestCurvature(loss).operator(le.wrap_model(model))
    return eigenpairs(operator, 2 * classes + 5, tolerance=1e-4).values


def outliers(values: NDArray[np.float64], classes: int) -> int:
    """How many eigenvalues are above the widest gap, as a ratio, among those after the 2nd to the 2C-th."""
    return 2 + int(np.argmax(values[1 : 2 * classes] / values[2 : 2 * classes + 1]))


def run() -> Finding:
    """Train on the first C digits, find the top of the spectrum, count."""
    spectra = {c: [spectrum(c, seed) for seed in SEEDS] for c in CLASSES}
    counts = {c: [outliers(values, c) for values in of] for c, of in spectra.items()}
    values = {n: float(v) for c in JUDGED for n, v in zip(names(c), (min(counts[c]), max(counts[c])), strict=True)}
    flat = [(c, k) for c, of in counts.items() for k in of]
    values[SHARE] = float(np.mean([c - 1 <= k <= c for c, k in flat]))
    values[SLOPE] = float(np.polyfit([c for c, _ in flat], [k for _, k in flat], 1)[0])
    figure = Figure(figsize=(7.2, 3.2))
    left, right = figure.subplots(1, 2)
    for c, color in zip(JUDGED, ("#68727d", "#1b6ca8", "#14181d"), strict=True):
        top, count = spectra[c][0], counts[c][0]
        left.semilogy(np.arange(1, len(top) + 1), top, "o-", color=color, markersize=3, linewidth=0.8, label=f"C = {c}")
        left.plot([count + 0.5] * 2, top[[count - 1, count]], color="#c9156b", linewidth=2)
    left.set(title="Largest eigenvalues", xlabel="place")
    left.legend()
    right.fill_between(CLASSES, np.subtract(CLASSES, 1), CLASSES, color="#1b6ca8", alpha=0.2, linewidth=0)
    right.plot(*np.transpose(flat), "o", color="#14181d", markersize=4)
    right.set(title="Outliers", xlabel="classes C", ylabel="eigenvalues above the gap")
    texts = (f"C = {c}: {', '.join(map(str, of))}" for c, of in counts.items())
    return Finding(values, figure, f"Outliers for each seed, {'; '.join(texts)}.")


CLAIM = Claim(
    name="outliers",
    title="The Hessian has about as many outliers as there are classes",
    says="At the end of training a few eigenvalues of the Hessian stand apart from all others, about as many as there "
    "are classes.",
    source="Sagun et al. 2018, Empirical Analysis of the Hessian of Over-Parametrized Neural Networks, section 3 "
    "([1706.04454](https://arxiv.org/abs/1706.04454)); Papyan 2018, The Full Spectrum of Deepnet Hessians at Scale "
    "([1811.07062](https://arxiv.org/abs/1811.07062)); Ghorbani et al. 2019, An Investigation into Neural Net "
    "Optimization via Hessian Eigenvalue Density ([1901.10159](https://arxiv.org/abs/1901.10159))",
    done="The recipe of `digits_mlp`, trained on the first C digits, C from 3 to 10, three seeds each. The 2C "
    "+ 5 largest eigenvalues of the training loss by `hessian.eigenpairs`. Outliers are those above the "
    "widest gap: the largest ratio $\\lambda_k / \\lambda_{k+1}$ for $2 \\le k \\le 2C$. (The first ratio "
    "is left out, since one eigenvalue often stands above all, outliers included.)",
    numbers=(
        *(
            number
            for c, (least, most) in JUDGED.items()
            for number in (Number(names(c)[0], least, form=".0f"), Number(names(c)[1], None, most, form=".0f"))
        ),
        Number(SHARE, form=".0%"),
        Number(SLOPE, form=".2f"),
    ),
    discussion="The count follows the number of classes one by one, and is C - 1 more often than C, as in Papyan's "
    "account: one outlier for each independent difference between class means. The rule matters. Spectra "
    "of small networks fall smoothly: with ten classes the widest gap is a factor of 1.6, and with four "
    "the rule finds 2 where one would expect 3.",
    caption="The largest eigenvalues of three networks, the widest gap in magenta; and the number of outliers of all "
    "runs, with the band from C - 1 to C.",
    run=run,
    quick=True,
)
