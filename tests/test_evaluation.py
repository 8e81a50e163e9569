"""Values at points of a subspace, against a double loop and against the model itself."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import oracle
import sample_models
from landscape_engine.metrics import Accuracy, Loss, Metric
from sample_models.digits_mlp import recipe


def seeded(build, seed=0):
    torch.manual_seed(seed)
    return build()


@pytest.mark.parametrize("kind", ["random", "trajectory"])
def test_a_plane_at_tolerance_zero_equals_the_double_loop(kind):
    digits = sample_models.load("digits_mlp")
    model, (inputs, targets) = digits.model, digits.train
    plane = le.Plane.random(model, seed=4) if kind == "random" else le.Plane.trajectory(model, digits.trajectory)
    metrics = [Loss(F.cross_entropy, inputs, targets), Accuracy(inputs, targets)]
    *_, landscape = le.refine(metrics, plane, resolution=9, tolerance=0)

    origin, d1, d2 = (oracle.as_arrays(t) for t in (dict(model.named_parameters()), *plane.directions))
    axes = [landscape[dim].values for dim in ("alpha", "beta")]
    x, y = inputs.double().numpy(), targets.numpy()
    loss = oracle.plane_values(origin, d1, d2, *axes, lambda t: oracle.cross_entropy(oracle.mlp_logits(t, x), y))
    right = oracle.plane_values(origin, d1, d2, *axes, lambda t: oracle.accuracy(oracle.mlp_logits(t, x), y))
    found = landscape.transpose("alpha", "beta")
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["accuracy"], right, atol=2 / len(y))  # a tie may fall either way
    assert np.ptp(loss) > 0.05 and np.ptp(right) > 0.01


def picture(model):
    """Everything of a model that an evaluation could disturb."""
    tensors = {n: t.detach().clone() for n, t in model.state_dict().items()}
    grads = {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
    flags = {n: p.requires_grad for n, p in model.named_parameters()}
    storage = {n: (id(p), p.data_ptr()) for n, p in [*model.named_parameters(), *model.named_buffers()]}
    return tensors, grads, flags, storage, {n: m.training for n, m in model.named_modules()}


def assert_same_picture(before, after):
    for a, b in zip(before[:2], after[:2], strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert (a[name] is None) == (b[name] is None)
            assert a[name] is None or torch.equal(a[name], b[name])
    assert before[2:] == after[2:]


@pytest.fixture(scope="module")
def digits_plane():
    model = seeded(recipe.build)
    inputs, targets = (t[:300] for t in recipe.data()[0])
    plane = le.Plane.random(model, seed=1)
    return model, inputs, targets, plane


def test_the_center_of_a_plane_is_the_model_itself(digits_plane):
    model, inputs, targets, plane = digits_plane
    with torch.no_grad():
        outputs = model(inputs)
    found = le.evaluate(plane, [Loss(F.cross_entropy, inputs, targets), Accuracy(inputs, targets)], [(0.0, 0.0)])
    assert found["loss"][0] == pytest.approx(F.cross_entropy(outputs, targets).item(), rel=1e-6)
    assert found["accuracy"][0] == (outputs.argmax(1) == targets).double().mean()


class Broken(Metric):
    """Fails after the model ran."""

    def __call__(self, model_wrapper):
        model_wrapper(torch.ones(2, 3))
        raise RuntimeError("boom\nand a second line")


def with_everything():
    """A model in training mode with buffers, a frozen parameter and gradients."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 2))
    model[0].weight.requires_grad_(False)
    model[2].eval()
    model(torch.randn(8, 3)).sum().backward()
    return model


def test_the_model_is_bit_identical_afterwards():
    model = with_everything()
    x, y = torch.randn(6, 3), torch.tensor([0, 1, 0, 1, 1, 0])
    before, generator = picture(model), torch.get_rng_state()
    plane = le.Plane.random(model)
    le.evaluate(plane, [Loss(F.cross_entropy, x, y), Accuracy(x, y)], [(0.0, 0.0), (0.7, -0.3)])
    assert_same_picture(before, picture(model))
    assert torch.equal(generator, torch.get_rng_state())


def test_a_metric_that_raises_leaves_the_model_alone_and_names_the_point():
    model = with_everything()
    before = picture(model)
    with pytest.raises(le.EvaluationError) as caught:
        le.evaluate(le.Plane.random(model), Broken(), [(0.5, -0.25)])
    assert_same_picture(before, picture(model))
    message = str(caught.value)
    assert "alpha = 0.5, beta = -0.25" in message and "RuntimeError: boom" in message
    assert "\n" not in message and message.endswith(".")
    assert caught.value.point == {"alpha": 0.5, "beta": -0.25}
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_inputs_that_do_not_fit_the_model_are_an_evaluation_error():
    inputs, targets = torch.ones(17, 3), torch.ones(17, 1)
    with pytest.raises(le.EvaluationError, match="alpha = 0 failed"):
        le.evaluate(le.Line.random(nn.Linear(4, 1)), Loss(F.mse_loss, inputs, targets), [(0.0,)])


def test_a_model_in_training_mode_is_evaluated_in_evaluation_mode():
    model = with_everything()
    x, y = torch.randn(6, 3), torch.tensor([0, 1, 0, 1, 1, 0])
    found = le.evaluate(le.Plane.random(model), Loss(F.cross_entropy, x, y, batch_size=4), [(0.0, 0.0)])["loss"][0]
    twin = copy.deepcopy(model).eval()
    assert found == pytest.approx(F.cross_entropy(twin(x), y).item(), rel=1e-6)


class Last(nn.Module):
    """The last output of an LSTM."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x):
        return self.lstm(x)[0][:, -1]


class Attention(nn.Module):
    """Self-attention and nothing else."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0].mean(1)


class Tied(nn.Module):
    """A decoder that shares the weight of the encoder."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return self.decoder(torch.tanh(self.encoder(x)))


NETWORKS = {
    "LSTM": (Last, (5, 6, 3)),
    "attention": (Attention, (5, 6, 4)),
    "tied weights": (Tied, (5, 4)),
    "batch norm": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 4)),
        (5, 2, 3, 3),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_point_is_what_a_module_with_those_weights_would_give(name):
    build, shape = NETWORKS[name]
    model = seeded(build)
    x, y = torch.randn(shape), torch.randn(5, 4)
    plane = le.Plane.random(model, one_dimensional=True)
    found = le.evaluate(plane, Loss(F.mse_loss, x, y), [(0.0, 0.0), (0.8, -0.6)])["loss"]

    twin = copy.deepcopy(model).eval()
    d1, d2 = plane.directions
    with torch.no_grad():
        center = F.mse_loss(twin(x), y).item()
        for n, p in twin.named_parameters():
            p += 0.8 * d1[n] - 0.6 * d2[n]
        moved = F.mse_loss(twin(x), y).item()
    np.testing.assert_allclose(found, [center, moved], rtol=1e-5)
    assert abs(center - moved) > 1e-3


def test_two_threads_with_evaluators_of_one_module_give_the_serial_values(digits_plane):
    _, inputs, targets, plane = digits_plane
    metrics = [Loss(F.cross_entropy, inputs, targets), Accuracy(inputs, targets)]
    points = [(a, b) for a in plane.axes(9)[0] for b in plane.axes(9)[1]]
    evaluators = [le.Evaluator(plane, metrics) for _ in range(2)]
    serial = [evaluators[0](p) for p in points]
    start = threading.Barrier(2)

    def work(evaluator, own):
        start.wait()
        return [evaluator(p) for p in own]

    with ThreadPoolExecutor(2) as pool:
        ahead = pool.submit(work, evaluators[0], points)
        back = pool.submit(work, evaluators[1], points[::-1])
    for found in (ahead.result(), back.result()[::-1]):
        for a, b in zip(found, serial, strict=True):
            np.testing.assert_allclose([a["loss"], a["accuracy"]], [b["loss"], b["accuracy"]], rtol=1e-6)
