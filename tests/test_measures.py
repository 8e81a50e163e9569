"""What the page measures, each at a trained network against derivatives from plain loops."""

import pytest
import torch

import landscape_engine as le
import oracle
import sample_models
from explorer import sources
from explorer.app import Explorer
from explorer.jobs import Runner
from explorer.measures import MEASURES, SUPERVISED

COUNT = 100  # examples


@pytest.fixture(scope="module")
def known():
    sample = sample_models.load("spirals_mlp")
    inputs, targets = sample.train.inputs[:COUNT], sample.train.targets[:COUNT]
    return oracle.measures(sample.model, inputs, targets, sample.weight_decay)


@pytest.mark.parametrize("measure", SUPERVISED)
def test_each_measure_is_what_it_is_called(measure, known):
    source = sources.load("spirals_mlp")
    (metric,) = [m for m in source.metrics("train", COUNT, measure) if m.name == f"train_{measure}"]
    with torch.no_grad():
        found = metric.estimate(le.wrap_model(source.sample.model))
    expected, tolerance = known[measure]
    assert measure in source.offered
    assert found.value == pytest.approx(expected, rel=1e-9, abs=tolerance or 3 * found.stderr)
    assert not MEASURES[measure].noisy or found.stderr > 0


def test_negative_curvatures_are_counted_in_small_networks_only():
    assert [name for name in sample_models.names() if "hessian_index" in sources.load(name).offered] == ["spirals_mlp"]


def test_a_metric_that_is_computed_at_every_node_lowers_the_resolution_while_it_is_chosen(monkeypatch):
    monkeypatch.setattr(Runner, "start", lambda *given: None)
    state = Explorer(model="spirals_mlp").state
    state.metric = "hessian_index"
    assert state.resolution == 33
    state.metric = "gradient_norm"
    assert state.resolution == 129
    state.resolution = 65
    state.metric = "hessian_index"
    state.resolution = 257  # whoever asks for it gets it
    assert state.resolution == 257
    state.metric = "loss"
    assert state.resolution == 257
    state.metric = "hessian_index"
    state.resolution = 65
    state.resolution = 33
    state.metric = "loss"
    assert state.resolution == 33, "which was chosen"
    given = Explorer(model="spirals_mlp", metric="hessian_index", resolution=129).state
    assert given.resolution == 129
    given.resolution = 33
    given.metric = "loss"
    assert given.resolution == 33
