"""Evaluation beside loss-landscapes 3.0.6: the same points with nothing skipped, and pictures that skip most.

The other package computes a small part of its picture, whose time is scaled by the number of points. Both evaluate the
same network on the same examples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import loss_landscapes
import torch
import torch.nn.functional as F
from loss_landscapes.metrics import Loss as TheirLoss
from torch import Tensor, nn

import landscape_engine as le
import sample_models
from landscape_engine.metrics import Loss

from ..measure import Row, ratio

STEPS, SAME, PICTURE = 9, 33, 129
PEER = "loss-landscapes' `random_plane`"


@dataclass(frozen=True)
class Case:
    """A network, its examples, and what is wanted of each ratio."""

    name: str
    model: nn.Module
    inputs: Tensor
    targets: Tensor
    same_points: float | None = None
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
        Case("MLP 2-16-16-3 (371 parameters), 300 examples", mlp(2, 16, 16, 3), *noise(300, 2), 5.0),
        Case("MLP 784-512-512-10, 2,000 examples", mlp(784, 512, 512, 10), *noise(2000, 784), 2.3, 100.0),
        Case("MLP 3072-256-256-10, 2,000 examples", mlp(3072, 256, 256, 10), *noise(2000, 3072), 9.0),
        Case("digits_mlp, 1,437 examples", digits.model, *digits.train, None, 50.0),
        Case("digits_cnn with batch norm, 1,437 examples", cnn.model, *cnn.train, 1.5, 50.0),
    ]


def rows(device: str) -> Iterator[Row]:
    """Both ratios of each case."""
    for case in cases():
        model, inputs, targets = case.model.to(device), case.inputs.to(device), case.targets.to(device)
        plane, loss = le.Plane.random(model, seed=0), Loss(F.cross_entropy, inputs, targets)
        their_loss = TheirLoss(F.cross_entropy, inputs, targets)

        def theirs(model: nn.Module = model, loss: TheirLoss = their_loss) -> object:
            with torch.no_grad():
                return loss_landscapes.random_plane(model, loss, 1, STEPS, "filter", deepcopy_model=True)

        for limit, resolution, tolerance in ((case.same_points, SAME, 0.0), (case.picture, PICTURE, 0.005)):
            if limit is None:
                continue

            def ours(n: int = resolution, t: float = tolerance, plane: le.Plane = plane, loss: Loss = loss) -> object:
                return list(le.refine(loss, plane, resolution=n, tolerance=t))[-1]

            what = "the same points" if not tolerance else f"{PICTURE} x {PICTURE} picture at {100 * tolerance:g} %"
            found = ratio(theirs, ours, (resolution / STEPS) ** 2, device)
            how = json.loads(ours().attrs["provenance"])
            note = f"{how['strategy']}, {how['evaluations']} of {resolution**2} nodes"
            yield Row(f"{case.name}: {what}", PEER, found, limit, note=note)
