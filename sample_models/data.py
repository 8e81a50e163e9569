"""Data sets and environments of the sample models, from packages that carry them, so that no network is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, NamedTuple, final

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from landscape_engine import ChoiceError, LandscapeError

SPLITS = ("train", "test")


class Split(NamedTuple):
    """Inputs and targets of one part of a data set."""

    inputs: Tensor
    targets: Tensor


@cache
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


@cache
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


@cache
def unsorted(
    train: int = 600, test: int = 300, length: int = 6, digits: int = 10, seed: int = 0
) -> tuple[Split, Split]:
    """Digits drawn at random, after which come the same ones in order: ``4 0 7 4`` goes on with ``0 4 4 7``.

    Inputs (n, 2 length - 1) are all tokens but the last, targets those that come next; of them count the sorted ones,
    the others are -100, which cross entropies leave out.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(digits, (train + test, length), generator=generator)
    tokens = torch.cat([drawn, drawn.sort(dim=1).values], dim=1)
    targets = tokens[:, 1:].clone()
    targets[:, : length - 1] = -100
    inputs = tokens[:, :-1]
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

    unit: ClassVar[str] = "examples"
    load: Callable[[], tuple[Split, Split]]
    source: str
    license: str

    @property
    def splits(self) -> dict[str, int]:
        """Number of examples of the training and the test set."""
        return {name: len(self.split(name).targets) for name in SPLITS}

    def split(self, name: str) -> Split:
        """The training or the test set."""
        return self.load()[_index(name)]


@final
@dataclass(frozen=True)
class Environment:
    """An environment of Gymnasium and where it comes from.

    Its training and its test set are two disjoint runs of the seeds that episodes start from; a policy is trained on
    the first.

    Args:
        name: Its id.
        source: What it is and who made it.
        license: Under which it may be used.
        episodes: How many of a split are played, unless another number is asked for.
    """

    unit: ClassVar[str] = "episodes"
    name: str
    source: str
    license: str
    episodes: int = 10

    @property
    def splits(self) -> dict[str, int]:
        """Number of episodes of the training and the test set."""
        return dict.fromkeys(SPLITS, self.episodes)

    def first_seed(self, split: str) -> int:
        """Seed of the first episode of the training or the test set."""
        return (0, 1_000_000)[_index(split)]

    def make(self) -> Any:
        """A new one.

        Raises:
            LandscapeError: If gymnasium is not installed.
        """
        try:
            import gymnasium
        except ImportError as error:
            raise LandscapeError(
                f"{self.name} needs gymnasium, which is not installed: pip install gymnasium."
            ) from error
        return gymnasium.make(self.name, disable_env_checker=True)


def _index(split: str) -> int:
    if split not in SPLITS:
        raise ChoiceError("split", split, f"one of {', '.join(SPLITS)}")
    return SPLITS.index(split)


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
UNSORTED = DataSet(
    unsorted,
    "900 sequences of six random digits followed by the same six in order, 600 for training and 300 for testing, drawn "
    "from a fixed seed by `sample_models.data.unsorted`.",
    "MIT, as this project",
)
CARTPOLE = Environment(
    "CartPole-v1",
    "CartPole-v1 of Gymnasium: a pole on a cart, 1 for each of at most 500 steps that it stays upright; returns are "
    "means of 10 episodes, from seeds that the policy was trained on and from others. After Barto, Sutton, Anderson "
    "1983, Neuronlike Adaptive Elements That Can Solve Difficult Learning Control Problems.",
    "MIT, as Gymnasium",
)
