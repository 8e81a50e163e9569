"""Directions: drawn again from their seed, orthogonal, and the principal ones of a path that is known."""

import numpy as np
import pytest
import torch
from torch import nn

import landscape_engine as le
import oracle
from landscape_engine.directions import cosine, orthogonalize, principal_directions, random_directions
from landscape_engine.metrics import Loss
from landscape_engine.models import wrap_model
from landscape_engine.parameters import inner


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


@pytest.mark.parametrize("moves", [[3.0, 2.0, 1.0, 0.0], [0.0] * 4], ids=["on a line", "not at all"])
def test_checkpoints_that_move_along_a_line_or_not_at_all_span_no_plane(moves):
    with pytest.raises(le.DirectionError, match="fewer than 2 directions.*choose a random plane"):
        le.Plane.trajectory(Network(), trajectory_of(np.outer(moves, np.arange(12))))


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
