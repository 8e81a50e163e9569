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
from explorer.views.curve import CurvePicture, CurveView, curve_key

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
        spread(asked(seed=3), line, None, check, seen.append)
    assert [found.radii.tolist() for found in seen] == [[0, 1], [0, 0.5, 1], [0, 0.25, 0.5, 1]]
    more, start = [], seen[-1]
    whole = spread(asked(seed=3), line, start, tell=more.append)
    assert more[0].radii.tolist() == [0, 0.25, 0.5, 0.75, 1], "it goes on from what is known"
    np.testing.assert_array_equal(whole.values, spread(asked(seed=3), line).values)


def test_the_band_is_the_middle_of_what_is_known_on_both_sides():
    tens = np.arange(11)  # deciles of 0 to 10 are themselves
    values = np.vstack([np.full(11, 5.0), tens, [*tens[:9], np.inf, np.inf], tens])
    around = Spread(asked(), np.array([0.0, 0.5, 0.75, 1.0]), values)
    x = np.linspace(-1, 1, 5)
    line = CurvePicture(x, np.full(5, 5.0), np.zeros(5), np.ones(5, bool), around=around)
    expected = [[-0.5, 0, 0.5], [1, 5, 1], [5, 5, 5], [9, 5, 9]]  # it ends where two of eleven are not finite
    np.testing.assert_allclose(line.band, expected)
    assert "at 3 of 16 distances, up to α 0.50: beyond, some are not finite" in curve_key(line)
    one = Spread(asked(), np.array([0.0, 1.0]), np.vstack([tens, [*tens[:10], np.nan]]))
    np.testing.assert_allclose(one.quantiles, [[1, 1], [5, 5], [9, 9]])  # as if it were the largest
    view = CurveView()
    view.show(line)
    told = view._table.data["others"]
    assert told[0] == told[4] == "" and told[2].endswith("5.00 to 5.00, median 5.00"), "nothing is told beyond"


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
    calls, spread_now = [], explorer.runner.spread
    explorer.runner.spread = lambda: (calls.append(None), spread_now())
    explorer.state.scale = "linear"
    rest(explorer)
    assert not calls and len(explorer.curve._around.data["x"]), "drawn otherwise, it is known"
    explorer.state.seed = 1
    rest(explorer)
    assert len(calls) == 1 and explorer.state.spread.request.seed == 1
    explorer.state.show_spread = False
    assert len(explorer.curve._around.data["x"]) == 0
    explorer.state.param.update(show_spread=True, subspace="random")
    rest(explorer)
    assert explorer.state.spread.request.subspace == "random_line" and not explorer.state.spreading
    explorer.runner.close()


def test_it_ends_with_the_line_that_it_is_of(monkeypatch):
    explorer = Explorer("spirals_mlp", subspace="random_line", resolution=33, samples=100)
    rest(explorer)
    goes_on = threading.Event()
    monkeypatch.setattr(explorer.runner, "stand_aside", lambda: goes_on.wait(0.02))  # before each evaluation
    explorer.state.show_spread = True
    assert explorer.state.spreading
    stop = explorer.runner.beside._stops["spreading"]
    explorer.state.scale = "linear"
    assert explorer.state.spreading and not stop.is_set()
    explorer.state.seed = 1
    assert stop.is_set()
    goes_on.set()
    rest(explorer)
    explorer.runner.close()
