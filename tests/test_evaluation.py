"""Values of metrics against an oracle that shares no code with the engine."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import oracle
import sample_models
from landscape_engine.metrics import Accuracy, Loss, Metric


def as_arrays(parameters):
    return [p.detach().double().numpy() for p in parameters.values()]


@pytest.fixture(scope="module")
def digits():
    return sample_models.load("digits_mlp")


@pytest.mark.parametrize("kind", ["random", "trajectory"])
def test_a_plane_at_tolerance_zero_equals_the_double_loop(digits, kind):
    model, (x, y) = digits.model, digits.train
    plane = le.Plane.random(model, seed=4) if kind == "random" else le.Plane.trajectory(model, digits.trajectory)
    *_, landscape = le.refine([Loss(F.cross_entropy, x, y), Accuracy(x, y)], plane, resolution=9, tolerance=0)
    inputs, targets = x.double().numpy(), y.numpy()
    arguments = [as_arrays(p) for p in (plane.origin, *plane.directions)]
    alphas, betas = (landscape[d].values for d in ("alpha", "beta"))
    loss = oracle.plane_values(
        *arguments, alphas, betas, lambda w: oracle.cross_entropies(oracle.mlp_logits(w, inputs), targets).mean()
    )
    right = oracle.plane_values(
        *arguments, alphas, betas, lambda w: np.mean(oracle.mlp_logits(w, inputs).argmax(1) == targets)
    )
    np.testing.assert_allclose(landscape["loss"], loss, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(landscape["accuracy"], right, atol=2 / len(targets))  # a tie may fall either way
    own = F.cross_entropy(model(x), y).item()
    assert float(landscape["loss"].sel(alpha=0, beta=0)) == pytest.approx(own, rel=1e-6)
    spread = oracle.cross_entropies(oracle.mlp_logits(as_arrays(plane.origin), inputs), targets).std(ddof=1)
    stderr = float(landscape["loss_stderr"].sel(alpha=0, beta=0))
    assert stderr == pytest.approx(spread / len(targets) ** 0.5, rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 5, 17, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_line_of_least_squares_is_its_parabola_whatever_the_batch(batch_size, dtype):
    generator = np.random.default_rng(0)
    inputs, targets, weight = generator.normal(size=(17, 4)), generator.normal(size=17), generator.normal(size=4)
    model = nn.Linear(4, 1, bias=False).to(dtype)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(weight)[None])
    line = le.Line.random(model, normalization="none", seed=1)
    direction = line.directions[0]["weight"].double().numpy().ravel()
    metric = Loss(
        F.mse_loss,
        torch.tensor(inputs, dtype=dtype),
        torch.tensor(targets, dtype=dtype)[:, None],
        batch_size=batch_size,
    )
    alphas = np.linspace(-2, 2, 11)
    found = le.evaluate(line, metric, [(a,) for a in alphas])["loss"]
    value, gradient, hessian = oracle.least_squares(weight, inputs, targets)
    parabola = value + alphas * (gradient @ direction) + alphas**2 * (direction @ hessian @ direction) / 2
    np.testing.assert_allclose(found, parabola, rtol=1e-12 if dtype == torch.float64 else 2e-6)


class Failing(Metric):
    name = "failing"

    def __call__(self, model_wrapper):
        raise RuntimeError("the sensor is wet")


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_bit_identical_afterwards(fails):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    model[3].weight.requires_grad_(False)
    x, y = torch.randn(6, 3), torch.tensor([0, 1, 0, 1, 0, 1])
    F.cross_entropy(model(x), y).backward()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    metrics = [Loss(F.cross_entropy, x, y)] + ([Failing()] if fails else [])
    plane = le.Plane.random(model)
    if fails:
        with pytest.raises(le.EvaluationError, match="alpha = -1, beta = -1 failed .RuntimeError: the sensor is wet"):
            list(le.refine(metrics, plane, resolution=9))
    else:
        list(le.refine(metrics, plane, resolution=9))
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert all(torch.equal(dict(model.named_parameters())[n].grad, g) for n, g in gradients.items())
    assert model.training and not model[3].weight.requires_grad and model[0].weight.requires_grad


def test_class_weights_and_ignored_targets_weigh_as_torch_weighs_them():
    torch.manual_seed(1)
    model, x, y = nn.Linear(5, 3), torch.randn(20, 5), torch.randint(0, 3, (20,))
    y[::4] = -100
    for loss in (F.cross_entropy, nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 0.2]))):
        found = Loss(loss, x, y, batch_size=3)(le.wrap_model(model))
        assert found == pytest.approx(loss(model(x), y).item(), rel=1e-6)


def test_a_loss_that_returns_one_number_is_evaluated_on_the_whole_set():
    torch.manual_seed(2)
    model, x, y = nn.Linear(5, 1), torch.randn(11, 5), torch.randn(11, 1)

    def root(outputs, targets):
        return F.mse_loss(outputs, targets).sqrt()

    assert Loss(root, x, y, batch_size=2)(le.wrap_model(model)) == pytest.approx(root(model(x), y).item(), rel=1e-6)
