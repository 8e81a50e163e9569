"""Metrics: means, standard errors and losses of every form, against answers known without the engine."""

import threading
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import oracle
from landscape_engine.metrics import Accuracy, Loss


def linear_problem(count=17, size=4, dtype=torch.float64, seed=0):
    """A linear model and data whose last examples are much worse than the others."""
    torch.manual_seed(seed)
    model = nn.Linear(size, 1, bias=False).to(dtype)
    x, y = torch.randn(count, size, dtype=dtype), torch.randn(count, 1, dtype=dtype)
    y[-2:] += 5
    return model, x, y


@pytest.mark.parametrize("seed", range(5))
def test_every_line_slice_of_least_squares_is_the_known_parabola(seed):
    model, x, y = linear_problem(seed=seed)
    line = le.Line.random(model, normalization="none", seed=seed)
    steps = np.linspace(-2, 2, 9)
    found = le.evaluate(line, Loss(F.mse_loss, x, y, batch_size=5), [(a,) for a in steps])["loss"]

    xs, ys, theta = x.numpy(), y.numpy()[:, 0], model.weight.detach().numpy()[0]
    d = line.directions[0]["weight"].numpy()[0]
    slope = oracle.least_squares_gradient(theta, xs, ys) @ d
    curvature = d @ oracle.least_squares_hessian(xs) @ d
    expected = oracle.least_squares(theta, xs, ys) + steps * slope + steps**2 * curvature / 2
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_a_mean_is_a_mean_whatever_the_batches(dtype, tolerance):
    model, x, y = linear_problem(dtype=dtype)
    line = le.Line.random(model, normalization="none")
    losses = [Loss(F.mse_loss, x, y, batch_size=size) for size in (5, 1, 17, 4096)]
    found = [le.evaluate(line, loss, [(0.0,), (0.5,)]) for loss in losses]

    origin, d = oracle.as_arrays(line.origin), oracle.as_arrays(line.directions[0])
    xs, ys = x.double().numpy(), y.double().numpy()[:, 0]
    for i, a in enumerate((0.0, 0.5)):
        theta = oracle.point(origin, (d,), (a,))["weight"][0]
        expected = oracle.least_squares(theta, xs, ys)
        parts = [oracle.least_squares(theta, xs[k : k + 5], ys[k : k + 5]) for k in range(0, 17, 5)]
        assert abs(np.mean(parts) - expected) > 1e-2 * expected  # a mean of means would be seen
        np.testing.assert_allclose([f["loss"][i] for f in found], expected, rtol=tolerance)
        np.testing.assert_allclose([f["loss_stderr"][i] for f in found], found[0]["loss_stderr"][i], rtol=1e-5)


def test_the_standard_error_is_that_of_the_direct_formula():
    model, x, y = linear_problem()
    found = le.evaluate(le.Line.random(model), Loss(F.mse_loss, x, y, batch_size=5), [(0.0,)])
    each = ((x @ model.weight.T - y) ** 2).detach().numpy()[:, 0]
    assert found["loss_stderr"][0] == pytest.approx(each.std(ddof=1) / np.sqrt(17), rel=1e-10)


def classification(dtype=torch.float64):
    torch.manual_seed(0)
    model = nn.Linear(4, 3).to(dtype)
    return model, torch.randn(17, 4, dtype=dtype), torch.randint(0, 3, (17,))


def test_the_standard_error_of_a_weighted_loss_is_that_of_a_ratio():
    model, x, y = classification()
    weight = torch.tensor([1.0, 5.0, 0.2], dtype=torch.float64)
    loss = Loss(nn.CrossEntropyLoss(weight=weight), x, y, batch_size=5)
    found = le.evaluate(le.Line.random(model), loss, [(0.0,)])
    s = F.cross_entropy(model(x), y, weight=weight, reduction="none").detach().numpy()
    assert found["loss_stderr"][0] == pytest.approx(oracle.ratio_standard_error(s, weight[y].numpy()), rel=1e-10)


def test_one_example_has_no_standard_error():
    model, x, y = linear_problem()
    assert np.isnan(le.evaluate(le.Line.random(model), Loss(F.mse_loss, x[:1], y[:1]), [(0.0,)])["loss_stderr"][0])


WEIGHT = torch.tensor([1.0, 5.0, 0.2], dtype=torch.float64)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight": WEIGHT},
        {"ignore_index": 1},
        {"weight": WEIGHT, "ignore_index": 1},
        {"weight": WEIGHT, "label_smoothing": 0.1},
    ],
    ids=lambda o: "+".join(o) or "plain",
)
@pytest.mark.parametrize("form", ["module", "partial"])
def test_class_weights_and_ignored_targets_count_as_torch_counts_them(options, form):
    model, x, y = classification()
    function = nn.CrossEntropyLoss(**options) if form == "module" else partial(F.cross_entropy, **options)
    found = le.evaluate(le.Line.random(model), Loss(function, x, y, batch_size=5), [(0.0,)])["loss"][0]
    assert found == pytest.approx(F.cross_entropy(model(x), y, **options).item(), rel=1e-12)


def test_targets_of_minus_100_are_ignored_by_default():
    model, x, y = classification()
    y[::3] = -100
    found = le.evaluate(le.Line.random(model), Loss(F.cross_entropy, x, y, batch_size=5), [(0.0,)])["loss"][0]
    assert found == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-12)


def test_a_loss_of_many_values_an_example_is_torchs_mean():
    torch.manual_seed(0)
    model = nn.Conv2d(2, 3, 1).double()
    x, y = torch.randn(7, 2, 4, 4, dtype=torch.float64), torch.randint(0, 3, (7, 4, 4))
    y[0, :3] = -100
    pipeline = [Loss(F.cross_entropy, x, y, batch_size=2), Accuracy(x, y, batch_size=2)]
    found = le.evaluate(le.Line.random(model), pipeline, [(0.0,)])
    assert found["loss"][0] == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-12)
    assert found["accuracy"][0] == pytest.approx(float((model(x).argmax(1) == y).double().mean()), rel=1e-12)


def test_a_loss_that_knows_no_reduction_is_evaluated_on_the_whole_set():
    model, x, y = linear_problem()
    loss = Loss(lambda outputs, targets: ((outputs - targets) ** 2).mean().sqrt(), x, y, batch_size=5)
    found = le.evaluate(le.Line.random(model), loss, [(0.0,)])
    theta = model.weight.detach().numpy()[0]
    expected = oracle.least_squares(theta, x.numpy(), y.numpy()[:, 0]) ** 0.5
    assert found["loss"][0] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(found["loss_stderr"][0])


def test_metrics_of_one_data_set_share_a_forward_pass_and_keep_their_order():
    model, x, y = classification()
    calls = []
    model.register_forward_hook(lambda *_: calls.append(threading.get_ident()))
    twice = [Accuracy(x, y), Loss(F.cross_entropy, x, y), Loss(F.cross_entropy, x[:5], y[:5], name="few")]
    found = le.Evaluator(le.Line.random(model), twice)((0.0,))
    assert list(found) == ["accuracy", "loss", "few"]
    assert len(calls) == 2
