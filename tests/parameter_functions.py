"""Metrics that are plain functions of the parameters, so that their values are known without data."""

from __future__ import annotations

import torch
from torch import nn

import landscape_engine as le
from landscape_engine.metrics import Metric


class Bowl(Metric):
    """A floor plus the squared length of the parameters: an isotropic bowl."""

    name, positive = "bowl", True

    def __init__(self, floor=0.0):
        self.floor = floor

    def __call__(self, model_wrapper):
        return self.floor + sum((p.double() ** 2).sum().item() for p in model_wrapper.parameters.values())


class Corner(Metric):
    """alpha + 10 beta + 3 alpha beta on ``unit_plane``: another value in each corner."""

    name, long_name, units = "corner", "corner value", "m"

    def __call__(self, model_wrapper):
        a, b = model_wrapper.parameters["weight"].flatten().tolist()
        return a + 10 * b + 3 * a * b


def unit_plane(**size):
    """The plane of all weights (alpha, beta) of a model of two numbers."""
    model = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    units = [{"weight": row[None]} for row in torch.eye(2, dtype=torch.float64)]
    return le.Plane.from_directions(model, units, **size)
