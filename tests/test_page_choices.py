"""Every choice that the lists of the drawer offer is made, as a person makes it, and its answer is a known one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import landscape_engine as le
import oracle
import sample_models
from explorer.measures import MEASURES
from explorer.sources import load
from explorer.state import NORMALIZATIONS, STATISTICS, SUBSPACES
from page import choose, wait

COUNT = 100  # examples
COARSE = {"resolution": 33, "tolerance": 10.0}


def examples(name):
    """A sample model with a few of its training examples."""
    sample = sample_models.load(name)
    return sample, sample.train.inputs[:COUNT], sample.train.targets[:COUNT]


@pytest.fixture(scope="module")
def known():
    """What is known of the small network, and the loss of a network of its training, by its number."""
    sample, inputs, targets = examples("spirals_mlp")
    measures = oracle.measures(sample.model, inputs, targets, sample.weight_decay)

    def loss_at(k):
        state = {n: p.double() for n, p in sample.trajectory[k].items()}
        with torch.no_grad():
            outputs = torch.func.functional_call(sample.model.double(), state, (inputs.double(),))
        return F.cross_entropy(outputs, targets).item()

    return measures, loss_at


@pytest.fixture
def open_model(visit):
    """The page with a model, few examples and a coarse picture, and a function that makes one more choice."""

    def open_one(name, **choices):
        page, explorer = visit()
        begin = {"model": name, "samples": COUNT, **choices}
        explorer.runner._document.add_next_tick_callback(lambda: explorer.state.param.update(**begin))
        wait(page, lambda: explorer.state.model == name and explorer.state.samples == COUNT)
        explorer.runner._document.add_next_tick_callback(lambda: explorer.state.param.update(**COARSE))

        def answered(field, key, finished=True):
            """The result once the page shows that of a choice, all of it unless it takes too long."""
            shown = lambda: explorer.shown is not None and getattr(explorer.shown.request, field) == key  # noqa: E731
            done = lambda: explorer.state.phase == "done" or not finished  # noqa: E731
            wait(page, lambda: shown() and done())
            assert explorer.state.message == ""
            return explorer.shown

        answered("samples", COUNT)
        return page, explorer, answered

    return open_one


def offered(page, label):
    """What a list of the drawer offers."""
    page.get_by_label(label).first.click()
    items = page.locator(".MuiMenuItem-root")
    items.first.wait_for()
    found = items.all_inner_texts()
    page.keyboard.press("Escape")
    items.first.wait_for(state="detached")
    return found


def test_every_metric_is_drawn_and_right_at_the_trained_network(open_model, known):
    page, explorer, answered = open_model("spirals_mlp", subspace="random_line")
    labels = {load("spirals_mlp").measure(key).label: key for key in known[0]}
    assert set(offered(page, "Metric")) == set(labels)
    page.get_by_role("button", name="33", exact=True).click()
    for label, key in [*labels.items(), *list(labels.items())[:1]]:
        if key != explorer.state.metric:
            choose(page, "Metric", label)
        result = answered("metric", key, finished=False)  # most of the time is that of the path's two curves
        page.get_by_text(f"spirals_mlp, random line, {MEASURES[key].of('training')}").first.wait_for()
        expected, tolerance = known[0][key]
        here = result.landscape.sel(alpha=0)
        off = 4 * float(here[f"train_{key}_stderr"]) if tolerance is None else tolerance
        assert float(here[f"train_{key}"]) == pytest.approx(expected, rel=1e-9, abs=off), key


def test_every_subspace_is_drawn_and_right_at_the_trained_network(open_model, known):
    page, explorer, answered = open_model("spirals_mlp", scale="linear")
    _, loss_at = known
    missing = {"connection", "networks"}  # which need a second network
    wanted = {key: text for key, text in SUBSPACES.items() if key not in missing}
    assert offered(page, "Subspace") == list(wanted.values())
    for key in [key for key in wanted if key != "saved"]:
        if key != explorer.state.subspace:
            choose(page, "Subspace", wanted[key])
        result = answered("subspace", key)
        ends = [0, -1] if key in ("through", "between") else [-1]
        np.testing.assert_allclose(result.residual[ends], 0, atol=1e-4, err_msg=key)
        wait(page, lambda result=result: explorer.shown is result)
        values, _ = explorer.picture.value_at(result.path[ends])
        spread = float(np.ptp(result.landscape["train_loss"].values))
        off = 1e-4 + (0.02 * spread if key == "through" else 0)  # where the ends are no nodes
        np.testing.assert_allclose(values, [loss_at(k) for k in ends], rtol=0, atol=off, err_msg=key)


def test_a_slider_goes_through_the_layers_of_a_cube(open_model, known):
    page, explorer, answered = open_model("spirals_mlp", subspace="cube", extent=0.5)
    slider = page.get_by_role("slider", name="Layer at γ = 0", exact=True)
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    result = answered("layer", 0.2)
    page.get_by_text("spirals_mlp, layer of a random cube at γ 0.1, training loss").first.wait_for()
    page.get_by_role("slider", name="Layer at γ = 0.1", exact=True).wait_for()
    sample = sample_models.load("spirals_mlp")
    third = le.Cube.random(sample.model).directions[2]
    moved = {name: value + 0.1 * third[name] for name, value in sample.model.state_dict().items()}
    sample.model.load_state_dict(moved)
    inputs, targets = sample.train.inputs[:COUNT], sample.train.targets[:COUNT]
    expected = F.cross_entropy(sample.model(inputs), targets).item()
    assert float(result.landscape.sel(alpha=0, beta=0)["train_loss"]) == pytest.approx(expected, rel=1e-5)
    away = 0.1 * oracle.norm(third)  # from the trained network, whose nearest point of the layer is not far
    assert 0.9 * away < result.residual[-1] <= away
    assert np.isnan(result.held)  # its origin is no network of the training
    page.get_by_text("Two random directions through the trained network, shifted along a third one.").wait_for()


def test_every_normalization_scales_as_it_says(open_model):
    page, explorer, answered = open_model("spirals_mlp", subspace="random")
    weights = {n: p.double() for n, p in sample_models.load("spirals_mlp").model.named_parameters()}
    norms = {}
    assert offered(page, "Normalization") == list(NORMALIZATIONS.values())
    for key, text in NORMALIZATIONS.items():
        if key != explorer.state.normalization:
            choose(page, "Normalization", text)
        direction = answered("normalization", key).subspace.directions[0]
        norms[key] = {n: direction[n].double() for n in weights}
    for name, weight in weights.items():
        length = lambda tensor: tensor.flatten(1).norm(dim=1)  # noqa: E731
        if weight.ndim > 1:
            torch.testing.assert_close(length(norms["filter"][name]), length(weight), rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(norms["layer"][name].norm(), weight.norm(), rtol=1e-4, atol=1e-6)
    assert oracle.norm(norms["model"]) == pytest.approx(oracle.norm(weights), rel=1e-4)
    ratio = {name: norms["model"][name] / norms["none"][name] for name in weights}
    assert np.ptp(oracle.flat(ratio)) == pytest.approx(0, abs=1e-4)  # the same direction, another length


def test_every_policy_of_batch_normalization_is_that_of_torch(open_model):
    page, explorer, answered = open_model("digits_cnn", subspace="random_line")
    sample, inputs, targets = examples("digits_cnn")
    expected = {}
    for policy in ("stored", "batch", "re-estimated"):
        network = sample_models.load("digits_cnn").model.eval()
        norms = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
        for norm in norms if policy != "stored" else ():
            norm.train()
            norm.momentum = None  # the plain average over batches
            norm.reset_running_stats()
        with torch.no_grad():
            if policy == "re-estimated":
                network(inputs)
                network.eval()
            expected[policy] = F.cross_entropy(network(inputs), targets).item()
    page.get_by_text("Advanced").click()
    page.get_by_label("Batch normalization").first.wait_for()
    assert offered(page, "Batch normalization") == list(STATISTICS.values())
    for key in ("re-estimated", "batch", "stored"):
        choose(page, "Batch normalization", STATISTICS[key])
        value = float(answered("statistics", key).landscape["train_loss"].sel(alpha=0))
        assert value == pytest.approx(expected[key], rel=1e-3), key
    assert abs(expected["stored"] - expected["batch"]) > 0.1 * expected["stored"]
