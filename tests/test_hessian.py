"""Gradients, Hessians and what is made of them, against dense ones from plain loops."""

import itertools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import landscape_engine.metrics as metrics
import odd_models
import oracle
from landscape_engine import hessian
from landscape_engine.metrics import Loss, Metric
from parameter_functions import Bowl

NETS = ["plain", "fresh batch norm", "convolution", "tied", "LSTM", "attention", "0-dim", "frozen", "empty"]
COUNT = 17


def data():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(COUNT, 4, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(0, 3, (COUNT,), generator=generator)


def net(name):
    torch.manual_seed(0)
    return odd_models.MODULES[name]().double().eval()


def measured(metric, model):
    """The metric at the model, as an evaluation of a point does it."""
    return le.point(model, metric)


def dense(name):
    inputs, targets = data()
    return oracle.derivatives(net(name), lambda module: F.cross_entropy(module(inputs), targets))


def ends(matrix, k):
    values = np.linalg.eigvalsh(matrix)[::-1]
    return np.concatenate([values[:k], values[-k:]])


def positivity(values, weighted):
    values = values[np.abs(values) > 1e-9 * np.abs(values).max()] if weighted else values
    size = np.abs(values) if weighted else np.ones_like(values)
    return size[values > 1e-9 * np.abs(values).max()].sum() / size.sum()


def worst_step(gradient, theta, rho, scale):
    """rho T^2 g / ||T g||."""
    return rho * scale**2 * gradient / np.linalg.norm(scale * gradient)


GRID = np.linspace(-6, 6, 13)
# How each metric is made, and its value from the dense gradient and Hessian.
DERIVED = {
    metrics.LossGradient: ({}, lambda g, h: g),
    metrics.GradientNorm: ({}, lambda g, h: np.linalg.norm(g)),
    metrics.Hessian: ({}, lambda g, h: h),
    metrics.PrincipalCurvatures: ({"k": 3}, lambda g, h: ends(h, 3)),
    metrics.LargestCurvature: ({}, lambda g, h: ends(h, 1)[0]),
    metrics.SmallestCurvature: ({}, lambda g, h: ends(h, 1)[1]),
    metrics.ConvexityRatio: ({}, lambda g, h: abs(ends(h, 1)[1] / ends(h, 1)[0])),
    metrics.HessianIndex: ({}, lambda g, h: (np.linalg.eigvalsh(h) < -1e-9).sum()),
    metrics.HessianTrace: ({"probes": 1000}, lambda g, h: np.trace(h)),
    metrics.CurvaturePositivity: ({"weighted": True}, lambda g, h: positivity(np.linalg.eigvalsh(h), True)),
}


@pytest.mark.parametrize("batch_size", [COUNT, 5])
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("kind", DERIVED, ids=lambda kind: kind.__name__)
def test_what_derives_from_a_loss_is_that_of_the_dense_derivatives(kind, name, batch_size):
    options, expected = DERIVED[kind]
    _, gradient, matrix = dense(name)
    found = measured(kind(Loss(F.cross_entropy, *data(), batch_size=batch_size), **options), net(name))
    np.testing.assert_allclose(found, expected(gradient, matrix), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("batch_size", [COUNT, 5])
@pytest.mark.parametrize("name", NETS)
def test_the_gauss_newton_matrix_is_that_of_the_jacobians(name, batch_size):
    loss = Loss(F.cross_entropy, *data(), batch_size=batch_size)
    found = measured(metrics.Hessian(loss, matrix="gauss-newton"), net(name))
    np.testing.assert_allclose(found, oracle.gauss_newton(net(name), *data()), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("name", NETS)
def test_eigenvectors_belong_to_their_eigenvalues_and_have_a_sign(name):
    _, _, matrix = dense(name)
    model = le.wrap_model(net(name))
    found = metrics.LargestCurvature(Loss(F.cross_entropy, *data())).eigenpairs(model, 3, 2)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(5), atol=1e-8)
    np.testing.assert_allclose(matrix @ found.vectors.T, found.values * found.vectors.T, atol=1e-6)
    assert all(v[np.abs(v).argmax()] > 0 for v in found.vectors)
    assert found.converged and (found.residuals < 1e-6).all()


LOSSES = {
    "class weights and ignored targets": nn.CrossEntropyLoss(
        weight=torch.tensor([0.3, 2.0, 1.0]).double(), ignore_index=1
    ),
    "a loss of the whole set": lambda o, y: F.cross_entropy(o, y) ** 2,
    "squared error of the softmax": lambda o, y: ((o.softmax(1) - F.one_hot(y, 3)) ** 2).mean(),
}


@pytest.mark.parametrize("function", LOSSES.values(), ids=LOSSES)
def test_every_kind_of_loss_can_be_differentiated(function):
    inputs, targets = data()
    value, gradient, matrix = oracle.derivatives(net("plain"), lambda module: function(module(inputs), targets))
    loss = Loss(function, inputs, targets, batch_size=5)
    found = le.point(net("plain"), [loss, metrics.LossGradient(loss), metrics.Hessian(loss)])
    assert found["loss"] == pytest.approx(value)
    np.testing.assert_allclose(found["gradient"], gradient, atol=1e-12)
    np.testing.assert_allclose(found["hessian"], matrix, atol=1e-12)


def test_a_loss_inside_the_model_has_a_hessian_but_no_gauss_newton_matrix():
    inputs, targets = data()
    _, gradient, matrix = dense("plain")
    loss = Loss(None, data=[(inputs, targets)], forward=lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]))
    np.testing.assert_allclose(measured(metrics.LossGradient(loss), net("plain")), gradient, atol=1e-12)
    np.testing.assert_allclose(measured(metrics.Hessian(loss), net("plain")), matrix, atol=1e-12)
    with pytest.raises(le.EvaluationError, match="no Gauss-Newton matrix: it is no function of outputs"):
        measured(metrics.Hessian(loss, matrix="gauss-newton"), net("plain"))


def test_chosen_layers_have_their_block_of_the_hessian():
    _, gradient, matrix = dense("plain")
    loss, last = Loss(F.cross_entropy, *data()), slice(-18, None)  # the last layer has 5 x 3 weights and 3 biases
    for chosen in ("2.*", ["2.weight", "2.bias"], lambda name, p: name.startswith("2")):
        found = le.point(net("plain"), [metrics.LossGradient(loss, chosen), metrics.Hessian(loss, chosen)])
        np.testing.assert_allclose(found["gradient"], gradient[last], atol=1e-12)
        np.testing.assert_allclose(found["hessian"], matrix[last, last], atol=1e-12)
    wrapped = le.wrap_model(net("plain"), parameters="2.*")
    np.testing.assert_allclose(measured(metrics.Hessian(loss), wrapped), matrix[last, last], atol=1e-12)
    with pytest.raises(le.ChoiceError, match="parameters must be"):
        measured(metrics.Hessian(loss, "no such layer"), net("plain"))


class Quadratic(Metric):
    """g.theta + theta.H.theta / 2 of the weights of a linear layer, as a tensor that PyTorch can differentiate."""

    name = "quadratic"

    def __init__(self, matrix, slope=0.0):
        self.matrix = torch.as_tensor(matrix, dtype=torch.float64)
        self.slope = slope * torch.ones(len(self.matrix), dtype=torch.float64)

    def __call__(self, model_wrapper):
        theta = model_wrapper.parameters["weight"].reshape(-1)
        return self.slope @ theta + theta @ self.matrix @ theta / 2


class Opaque(Quadratic):
    """The same, out of PyTorch's sight."""

    def __call__(self, model_wrapper):
        return super().__call__(model_wrapper).item()


def numbers(*values):
    """A model whose parameters are these numbers."""
    layer = nn.Linear(len(values), 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([values], dtype=torch.float64))
    return layer


@pytest.fixture(scope="module")
def symmetric():
    """A matrix of 300 rows with a few outliers on either side of a bulk of both signs."""
    random = np.random.default_rng(0)
    values = np.concatenate([[9, 5, 4], random.normal(0, 0.3, 293), [-1.5, -2, -2.5, -3]])
    basis = np.linalg.qr(random.normal(size=(300, 300)))[0]
    return basis @ np.diag(values) @ basis.T


def operator_of(matrix):
    model = le.wrap_model(numbers(*np.zeros(len(matrix))))
    return metrics.LargestCurvature(Quadratic(matrix)).operator(model)


def test_a_metric_of_ones_own_can_be_differentiated(symmetric):
    operator = operator_of(symmetric)
    np.testing.assert_allclose(hessian.dense(operator), symmetric, atol=1e-12)
    assert operator.products == 300
    found = hessian.eigenpairs(operator, 2, 3)
    np.testing.assert_allclose(found.values, [9, 5, -2, -2.5, -3], atol=1e-8)
    assert operator.products < 600  # far fewer than another 300
    assert hessian.index(operator) == (np.linalg.eigvalsh(symmetric) < 0).sum()


def test_a_gradient_out_of_sight_is_found_by_differences():
    matrix, here = np.array([[2.0, 1.0], [1.0, -3.0]]), numbers(0.5, -2.0)
    expected = matrix @ [0.5, -2.0] + 0.3
    np.testing.assert_allclose(measured(metrics.LossGradient(Opaque(matrix, 0.3)), here), expected, rtol=1e-8)
    np.testing.assert_allclose(measured(metrics.LossGradient(Quadratic(matrix, 0.3)), here), expected, rtol=1e-12)
    with pytest.raises(le.EvaluationError, match="'quadratic' has no Hessian: PyTorch cannot differentiate it"):
        measured(metrics.Hessian(Opaque(matrix)), here)
    with pytest.raises(le.EvaluationError, match="central differences for its 20,001 parameters are too many"):
        measured(metrics.GradientNorm(Bowl()), nn.Linear(20_000, 1))


def test_accuracy_has_no_derivatives():
    accuracy = metrics.Accuracy(*data())
    with pytest.raises(le.EvaluationError, match="'accuracy' has no gradient: it is piecewise constant"):
        measured(metrics.GradientNorm(accuracy), net("plain"))
    with pytest.raises(le.EvaluationError, match="'accuracy' has no Hessian: it is piecewise constant"):
        measured(metrics.LargestCurvature(accuracy), net("plain"))


@pytest.mark.parametrize("width", [3, 80])
def test_where_a_loss_is_not_finite_its_curvature_is_nan_and_a_map_goes_on(width):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3)).double()
    loss = Loss(lambda o, y: F.cross_entropy(o, y) / (1 - (o.detach().abs().max() > 1e3).double()), *data())
    kinds = [metrics.LargestCurvature, metrics.ConvexityRatio, metrics.HessianIndex, metrics.HessianTrace]
    made = [kind(loss) for kind in kinds] + [metrics.CurvaturePositivity(loss, probes=2, steps=5)]
    line = le.Line.random(module, extent=1e4)
    found = le.evaluate(line, made, [(0.0,), (1e4,)])
    for metric in made:
        assert np.isfinite(found[metric.name][0]) and np.isnan(found[metric.name][1]), metric.name


def test_the_trace_is_within_three_standard_errors_as_often_as_it_should(symmetric):
    operator, truth = operator_of(symmetric), np.trace(symmetric)
    found = [hessian.trace(operator, 24, seed) for seed in range(100)]
    off = np.array([(value - truth) / stderr for value, stderr in found])
    assert (np.abs(off) < 3).sum() >= 96  # Student's t with 23 degrees of freedom: 99.4 of 100
    assert (np.abs(off) > 1).sum() >= 15  # and no larger than they are: 32 of 100
    assert 24 * np.mean([e**2 for _, e in found]) == pytest.approx(
        2 * ((symmetric**2).sum() - (np.diag(symmetric) ** 2).sum()), rel=0.2
    )  # the variance of a probe of random signs


def test_each_probe_of_the_density_is_an_exact_quadrature(symmetric):
    operator = operator_of(symmetric)
    found = hessian.density(operator, probes=3, steps=6, seed=5)
    for k, power in itertools.product(range(3), range(11)):
        z = np.random.default_rng((5, k)).integers(0, 2, 300) * 2.0 - 1.0
        expected = z @ np.linalg.matrix_power(symmetric, power) @ z / 300
        assert (found.weights[k] * found.nodes[k] ** power).sum() == pytest.approx(expected, rel=1e-8)


def test_the_moments_of_the_density_are_the_dense_ones(symmetric):
    values = np.linalg.eigvalsh(symmetric)
    found = hessian.density(operator_of(symmetric), probes=40, steps=50)
    for power in range(1, 5):
        mean, stderr = found.moment(power)
        assert mean == pytest.approx((values**power).mean(), abs=4 * stderr)
        assert stderr < 0.3 * (np.abs(values) ** power).mean()
    grid = np.linspace(-5, 11, 400)
    curve, bells = found.at(grid, 0.2), np.exp(-0.5 * ((grid[:, None] - values) / 0.2) ** 2)
    assert np.trapezoid(curve, grid) == pytest.approx(1, abs=1e-3)
    assert np.abs(curve - bells.mean(axis=1) / (0.2 * np.sqrt(2 * np.pi))).max() < 0.03
    same = metrics.SpectralDensity(Quadratic(symmetric), grid, 0.2, probes=40, steps=50)
    np.testing.assert_array_equal(measured(same, numbers(*np.zeros(300))), curve)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_share_of_positive_curvature_is_estimated_beyond_a_size(symmetric, weighted):
    zeros = np.zeros((300, 300))
    matrix = np.block([[symmetric + 3.2 * np.eye(300), zeros], [zeros, symmetric - 9.2 * np.eye(300)]])
    metric = metrics.CurvaturePositivity(Quadratic(matrix), weighted, probes=40)
    found = metric.estimate(le.wrap_model(numbers(*np.zeros(600))))
    values = np.linalg.eigvalsh(matrix)
    size = np.abs(values) if weighted else np.ones_like(values)
    expected = size[values > 0].sum() / size.sum()
    assert found.value == pytest.approx(expected, abs=4 * found.stderr)
    assert 0 < found.stderr < 0.05


@pytest.mark.parametrize("matrix", [np.zeros((100, 100)), np.eye(100), -2 * np.eye(100), np.diag(np.arange(100) == 7)])
def test_matrices_without_gaps_have_eigenvalues_too(matrix):
    found = hessian.eigenpairs(operator_of(matrix.astype(float)), 1, 1)
    np.testing.assert_allclose(found.values, ends(matrix.astype(float), 1), atol=1e-8)


def test_a_curvature_map_is_that_of_dense_hessians(monkeypatch):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 30), nn.Tanh(), nn.Linear(30, 3)).double()
    inputs, targets = data()
    loss = Loss(F.cross_entropy, inputs, targets)
    pipeline = [metrics.LargestCurvature(loss), metrics.SmallestCurvature(loss), metrics.ConvexityRatio(loss), loss]
    plane = le.Plane.random(module, seed=1)
    products = []
    plain = hessian.HessianOperator.__matmul__
    monkeypatch.setattr(hessian.HessianOperator, "__matmul__", lambda self, v: (products.append(1), plain(self, v))[1])
    *_, found = le.refine(pipeline, plane, resolution=7, tolerance=0)
    assert bool(found["evaluated"].all()) and found.sizes == {"alpha": 7, "beta": 7}
    size = sum(p.numel() for p in module.parameters())
    assert size == 243 and len(products) < 49 * 120  # three metrics share one iteration, half of a dense Hessian

    for i, j in itertools.product(range(7), range(7)):
        at = plane.state_at([float(found["alpha"][i]), float(found["beta"][j])])
        module.load_state_dict(at)
        _, _, matrix = oracle.derivatives(module, lambda m: F.cross_entropy(m(inputs), targets))
        largest, smallest = ends(matrix, 1)
        np.testing.assert_allclose(found["lambda_max"][i, j], largest, rtol=1e-8)
        np.testing.assert_allclose(found["lambda_min"][i, j], smallest, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(found["convexity_ratio"][i, j], abs(smallest / largest), rtol=1e-6, atol=1e-9)


def test_a_float32_network_with_fused_layers_is_near_its_float64_twin():
    for name in ("LSTM", "attention", "convolution"):
        _, gradient, matrix = dense(name)
        inputs, targets = data()
        loss = Loss(F.cross_entropy, inputs.float(), targets)
        found = le.point(net(name).float(), [metrics.LossGradient(loss), metrics.PrincipalCurvatures(loss, 2)])
        np.testing.assert_allclose(found["gradient"], gradient, atol=1e-5)
        np.testing.assert_allclose(found["principal_curvatures"], ends(matrix, 2), rtol=1e-4, atol=1e-4)


def test_a_gradient_is_computed_once_at_a_point_and_anew_after_training():
    calls = []

    class Counting(Quadratic):
        def __call__(self, model_wrapper):
            calls.append(1)
            return super().__call__(model_wrapper)

    loss, model = Counting(np.diag([1.0, 4.0])), numbers(1.0, 1.0)
    found = le.point(model, [metrics.LossGradient(loss), metrics.GradientNorm(loss)])
    assert len(calls) == 1 and found["gradient_norm"] == pytest.approx(17**0.5)
    wrapped = le.wrap_model(model)
    assert metrics.GradientNorm(loss)(wrapped) == pytest.approx(17**0.5)
    with torch.no_grad():
        model.weight.mul_(2)
    assert metrics.GradientNorm(loss)(wrapped) == pytest.approx(2 * 17**0.5)


def test_perturbations_have_the_length_that_was_asked_for():
    bowl = Quadratic(2 * np.eye(6))  # |theta|^2: from 0, a step of length alpha rises it by alpha^2
    found = measured(metrics.LossPerturbations(bowl, 7, alpha=3.0), numbers(*np.zeros(6)))
    np.testing.assert_allclose(found, np.full(7, 9.0))
    slope = Quadratic(np.zeros((6, 6)), 2.0)
    both = measured(metrics.LossPerturbations(slope, 2000, 0.5, two_sided=True, seed=3), numbers(*np.ones(6)))
    assert both.shape == (2000, 2)
    np.testing.assert_allclose(both[:, 0], -both[:, 1], atol=1e-12)
    # On the sphere of d dimensions E[(g.u)^2] = |g|^2 / d: uniform directions, not those of a cube.
    assert (both[:, 0] ** 2).mean() == pytest.approx(0.25 * 24 / 6, rel=0.1)
    with pytest.raises(le.ChoiceError, match="alpha must be"):
        metrics.LossPerturbations(bowl, 7, alpha=0)


def test_pairs_along_a_path_are_those_of_the_gradients():
    matrix = np.array([[2.0, 1.0], [1.0, -3.0]])
    steps = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 2.0], [0.0, 2.0]])
    path = le.Trajectory({"weight": torch.tensor(steps[:, None])}, (0, 1, 2, 3))
    curve, loss = le.Curve.along(numbers(0.0, 0.0), path), Quadratic(matrix, 0.7)
    pair = [metrics.GradientPredictiveness(loss), metrics.BetaSmoothness(loss)]
    found = le.evaluate(curve, pair, [(float(t),) for t in range(4)])
    moves = np.diff(steps, axis=0)
    changes = np.linalg.norm(moves @ matrix, axis=1)
    np.testing.assert_allclose(found["gradient_predictiveness"], [np.nan, *changes])
    np.testing.assert_allclose(
        found["beta_smoothness"], [np.nan, *(changes[:2] / np.linalg.norm(moves[:2], axis=1)), np.nan]
    )


def test_along_the_gradient_a_pair_is_that_of_a_step_down():
    matrix, theta = np.array([[2.0, 1.0], [1.0, -3.0]]), np.array([2.0, -1.0])
    gradient = matrix @ theta
    curved = np.linalg.norm(matrix @ gradient) / np.linalg.norm(gradient)
    loss, model = Quadratic(matrix), numbers(*theta)
    change = metrics.AlongGradient(metrics.GradientPredictiveness(loss), 0.3)
    assert change.name == "gradient_predictiveness" and measured(change, model) == pytest.approx(0.3 * curved)
    assert measured(metrics.AlongGradient(metrics.BetaSmoothness(loss), 0.3), model) == pytest.approx(curved)
    _, slope, hessian_of_net = dense("plain")
    short = metrics.AlongGradient(metrics.BetaSmoothness(Loss(F.cross_entropy, *data())), 1e-5)
    expected = np.linalg.norm(hessian_of_net @ slope) / np.linalg.norm(slope)
    assert measured(short, net("plain")) == pytest.approx(expected, rel=1e-3)
    assert measured(change, numbers(0.0, 0.0)) == 0
    assert np.isnan(measured(metrics.AlongGradient(metrics.BetaSmoothness(loss)), numbers(0.0, 0.0)))
    with pytest.raises(le.ChoiceError, match="pair must be GradientPredictiveness or BetaSmoothness"):
        metrics.AlongGradient(metrics.GradientNorm(loss))
    with pytest.raises(le.ChoiceError, match="rho must be a finite number above 0"):
        metrics.AlongGradient(metrics.BetaSmoothness(loss), 0.0)


def test_sharpness_of_a_quadratic_is_known():
    matrix, theta = np.diag([1.0, 4.0]), np.array([2.0, -1.0])
    gradient, value = matrix @ theta, theta @ matrix @ theta / 2
    loss, model = Quadratic(matrix), numbers(*theta)

    def rise(step):
        return (theta + step) @ matrix @ (theta + step) / 2 - value

    sam = worst_step(gradient, theta, 0.3, np.ones(2))
    assert np.linalg.norm(sam) == pytest.approx(0.3)
    assert measured(metrics.SAMSharpness(loss, 0.3), model) == pytest.approx(rise(sam))
    adaptive = worst_step(gradient, theta, 0.3, np.abs(theta) + 0.1)
    assert np.linalg.norm(adaptive / (np.abs(theta) + 0.1)) == pytest.approx(0.3)
    assert measured(metrics.AdaptiveSharpness(loss, 0.3, eta=0.1), model) == pytest.approx(rise(adaptive))
    corner = 1e-3 * (np.abs(theta) + 1) * np.sign(theta)  # a convex bowl is highest in a corner of the box
    expected = 100 * rise(corner) / (1 + value)
    assert measured(metrics.KeskarSharpness(loss), model) == pytest.approx(expected, rel=1e-6)
    at_minimum = measured(metrics.KeskarSharpness(loss), numbers(0.0, 0.0))
    assert at_minimum == pytest.approx(100 * 1e-6 * 5 / 2, rel=1e-6)
    assert measured(metrics.SAMSharpness(loss), numbers(0.0, 0.0)) == 0


def test_adaptive_sharpness_does_not_change_when_units_are_rescaled():
    loss = Loss(F.cross_entropy, *data())
    module = net("plain")
    before = [measured(kind(loss, 0.1), module) for kind in (metrics.AdaptiveSharpness, metrics.SAMSharpness)]
    with torch.no_grad():
        module[0].weight.mul_(10), module[0].bias.mul_(10), module[2].weight.div_(10)
    after = [measured(kind(loss, 0.1), module) for kind in (metrics.AdaptiveSharpness, metrics.SAMSharpness)]
    assert after[0] == pytest.approx(before[0], rel=1e-9)
    assert after[1] > 2 * before[1]


def test_weight_decay_adds_to_value_gradient_and_curvature():
    value, gradient, matrix = dense("plain")
    model = net("plain")
    theta = oracle.as_arrays(dict(model.named_parameters()))
    loss = metrics.RegularizedLoss(Loss(F.cross_entropy, *data(), batch_size=5), 0.3, parameters="2.*")
    decays = np.concatenate([np.full(v.size, 0.3 * n.startswith("2")) for n, v in theta.items()])
    weights = np.concatenate([v.reshape(-1) for v in theta.values()])
    found = le.point(model, [loss, metrics.LossGradient(loss), metrics.Hessian(loss)])
    assert found["regularized_loss"] == pytest.approx(value + (decays * weights**2).sum() / 2)
    np.testing.assert_allclose(found["gradient"], gradient + decays * weights, atol=1e-12)
    np.testing.assert_allclose(found["hessian"], matrix + np.diag(decays), atol=1e-12)
    inner = measured(metrics.Hessian(loss, matrix="gauss-newton"), model)
    np.testing.assert_allclose(inner, oracle.gauss_newton(net("plain"), *data()) + np.diag(decays), atol=1e-12)

    twin = net("plain").requires_grad_()  # what PyTorch's own weight decay does
    step = torch.optim.SGD([{"params": twin[2].parameters(), "weight_decay": 0.3}, {"params": twin[0].parameters()}], 1)
    before = torch.cat([p.detach().reshape(-1).clone() for p in twin.parameters()])
    F.cross_entropy(twin(data()[0]), data()[1]).backward()
    step.step()
    after = torch.cat([p.detach().reshape(-1) for p in twin.parameters()])
    np.testing.assert_allclose(found["gradient"], (before - after).numpy(), atol=1e-12)


def test_bad_choices_are_named():
    loss = Loss(F.cross_entropy, *data())
    for make, sentence in [
        (lambda: metrics.GradientNorm(F.cross_entropy), "loss must be a metric of one number"),
        (lambda: metrics.GradientNorm(metrics.LossGradient(loss)), "loss must be a metric of one number"),
        (lambda: metrics.Hessian(loss, matrix="fisher"), "matrix must be one of hessian, gauss-newton"),
        (lambda: metrics.PrincipalCurvatures(loss, 0), "k must be 1 or more"),
        (lambda: metrics.LargestCurvature(loss, tolerance=2), "tolerance must be between 0 and 1"),
        (lambda: metrics.HessianTrace(loss, 0), "probes must be 1 or more"),
        (lambda: metrics.SpectralDensity(loss, [1.0, 0.0]), "grid must be two or more increasing numbers"),
        (lambda: metrics.RegularizedLoss(loss, -1), "weight_decay must be"),
        (lambda: metrics.SAMSharpness(loss, 0), "rho must be"),
        (lambda: metrics.AdaptiveSharpness(loss, eta=-1), "eta must be"),
        (lambda: measured(metrics.Hessian(loss, largest=5), net("plain")), "a choice of at most 5"),
        (lambda: hessian.eigenpairs(operator_of(np.eye(3)), 4), "k must be from 1 to 3"),
    ]:
        with pytest.raises(le.ChoiceError, match=sentence):
            make()


def test_the_provenance_says_how_a_metric_was_made():
    loss = Loss(F.cross_entropy, *data())
    line = le.Line.random(net("plain"))
    made = [metrics.SAMSharpness(loss, 0.1, parameters=["2.*"]), metrics.HessianTrace(loss, probes=3, seed=7)]
    *_, landscape = le.refine(made, line, resolution=5, tolerance=0)
    story = json.loads(landscape.attrs["provenance"])["metrics"]
    sam, trace = story["sam_sharpness"], story["hessian_trace"]
    assert (sam["class"], sam["rho"], sam["parameters"], sam["loss"]["class"]) == ("SAMSharpness", 0.1, ["2.*"], "Loss")
    assert (trace["probes"], trace["seed"], trace["matrix"]) == (3, 7, "hessian")
