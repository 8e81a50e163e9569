"""Basins of a picture, against the surface's own formula and gradients from plain loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr

import landscape_engine as le
import sample_models
from explorer.basins import Basins, Stationary, basins
from explorer.state import Request, State
from explorer.views.key import points_key
from explorer.views.results import _mark

SPIRALS = sample_models.load("spirals_mlp")


@pytest.fixture(scope="module")
def plane():
    return le.Plane.random(SPIRALS.model, seed=1)


def two_wells(alpha, beta):
    """Minima 0.1 and 0.3 near alpha = -0.5 and 0.5 at beta = 0.25, a saddle near alpha = 0."""
    return 0.2 + (4 * alpha**2 - 1) ** 2 + 0.2 * alpha + (beta - 0.25) ** 2


def landscape(values, error=0.0):
    axis = np.linspace(-1, 1, 65)
    alpha, beta = np.meshgrid(axis, axis, indexing="ij")
    surface = values(alpha, beta)
    about = (("alpha", "beta"), np.full(surface.shape, error), {"scale": "linear"})
    variables = {"train_loss": (("alpha", "beta"), surface), "train_loss_error": about}
    return xr.Dataset(variables, {"alpha": axis, "beta": axis})


def asked(**choices) -> Request:
    return State(model="spirals_mlp", subspace="random", scale="linear", **choices).request


def gradient_norm(plane, x, y):
    """The length of the gradient of the training loss at a point of the plane, and the loss, in float64."""
    model = SPIRALS.recipe.build().double()
    model.load_state_dict({n: v.double() for n, v in plane.state_at((x, y)).items()})
    inputs, targets = SPIRALS.train
    loss = F.cross_entropy(model(inputs.double()), targets)
    loss.backward()
    return torch.cat([p.grad.reshape(-1) for p in model.parameters()]).norm().item(), loss.item()


def test_two_wells_are_two_minima_and_a_saddle_with_the_network_s_own_values(plane):
    found = basins(asked(), plane, landscape(two_wells))
    assert [point.kind for point in found.points] == ["minimum", "minimum", "saddle"]
    places = [(point.x, point.y) for point in found.points]
    np.testing.assert_allclose(places, [(-0.5, 0.25), (0.5, 0.25), (0, 0.25)], atol=1 / 32 + 1e-9)
    for point in found.points:
        slope, loss = gradient_norm(plane, point.x, point.y)
        assert point.value == pytest.approx(loss, rel=1e-5)
        assert point.gradient_norm == pytest.approx(slope, rel=1e-4)


def test_a_basin_that_the_error_could_have_made_is_none(plane):
    assert len(basins(asked(), plane, landscape(two_wells, error=0.6)).points) == 1


def test_what_lies_at_the_border_is_no_critical_point(plane):
    assert basins(asked(), plane, landscape(lambda a, b: 3 + a + b)).points == ()


def test_only_the_most_persistent_are_kept(plane):
    ripples = basins(asked(), plane, landscape(lambda a, b: a**2 + b**2 + np.cos(18 * a) + np.cos(18 * b)))
    assert sum(point.kind == "minimum" for point in ripples.points) <= 5
    assert sum(point.kind == "saddle" for point in ripples.points) <= 5


def test_where_high_is_better_the_tops_are_found(plane):
    surface = landscape(lambda a, b: 1 - two_wells(a, b) / 20)
    surface = surface.rename(train_loss="train_accuracy", train_loss_error="train_accuracy_error")
    found = basins(asked(metric="accuracy"), plane, surface)
    assert [point.kind for point in found.points] == ["maximum", "maximum", "saddle"]
    assert all(np.isnan(point.gradient_norm) for point in found.points)


def test_key_and_marks_say_that_they_are_the_plane_s_and_not_the_network_s(plane):
    found = basins(asked(), plane, landscape(two_wells))
    least = min(point.gradient_norm for point in found.points)
    assert f"saddle of this plane only</span><span>gradient norm ≥ {least:.2g}</span>" in points_key(found)
    mark = _mark(found.points[0], "nats")
    assert mark.kind == "minimum"
    assert mark.note.startswith("minimum of this plane, ") and "\nnot of the network: gradient norm" in mark.note
    flat = Stationary("minimum", 0.0, 0.0, 0.5, 1e-5)
    assert _mark(flat, "nats").note == "minimum of this plane, 0.500 nats\ngradient norm 1.0 × 10⁻⁵"
    assert "only" not in points_key(Basins(asked(), (flat,)))
    tops = Basins(asked(metric="accuracy"), (Stationary("maximum", 0.0, 0.0, 0.9, np.nan),))
    assert points_key(tops, "maximum").endswith("maximum of this plane</span>")
    assert points_key(None, "maximum") == "<span>Looking for maxima and saddles …</span>"
    slope = landscape(lambda a, b: 3 + a + b)
    for window, place in ((None, "this plane"), (((0, 1), (0, 1)), "this part of the plane")):
        words = points_key(basins(asked(window=window), plane, slope))
        assert words == f"<span>No minimum or saddle lies inside {place}</span>"
