"""Directions: drawn again from their seed, orthogonal, and the principal ones of a path that is known."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import landscape_engine as le
import oracle
from landscape_engine.directions import cosine, orthogonalize, principal_directions, random_directions
from landscape_engine.metrics import Loss
from landscape_engine.models import wrap_model
from landscape_engine.parameters import inner
from landscape_engine.trajectories import combinations, gram_matrix


class Named(nn.Module):
    """Parameters registered in a given order, all of ones."""

    def __init__(self, shapes):
        super().__init__()
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(torch.ones(shape)))


SHAPES = {"first": (4, 3), "second": (5,), "third": (2, 2, 2), "scalar": ()}


def drawn(shapes, count=1, seed=0, normalization="none"):
    return random_directions(wrap_model(Named(shapes)), count, normalization, seed).vectors


@pytest.mark.parametrize("normalization", ["none", "model", "layer", "filter"])
def test_one_seed_gives_one_direction_and_another_seed_another(normalization):
    a, b, c = (drawn(SHAPES, 2, seed, normalization) for seed in (7, 7, 8))
    for x, y, z in zip(a, b, c, strict=True):
        assert all(torch.equal(x[n], y[n]) for n in SHAPES)
        assert not all(torch.equal(x[n], z[n]) for n in SHAPES)


def test_drawing_neither_needs_nor_moves_the_global_generator():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    a = drawn(SHAPES)[0]
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    b = drawn(SHAPES)[0]
    assert all(torch.equal(a[n], b[n]) for n in SHAPES)


def test_a_direction_depends_neither_on_the_order_nor_on_other_parameters():
    a, b = drawn(SHAPES)[0], drawn(dict(reversed(SHAPES.items())) | {"more": (3, 3)})[0]
    assert all(torch.equal(a[n], b[n]) for n in SHAPES)
    for x, y in zip(drawn(SHAPES, 2), drawn(dict(reversed(SHAPES.items())), 2), strict=True):
        np.testing.assert_allclose(oracle.flat(x), oracle.flat(y), rtol=1e-5, atol=1e-6)


def test_tensors_of_one_shape_and_the_axes_are_drawn_apart():
    a, b = drawn({"one": (50, 50), "two": (50, 50)}, 2)
    numbers = np.array([v.double().numpy().reshape(-1) for d in (a, b) for v in d.values()])
    assert np.abs(np.corrcoef(numbers) - np.eye(4)).max() < 0.08  # 4 standard errors of 2,500 numbers
    assert np.abs(numbers.mean(1)).max() < 0.08 and np.abs(numbers.std(1) - 1).max() < 0.06


def test_random_axes_are_orthogonal_before_they_are_normalized():
    raw = random_directions(wrap_model(Named(SHAPES)), 2, "none", 3)
    a, b = map(oracle.flat, raw.vectors)
    assert abs(a @ b) < 1e-6 * np.linalg.norm(a) * np.linalg.norm(b)
    assert abs(raw.facts["cosine"]) < 1e-6


def test_the_cosine_that_normalization_leaves_is_reported():
    torch.manual_seed(0)
    model = nn.Linear(4, 6)
    with torch.no_grad():
        model.weight *= torch.logspace(-2, 2, 6)[:, None]
    found = random_directions(wrap_model(model), 2, "filter", 3)
    a, b = map(oracle.flat, found.vectors)
    expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert abs(expected) > 1e-3
    assert found.facts["cosine"] == pytest.approx(expected, rel=1e-6)
    assert found.facts["lengths"] == pytest.approx([np.linalg.norm(a), np.linalg.norm(b)], rel=1e-6)
    assert cosine(*found.vectors) == pytest.approx(expected, rel=1e-6)


def test_directions_along_one_line_span_no_plane():
    d = {"w": torch.arange(3.0)}
    with pytest.raises(le.DirectionError, match="span no plane"):
        orthogonalize([d, {"w": 2 * d["w"]}])
    with pytest.raises(le.DirectionError, match="span no plane"):
        le.Plane.random(Named({"only": ()}), "none")


# (alpha, beta) of a path that ends at the origin, first to the left, in the middle above.
PATH = np.array([[-5.0, 0.5], [-4.2, 1.0], [-2.5, 1.5], [-1.5, 1.2], [-0.5, 0.6], [0.2, 0.1], [0.0, 0.0]])


class Network(nn.Module):
    """A matrix, a vector and a scalar in float64: 12 numbers."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.zeros(2, 4, dtype=torch.float64))
        self.scalar = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.vector = nn.Parameter(torch.zeros(3, dtype=torch.float64))


def trajectory_of(points):
    """Checkpoints of ``Network`` from rows of 12 numbers."""
    t = torch.as_tensor(np.asarray(points), dtype=torch.float64)
    states = {"matrix": t[:, :8].reshape(-1, 2, 4), "scalar": t[:, 8], "vector": t[:, 9:]}
    return le.Trajectory(states, tuple(range(len(t))))


def known_path(seed=0):
    """A path in a random 2-D subspace of 12-D, and the 2 x 12 orthonormal rows that span it."""
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.normal(size=(12, 2)))[0].T
    return generator.normal(size=12) + PATH @ basis, basis


@pytest.mark.parametrize("seed", range(4))
def test_principal_directions_recover_the_subspace_of_a_known_path(seed):
    points, basis = known_path(seed)
    trajectory = trajectory_of(points)
    found = principal_directions(trajectory, wrap_model(Network()))
    vectors = np.array([oracle.flat(v) for v in found.vectors])
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(2), atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(vectors @ basis.T), np.sqrt(2), rtol=1e-10)  # all of it in the span

    singular = np.linalg.svd(PATH, compute_uv=False)
    np.testing.assert_allclose(found.facts["shares"], singular**2 / (singular**2).sum(), rtol=1e-10)
    assert sum(found.facts["shares"]) == pytest.approx(1, abs=1e-12)

    plane = le.Plane.trajectory(Network(), trajectory)
    projections = [plane.project(trajectory[k]) for k in range(len(trajectory))]
    assert max(p.residual for p in projections) < 1e-9
    coordinates = np.array([p.coordinates for p in projections])
    np.testing.assert_allclose(np.linalg.norm(coordinates, axis=1), np.linalg.norm(PATH, axis=1), atol=1e-10)
    assert coordinates[0, 0] < 0
    assert coordinates[len(PATH) // 2, 1] > 0
    np.testing.assert_allclose(coordinates[-1], 0, atol=1e-12)


@pytest.mark.parametrize("mirror", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_the_signs_do_not_depend_on_how_the_path_lies_in_space(mirror):
    points, basis = known_path()
    plane = le.Plane.trajectory(Network(), trajectory_of((PATH * mirror) @ basis))
    reference = le.Plane.trajectory(Network(), trajectory_of(PATH @ basis))
    for k in range(len(PATH)):
        a = plane.project(trajectory_of((PATH * mirror) @ basis)[k]).coordinates
        b = reference.project(trajectory_of(PATH @ basis)[k]).coordinates
        np.testing.assert_allclose(a, b, atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_principal_directions_equal_the_singular_vectors_of_numpy(count):
    points = np.random.default_rng(5).normal(size=(9, 12))
    found = principal_directions(trajectory_of(points), wrap_model(Network()), count)
    _, singular, rows = np.linalg.svd(points[:-1] - points[-1])
    for i, vector in enumerate(found.vectors):
        # ``flat`` sorts by name: matrix, scalar, vector, which is the order of ``trajectory_of``
        assert abs(oracle.flat(vector) @ rows[i]) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(found.facts["shares"], (singular**2 / (singular**2).sum())[:count], rtol=1e-9)
    np.testing.assert_allclose(found.facts["spectrum"], singular**2 / (singular**2).sum(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("moves", [[3.0, 2.0, 1.0, 0.0], [0.0] * 4], ids=["on a line", "not at all"])
def test_checkpoints_that_move_along_a_line_or_not_at_all_span_no_plane(moves):
    with pytest.raises(le.DirectionError, match="fewer than 2 directions.*choose a random plane"):
        le.Plane.trajectory(Network(), trajectory_of(np.outer(moves, np.arange(12))))


@pytest.mark.parametrize("block", [1, 7, 40, 10**6])
def test_principal_directions_do_not_depend_on_how_the_parameters_are_cut_into_blocks(block, tmp_path):
    points = np.random.default_rng(2).normal(size=(7, 12))
    memory, names = trajectory_of(points), ["matrix", "scalar", "vector"]
    for k in range(7):
        save_file(memory[k], tmp_path / f"{k}.safetensors")
    moves = points - points[-1]
    weights = np.random.default_rng(3).normal(size=(2, 7))
    for run in (memory, le.Trajectory.from_folder(tmp_path)):
        np.testing.assert_allclose(gram_matrix([run], names, block), moves @ moves.T, atol=1e-12)
        for found, expected in zip(
            combinations([run], names, torch.from_numpy(weights), torch.float64, block), weights @ moves, strict=True
        ):
            np.testing.assert_allclose(oracle.flat(found), expected, atol=1e-12)


def test_principal_directions_of_half_precision_files_are_formed_in_float64(tmp_path):
    torch.manual_seed(0)
    model = nn.Linear(40, 30)
    recorder = le.TrajectoryRecorder(model, path=tmp_path, dtype=torch.float16)
    for k in range(5):
        with torch.no_grad():
            model.weight += 1e-2 * torch.randn(30, 40)
        recorder.record(k)
    rows = np.stack([np.concatenate([s["bias"], s["weight"].ravel()]) for s in map(as_arrays, recorder.trajectory())])
    _, singular, axes = np.linalg.svd(rows[:-1] - rows[-1], full_matrices=False)
    found = principal_directions(recorder.trajectory(), wrap_model(model))
    np.testing.assert_allclose(found.facts["shares"], (singular**2 / (singular**2).sum())[:2], rtol=1e-9)
    for vector, axis in zip(found.vectors, axes, strict=False):
        assert vector["weight"].dtype == torch.float32
        flat = np.concatenate([vector["bias"], vector["weight"].ravel()])
        assert abs(flat @ axis) == pytest.approx(1, abs=1e-5)


def as_arrays(state):
    return {n: t.double().numpy() for n, t in state.items()}


def test_several_runs_span_the_plane_of_their_joint_singular_vectors():
    generator = np.random.default_rng(7)
    first, second, third = (generator.normal(size=(k, 12)) + shift for k, shift in ((5, 0), (3, 2), (4, -1)))
    runs = [trajectory_of(points) for points in (first, second, third)]
    found = principal_directions(runs, wrap_model(Network()))
    rows = np.concatenate([first, second, third]) - first[-1]
    _, singular, axes = np.linalg.svd(rows)
    vectors = np.array([oracle.flat(v) for v in found.vectors])
    np.testing.assert_allclose(np.abs(np.sum(vectors * axes[:2], axis=1)), 1, atol=1e-9)
    np.testing.assert_allclose(found.facts["shares"], (singular**2 / (singular**2).sum())[:2], rtol=1e-9)
    for points, shares in zip((first, second, third), found.facts["shares_of_each"], strict=True):
        own = points - points[-1]
        np.testing.assert_allclose(shares, ((own @ vectors.T) ** 2).sum(0) / (own**2).sum(), rtol=1e-8)
    assert vectors[0] @ (first[0] - first[-1]) < 0 < vectors[1] @ (first[2] - first[-1])

    plane = le.Plane.trajectory(Network(), runs)
    assert plane.facts["shares_of_each"] == found.facts["shares_of_each"] and plane.is_orthonormal
    np.testing.assert_allclose(oracle.flat(plane.origin), first[-1])
    (left, right), (low, high) = plane.bounds
    for run, points in zip(runs, (first, second, third), strict=True):
        for k in range(len(run)):
            alpha, beta = plane.project(run[k]).coordinates
            np.testing.assert_allclose((alpha, beta), vectors @ (points[k] - first[-1]), atol=1e-9)
            assert left < alpha < right and low < beta < high


def test_one_run_in_a_list_gives_its_own_plane():
    trajectory = trajectory_of(known_path()[0])
    alone, listed = (le.Plane.trajectory(Network(), t) for t in (trajectory, [trajectory]))
    assert alone.bounds == listed.bounds and alone.facts == listed.facts
    with pytest.raises(le.ChoiceError, match="trajectory must be one trajectory or more"):
        le.Plane.trajectory(Network(), [])


def test_a_run_that_stays_where_it_is_has_no_share():
    points = np.random.default_rng(1).normal(size=(6, 12))
    still = trajectory_of(np.tile(points[0] / 3, (3, 1)))
    found = principal_directions([trajectory_of(points), still], wrap_model(Network()))
    assert np.isnan(found.facts["shares_of_each"][1]).all() and np.isfinite(found.facts["shares_of_each"][0]).all()


MEMORY = """
import sys, torch, landscape_engine as le
from landscape_engine.directions import principal_directions

def status(entry):
    with open("/proc/self/status") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(entry))

def moves(model, run):
    return principal_directions(run, le.wrap_model(model))

small = {"weight": torch.eye(4)[:, None, :2], "bias": torch.eye(4)[:, 2:3]}
moves(torch.nn.Linear(2, 1), le.Trajectory(small, range(4)))
model, run = torch.nn.Linear(4000, 2000), le.Trajectory.from_folder(sys.argv[1])
before = status("VmRSS")
moves(model, run)
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="it is Linux that tells the largest memory")
def test_principal_directions_hold_a_block_one_checkpoint_and_themselves_however_many_checkpoints_there_are(tmp_path):
    model = nn.Linear(4000, 2000)
    size = 4 * sum(p.numel() for p in model.parameters())  # 32 MB; all 12 in float64 were 768 MB
    recorder = le.TrajectoryRecorder(model, path=tmp_path)
    for k in range(12):
        with torch.no_grad():
            model.bias += torch.randn(2000)
            model.weight[k] += 1
        recorder.record(k)
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert int(told) < 2**27 + 4 * size + 2**26


def test_more_directions_than_moves_are_refused():
    with pytest.raises(le.ChoiceError, match="between 1 and 2, one less than there are checkpoints"):
        principal_directions(trajectory_of(np.eye(12)[:3]), wrap_model(Network()), 3)


def test_two_equal_models_have_no_direction_between_them():
    model = nn.Linear(3, 2)
    with pytest.raises(le.DirectionError) as caught:
        le.Line.between(model, model)
    assert str(caught.value) == "the two models are equal, so there is no direction from one to the other."


def bowl_at(theta):
    """A quadratic of known eigenvectors, at a point."""
    basis = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))[0]
    matrix = basis @ torch.diag(torch.tensor([6.0, 3.0, 1.0, -0.5, -2.0], dtype=torch.float64)) @ basis.T
    layer = nn.Linear(5, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(theta)

    def half_square(outputs, _):
        return outputs.reshape(-1) @ matrix @ outputs.reshape(-1) / 2

    inputs = torch.eye(5, dtype=torch.float64)  # so that the outputs are the weights
    return layer, Loss(half_square, inputs, torch.zeros(5)), basis


def test_the_gradient_line_climbs_at_the_slope_of_the_gradient():
    model, loss, basis = bowl_at(torch.ones(5).double())
    line = le.Line.gradient(model, loss, extent=1e-4)
    slope = line.facts["gradient_norm"]
    values = le.evaluate(line, loss, [(-1e-4,), (1e-4,)])["loss"]
    assert (values[1] - values[0]) / 2e-4 == pytest.approx(slope, rel=1e-6)
    scaled = basis.T @ torch.ones(5).double() * torch.tensor([6.0, 3.0, 1.0, -0.5, -2.0])
    assert slope == pytest.approx(float(scaled.norm()))
    with pytest.raises(le.DirectionError, match="the gradient of 'loss' is zero"):
        le.Line.gradient(bowl_at(torch.zeros(5).double())[0], loss)


def test_hessian_planes_show_the_curvatures_of_their_eigenvectors():
    model, loss, basis = bowl_at(torch.zeros(5).double())
    plane = le.Plane.hessian(model, loss)
    np.testing.assert_allclose(plane.facts["eigenvalues"], [6, -2], atol=1e-9)
    assert plane.is_orthonormal and max(plane.facts["residuals"]) < 1e-8
    values = le.evaluate(plane, loss, [(2.0, 0.0), (0.0, 2.0)])["loss"]
    np.testing.assert_allclose(values, [12, -4], atol=1e-9)  # eigenvalue times half the square
    for axis, k in ((0, 0), (1, 4)):
        vector = plane.directions[axis]["weight"].reshape(-1)
        assert abs(float(vector @ basis[:, k])) == pytest.approx(1)
        assert vector[vector.abs().argmax()] > 0
    assert le.Line.hessian(model, loss, [-2]).facts["eigenvalues"] == pytest.approx([-0.5])
    cube = le.Cube.hessian(model, loss, extent=0.5)
    np.testing.assert_allclose(cube.facts["eigenvalues"], [6, 3, -2], atol=1e-9)
    with pytest.raises(le.ChoiceError, match="which must be 2, one for each axis"):
        le.Plane.hessian(model, loss, [0])
    with pytest.raises(le.ChoiceError, match="places of different eigenvalues"):
        le.Plane.hessian(model, loss, [1, 1])


def test_a_gradient_plane_is_orthonormal():
    model, loss, basis = bowl_at(torch.ones(5).double())
    plane = le.Plane.gradient(model, loss)
    gram = [[inner(a, b) for b in plane.directions] for a in plane.directions]
    np.testing.assert_allclose(gram, np.eye(2), atol=1e-12)
    assert plane.is_orthonormal
    top = {"weight": basis[:, :1].T}
    assert plane.project({n: plane.origin[n] + t for n, t in top.items()}).residual < 1e-9  # it holds the eigenvector


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, "named"])
def test_an_optimizer_remembers_its_direction(kind, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    options = {"lr": 0.1, "momentum": 0.9} if kind is not torch.optim.Adam else {"lr": 0.1}
    parameters = model.named_parameters() if kind == "named" else model.parameters()
    optimizer = (torch.optim.SGD if kind == "named" else kind)(parameters, **options)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(5, 3)).pow(2).mean().backward()
        optimizer.step()
    entry = "exp_avg" if kind is torch.optim.Adam else "momentum_buffer"
    memory = torch.cat([optimizer.state[p][entry].reshape(-1) for p in model.parameters()])
    torch.save({"epoch": 3, "optimizer_state_dict": optimizer.state_dict()}, tmp_path / "checkpoint.pt")
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for state in (optimizer, optimizer.state_dict(), checkpoint):
        found = le.optimizer_directions(model, state)
        flat = torch.cat([found.vectors[0][n].reshape(-1) for n, _ in model.named_parameters()])
        torch.testing.assert_close(flat, memory / memory.norm())
        assert le.Line.from_directions(model, found).facts["entry"] == entry
    if kind is torch.optim.Adam:
        le.optimizer_directions(model, optimizer, "exp_avg_sq")
        with pytest.raises(le.ChoiceError, match="one of exp_avg, exp_avg_sq"):
            le.optimizer_directions(model, optimizer, "momentum_buffer")
    with pytest.raises(le.MismatchError, match="it has 4 parameters, but the model has 2"):
        le.optimizer_directions(nn.Linear(3, 1), optimizer if kind != "named" else unnamed(optimizer))


def unnamed(optimizer):
    state = optimizer.state_dict()
    return state | {"param_groups": [{k: v for k, v in g.items() if k != "param_names"} for g in state["param_groups"]]}


def test_directions_of_two_kinds_span_a_plane():
    model, loss, _ = bowl_at(torch.ones(5).double())
    both = le.gradient_directions(model, loss) + le.hessian_directions(model, loss, [-1])
    assert both.facts["kind"] == "gradient and hessian"
    assert abs(inner(*both.vectors)) < 1e-12
    with pytest.raises(le.DirectionError, match="span no plane"):
        le.gradient_directions(model, loss) + le.gradient_directions(model, loss)
    with pytest.raises(le.ChoiceError, match="state must be an optimizer"):
        le.optimizer_directions(model, {"epoch": 3})


@pytest.mark.parametrize(("broken", "step"), [(1, 10), (3, 30)])
def test_a_run_that_has_diverged_spans_no_plane_and_says_where(broken, step):
    model, generator = torch.nn.Linear(2, 3), torch.Generator().manual_seed(0)
    states = {n: torch.randn(4, *p.shape, generator=generator) for n, p in model.named_parameters()}
    states["weight"][broken, 0, 0] = torch.nan
    with pytest.raises(le.DirectionError, match=f"the checkpoint of step {step} has values that are not finite"):
        le.Plane.trajectory(model, le.Trajectory(states, (0, 10, 20, 30)))
