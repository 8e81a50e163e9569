"""`make bench`: how fast evaluation is, beside loss-landscapes 3.0.6; prints a table, writes `benchmarks/RESULTS.md`.

Each row is a ratio of two times taken in one process, turn by turn, the median of five turns: what the machine does
besides falls on both. The other package computes a small part of its picture, whose time is scaled by the number of
points. Both evaluate the same network on the same examples, in one thread.
"""

from __future__ import annotations

import platform
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import loss_landscapes
import torch
import torch.nn.functional as F
from loss_landscapes.metrics import Loss as TheirLoss
from torch import Tensor, nn

import landscape_engine as le
import sample_models
from landscape_engine.metrics import Loss

TURNS, STEPS = 5, 9
RESULTS = Path(__file__).parent / "RESULTS.md"


@dataclass(frozen=True)
class Case:
    """A network, its examples, and what is expected."""

    name: str
    model: nn.Module
    inputs: Tensor
    targets: Tensor
    same_points: float
    picture: float | None = None


def mlp(*sizes: int) -> nn.Sequential:
    """A multilayer perceptron with ReLU units, its biases not zero, at which the other package would stop."""
    layers: list[nn.Module] = []
    for a, b in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def cases() -> list[Case]:
    """What is timed."""
    torch.manual_seed(0)
    digits, cnn = sample_models.load("digits_mlp"), sample_models.load("digits_cnn")

    def noise(count: int, size: int) -> tuple[Tensor, Tensor]:
        return torch.randn(count, size), torch.randint(0, 3, (count,))

    return [
        Case("MLP 2-16-16-3, 300 examples", mlp(2, 16, 16, 3), *noise(300, 2), 5.0),
        Case("digits_mlp 64-128-10, 1,437 examples", digits.model, *digits.train, 1.0, 50.0),
        Case("MLP 784-512-512-10, 2,000 examples", mlp(784, 512, 512, 10), *noise(2000, 784), 2.3, 100.0),
        Case("MLP 3072-256-256-10, 2,000 examples", mlp(3072, 256, 256, 10), *noise(2000, 3072), 9.0),
        Case("digits_cnn, batch norm, 1,437 examples", cnn.model, *cnn.train, 1.5, 50.0),
    ]


def seconds(function: Callable[[], object]) -> float:
    """The time of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ratio(theirs: Callable[[], object], ours: Callable[[], object], scale: float = 1.0) -> float:
    """Their time by ours: the median of turns."""
    theirs(), ours()
    return statistics.median(scale * seconds(theirs) / seconds(ours) for _ in range(TURNS))


def row(case: Case) -> list[str]:
    """Both ratios of a case."""
    plane, loss = le.Plane.random(case.model, seed=0), Loss(F.cross_entropy, case.inputs, case.targets)
    their_loss = TheirLoss(F.cross_entropy, case.inputs, case.targets)

    def theirs() -> object:
        with torch.no_grad():
            return loss_landscapes.random_plane(case.model, their_loss, 1, STEPS, "filter", deepcopy_model=True)

    names: list[str] = []

    def same_points() -> None:
        *_, landscape = le.refine(loss, plane, resolution=33, tolerance=0)
        names.append(landscape.attrs["provenance"].split('"strategy": "')[1].split('"')[0])

    found = ratio(theirs, same_points, (33 / STEPS) ** 2)
    cells = [case.name, f"{found:.1f}", f"{case.same_points:g}", max(set(names), key=names.count)]
    if case.picture is None:
        return [*cells, "", ""]
    whole = ratio(theirs, lambda: list(le.refine(loss, plane, resolution=129)), (129 / STEPS) ** 2)
    return [*cells, f"{whole:.0f}", f"{case.picture:g}"]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as Markdown."""
    head = ["network", "same points", "wanted", "strategy", "129 x 129 picture at 0.5 %", "wanted"]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def main() -> None:
    """Time every case, print the table, write it with versions and machine."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found = table([row(case) for case in cases()])
    made = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "loss-landscapes"))
    machine = f"{platform.system()}, {platform.machine()}, one thread, Python {platform.python_version()}, {made}"
    RESULTS.write_text(
        "# How fast evaluation is\n\nTimes of loss-landscapes 3.0.6 by ours, made by `make bench` "
        f"({machine}).\n\n{found}\n",
        encoding="utf-8",
    )
    print(found)


if __name__ == "__main__":
    main()
