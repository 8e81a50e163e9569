"""The five verbs, against the ancestor itself where it is right, and against plain formulas."""

import copy

import loss_landscapes
import loss_landscapes.metrics
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from loss_landscapes.model_interface.model_parameters import ModelParameters, orthogonal_to, rand_u_like
from torch import nn

import landscape_engine as le
import oracle
from landscape_engine.metrics import Accuracy, Loss


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


@pytest.fixture
def three():
    torch.manual_seed(9)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    return [network(k) for k in range(3)], Loss(F.cross_entropy, x, y), (x, y)


def ancestor(x, y):
    return loss_landscapes.metrics.Loss(F.cross_entropy, x, y)


def test_a_point_is_what_the_ancestor_finds(three):
    (model, *_), metric, data = three
    assert le.point(model, metric) == pytest.approx(
        loss_landscapes.point(copy.deepcopy(model), ancestor(*data)), rel=1e-5
    )
    both = le.point(model, [metric, Accuracy(*data)])
    assert list(both) == ["loss", "accuracy"]


@pytest.mark.parametrize("steps", [5, 10])
def test_the_ancestor_s_line_is_ours_without_its_first_end(three, steps):
    (a, b, _), metric, data = three
    theirs = loss_landscapes.linear_interpolation(a, b, ancestor(*data), steps=steps, deepcopy_model=True)
    ours = le.linear_interpolation(a, b, metric, steps=steps + 1, deepcopy_model=True)
    np.testing.assert_allclose(ours.sel(alpha=slice(1e-9, None)), theirs, rtol=1e-5)
    assert float(ours.sel(alpha=0)) == pytest.approx(le.point(a, metric), rel=1e-6)
    assert float(ours.sel(alpha=1)) == pytest.approx(le.point(b, metric), rel=1e-6)


def test_the_ancestor_s_plane_is_ours_where_its_rows_are_not_sheared(three):
    (a, b, c), metric, data = three
    steps = 6
    theirs = loss_landscapes.planar_interpolation(a, b, c, ancestor(*data), steps=steps, deepcopy_model=True)
    ours = le.planar_interpolation(a, b, c, metric, steps=steps + 1).transpose("alpha", "beta").values
    # Row i lies at alpha = i / steps. Even rows begin one step in; odd ones walk back and so end at beta = 0.
    for i in range(steps):
        betas = slice(1, None) if i % 2 == 0 else slice(0, -1)
        np.testing.assert_allclose(theirs[i], ours[i, betas], rtol=1e-5)


def test_a_plane_of_three_models_has_them_at_its_corners(three):
    (a, b, c), metric, _ = three
    plane = le.planar_interpolation(a, b, c, metric, steps=5)
    for (alpha, beta), model in {(0, 0): a, (1, 0): b, (0, 1): c}.items():
        assert float(plane.sel(alpha=alpha, beta=beta)) == pytest.approx(le.point(model, metric), rel=1e-5)


@pytest.mark.parametrize("normalization", ["filter", "layer", "model", None])
def test_distance_is_the_length_of_an_axis_in_units_of_the_model_s_norm(three, normalization):
    (model, *_), metric, _ = three
    size = oracle.norm(dict(model.named_parameters()))
    for verb, dims in ((le.random_line, 1), (le.random_plane, 2)):
        found = verb(model, metric, distance=0.5, steps=9, normalization=normalization, seed=4)
        assert found.ndim == dims and found.shape == (9,) * dims
        kind = le.Line if dims == 1 else le.Plane
        subspace = kind.random(model, normalization or "none", seed=4)
        for dim, direction in zip(found.dims, subspace.directions, strict=True):
            assert float(found[dim][-1] - found[dim][0]) * oracle.norm(direction) == pytest.approx(0.5 * size, rel=1e-5)
        assert float(found.sel({d: 0 for d in found.dims})) == pytest.approx(le.point(model, metric), rel=1e-6)


def test_several_metrics_make_a_data_set_and_a_tolerance_saves_nodes(three):
    (model, *_), metric, data = three
    both = le.random_plane(model, [metric, Accuracy(*data)], steps=9)
    assert set(both.data_vars) >= {"loss", "accuracy", "evaluated"} and bool(both["evaluated"].all())
    refined = le.random_plane(model, [metric, Accuracy(*data)], steps=65, tolerance=0.02)
    assert not bool(refined["evaluated"].all())


def test_a_distance_must_be_positive(three):
    (model, *_), metric, _ = three
    with pytest.raises(le.ChoiceError, match="distance must be greater than 0, but it is -1"):
        le.random_line(model, metric, distance=-1)


def their_directions(model, count, distance, steps):
    """The ancestor's own random directions, drawn again by its own functions from the same seed of torch."""
    start = ModelParameters(list(copy.deepcopy(model).requires_grad_(False).parameters()))
    torch.manual_seed(7)
    found = [rand_u_like(start)]
    if count == 2:
        found.append(orthogonal_to(found[0]))
    for direction in found:
        direction.model_normalize_(start)
    for direction in found:
        direction.mul_(((start.model_norm() / distance) / steps) / direction.model_norm())
    names = [n for n, _ in model.named_parameters()]
    return [dict(zip(names, d.parameters, strict=True)) for d in found]


@pytest.mark.parametrize("distance", [0.5, 2.0])
def test_the_ancestor_s_random_line_has_our_values_at_its_points(three, distance):
    (model, *_), metric, data = three
    steps = 6
    torch.manual_seed(7)
    theirs = loss_landscapes.random_line(
        model, ancestor(*data), distance=distance, steps=steps, normalization="model", deepcopy_model=True
    )
    line = le.Line.from_directions(model, their_directions(model, 1, distance, steps))
    ours = le.evaluate(line, metric, [(float(k),) for k in range(1, steps + 1)])["loss"]
    np.testing.assert_allclose(theirs, ours, rtol=1e-5)


def test_the_ancestor_s_random_plane_has_our_values_at_its_sheared_points(three):
    (model, *_), metric, data = three
    steps = 6
    torch.manual_seed(7)
    theirs = loss_landscapes.random_plane(
        model, ancestor(*data), distance=1, steps=steps, normalization="model", deepcopy_model=True
    )
    plane = le.Plane.from_directions(model, their_directions(model, 2, 1, steps))
    for i in range(steps):
        first = 1 if i % 2 == 0 else 0  # every second row lies a step lower
        where = [(i - steps / 2, j + first - steps / 2) for j in range(steps)]
        np.testing.assert_allclose(theirs[i], le.evaluate(plane, metric, where)["loss"], rtol=1e-5)
