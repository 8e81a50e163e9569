"""How well the refinement's error estimate is calibrated: `python benchmarks/calibration.py [words of names]`.

Full 129x129 surfaces of the sample models and of a plain 24-layer perceptron are computed once and kept in a folder of
the system's temporary files; the refiner is then replayed against them, and each row of the table compares what it
predicted and estimated with what is true:

* saved: nodes of the grid to nodes computed;
* error: the largest true error, in tolerances (0.5 % of the range); wanted: at most 1;
* largest: the largest estimate to the largest true error; wanted: at least 0.5;
* covered: the share of predicted nodes whose estimate is at least half their true error; wanted: at least 99 %;
* median: the median estimate to the median true error; wanted: at most 10.

Beside it, what a rule without estimate or audits saves, and its largest true error: from 17x17 nodes, a node is
predicted where no surplus of the 5x5 around it in the level before exceeds c tolerances. With c = 2 it saves most of
what can be saved, and errs; with c = 1/2 it is safe.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from torch import nn

import landscape_engine as le
import sample_models
from landscape_engine import paths
from landscape_engine.landscape import transform
from landscape_engine.metrics import GradientNorm, LargestCurvature, Metric
from landscape_engine.refinement.interpolation import new_nodes, refine_grid, spread
from sample_models.data import DIGITS
from sample_models.training import Supervised

Array = NDArray[np.float64]

FOLDER = Path(tempfile.gettempdir()) / "calib_cache"
RESOLUTION, TOLERANCE, SEEDS = 129, 0.005, range(3)
SIMPLE = (2, 0.5)  # tolerances below which the rule without estimate predicts
MODELS = ("digits_mlp", "spirals_mlp", "two_seeds", "digits_cnn", "sorting_gpt")
# An accuracy and a curvature have no logarithm worth drawing.
SCALES = {"loss": ("linear", "log"), "accuracy": ("linear",), "gradient": ("linear", "log"), "curvature": ("linear",)}


def _plain() -> nn.Module:
    """The untrained perceptron of 24 layers without skips."""
    torch.nn.init.orthogonal_((first := nn.Linear(64, 48)).weight)
    middle = [nn.Linear(48, 48) for _ in range(22)]
    for layer in middle:
        nn.init.orthogonal_(layer.weight, 2**0.5)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(
        first, nn.ReLU(), *(part for layer in middle for part in (layer, nn.ReLU())), nn.Linear(48, 10)
    )


@cache
def plain(seed: int) -> tuple[nn.Module, list[Metric]]:
    """That perceptron, trained, and its metrics."""
    recipe = Supervised("24 layers", "24 layers", _plain, DIGITS, seed, epochs=60, learning_rate=0.003)
    return recipe.at(recipe.train()[-1]), recipe.metrics("train")


def _random(name: str, seed: int) -> tuple[le.Plane, list[Metric]]:
    sample = sample_models.load(name)
    return le.Plane.random(sample.model, seed=seed), sample.metrics("train")


def _trajectory(name: str) -> tuple[le.Plane, list[Metric]]:
    sample = sample_models.load(name)
    return le.Plane.trajectory(sample.model, sample.trajectory), sample.metrics("train")


def _connection() -> tuple[le.Plane, list[Metric]]:
    sample = sample_models.load("two_seeds")
    metrics = sample.metrics("train")
    return paths.bezier(sample.model, sample.second_model, metrics[0]).plane(), metrics


def _deep(seed: int, direction: int) -> tuple[le.Plane, list[Metric]]:
    model, metrics = plain(seed)
    return le.Plane.random(model, seed=direction), metrics


def _curvature(name: str, seed: int) -> tuple[le.Plane, list[Metric]]:
    plane, (loss, _) = _random(name, seed)
    return plane, [GradientNorm(loss, name="gradient"), LargestCurvature(loss, name="curvature")]


PLANES: dict[str, Callable[[], tuple[le.Plane, list[Metric]]]] = {
    **{f"{name} trajectory": partial(_trajectory, name) for name in MODELS},
    "two_seeds connection": _connection,
    **{f"{name} random {seed}": partial(_random, name, seed) for name in MODELS for seed in SEEDS},
    **{f"24 layers {seed} random {d}": partial(_deep, seed, d) for seed in range(2) for d in range(2)},
    "spirals_mlp derivatives": partial(_curvature, "spirals_mlp", 0),
}


def surfaces(plane: str) -> dict[str, Array]:
    """Every metric at every node of a plane, by its short name; computed once."""
    path = FOLDER / f"{plane.replace(' ', '_')}.npz"
    if not path.exists():
        start, (subspace, metrics) = time.perf_counter(), PLANES[plane]()
        alpha, beta = subspace.axes(RESOLUTION)
        found = le.evaluate(subspace, metrics, [(a, b) for a in alpha for b in beta])
        values = {m.name.removeprefix("train_"): found[m.name].reshape(RESOLUTION, RESOLUTION) for m in metrics}
        FOLDER.mkdir(exist_ok=True)
        np.savez(path, **values)
        print(f"{plane}: computed in {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    with np.load(path) as file:
        return dict(file)


class Row(NamedTuple):
    """What the refinement of one surface came to; see the head of this file."""

    saved: float
    error: float
    largest: float
    covered: float
    median: float

    @property
    def is_good(self) -> bool:
        """Whether all that is wanted holds."""
        return self.error <= 1 and self.largest >= 0.5 and self.covered >= 0.99 and self.median <= 10


def replay(values: Array, scale: str, tolerance: float = TOLERANCE, seed: int = 0) -> Row:
    """Refine a surface that is known everywhere, and compare."""
    refiner = le.Refiner(values.shape, tolerance, scale, seed=seed)
    while len(nodes := refiner.ask()):
        refiner.tell(nodes, values[tuple(nodes.T)])
    true, analysis, predicted = transform(values, scale), refiner.analysis, ~refiner.computed
    error, estimate = np.abs(analysis.prediction - true)[predicted], analysis.error[predicted]
    if not error.size:
        return Row(1.0, 0.0, np.inf, 1.0, 1.0)
    tiny = 1e-12 * np.ptp(true)
    return Row(
        values.size / refiner.computed.sum(),
        error.max() / (tolerance * np.ptp(true)),
        estimate.max() / max(error.max(), tiny),
        float(np.mean(estimate >= error / 2)),
        np.median(estimate) / max(np.median(error), tiny),
    )


def simple(values: Array, scale: str, c: float, tolerance: float = TOLERANCE, stride: int = 8) -> tuple[float, float]:
    """What the rule without estimate saves, and its largest true error in tolerances."""
    true = transform(values, scale)
    limit, surface = tolerance * np.ptp(true), true[::stride, ::stride]
    surplus, count = np.abs(surface - refine_grid(surface[::2, ::2], 3)), surface.size
    while stride > 1:
        stride //= 2
        prediction, near = refine_grid(surface, 3), maximum_filter(spread(maximum_filter(surplus, 5)), 3)
        new = new_nodes(prediction.shape)
        needed = new & (near > c * limit)
        found = np.where(needed, true[::stride, ::stride], prediction)
        count, surplus = count + int(needed.sum()), np.abs(found - prediction)
        surface = np.where(new, found, spread(surface))
    return values.size / count, float(np.abs(surface - true).max() / limit)


def rows(words: list[str]) -> Iterator[tuple[str, Row, list[tuple[float, float]]]]:
    """The rows of the table whose names hold all the words."""
    for plane in PLANES:
        if all(word in plane for word in words):
            for metric, values in surfaces(plane).items():
                for scale in SCALES[metric]:
                    others = [simple(values, scale, c) for c in SIMPLE]
                    yield f"{plane}, {metric}, {scale}", replay(values, scale), others


def main(*words: str) -> None:
    """Print the table."""
    beside = "".join(f"{f'c = {c:g}':>14}" for c in SIMPLE)
    print(f"{'surface':42} {'saved':>6} {'error':>6} {'largest':>8} {'covered':>8} {'median':>7} {beside}")
    found, saved, worst = [], [], []
    for name, row, others in rows(list(words)):
        found.append(row)
        beside = "".join(f"{saved:7.1f}x {error:5.2f}" for saved, error in others)
        print(
            f"{name:42} {row.saved:5.1f}x {row.error:6.2f} {row.largest:8.2f} {row.covered:8.2%} {row.median:7.2f} "
            f"{beside}{'' if row.is_good else '  *'}"
        )
        if row.saved > 2:  # a surface in which something can be saved
            saved.append([row.saved, *(s for s, _ in others)])
            worst.append([row.error, *(e for _, e in others)])
    print(f"{sum(row.is_good for row in found)} of {len(found)} rows are as wanted; the others are marked")
    means, largest = np.exp(np.log(saved).mean(0)), np.max(worst, axis=0)
    for name, mean, error in zip(("the refiner", *(f"c = {c:g}" for c in SIMPLE)), means, largest, strict=True):
        print(
            f"{name}: saves {mean:.1f}x (geometric mean of {len(saved)} rows of 2x and more), errs {error:.2f} at most"
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
