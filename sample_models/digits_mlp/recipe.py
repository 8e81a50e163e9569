"""A multilayer perceptron on handwritten digits, recorded densely at the start of its training."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from landscape_engine import Trajectory, TrajectoryRecorder

from ..data import Split, digits

TITLE = "digits_mlp: 64-128-10"
DESCRIPTION = "A network of one hidden layer of 128 ReLU units that reads handwritten digits of 8 x 8 pixels."
SEED = 3
EPOCHS = 24
BATCH = 64
CHECKPOINTS = 48
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.08, 0.9, 1e-4

RECIPE = {
    "optimizer": f"SGD, learning rate {LEARNING_RATE}, momentum {MOMENTUM}, weight decay {WEIGHT_DECAY}",
    "epochs": EPOCHS,
    "batch": BATCH,
    "seed": SEED,
}
DATA = (
    "1,797 handwritten digits that scikit-learn carries, 1,437 for training and 360 for testing: Alpaydin, Kaynak "
    "1998, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
    "https://archive.ics.uci.edu/dataset/80."
)
DATA_LICENSE = "CC BY 4.0, UCI Machine Learning Repository"

loss_function = F.cross_entropy


def data() -> tuple[Split, Split]:
    """The training and the test set."""
    return digits()


def build() -> nn.Module:
    """The untrained network."""
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def train() -> Trajectory:
    """Train from the seed and record checkpoints at steps that grow geometrically, from initialization to the end."""
    torch.manual_seed(SEED)
    model, (inputs, targets) = build(), data()[0]
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    total = EPOCHS * -(-len(inputs) // BATCH)
    wanted = set(np.round(np.geomspace(2, total, CHECKPOINTS - 1)).astype(int).tolist())
    recorder, step = TrajectoryRecorder(model), 0
    recorder.record(step)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(inputs)).split(BATCH):
            optimizer.zero_grad()
            loss_function(model(inputs[batch]), targets[batch]).backward()
            optimizer.step()
            step += 1
            if step in wanted:
                recorder.record(step)
    return recorder.trajectory()
