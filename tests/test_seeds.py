"""Directions kept as seeds: the numbers of stored ones, made again, and never whole in memory."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import landscape_engine as le
import odd_models
from landscape_engine.directions import random_directions, seeds_of
from landscape_engine.models import wrap_model
from landscape_engine.normalization import NORMALIZATIONS
from landscape_engine.parameters import PIECE, fingerprint


class Parted(nn.Module):
    """Tensors of several pieces, of shapes that do not divide into them, and one whose rows are its second axis."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Linear(301, 503)
        self.transposed = nn.ConvTranspose2d(36, 70, (5, 7), groups=2)
        self.table = nn.Embedding(PIECE + 3, 1)
        self.long = nn.Parameter(torch.randn(PIECE * 2 + 7))
        self.token = nn.Parameter(torch.randn(1, 1, PIECE + 11))


MODELS = {
    **odd_models.MODULES,
    "in parts": Parted,
    "transposed in groups": lambda: nn.ConvTranspose2d(4, 6, 3, groups=2),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)),
    "channels last": lambda: nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last),
}


def built(name):
    torch.manual_seed(0)
    return MODELS[name]()


@pytest.mark.filterwarnings("ignore:.*leaves of parametrized weights")
@pytest.mark.parametrize("one_dimensional", [False, True])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("name", MODELS)
def test_seeds_give_the_numbers_of_stored_directions_bit_by_bit(name, normalization, one_dimensional):
    model = built(name)
    options = {"normalization": normalization, "seed": 3, "one_dimensional": one_dimensional}
    stored, made = (le.Plane.random(model, keep=keep, **options) for keep in ("tensors", "seeds"))
    for a, b in zip(stored.directions, made.directions, strict=True):
        assert list(a) == list(b)
        for n in a:
            assert torch.equal(a[n], b[n]) and a[n].dtype == b[n].dtype, n
    for where in [(0.0, 0.0), (0.7, 0.0), (0.0, -0.3), (0.7, -0.3)]:
        a, b = stored.state_at(where), made.state_at(where)
        assert list(a) == list(b)
        assert all(torch.equal(a[n], b[n]) and a[n].dtype == b[n].dtype for n in a)
    kept = {"kept": None}
    assert stored.facts | kept == made.facts | kept
    assert (stored.facts["kept"], made.facts["kept"]) == ("tensors", "seeds")
