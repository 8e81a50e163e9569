"""Lines, planes and curves: where their points are, and where a point falls on them."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import oracle
from landscape_engine.metrics import Loss
from parameter_functions import Bowl, Corner, unit_plane


def linear(seed=0, dtype=torch.float64, inputs=4, outputs=3):
    torch.manual_seed(seed)
    return nn.Linear(inputs, outputs).to(dtype)


def random_like(model, seed):
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in model.named_parameters()}


@pytest.mark.parametrize("seed", range(4))
def test_projection_onto_skewed_directions_is_numpys_least_squares(seed):
    model = linear()
    d1 = random_like(model, seed)
    d2 = {n: 0.9 * d1[n] + 0.3 * v for n, v in random_like(model, seed + 10).items()}
    plane = le.Plane.from_directions(model, (d1, d2))
    theta = random_like(model, seed + 20)
    found = plane.project(theta)

    basis = np.array([oracle.flat(d1), oracle.flat(d2)]).T
    offset = oracle.flat(theta) - oracle.flat(dict(model.named_parameters()))
    expected, squared, _, _ = np.linalg.lstsq(basis, offset, rcond=None)
    np.testing.assert_allclose(found.coordinates, expected, rtol=1e-10)
    assert found.residual == pytest.approx(squared[0] ** 0.5, rel=1e-10)
    assert found.relative == pytest.approx(squared[0] ** 0.5 / np.linalg.norm(offset), rel=1e-10)
    away = offset - basis @ np.array(found.coordinates)
    np.testing.assert_allclose(basis.T @ away, 0, atol=1e-10)  # what is left is perpendicular


def test_a_point_of_the_plane_projects_onto_its_own_coordinates():
    model = linear()
    d1 = random_like(model, 1)
    plane = le.Plane.from_directions(model, (d1, {n: d1[n] + v for n, v in random_like(model, 2).items()}))
    found = plane.project(plane.state_at((0.3, -1.7)))
    np.testing.assert_allclose(found.coordinates, (0.3, -1.7), rtol=1e-10)
    assert found.residual < 1e-12


def test_alpha_is_along_the_first_direction_and_beta_along_the_second():
    plane = unit_plane(extent=9)
    assert plane.dims == ("alpha", "beta") and plane.bounds == ((-9, 9), (-9, 9))
    assert plane.state_at((2, 3))["weight"].tolist() == [[2, 3]]
    assert le.evaluate(plane, Corner(), [(2, 3), (3, 2), (-1, 0.5)])["corner"].tolist() == [50, 41, 2.5]
    assert plane.project({"weight": torch.tensor([[2.0, 3.0]])}).coordinates == (2, 3)


def test_the_origin_of_a_plane_is_the_model_bit_by_bit():
    model = linear(dtype=torch.float32)
    plane = le.Plane.random(model)
    assert all(torch.equal(plane.state_at((0, 0))[n], p) for n, p in model.named_parameters())


def spiral(count=12, seed=0, dtype=torch.float32, offset=(0.0, 0.0)):
    """A model and a trajectory that winds inward, with a little noise out of its plane."""
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.normal(size=(15, 2)))[0].T
    angle = np.linspace(0, 4, count)
    radius = np.linspace(5, 0.5, count)[:, None]
    path = radius * np.c_[-np.cos(angle), 0.4 * np.sin(angle)] + offset
    points = generator.normal(size=15) + path @ basis + 0.01 * generator.normal(size=(count, 15))
    t = torch.tensor(points, dtype=dtype)
    states = {"weight": t[:, :12].reshape(-1, 3, 4), "bias": t[:, 12:]}
    return linear(dtype=dtype), le.Trajectory(states, tuple(range(count)))


@pytest.mark.parametrize("seed", range(25))
def test_the_final_checkpoint_is_a_node_of_the_coarse_and_of_the_finest_grid(seed):
    model, trajectory = spiral(seed=seed, count=6 + seed)
    plane = le.Plane.trajectory(model, trajectory)
    for resolution in (9, 17, 33, 65, 129):
        for axis, (lo, hi) in zip(plane.axes(resolution), plane.bounds, strict=True):
            assert 0.0 in axis
            assert (axis[0], axis[-1]) == (lo, hi) and len(axis) == resolution
            np.testing.assert_allclose(np.diff(axis), (hi - lo) / (resolution - 1), rtol=1e-9)
    assert all(torch.equal(plane.state_at((0, 0))[n], trajectory[-1][n]) for n in ("weight", "bias"))
    final = plane.project(trajectory[-1])
    assert final.coordinates == (0, 0) and final.residual == 0 and np.isnan(final.relative)


@pytest.mark.parametrize("seed", range(25))
def test_a_trajectory_plane_holds_the_path_with_room_on_every_side(seed):
    model, trajectory = spiral(seed=seed, count=6 + seed)
    plane = le.Plane.trajectory(model, trajectory)
    sides = [hi - lo for lo, hi in plane.bounds]
    assert sides[0] / sides[1] == pytest.approx(1.3, rel=1e-9)
    path = np.array([plane.project(trajectory[k]).coordinates for k in range(len(trajectory))])
    for values, (lo, hi) in zip(path.T, plane.bounds, strict=True):
        room = 0.35 * np.ptp(values) * (1 - 1e-9)
        assert values.min() - lo > room and hi - values.max() > room
    assert plane.is_orthonormal and not le.Plane.random(model).is_orthonormal


def test_the_aspect_and_the_extent_of_a_trajectory_plane_can_be_chosen():
    model, trajectory = spiral()
    wide, plain = (le.Plane.trajectory(model, trajectory, aspect=a) for a in (3.0, 1.3))
    large = le.Plane.trajectory(model, trajectory, extent=2)
    side = [[hi - lo for lo, hi in p.bounds] for p in (wide, plain, large)]
    assert side[0][0] / side[0][1] == pytest.approx(3)
    np.testing.assert_allclose(side[2], 2 * np.array(side[1]))
    assert all(0.0 in axis for axis in large.axes(9))


def test_a_line_between_two_models_begins_at_one_and_ends_at_the_other():
    a, b = linear(1), linear(2)
    line = le.Line.between(a, b)
    assert line.dims == ("alpha",) and line.bounds == ((0.0, 1.0),)
    for n, p in a.named_parameters():
        assert torch.equal(line.state_at((0.0,))[n], p)
    for n, p in b.named_parameters():
        torch.testing.assert_close(line.state_at((1.0,))[n], p.detach(), rtol=1e-14, atol=1e-15)
    x, y = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    found = le.evaluate(line, Loss(F.mse_loss, x, y), [(0.0,), (1.0,)])["loss"]
    np.testing.assert_allclose(found, [F.mse_loss(m(x), y).item() for m in (a, b)], rtol=1e-12)
    assert le.Line.between(a, b, bounds=(-0.5, 1.5)).axes(5)[0].tolist() == [-0.5, 0, 0.5, 1, 1.5]


def test_models_of_two_shapes_have_no_line_between_them():
    with pytest.raises(le.MismatchError) as caught:
        le.Line.between(linear(), linear(inputs=5))
    message = str(caught.value)
    assert "'weight'" in message and "(3, 4)" in message and "(3, 5)" in message
    assert caught.value.parameter == "weight"


def test_a_direction_of_another_shape_is_refused_with_both_shapes():
    model = linear()
    direction = random_like(linear(inputs=5), 0)
    with pytest.raises(le.MismatchError, match=r"'weight' has shape \(3, 5\), but the model's has shape \(3, 4\)"):
        le.Plane.from_directions(model, (direction, direction))
    with pytest.raises(le.ChoiceError, match="2, one for each axis"):
        le.Plane.from_directions(model, (random_like(model, 0),))


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (0.0, 0.0), (0.0, float("nan")), (-float("inf"), 1.0)])
def test_bounds_must_be_finite_and_in_order(bounds):
    with pytest.raises(le.ChoiceError, match="bounds must be two finite numbers, the lower one first"):
        le.Line.between(linear(1), linear(2), bounds=bounds)


@pytest.mark.parametrize("extent", [0, -1, float("nan"), float("inf")])
def test_an_extent_must_be_finite_and_positive(extent):
    with pytest.raises(le.ChoiceError, match="extent must be a finite number greater than 0"):
        le.Plane.random(linear(), extent=extent)
    with pytest.raises(le.ChoiceError, match="extent must be"):
        le.Plane.trajectory(*spiral(), extent=extent)


def test_an_axis_needs_two_nodes():
    with pytest.raises(le.ChoiceError, match="resolution must be 2 nodes or more"):
        le.Plane.random(linear()).axes(1)


def test_a_plane_stays_where_it_is_while_the_model_trains_on():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    x, y = torch.randn(32, 4) + 2, torch.randint(0, 3, (32,))
    twin = copy.deepcopy(model).eval()
    plane, line = le.Plane.random(model), le.Line.random(model)
    loss, points = Loss(F.cross_entropy, x, y), [(0.0, 0.0), (0.5, -0.25)]
    before = le.evaluate(plane, loss, points)["loss"]
    assert before[0] == pytest.approx(F.cross_entropy(twin(x), y).item(), rel=1e-6)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert F.cross_entropy(model.eval()(x), y).item() < before[0] - 0.1
    assert le.evaluate(plane, loss, points)["loss"].tolist() == before.tolist()
    assert le.evaluate(line, loss, [(0.0,)])["loss"][0] == before[0]


def test_a_curve_has_each_checkpoint_at_its_index():
    model, trajectory = spiral()
    curve = le.Curve.along(model, trajectory)
    assert curve.dims == ("t",) and curve.bounds == ((0.0, 11.0),)
    x, y = torch.randn(6, 4), torch.randn(6, 3)
    found = le.evaluate(curve, Loss(F.mse_loss, x, y), [(float(k),) for k in range(12)])["loss"]
    for k, value in enumerate(found):
        state = trajectory[k]
        assert value == pytest.approx(F.mse_loss(x @ state["weight"].T + state["bias"], y).item(), rel=1e-6)


def test_a_point_cannot_be_refined():
    with pytest.raises(le.ChoiceError, match="subspace must be one with coordinates"):
        le.refine(Loss(F.mse_loss, torch.ones(2, 4), torch.ones(2, 3)), le.Point.of(linear(dtype=torch.float32)))


def test_a_point_has_no_coordinates():
    model = linear()
    point = le.Point.of(model)
    assert point.dims == () and point.bounds == ()
    assert torch.equal(point.state_at(())["weight"], model.weight.detach())


@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_a_point_of_a_plane_or_cube_is_the_origin_plus_the_sum_of_its_directions(dimensions):
    model, size = linear(), {"bounds": ((-1, 2),) * dimensions}
    plane = le.Plane.random(model, **size) if dimensions == 2 else le.Cube.random(model, dimensions=dimensions, **size)
    assert plane.dims == ("alpha", "beta", "gamma", "delta")[:dimensions]
    where = [0.5, -0.25, 2.0, 1.0][:dimensions]
    origin, *directions = map(oracle.as_arrays, (dict(model.named_parameters()), *plane.directions))
    expected = oracle.point(origin, directions, where)
    for n, v in plane.state_at(where).items():
        np.testing.assert_allclose(v.numpy(), expected[n], rtol=1e-12)
    assert [(a[0], a[-1], len(a)) for a in plane.axes(5)] == [(-1, 2, 5)] * dimensions


def test_a_plane_through_three_models_holds_them_at_true_distances():
    models = [linear(seed=k) for k in range(3)]
    plane = le.Plane.through(*models)
    vectors = [oracle.flat(dict(m.named_parameters())) for m in models]
    points = np.array(plane.facts["points"])
    for i in range(3):
        found = plane.project(dict(models[i].named_parameters()))
        assert found.residual == pytest.approx(0, abs=1e-5)
        for j in range(i):
            distance = np.linalg.norm(vectors[i] - vectors[j])
            assert np.linalg.norm(points[i] - points[j]) == pytest.approx(distance, rel=1e-5)
    assert points[1, 1] == pytest.approx(0, abs=1e-6) and points[1, 0] > 0 and points[2, 1] > 0
    for (lo, hi), values in zip(plane.bounds, points.T, strict=True):
        assert lo < values.min() and values.max() < hi
    assert all(0.0 in axis for axis in plane.axes(129))


def test_three_models_on_one_line_span_no_plane():
    a, b, c = (linear(seed=0) for _ in range(3))
    with torch.no_grad():
        b.weight.add_(1), c.weight.add_(2)
    with pytest.raises(le.DirectionError, match="span no plane"):
        le.Plane.through(a, b, c)


def test_a_second_model_is_cut_by_the_same_saved_plane(tmp_path):
    first, second = linear(seed=1), linear(seed=2)
    plane = le.Plane.random(first, seed=5)
    plane.spanned_by.save(tmp_path / "plane.safetensors")
    again = le.Plane.from_directions(second, le.Directions.load(tmp_path / "plane.safetensors"))
    expected = second.weight.detach() + 0.5 * plane.directions[0]["weight"] - 2 * plane.directions[1]["weight"]
    torch.testing.assert_close(again.state_at((0.5, -2.0))["weight"], expected)
    assert again.facts["seed"] == 5 and again.facts["loaded"]
    (tmp_path / "bad.safetensors").write_bytes(b"0")
    with pytest.raises(le.FileFormatError, match=r"bad\.safetensors cannot be read as directions"):
        le.Directions.load(tmp_path / "bad.safetensors")


def test_points_of_a_sphere_lie_at_their_radii_and_differ():
    model = linear()
    sphere = le.Sphere(model, radii=(0.0, 0.5, 2.0), samples=4, normalization="none", seed=3)
    own = oracle.flat(dict(model.named_parameters()))
    seen = []
    for radius in sphere.radii:
        for k in range(4):
            moved = oracle.flat(sphere.state_at((radius, k)))
            assert np.linalg.norm(moved - own) == pytest.approx(radius, rel=1e-5, abs=1e-6)
            seen.append(tuple(moved.tolist()))
    assert len(set(seen)) == 1 + 2 * 4


def test_a_sphere_gives_the_distribution_at_each_radius():
    model = linear()
    x, y = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).double(), torch.zeros(9, 3).double()
    loss = Loss(torch.nn.functional.mse_loss, x, y)
    *_, found = le.refine(loss, le.Sphere(model, (0.0, 1.0), samples=6))
    assert dict(found.sizes) == {"radius": 2, "sample": 6} and bool(found["evaluated"].all())
    spread = found["loss"].std("sample")
    assert float(spread.sel(radius=0)) == pytest.approx(0, abs=1e-7) and float(spread.sel(radius=1)) > 1e-3


@pytest.mark.parametrize("factor", [2.0, 10.0, 1e4])
def test_the_automatic_extent_is_where_the_metric_has_grown_by_the_factor(factor):
    model = torch.nn.Linear(2, 1, bias=False).double()
    torch.nn.init.zeros_(model.weight)
    unit = {"weight": torch.tensor([[0.0, 1.0]], dtype=torch.float64)}
    line = le.Line.from_directions(model, [unit])
    extent = le.automatic_extent(line, Bowl(floor=1), factor=factor, largest=1000)
    assert extent == pytest.approx((factor - 1) ** 0.5, rel=0.06)  # 1 + e^2 = factor
    assert line.scaled(extent).bounds == ((-extent, extent),)
    assert le.automatic_extent(line, Bowl(floor=1), factor=1e9, largest=8) == 8


def test_several_seeds_show_how_much_a_line_depends_on_its_direction():
    model = linear()
    found = le.over_seeds(lambda seed: le.Line.random(model, "none", seed=seed), Bowl(), seeds=[3, 4, 8], resolution=9)
    assert found["bowl"].dims == ("seed", "alpha") and found["seed"].values.tolist() == [3, 4, 8]
    one = le.random_line(model, Bowl(), steps=9, normalization=None, seed=4)
    np.testing.assert_allclose(found["bowl"].sel(seed=4), one, rtol=1e-6)
    assert float(found["bowl"].std("seed").sel(alpha=0)) == 0 and float(found["bowl"].std("seed").max()) > 0


def fits(path, sides):
    """Whether a box of these sides, the origin on one of its 9 x 9 nodes, leaves 35 % of the path's box free around."""
    lo, hi = path.min(axis=0), path.max(axis=0)
    room = 0.35 * (hi - lo) * (1 - 1e-9)
    return all(
        any(-k * side / 8 <= a - r and (8 - k) * side / 8 >= b + r for k in range(9))
        for side, a, b, r in zip(sides, lo, hi, room, strict=True)
    )


@pytest.mark.parametrize("aspect", [0.5, 1.3, 3.0])
@pytest.mark.parametrize("turn", np.linspace(0.3, 6, 12))
def test_no_smaller_box_holds_a_path_that_ends_anywhere_in_it(turn, aspect):
    model, trajectory = spiral(count=20)
    angle = np.linspace(0, turn, 20)
    basis = torch.linalg.qr(torch.randn(15, 2, generator=torch.Generator().manual_seed(0)))[0]
    t = torch.tensor(np.c_[np.cos(angle), np.sin(angle) + angle / 3]).float() @ basis.T
    trajectory = le.Trajectory({"weight": t[:, :12].reshape(-1, 3, 4), "bias": t[:, 12:]}, trajectory.steps)
    plane = le.Plane.trajectory(model, trajectory, aspect=aspect)
    path = np.array([plane.project(trajectory[k]).coordinates for k in range(20)])
    sides = np.array([hi - lo for lo, hi in plane.bounds])
    assert sides[0] / sides[1] == pytest.approx(aspect)
    assert fits(path, sides * (1 + 1e-9)) and not fits(path, sides * 0.999)


@pytest.mark.parametrize("keep", ["tensors", "seeds"])
def test_a_layer_of_a_cube_is_the_plane_of_its_first_directions_shifted_along_the_others(keep):
    model = linear()
    cube = le.Cube.random(model, dimensions=4, seed=5, extent=2.0, keep=keep)
    layer = cube.layer(0.5, -1.0)
    assert layer.bounds == cube.bounds[:2] and layer.facts["layer"] == [0.5, -1.0]
    for coordinates in ((0.0, 0.0), (0.3, -0.7)):
        whole = oracle.point(
            dict(model.named_parameters()), [dict(d) for d in cube.directions], (*coordinates, 0.5, -1.0)
        )
        here = layer.state_at(coordinates)
        np.testing.assert_allclose(oracle.flat(here), oracle.flat(whole), rtol=1e-5, atol=1e-6)
    with pytest.raises(le.ChoiceError, match="2 coordinates, of the directions after two"):
        cube.layer(0.5)


@pytest.mark.parametrize("seed", range(3))
def test_the_share_of_a_vector_is_the_squared_cosine_of_its_angle_with_the_subspace(seed):
    model = linear()
    first = random_like(model, seed)
    skewed = {n: 0.9 * first[n] + 0.3 * v for n, v in random_like(model, seed + 10).items()}
    plane, vector = le.Plane.from_directions(model, (first, skewed)), random_like(model, seed + 20)
    orthonormal, _ = np.linalg.qr(np.array([oracle.flat(first), oracle.flat(skewed)]).T)
    flat = oracle.flat(vector)
    assert plane.share(vector) == pytest.approx(np.sum((orthonormal.T @ flat) ** 2) / np.sum(flat**2), rel=1e-9)
    assert plane.share(skewed) == pytest.approx(1)
    assert np.isnan(plane.share({n: torch.zeros_like(v) for n, v in vector.items()}))
