"""Curvature, gradients and returns on the page, against derivatives from plain loops."""

import re

import numpy as np
import pytest
import torch.nn.functional as F

import oracle
import sample_models
from page import choose, wait

COUNT = 100  # examples


@pytest.fixture(scope="module")
def spirals():
    """The eigenvalues of the trained network's Hessian, ascending, and the length of its gradient."""
    sample = sample_models.load("spirals_mlp")
    inputs, targets = sample.train.inputs[:COUNT].double(), sample.train.targets[:COUNT]
    _, gradient, hessian = oracle.derivatives(sample.model.double(), lambda m: F.cross_entropy(m(inputs), targets))
    return np.linalg.eigvalsh(hessian), float(np.linalg.norm(gradient))


def on(explorer, **wanted):
    """Whether the page shows a finished picture of these choices."""
    result = explorer.state.result
    shown = result is not None and all(getattr(result.request, name) == value for name, value in wanted.items())
    return shown and explorer.state.phase == "done"


@pytest.fixture
def open_spirals(visit):
    """The page with a small network, few examples and a coarse picture."""
    page, explorer = visit()
    easy = {"resolution": 33, "tolerance": 20.0}
    explorer.runner._document.add_next_tick_callback(lambda: explorer.state.param.update(**easy))
    choose(page, "Model", "spirals_mlp")
    choose(page, "How many", str(COUNT))
    wait(page, lambda: on(explorer, model="spirals_mlp", samples=COUNT, **easy))
    return page, explorer


def test_a_map_of_curvature_is_that_of_the_whole_network(open_spirals, spirals):
    page, explorer = open_spirals
    eigenvalues, _ = spirals
    choose(page, "Metric", "Largest curvature")
    wait(page, lambda: on(explorer, metric="lambda_max"), 240)
    page.get_by_text("spirals_mlp, trajectory plane, largest curvature, training loss").first.wait_for()
    result = explorer.state.result
    assert result.profile["train_lambda_max"][-1] == pytest.approx(eigenvalues[-1], rel=2e-3)
    wait(page, lambda: explorer.picture.z_title == "λ max")
    on_map, _ = explorer.picture.value_at(result.path[-1:])
    assert on_map[0] == pytest.approx(eigenvalues[-1], rel=2e-3)
    known = int(result.landscape["evaluated"].sum())
    choose(page, "Metric", "Smallest curvature")  # found together with it: drawn at once, and refined from there
    wait(page, lambda: on(explorer, metric="lambda_min"), 240)
    result = explorer.state.result
    assert int(result.landscape["evaluated"].sum()) >= known
    assert result.profile["train_lambda_min"][-1] == pytest.approx(eigenvalues[0], abs=2e-3 * eigenvalues[-1])
    page.get_by_text("Smallest curvature on the map").first.wait_for()


def test_the_spectrum_at_the_marker_is_computed_when_asked_for(open_spirals, spirals):
    page, explorer = open_spirals
    eigenvalues, slope = spirals
    page.get_by_role("button", name="Compute").click()
    wait(page, lambda: explorer.state.spectrum is not None)
    found = explorer.state.spectrum
    np.testing.assert_allclose(found.largest, eigenvalues[:-6:-1], rtol=5e-3)
    np.testing.assert_allclose(found.smallest, eigenvalues[4::-1], atol=2e-3 * eigenvalues[-1])
    assert found.trace[0] == pytest.approx(eigenvalues.sum(), abs=4 * found.trace[1])
    assert found.gradient_norm == pytest.approx(slope, rel=1e-3)
    weight = float(np.trapezoid(found.density, found.grid))
    assert weight == pytest.approx(1, abs=0.02)
    rate = f"{2 / found.largest[0]:.2f}"
    page.get_by_text(
        re.compile(f"Computed here: step 1,600, training loss.*below a learning rate of.*{rate}")
    ).first.wait_for()
    page.get_by_role("button", name="Compute").wait_for()  # it can be asked again
    page.locator("input[type=range]").first.focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_text(re.compile("Computed elsewhere, the marker has moved on: step 1,600")).first.wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_text(re.compile("Computed here: step 1,600")).first.wait_for()
    choose(page, "Model", "digits_mlp")
    wait(page, lambda: explorer.state.result.request.model == "digits_mlp")
    page.get_by_text("Compute the eigenvalues of the Hessian at the marker").first.wait_for()


def test_lines_and_planes_of_derivatives_say_so(open_spirals, spirals):
    page, explorer = open_spirals
    eigenvalues, slope = spirals
    choose(page, "Subspace", "Plane of largest and smallest curvature")
    wait(page, lambda: on(explorer, subspace="hessian"))
    subspace = explorer.state.result.subspace
    assert subspace.facts["eigenvalues"][0] == pytest.approx(eigenvalues[-1], rel=1e-3)
    wait(page, lambda: explorer.picture.x_title.endswith(f"λ = {eigenvalues[-1]:.2f}"))
    choose(page, "Subspace", "Line along the gradient")
    wait(page, lambda: on(explorer, subspace="gradient"))
    assert explorer.state.result.subspace.facts["gradient_norm"] == pytest.approx(slope, rel=1e-3)
    page.get_by_label("At step").first.wait_for()


def test_a_policy_is_measured_by_its_return_with_error_bars(visit):
    page, explorer = visit()
    choose(page, "Model", "cartpole_policy")
    wait(page, lambda: explorer.state.metric == "return" and explorer.state.resolution == 33)
    page.get_by_text("Nodes on each axis. All of them are computed.").wait_for()
    choose(page, "How many", "5")
    wait(page, lambda: explorer.state.result.request.samples == 5, 60)
    wait(page, lambda: explorer.runner.refined or explorer.state.result.known[0] > 40, 60)
    result = explorer.state.result
    metric = sample_models.load("cartpole_policy").metrics("train", 5)[0]
    own = metric.estimate(sample_models.load("cartpole_policy").model)
    assert result.profile["train_return"][-1] == own.value
    assert float(result.landscape["train_return"].sel(alpha=0, beta=0)) == own.value
    stops = result.profile["evaluated"][::4]
    wait(page, lambda: len(explorer.profile._bars.data["t"]) >= 2 * stops.sum() > 20)
    bars = explorer.profile._bars.data
    assert max(np.subtract(bars["high"], bars["low"])) > 10  # the returns of a policy in training scatter
    page.wait_for_function("deep('.bk-spectrum')[0].offsetWidth === 0")
    page.get_by_label("Metric").first.click()
    page.wait_for_timeout(300)
    assert page.locator(".MuiMenuItem-root").all_inner_texts() == ["Expected return"]
