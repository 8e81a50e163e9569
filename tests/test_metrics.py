"""Values at points of a subspace, against answers known without the engine."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import known_answers
import landscape_engine as le
from landscape_engine.metrics import Accuracy, Loss, Metric, MetricPipeline
from sample_models.digits_mlp import recipe


def seeded(build, seed=0):
    torch.manual_seed(seed)
    return build()


def linear_problem(count=17, size=4, dtype=torch.float64, seed=0):
    """A linear model and data whose last examples are much worse than the others."""
    torch.manual_seed(seed)
    model = nn.Linear(size, 1, bias=False).to(dtype)
    x, y = torch.randn(count, size, dtype=dtype), torch.randn(count, 1, dtype=dtype)
    y[-2:] += 5
    return model, x, y


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


@pytest.mark.parametrize("seed", range(5))
def test_every_line_slice_of_least_squares_is_the_known_parabola(seed):
    model, x, y = linear_problem(seed=seed)
    line = le.Line.random(model, normalization="none", seed=seed)
    steps = np.linspace(-2, 2, 9)
    found = le.evaluate(line, Loss(F.mse_loss, x, y, batch_size=5), [(a,) for a in steps])["loss"]

    xs, ys, theta = x.numpy(), y.numpy()[:, 0], model.weight.detach().numpy()[0]
    d = line.directions[0]["weight"].numpy()[0]
    slope = known_answers.least_squares_gradient(theta, xs, ys) @ d
    curvature = d @ known_answers.least_squares_hessian(xs) @ d
    expected = known_answers.least_squares(theta, xs, ys) + steps * slope + steps**2 * curvature / 2
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_a_mean_is_a_mean_whatever_the_batches(dtype, tolerance):
    model, x, y = linear_problem(dtype=dtype)
    line = le.Line.random(model, normalization="none")
    losses = [Loss(F.mse_loss, x, y, batch_size=size) for size in (5, 1, 17, 4096)]
    found = [le.evaluate(line, loss, [(0.0,), (0.5,)]) for loss in losses]

    origin, d = known_answers.as_arrays(line.origin), known_answers.as_arrays(line.directions[0])
    xs, ys = x.double().numpy(), y.double().numpy()[:, 0]
    for i, a in enumerate((0.0, 0.5)):
        theta = known_answers.point(origin, (d,), (a,))["weight"][0]
        expected = known_answers.least_squares(theta, xs, ys)
        parts = [known_answers.least_squares(theta, xs[k : k + 5], ys[k : k + 5]) for k in range(0, 17, 5)]
        assert abs(np.mean(parts) - expected) > 1e-2 * expected  # a mean of means would be seen
        np.testing.assert_allclose([f["loss"][i] for f in found], expected, rtol=tolerance)
        np.testing.assert_allclose([f["loss_stderr"][i] for f in found], found[0]["loss_stderr"][i], rtol=1e-5)


@pytest.fixture(scope="module")
def digits_plane():
    model = seeded(recipe.build)
    inputs, targets = (t[:300] for t in recipe.data()[0])
    plane = le.Plane.random(model, seed=1)
    return model, inputs, targets, plane


def test_a_random_plane_of_the_digits_network_equals_the_double_loop(digits_plane):
    model, inputs, targets, plane = digits_plane
    axes = plane.axes(9)
    points = [(a, b) for a in axes[0] for b in axes[1]]
    pipeline = MetricPipeline([Loss(F.cross_entropy, inputs, targets), Accuracy(inputs, targets)])
    found = le.evaluate(plane, pipeline, points)

    origin, d1, d2 = (known_answers.as_arrays(t) for t in (dict(model.named_parameters()), *plane.directions))
    x, y = inputs.double().numpy(), targets.numpy()
    loss = known_answers.plane_values(
        origin, d1, d2, *axes, lambda t: known_answers.cross_entropy(known_answers.mlp_logits(t, x), y)
    )
    right = known_answers.plane_values(
        origin, d1, d2, *axes, lambda t: known_answers.accuracy(known_answers.mlp_logits(t, x), y)
    )
    np.testing.assert_allclose(found["loss"].reshape(9, 9), loss, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["accuracy"].reshape(9, 9), right, atol=1.5 / 300)  # a tie may fall either way
    assert np.ptp(loss) > 0.05 and np.ptp(right) > 0.01


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
    model, _, y = linear_problem()
    with pytest.raises(le.EvaluationError, match="alpha = 0 failed"):
        le.evaluate(le.Line.random(model), Loss(F.mse_loss, torch.ones(17, 3, dtype=torch.float64), y), [(0.0,)])


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
    assert found["loss_stderr"][0] == pytest.approx(known_answers.ratio_standard_error(s, weight[y].numpy()), rel=1e-10)


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
    expected = known_answers.least_squares(theta, x.numpy(), y.numpy()[:, 0]) ** 0.5
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
