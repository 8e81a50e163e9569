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
from sample_models.registry import recipe


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
    loss = oracle.plane_values(
        origin, d1, d2, *axes, lambda t: oracle.cross_entropies(oracle.mlp_logits(t, x), y).mean()
    )
    right = oracle.plane_values(origin, d1, d2, *axes, lambda t: oracle.accuracy(oracle.mlp_logits(t, x), y))
    found = landscape.transpose("alpha", "beta")
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["accuracy"], right, atol=2 / len(y))  # a tie may fall either way
    assert np.ptp(loss) > 0.05 and np.ptp(right) > 0.01

    expected = oracle.ratio_standard_error(oracle.cross_entropies(oracle.mlp_logits(origin, x), y), np.ones(len(y)))
    assert float(found["loss_stderr"].sel(alpha=0, beta=0)) == pytest.approx(expected, rel=1e-4)


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


def evaluated(metrics, plane):
    le.evaluate(plane, metrics, [(0.5, -0.25), (0.0, 0.0)])


def refined(metrics, plane):
    list(le.refine(metrics, plane, resolution=9))


@pytest.mark.parametrize("run", [evaluated, refined])
def test_the_model_is_bit_identical_afterwards(run):
    model = with_everything()
    x, y = torch.randn(6, 3), torch.tensor([0, 1, 0, 1, 1, 0])
    before, generator = picture(model), torch.get_rng_state()
    run([Loss(F.cross_entropy, x, y), Accuracy(x, y)], le.Plane.random(model))
    assert_same_picture(before, picture(model))
    assert torch.equal(generator, torch.get_rng_state())


@pytest.mark.parametrize(("run", "alpha", "beta"), [(evaluated, 0.5, -0.25), (refined, -1, -1)])
def test_a_metric_that_raises_leaves_the_model_alone_and_names_the_point(run, alpha, beta):
    model = with_everything()
    before = picture(model)
    with pytest.raises(le.EvaluationError) as caught:
        run(Broken(), le.Plane.random(model))
    assert_same_picture(before, picture(model))
    message = str(caught.value)
    assert f"alpha = {alpha}, beta = {beta}" in message and "RuntimeError: boom" in message
    assert "\n" not in message and message.endswith(".")
    assert caught.value.point == {"alpha": alpha, "beta": beta}
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


def test_two_threads_with_evaluators_of_one_module_give_the_serial_values():
    torch.manual_seed(0)
    plane = le.Plane.random(recipe("digits_mlp").build(), seed=1)
    inputs, targets = (t[:300] for t in recipe("digits_mlp").data.load()[0])
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
