"""Tracks: what the slider follows, against the networks that it should meet."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import sample_models
from explorer import sources
from explorer.own import Own
from explorer.profiles import profiles
from explorer.sources import Source
from explorer.state import State
from explorer.subjects import offer
from landscape_engine import LandscapeError, Outcome

COUNT = 100  # examples


def source():
    """One that has not searched anything yet."""
    return Source("two_seeds", sample_models.load("two_seeds"))


@pytest.fixture(scope="module")
def pair():
    return source()


def loss_at(state, split="train"):
    """The mean cross entropy of the perceptron with these weights, in float64."""
    sample = sample_models.load("two_seeds")
    inputs, targets = (part[:COUNT] for part in getattr(sample, split))
    hidden = inputs.double()
    for layer in (0, 2, 4):
        hidden = torch.relu(hidden @ state[f"{layer}.weight"].double().T + state[f"{layer}.bias"].double())
    return F.cross_entropy(hidden @ state["6.weight"].double().T + state["6.bias"].double(), targets).item()


def distance(a, b):
    return sum(float(((a[n].double() - b[n].double()) ** 2).sum()) for n in a) ** 0.5


def test_the_training_path_has_a_checkpoint_at_each_stop():
    sample = sample_models.load("two_seeds")
    track = source().training(State(model="two_seeds").request)
    for k in range(len(track.stops)):
        assert track.coordinates("path", float(k)) == (k,)
        assert distance(track.state_at("path", float(k)), sample.trajectory[k]) == 0
    assert (track.said(19.0), track.where(19.0)) == ("step 33", "checkpoint 20 of 43, step 33")
    assert track.where(19.5).startswith("between checkpoints 20 and 21, step ")
    assert track.home == 42


def test_every_way_leads_from_the_first_network_to_one_with_the_function_of_the_second(pair):
    sample = sample_models.load("two_seeds")
    track = pair.track(State(model="two_seeds", subspace="connection", samples=COUNT).request)
    assert list(track.lines) == ["curve", "straight", "aligned"] and track.followed == "curve"
    first, second = sample.model.state_dict(), sample.second_model.state_dict()
    for line in track.lines:
        assert distance(track.state_at(line, 0.0), first) == 0
        assert loss_at(track.state_at(line, 10.0)) == pytest.approx(loss_at(second), rel=1e-5)
    assert distance(track.state_at("curve", 10.0), second) == 0
    aligned = distance(track.state_at("aligned", 10.0), first)
    assert aligned < 0.8 * distance(second, first)
    assert loss_at(track.model_at(5.0).parameters) == pytest.approx(loss_at(track.state_at("curve", 5.0)), rel=1e-6)
    middle = {n: 0.75 * first[n] + 0.25 * second[n] for n in first}
    assert distance(track.state_at("straight", 2.5), middle) < 1e-5
    assert (track.said(2.5), track.where(2.5)) == ("t = 0.250", "on the connecting curve, t = 0.250")


def test_the_profiles_are_the_losses_along_the_ways(pair):
    request = State(model="two_seeds", subspace="connection", samples=COUNT).request
    track = pair.track(request)
    *_, found = profiles(request, track)
    barriers = {}
    for line, known in found.items():
        for k in (0, 7, 20, 33, 40):
            state = track.state_at(line, k / 4)
            assert known["train_loss"][k] == pytest.approx(loss_at(state), rel=1e-4)
            assert known["test_loss"][k] == pytest.approx(loss_at(state, "test"), rel=1e-4)
        barriers[line] = max(known["train_loss"]) - max(known["train_loss"][[0, -1]])
    assert barriers["straight"] > 1
    assert barriers["aligned"] < 0.2 * barriers["straight"]
    assert barriers["curve"] < 0.02 * barriers["straight"]


def test_a_search_that_was_stopped_goes_on_and_ends_where_one_ends_that_was_not():
    whole, broken, counts = source(), source(), []
    asked = State(model="two_seeds", subspace="connection", samples=20).request
    stopped = broken.curve(asked, lambda step: step.count < 7)
    assert stopped.outcome is Outcome.STOPPED
    found = broken.curve(asked, lambda step: counts.append(step.count))
    assert counts[0] == 8
    assert broken.curve(asked) is found
    assert distance(found.state_at((0.5,)), whole.curve(asked).state_at((0.5,))) == 0


def test_a_model_without_a_second_run_offers_no_ways_and_says_so():
    digits, two = sources.load("digits_mlp"), source()
    assert not {"connection", "networks"} & set(digits.places)
    assert two.places[:2] == ["connection", "networks"] and two.places[2:] == digits.places
    with pytest.raises(LandscapeError, match=r"^digits_mlp has no second network\. Choose another"):
        digits.track(State(subspace="networks").request)


@pytest.mark.parametrize("way", ["chain", "band"])
def test_another_way_around_the_barrier_leads_from_network_to_network_and_stays_low(way, pair):
    request = State(model="two_seeds", subspace="connection", samples=COUNT, way=way).request
    track = pair.track(request)
    assert pair.curve(request).facts["kind"] != pair.curve(request._replace(way="bezier")).facts["kind"]
    sample = sample_models.load("two_seeds")
    assert distance(track.state_at("curve", 0.0), sample.model.state_dict()) == 0
    assert distance(track.state_at("curve", 10.0), sample.second_model.state_dict()) == 0
    on_curve = max(loss_at(track.state_at("curve", k / 2)) for k in range(21))
    assert on_curve < 0.2 * max(loss_at(track.state_at("straight", k / 2)) for k in range(21))


def test_statistics_of_batch_normalization_are_stored_estimated_again_or_those_of_the_batch():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))
    inputs, targets = 3 + 2 * torch.randn(64, 3), torch.arange(64) % 2
    key = offer(Own(model, (inputs, targets)))
    source, at = sources.load(key), {}
    state = State(split="all", subspace="random", has_statistics=True)
    state.offer([key])
    state.model = key
    for policy in ("stored", "re-estimated", "batch"):
        state.statistics = policy
        found = le.evaluate(source.subspace(state.request), source.metrics("all", 0), [(0.0, 0.0)])
        at[policy] = float(found["all_loss"][0])
    assert at["stored"] == pytest.approx(F.cross_entropy(model.eval()(inputs), targets).item(), rel=1e-5)
    whole = copy.deepcopy(model).train()
    assert at["batch"] == pytest.approx(F.cross_entropy(whole(inputs), targets).item(), rel=1e-5)
    assert abs(at["re-estimated"] - at["batch"]) < 0.05 * abs(at["stored"] - at["batch"])
    state.has_statistics = False
    assert state.request.statistics == "stored"
    sources.withdraw(key)
