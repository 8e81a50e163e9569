"""Data sets of the sample models, from packages that carry them, so that no network is needed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor


class Split(NamedTuple):
    """Inputs and targets of one part of a data set."""

    inputs: Tensor
    targets: Tensor


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
