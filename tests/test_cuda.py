"""On an NVIDIA GPU all is as on the CPU: values, derivatives, planes, searches, and the choice of a strategy."""

import json
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import odd_models
import sample_models
from landscape_engine.evaluation import STRATEGIES
from landscape_engine.metrics import (
    Accuracy,
    Examples,
    GradientNorm,
    HessianTrace,
    LargestCurvature,
    Loss,
    SmallestCurvature,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU")

DEVICE, POINTS = "cuda", [(a, b) for a in (-0.7, 0.0, 0.4) for b in (-0.2, 0.0, 0.9)]


@pytest.fixture(autouse=True)
def exact_products(monkeypatch):
    """No convolutions in TF32, whose ten bits would hide what is wrong; products of matrices are exact unless asked."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def data(dtype=torch.float32, count=17):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 4, generator=generator).to(dtype), torch.arange(count) % 3


def as_array(found):
    return np.array([[(e.value, e.stderr) for _, e in sorted(estimates.items())] for estimates in found], dtype=float)


def on_both(metrics, model="digits_mlp", **options):
    """Values and standard errors at points of one plane, by the CPU and by the GPU."""
    found = []
    for device in ("cpu", DEVICE):
        sample = sample_models.load(model)
        plane = le.Plane.random(sample.model.to(device), seed=0, **options)
        inputs, targets = (t.to(device) for t in sample.train)
        evaluator = le.Evaluator(plane, metrics(Loss(F.cross_entropy, inputs, targets), inputs, targets))
        found.append(as_array(evaluator.many(POINTS)))
    return found


@pytest.mark.parametrize("size", [5, 4096])
@pytest.mark.parametrize("name", odd_models.NAMES)
@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "compiled"])
def test_every_strategy_gives_the_values_of_the_loop_on_the_cpu(strategy, name, size):
    found = []
    for kind, device in (("loop", "cpu"), (strategy, DEVICE)):
        model, _ = odd_models.build(name, device)
        dtype = next(iter(model.parameters.values())).dtype
        inputs, targets = (t.to(device) for t in data(dtype))
        batches = list(zip(inputs.split(size), targets.split(size), strict=True))
        streams = kind == "streamed"
        examples = Examples(batches if streams else (inputs, targets), size, keep=not streams)
        metrics = [Loss(F.cross_entropy, data=examples), Accuracy(data=examples)]
        plane = le.Plane.random(model, normalization="none", extent=0.5, seed=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some layers are vectorized badly, others not at all
            evaluator = le.Evaluator(plane, metrics, kind)
            found.append(as_array([e for k in range(0, 9, 4) for e in evaluator.many(POINTS[k : k + 4])]))
    tolerance = {torch.float16: 5e-2, torch.float32: 2e-5, torch.float64: 1e-12}[dtype]
    np.testing.assert_allclose(found[1], found[0], rtol=tolerance, atol=tolerance)


def test_a_loss_with_weights_masks_and_ignored_targets_is_that_of_the_cpu():
    def metrics(_, inputs, targets):
        weighted = nn.CrossEntropyLoss(torch.arange(1.0, 11.0, device=inputs.device), ignore_index=3)
        return [
            Loss(weighted, inputs, targets, name="weighted"),
            Loss(F.cross_entropy, inputs, targets, weights=lambda batch: batch[1] + 1, name="given"),
            Loss(lambda o, t: F.cross_entropy(o, t) ** 2, inputs, targets, name="whole"),
            Accuracy(inputs, targets, ignore_index=3),
        ]

    cpu, gpu = on_both(metrics)
    np.testing.assert_allclose(gpu, cpu, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [GradientNorm, LargestCurvature, SmallestCurvature, HessianTrace])
def test_derivatives_are_those_of_the_cpu(kind):
    cpu, gpu = on_both(lambda loss, *_: kind(loss), "spirals_mlp")
    np.testing.assert_allclose(gpu[..., 0], cpu[..., 0], rtol=2e-3, atol=1e-4 * np.abs(cpu[..., 0]).max())


@pytest.mark.parametrize("keep", ["tensors", "seeds"])
def test_a_plane_is_the_same_on_any_device(keep):
    cpu, gpu = on_both(lambda loss, *_: loss, keep=keep)
    np.testing.assert_allclose(gpu, cpu, rtol=2e-5, atol=1e-6)


def test_a_landscape_of_small_kernels_is_not_left_to_the_loop():
    def landscape(device):
        sample = sample_models.load("digits_cnn")
        loss = Loss(F.cross_entropy, *(t.to(device) for t in sample.train))
        return list(le.refine(loss, le.Plane.random(sample.model.to(device), seed=0), resolution=33, tolerance=0))[-1]

    cpu, gpu = landscape("cpu"), landscape(DEVICE)
    assert json.loads(gpu.attrs["provenance"])["strategy"].startswith(("CUDA graph", "vmap"))
    np.testing.assert_allclose(gpu["loss"].values, cpu["loss"].values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", ["CUDA graph", "vmap", "first-layer reuse", "compiled"])
def test_a_strategy_that_is_asked_for_is_taken(strategy):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).to(DEVICE)
    loss = Loss(F.cross_entropy, *(t.to(DEVICE) for t in data()))
    *_, landscape = le.refine(loss, le.Plane.random(model), resolution=9, tolerance=0, strategy=strategy)
    assert json.loads(landscape.attrs["provenance"])["strategy"] == strategy


def test_what_cannot_be_recorded_is_looped():
    class Asking(nn.Module):
        """Looks at a number, which a graph cannot."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            y = self.layer(x)
            return y * 2 if y.sum().item() > 0 else y

    loss = Loss(F.cross_entropy, *(t.to(DEVICE) for t in data()))
    plane = le.Plane.random(Asking().to(DEVICE))
    *_, landscape = le.refine(loss, plane, resolution=9, tolerance=0, strategy="CUDA graph")
    assert json.loads(landscape.attrs["provenance"])["strategy"] == "loop"
    found, wanted = le.evaluate(plane, loss, POINTS), [loss(plane.model.at(plane.state_at(p))) for p in POINTS]
    np.testing.assert_allclose(found["loss"], wanted, rtol=1e-6)


def test_rough_numbers_are_within_their_rounding():
    model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3)).to(DEVICE)
    plane, loss = le.Plane.random(model), Loss(F.cross_entropy, *(t.to(DEVICE) for t in data()))
    plain, rough, fine = (
        le.evaluate(plane, loss, POINTS, precision=p)["loss"] for p in ("model", "bfloat16", "float64")
    )
    np.testing.assert_allclose(plain, fine, rtol=1e-5)
    assert 0 < np.abs(rough - fine).max() < 0.05 * np.abs(fine).max()


def test_a_trajectory_recorded_on_the_gpu_spans_the_plane_of_its_checkpoints():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).to(DEVICE)
    inputs, targets = (t.to(DEVICE) for t in data())
    recorder, optimizer = le.TrajectoryRecorder(model), torch.optim.SGD(model.parameters(), 0.5)
    for step in range(6):
        recorder.record(step)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    trajectory, found = recorder.trajectory(), []
    for device in ("cpu", DEVICE):
        plane = le.Plane.trajectory(model.to(device), trajectory)
        places = [plane.project(trajectory[k]).coordinates for k in range(6)]
        found.append((places, le.evaluate(plane, Loss(F.cross_entropy, inputs.to(device), targets.to(device)), places)))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1][1]["loss"], found[0][1]["loss"], rtol=1e-4)


def two_networks(device):
    """Two networks of one architecture in float64, and a loss."""
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        found.append(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double().to(device))
    return (*found, Loss(F.cross_entropy, *(t.to(device) for t in data(torch.float64))))


@pytest.mark.parametrize("search", [le.paths.bezier, le.paths.polygonal_chain, le.paths.nudged_elastic_band])
def test_a_path_between_two_networks_is_that_of_the_cpu(search):
    cpu, gpu = (search(*two_networks(device), steps=60, batch_size=8, resolution=21) for device in ("cpu", DEVICE))
    np.testing.assert_allclose(gpu.profile.values, cpu.profile.values, rtol=1e-6)


def test_units_are_put_in_the_order_of_the_cpu():
    cpu, gpu = (le.alignment.align(*two_networks(device)[:2]) for device in ("cpu", DEVICE))
    assert gpu.distance_after == pytest.approx(cpu.distance_after)
    for name, tensor in cpu.model.parameters.items():
        assert torch.equal(gpu.model.parameters[name].cpu(), tensor)


def test_a_minimum_is_that_of_the_cpu():
    found = [
        le.critical_points.find(model, loss, "minimum", steps=40)
        for model, _, loss in map(two_networks, ("cpu", DEVICE))
    ]
    assert found[1].loss == pytest.approx(found[0].loss, rel=1e-6)
    assert found[1].gradient_norm == pytest.approx(found[0].gradient_norm, rel=1e-3, abs=1e-9)
