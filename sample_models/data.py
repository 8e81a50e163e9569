"""Data sets of the sample models, from packages that carry them, so that no network is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from sklearn.datasets import load_digits
from torch import Tensor


class Split(NamedTuple):
    """Inputs and targets of one part of a data set."""

    inputs: Tensor
    targets: Tensor


def spirals(
    train: int = 600, test: int = 300, arms: int = 3, noise: float = 0.45, seed: int = 0
) -> tuple[Split, Split]:
    r"""Points of spiral arms in the plane: radius :math:`s`, angle :math:`4.5 s + 2 \pi a / A` with Gaussian noise.

    :math:`s` is uniform from 0.1 to 1; the noise is in radians; the target is the arm :math:`a`.
    """
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(train + test) % arms
    radius = 0.1 + 0.9 * torch.rand(len(targets), generator=generator)
    noisy = noise * torch.randn(len(targets), generator=generator)
    angle = 4.5 * radius + 2 * torch.pi * targets / arms + noisy
    inputs = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    return Split(inputs[:train], targets[:train]), Split(inputs[train:], targets[train:])


def digits(train: int = 1437, seed: int = 0) -> tuple[Split, Split]:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 pixels from 0 to 1, as a training and a test set.

    References:
        Alpaydin, Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.
    """
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    inputs = torch.tensor(images, dtype=torch.float32)[order] / 16
    targets = torch.tensor(labels, dtype=torch.int64)[order]
    return Split(inputs[:train], targets[:train]), Split(inputs[train:], targets[train:])


@final
@dataclass(frozen=True)
class DataSet:
    """A data set and where it comes from.

    Args:
        load: Gives the training and the test set.
        source: What it is and who made it.
        license: Under which it may be used.
    """

    load: Callable[[], tuple[Split, Split]]
    source: str
    license: str


DIGITS = DataSet(
    digits,
    "1,797 handwritten digits that scikit-learn carries, 1,437 for training and 360 for testing: Alpaydin, Kaynak "
    "1998, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
    "https://archive.ics.uci.edu/dataset/80.",
    "CC BY 4.0, UCI Machine Learning Repository",
)
SPIRALS = DataSet(
    spirals,
    "900 points of three spirals in the plane, 600 for training and 300 for testing, drawn from a fixed seed by "
    "`sample_models.data.spirals`; after the two-spirals problem of Lang, Witbrock 1988, Learning to Tell Two Spirals "
    "Apart.",
    "MIT, as this project",
)
