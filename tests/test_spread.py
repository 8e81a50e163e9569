"""What other random directions meet, against the loss from plain loops along a line and an axis of a plane."""

import threading
import time

import numpy as np
import pytest
import torch.nn.functional as F

import landscape_engine as le
import sample_models
from explorer.app import Explorer
from explorer.jobs import Canceled
from explorer.spread import DIRECTIONS, DISTANCES, Spread, spread
from explorer.state import State
from explorer.views.curve import CurvePicture, curve_key

SPIRALS = sample_models.load("spirals_mlp")


def rest(explorer):
    """Until nothing is computed any more."""
    end = time.monotonic() + 60
    while explorer.state.phase == "running" or any(thread.name == "landscape" for thread in threading.enumerate()):
        assert time.monotonic() < end, "it did not end in time"
        time.sleep(0.02)


def asked(**choices):
    return State(model="spirals_mlp", subspace="random_line", **choices).request


def loss_at(state):
    model = SPIRALS.recipe.build()
    model.load_state_dict(state)
    inputs, targets = SPIRALS.train
    return F.cross_entropy(model(inputs), targets).item()


@pytest.mark.parametrize("normalization", ["filter", "none"])
def test_the_line_is_one_of_the_directions_and_each_further_one_an_axis_of_its_own(normalization):
    line = le.Line.random(SPIRALS.model, normalization, seed=3, extent=0.5)
    found = spread(asked(normalization=normalization, seed=3, extent=0.5), line)
    assert found.values.shape == (DISTANCES + 1, DIRECTIONS) and found.distances == DISTANCES
    np.testing.assert_allclose(found.radii, np.linspace(0, 0.5, DISTANCES + 1))
    for k in (0, 5, DISTANCES):
        assert found.values[k, 0] == pytest.approx(loss_at(line.state_at((found.radii[k],))), rel=1e-4)
    if normalization == "filter":  # not normalized, each axis of a plane has a length of its own; made orthogonal, too
        plane = le.Plane.random(SPIRALS.model, normalization, seed=3)
        for k in (0, 5, DISTANCES):
            assert found.values[k, 1] == pytest.approx(loss_at(plane.state_at((0, found.radii[k]))), rel=0.01)
    assert len(np.unique(found.values[DISTANCES])) == DIRECTIONS


def test_it_is_told_coarse_first_and_ends_when_it_is_called_off():
    line, seen = le.Line.random(SPIRALS.model, seed=3), []

    def check():
        if len(seen) == 3:
            raise Canceled

    with pytest.raises(Canceled):
        spread(asked(seed=3), line, check, seen.append)
    assert [found.radii.tolist() for found in seen] == [[0, 1], [0, 0.5, 1], [0, 0.25, 0.5, 1]]


def test_the_band_is_the_middle_of_what_is_known_on_both_sides():
    values = np.vstack(
        [np.full(11, 5.0), np.arange(11), [*np.arange(10), np.inf]]
    )  # of 0 to 10: deciles are themselves
    around = Spread(asked(), np.array([0.0, 0.5, 1.0]), values)
    x = np.linspace(-1, 1, 5)
    line = CurvePicture(x, np.full(5, 5.0), np.zeros(5), np.ones(5, bool), around=around)
    expected = [[-0.5, 0, 0.5], [1, 5, 1], [5, 5, 5], [9, 5, 9]]  # no band where a value is not finite
    np.testing.assert_allclose(line.band, expected)
    assert "at 2 of 16 distances" in curve_key(line)


def test_it_is_of_the_line_and_the_metric_however_they_are_drawn():
    found = Spread(asked(), np.zeros(1), np.zeros((1, DIRECTIONS)))
    assert found.is_of(asked(resolution=33, scale="linear", tolerance=2.0))
    for other in ({"seed": 1}, {"metric": "accuracy"}, {"samples": 100}, {"extent": 0.5}, {"normalization": "layer"}):
        assert not found.is_of(asked(**other)), other


def test_what_was_called_off_goes_on_when_it_is_wanted_again_and_a_plane_wants_none():
    explorer = Explorer("spirals_mlp", subspace="random_line", resolution=33, samples=100)
    rest(explorer)
    explorer.state.spread = Spread(explorer.state.request, np.array([0.0, 1.0]), np.ones((2, DIRECTIONS)))
    explorer.state.show_spread = True
    rest(explorer)
    assert explorer.state.spread.distances == DISTANCES and not explorer.state.spreading
    assert explorer.curve._around.data["x"].shape == (2 * DISTANCES + 1,)
    explorer.state.show_spread = False
    assert len(explorer.curve._around.data["x"]) == 0
    explorer.state.param.update(show_spread=True, subspace="random")
    rest(explorer)
    assert explorer.state.spread.request.subspace == "random_line" and not explorer.state.spreading
    explorer.runner.close()
