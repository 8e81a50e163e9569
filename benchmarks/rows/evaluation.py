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
import xarray as xr
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
    """A network, its examples, what is wanted of each ratio, and why it may fall short."""

    name: str
    model: nn.Module
    inputs: Tensor
    targets: Tensor
    same_points: float | None = None
    picture: float | None = None
    nodes: int = SAME
    why: str = ""


def mlp(*sizes: int) -> nn.Sequential:
    """A multilayer perceptron with ReLU units, its biases not zero, at which the other package would stop."""
    layers: list[nn.Module] = []
    for a, b in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Block(nn.Module):
    """Two convolutions with batch norm, and a way past them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """What goes in, and what the convolutions make of it."""
        inner = F.relu(self.norms[0](self.first(x)))
        return F.relu(x + self.norms[1](self.second(inner)))


def residual(width: int = 16, blocks: int = 3) -> nn.Sequential:
    """A small residual network; the biases of its batch norm are not zero, at which the other package would stop."""
    start = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU()]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]
    model = nn.Sequential(*start, *(Block(width) for _ in range(blocks)), *end).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.1)
    return model


def cases() -> list[Case]:
    """What is timed."""
    torch.manual_seed(0)
    digits, cnn = sample_models.load("digits_mlp"), sample_models.load("digits_cnn")

    def noise(count: int, *size: int) -> tuple[Tensor, Tensor]:
        return torch.randn(count, *size), torch.randint(0, 3, (count,))

    tiny = "two thirds of the time are the vectorized calls, a third is refinement and the probe"
    wide = "without its first layer a point has {:.1f} times fewer products; adding up those of that layer costs too"
    small = "PyTorch's forward pass is most of a point; channels last gain nothing, fewer examples make it slower"
    noisy = "from run to run this ratio was between 1.2 and 1.6, as the speed of its convolutions changes"
    return [
        Case("MLP 2-16-16-3 (371 parameters), 300 examples", mlp(2, 16, 16, 3), *noise(300, 2), 5.0, why=tiny),
        Case(
            "MLP 784-512-512-10, 2,000 examples",
            mlp(784, 512, 512, 10),
            *noise(2000, 784),
            2.3,
            100.0,
            why=wide.format(2.5),
        ),
        Case(
            "MLP 3072-256-256-10, 2,000 examples",
            mlp(3072, 256, 256, 10),
            *noise(2000, 3072),
            9.0,
            why=wide.format(12.5),
        ),
        Case(
            "residual net, 3 blocks of 16 channels, 128 examples",
            residual(),
            *noise(128, 3, 32, 32),
            1.5,
            nodes=17,
            why=noisy,
        ),
        Case("digits_mlp, 1,437 examples", digits.model, *digits.train, None, 50.0),
        Case("digits_cnn with batch norm, 1,437 examples", cnn.model, *cnn.train, 1.5, 50.0, why=small),
    ]


def rows(device: str) -> Iterator[Row]:
    """Both ratios of each case."""
    for case in cases():
        model, inputs, targets = case.model.to(device), case.inputs.to(device), case.targets.to(device)
        plane, loss = le.Plane.random(model, seed=0), Loss(F.cross_entropy, inputs, targets)
        their_loss = TheirLoss(F.cross_entropy, inputs, targets)

        def theirs(model: nn.Module = model, loss: TheirLoss = their_loss) -> object:
            with torch.no_grad(), torch.device(device):  # where it draws its directions
                return loss_landscapes.random_plane(model, loss, 1, STEPS, "filter", deepcopy_model=True)

        for limit, resolution, tolerance in ((case.same_points, case.nodes, 0.0), (case.picture, PICTURE, 0.005)):
            if limit is None:
                continue

            def ours(
                n: int = resolution, t: float = tolerance, plane: le.Plane = plane, loss: Loss = loss
            ) -> xr.Dataset:
                return list(le.refine(loss, plane, resolution=n, tolerance=t))[-1]

            what = "the same points" if not tolerance else f"{PICTURE} x {PICTURE} picture at {100 * tolerance:g} %"
            found = ratio(theirs, ours, (resolution / STEPS) ** 2, device)
            how = json.loads(ours().attrs["provenance"])
            note = f"{how['strategy']}, {how['evaluations']} of {resolution**2} nodes"
            if found < limit:
                each = resolution**2 / how["evaluations"] / found
                note += f"; a node takes {each:.2f} times as long as one there, all that goes with it counted"
                note += f"; {case.why}" * bool(case.why and device == "cpu")
            yield Row(f"{case.name}: {what}", PEER, found, limit, note=note)
