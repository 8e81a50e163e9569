"""Directions, normalizations, subspaces and trajectories against independent linear algebra."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import sample_models
from landscape_engine.metrics import Loss, Metric
from landscape_engine.normalization import NORMALIZATIONS


class Odd(nn.Module):
    """A fresh batch norm, a zero bias, a 0-dim parameter, tied and frozen weights, an empty one."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.scale, self.empty = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.zeros(0, 3))
        nn.init.zeros_(self.first.bias)
        self.second.bias.requires_grad_(False)

    def forward(self, x):
        return self.second(self.norm(self.first(x))) * self.scale


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_odd_models_do_not_break_a_normalization(normalization, dtype):
    torch.manual_seed(0)
    model = Odd().to(dtype)
    plane = le.Plane.random(model, normalization=normalization)
    assert all(torch.isfinite(d).all() for v in plane.directions for d in v.values())
    x, y = torch.randn(7, 4, dtype=dtype), torch.randint(0, 4, (7,))
    values = le.evaluate(plane, Loss(F.cross_entropy, x, y), [(0, 0), (0.5, -0.5)])["loss"]
    assert np.isfinite(values).all() and values[0] != values[1]
    held = normalization in ("layer", "filter")
    assert plane.directions[0]["norm.weight"].any().item() is not held


@pytest.mark.parametrize(
    ("layer", "rows"),
    [
        (nn.Linear(5, 3), lambda w: [w[i] for i in range(3)]),
        (nn.Conv2d(2, 4, 3), lambda w: [w[i] for i in range(4)]),
        (
            nn.ConvTranspose2d(4, 6, 3, groups=2),
            lambda w: [w[g * 2 : g * 2 + 2, j] for g in range(2) for j in range(3)],
        ),
        (nn.Embedding(6, 3), lambda w: [w[i] for i in range(6)]),
    ],
)
def test_a_filter_of_a_direction_has_the_norm_of_the_model_s_own(layer, rows):
    direction = le.Line.random(layer, normalization="filter").directions[0]["weight"]
    for found, own in zip(rows(direction), rows(layer.weight.detach()), strict=True):
        assert float(found.norm()) == pytest.approx(float(own.norm()), rel=1e-5)


def test_filter_normalization_is_blind_to_rescaled_units_and_none_is_not():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    scaled = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    scaled.load_state_dict(model.state_dict())
    with torch.no_grad():
        scaled[0].weight.mul_(10), scaled[0].bias.mul_(10), scaled[2].weight.div_(10)
    x, y, points = torch.randn(40, 6), torch.randint(0, 3, (40,)), [(a,) for a in np.linspace(-1, 1, 9)]
    curves = {
        n: [le.evaluate(le.Line.random(m, n), Loss(F.cross_entropy, x, y), points)["loss"] for m in (model, scaled)]
        for n in ("filter", "none")
    }
    np.testing.assert_allclose(*curves["filter"], rtol=1e-5)
    assert np.abs(curves["none"][0] - curves["none"][1]).max() > 0.1


class Bowl(Metric):
    name = "bowl"

    def __call__(self, model_wrapper):
        return float(sum((p.double() ** 2).sum() for p in model_wrapper.parameters.values()))


@pytest.mark.parametrize("normalization", ["none", "model"])
def test_each_row_of_an_isotropic_bowl_has_its_minimum_in_the_same_column(normalization):
    model = nn.Module()
    model.vector = nn.Parameter(torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    *_, landscape = le.refine(Bowl(), le.Plane.random(model, normalization, seed=2), resolution=21, tolerance=0)
    assert len(set(landscape["bowl"].argmin("alpha").values.tolist())) == 1
    assert float(landscape["bowl"].sel(alpha=0, beta=0)) == pytest.approx((model.vector**2).sum().item())


def test_a_model_with_nothing_to_normalize_is_refused_in_one_sentence():
    model = nn.BatchNorm1d(3)
    with pytest.raises(le.DirectionError, match="moves nothing.*Choose normalization 'none'"):
        le.Line.random(model, normalization="filter")
    with pytest.raises(le.ChoiceError, match="normalization must be one of none, model, layer, filter"):
        le.Line.random(model, normalization="spectral")


def test_projection_is_least_squares_for_directions_that_are_not_orthogonal():
    generator = np.random.default_rng(5)
    d, e, target = (generator.normal(size=6) for _ in range(3))
    model = nn.Linear(6, 1, bias=False, dtype=torch.float64)
    plane = le.Plane.from_directions(model, [{"weight": torch.tensor(v)[None]} for v in (d, e)])
    origin = model.weight.detach().numpy().ravel()
    expected, *_ = np.linalg.lstsq(np.stack([d, e], 1), target - origin, rcond=None)
    found = plane.project({"weight": torch.tensor(target)[None]})
    np.testing.assert_allclose(found.coordinates, expected, rtol=1e-10)
    residual = np.linalg.norm(target - origin - expected[0] * d - expected[1] * e)
    assert found.residual == pytest.approx(residual, rel=1e-10)


def test_the_trajectory_plane_is_the_svd_of_the_uncentered_path():
    digits = sample_models.load("digits_mlp")
    trajectory = digits.trajectory
    plane = le.Plane.trajectory(digits.model, trajectory)
    flat = np.concatenate([s.double().flatten(1).numpy() for s in trajectory.states.values()], axis=1)
    _, values, rows = np.linalg.svd(flat[:-1] - flat[-1], full_matrices=False)
    np.testing.assert_allclose(plane.facts["shares"], (values**2 / (values**2).sum())[:2], rtol=1e-6)
    names = list(trajectory.states)
    for direction, row in zip(plane.directions, rows, strict=False):
        found = np.concatenate([direction[n].double().numpy().ravel() for n in names])
        np.testing.assert_allclose(np.abs(found @ row), 1, rtol=1e-5)
    path = np.array([plane.project(trajectory[k]).coordinates for k in range(len(trajectory))])
    assert path[0, 0] < 0 < path[len(path) // 2, 1]
    assert plane.project(trajectory[-1]).residual == 0 and tuple(path[-1]) == (0, 0)
    (left, right), (bottom, top) = plane.bounds
    assert (right - left) / (top - bottom) == pytest.approx(1.3)
    for resolution in (9, 129):
        assert all(0.0 in axis for axis in plane.axes(resolution))
    box = path.max(0) - path.min(0)
    assert left < path[:, 0].min() - 0.2 * box[0] and right > path[:, 0].max() + 0.2 * box[0]


def test_a_plane_stays_where_it_was_when_training_goes_on():
    model = nn.Linear(3, 2)
    plane, before = le.Plane.random(model), model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1)
    assert torch.equal(plane.state_at((0, 0))["weight"], before)


def test_a_line_between_two_models_has_them_at_its_ends():
    torch.manual_seed(0)
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    line = le.Line.between(a, b)
    assert torch.equal(line.state_at((0,))["weight"], a.weight.detach())
    torch.testing.assert_close(line.state_at((1,))["weight"], b.weight.detach())
    with pytest.raises(le.MismatchError, match=r"'weight' has shape \(2, 4\), but the model's has shape \(2, 3\)"):
        le.Line.between(a, nn.Linear(4, 2))


def test_a_trajectory_survives_its_file_and_damaged_ones_are_named(tmp_path):
    model = nn.BatchNorm1d(3)
    recorder = le.TrajectoryRecorder(model)
    for step in (0, 10, 30):
        recorder.record(step)
        model.train()(torch.randn(5, 3, generator=torch.Generator().manual_seed(step)))
    trajectory = recorder.trajectory()
    trajectory.save(tmp_path / "run.safetensors")
    loaded = le.Trajectory.load(tmp_path / "run.safetensors")
    assert list(loaded.steps) == [0, 10, 30]
    assert all(torch.equal(loaded.states[n], s) for n, s in trajectory.states.items())
    assert loaded.states["num_batches_tracked"].tolist() == [0, 1, 2]
    torch.testing.assert_close(loaded.at(0.25)["running_mean"], 0.25 * loaded[1]["running_mean"])
    assert torch.equal(loaded.at(1)["running_mean"], loaded[1]["running_mean"]) and loaded.step_at(1.5) == 20
    (tmp_path / "bad.safetensors").write_bytes((tmp_path / "run.safetensors").read_bytes()[:40])
    for name in ("bad.safetensors", "missing.safetensors"):
        with pytest.raises(le.FileFormatError, match=name):
            le.Trajectory.load(tmp_path / name)
    with pytest.raises(le.ChoiceError, match="greater than 30"):
        recorder.record(30)
