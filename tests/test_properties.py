"""What holds for any resolution, bounds, tolerance and choice of parameters."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import landscape_engine as le
from landscape_engine.metrics import Metric

NAMES = ["0.weight", "0.bias", "2.weight", "2.bias"]


class Holed(Metric):
    """A smooth function of the parameters that is NaN or infinite where their sum is large."""

    name = "holed"

    def __init__(self, limit, hole):
        self.limit, self.hole = limit, hole

    def __call__(self, model_wrapper):
        total = sum(float(p.double().sum()) for p in model_wrapper.parameters.values())
        return self.hole if total > self.limit else np.sin(total) + 2


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    resolution=st.integers(2, 34),
    tolerance=st.sampled_from([0.0, 0.01, 0.3]),
    scale=st.sampled_from(["linear", "symlog"]),
    low=st.floats(-3, 0.9),
    width=st.floats(0.05, 4),
    limit=st.floats(-2, 4),
    hole=st.sampled_from([float("nan"), float("inf")]),
    plane=st.booleans(),
)
def test_refinement_leaves_no_value_that_the_model_did_not_produce(
    resolution, tolerance, scale, low, width, limit, hole, plane
):
    bounds = (low, low + width)
    kind, count = (le.Plane, 2) if plane else (le.Line, 1)
    subspace = kind.random(model(), "model", bounds=(bounds,) * count)
    *_, found = le.refine(Holed(limit, hole), subspace, resolution, tolerance, scale)
    assert all(size == resolution for size in found.sizes.values())
    for dim in found.dims:
        np.testing.assert_allclose([found[dim][0], found[dim][-1]], bounds, atol=1e-12 * width)
    computed = found["evaluated"].values
    values = found["holed"].values
    assert np.isfinite(values[~computed]).all()
    for node in np.argwhere(computed)[:: max(1, computed.sum() // 5)]:
        where = [float(found[dim][i]) for dim, i in zip(found.dims, node, strict=True)]
        expected = le.evaluate(subspace, Holed(limit, hole), [where])["holed"][0]
        np.testing.assert_equal(values[tuple(node)], expected)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(chosen=st.sets(st.sampled_from(NAMES), min_size=1), alpha=st.floats(-2, 2))
def test_what_is_not_chosen_does_not_move(chosen, alpha):
    network = model()
    wrapper = le.wrap_model(network, parameters=sorted(chosen))
    line = le.Line.random(wrapper, "none")
    inputs = torch.ones(2, 3)
    found = wrapper.private_copy().at(line.state_at((alpha,))).forward(inputs)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name in chosen:
                parameter += alpha * line.directions[0][name]
        torch.testing.assert_close(found, network(inputs), rtol=1e-5, atol=1e-6)
