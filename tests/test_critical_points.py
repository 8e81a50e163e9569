"""Critical points of functions whose critical points are known, of small networks, and of slices."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import oracle
import sample_models
from known_surfaces import MINIMA, SADDLES, Height, Place, mueller_brown, newton
from landscape_engine import critical_points
from landscape_engine.iteration import Outcome
from landscape_engine.metrics import Accuracy, Loss, LossGradient, Metric

PUBLISHED = {**dict.fromkeys(MINIMA, 0), **dict.fromkeys(SADDLES, 1)}
ENERGIES = (-146.6995, -108.1667, -80.7678, -40.6648, -72.2489)  # in the order of PUBLISHED


class Vector(nn.Module):
    """A point of n dimensions as a model without inputs: its output is the value of a function there."""

    def __init__(self, function, *place, dtype=torch.float64):
        super().__init__()
        self.place = nn.Parameter(torch.tensor(place, dtype=dtype))
        self.function = function

    def forward(self):
        return self.function(self.place)


class Plain(Metric):
    """The same value as a plain number, which PyTorch cannot differentiate."""

    name = "height"

    def __call__(self, model_wrapper):
        return model_wrapper.forward().item()


def place_of(model):
    return model.parameters["place"].numpy()


def find(function, *start, kind="any", **options):
    return critical_points.find(Vector(function, *start), Height(), kind, **options)


# --- the full space


def test_the_published_critical_points_are_those_of_an_independent_newton():
    for point, energy in zip(PUBLISHED, ENERGIES, strict=True):
        assert newton(*point) == pytest.approx(point, abs=1e-6)
        assert mueller_brown(*newton(*point)) == pytest.approx(energy, abs=1e-4)


def test_scattered_starts_find_all_minima_and_saddles_of_the_mueller_brown_potential():
    exact = {newton(*point): index for point, index in PUBLISHED.items()}
    seen = set()
    for x in np.linspace(-1.2, 0.9, 6):
        for y in np.linspace(-0.2, 1.7, 6):
            found = critical_points.find(Place(x, y), Height())
            if found.outcome is not Outcome.CONVERGED:
                assert found.kind == "gradient-flat" and found.gradient_norm > 10
                continue
            point = min(exact, key=lambda z: np.linalg.norm(np.subtract(z, place_of(found.model))))
            np.testing.assert_allclose(place_of(found.model), point, atol=1e-6)
            assert found.index == exact[point] == ["minimum", "saddle"].index(found.kind)
            assert found.loss == pytest.approx(mueller_brown(*point)) and found.gradient_norm < 1e-10
            seen.add(point)
    assert seen == set(exact)


def test_a_gradient_flat_point_of_the_mueller_brown_potential_is_a_minimum_of_the_gradient_norm():
    found = critical_points.find(Place(-1.2, 0.56), Height())
    assert (found.outcome, found.kind) == (Outcome.FAILED, "gradient-flat")
    _, gradient, hessian = oracle.derivatives(Place(*place_of(found.model)), lambda module: module())
    assert np.linalg.norm(gradient) > 100
    assert np.linalg.norm(hessian @ gradient) < 1e-4 * np.linalg.norm(gradient) * np.abs(hessian).max()


KNOWN = {
    "saddle": (lambda z: z[0] ** 2 - z[1] ** 2, (0.3, 0.4), "saddle", 1),
    "saddle, from itself": (lambda z: z[0] ** 2 - z[1] ** 2, (0.0, 0.0), "saddle", 1),
    "maximum": (lambda z: -torch.cosh(z).sum(), (0.3, 0.4, -0.2), "maximum", 3),
    "minimum": (lambda z: torch.cosh(z).sum(), (0.3, 0.4, -0.2), "minimum", 0),
    "maximum of one dimension": (lambda z: -(z[0] ** 2), (2.0,), "maximum", 1),
    "cubic, from above": (lambda z: z[0] ** 3, (1.0,), "degenerate", 0),
    "cubic, from below": (lambda z: z[0] ** 3, (-1.0,), "degenerate", 0),
    "cubic, from itself": (lambda z: z[0] ** 3, (0.0,), "degenerate", 0),
    "cubic in a steep valley": (lambda z: z[0] ** 3 + 1000 * z[1] ** 2, (0.5, 1.0), "degenerate", 0),
    "cubic beside a saddle": (lambda z: z[0] ** 3 + z[1] ** 2 - z[2] ** 2, (0.5, 1.0, 1.0), "saddle", 1),
    "quartic": (lambda z: (z**4).sum(), (0.5, 1.0), "degenerate", 0),
    "monkey saddle": (lambda z: z[0] ** 3 - 3 * z[0] * z[1] ** 2, (1.0, 0.5), "degenerate", 0),
    "monkey saddle, from itself": (lambda z: z[0] ** 3 - 3 * z[0] * z[1] ** 2, (0.0, 0.0), "degenerate", 0),
    "Rosenbrock": (lambda z: (1 - z[0]) ** 2 + 100 * (z[1] - z[0] ** 2) ** 2, (1.2, 1.2), "minimum", 0),
}


@pytest.mark.parametrize(("function", "start", "kind", "index"), KNOWN.values(), ids=KNOWN)
def test_the_kind_and_the_index_of_a_known_point_are_found(function, start, kind, index):
    found = find(function, *start, throw=True)
    assert (found.kind, found.index, found.outcome) == (kind, index, Outcome.CONVERGED)
    center = 1.0 if function is KNOWN["Rosenbrock"][0] else 0.0
    np.testing.assert_allclose(place_of(found.model), center, atol=1e-3)  # in a flat valley no nearer than this
    assert found.gradient_norm <= 1e-10
    assert kind == "degenerate" or np.median(np.abs(place_of(found.model) - center)) < 1e-8


def test_downhill_reaches_the_minimum_of_rosenbrocks_valley():
    found = find(KNOWN["Rosenbrock"][0], -1.2, 1.0, kind="minimum")
    assert (found.kind, found.outcome) == ("minimum", Outcome.CONVERGED)
    np.testing.assert_allclose(place_of(found.model), 1, atol=1e-8)


def test_downhill_ends_in_the_minimum_where_a_fine_gradient_descent_ends():
    theta = torch.tensor([-0.9, 0.7], dtype=torch.float64)
    for _ in range(2_000):
        theta.requires_grad_()
        (slope,) = torch.autograd.grad(mueller_brown(*theta, torch.exp), theta)
        theta = (theta - 1e-4 * slope).detach()
    found = critical_points.find(Place(-0.9, 0.7), Height(), "minimum")
    np.testing.assert_allclose(place_of(found.model), theta, atol=1e-6)
    assert found.kind == "minimum"


def test_downhill_from_a_saddle_itself_fails_and_says_that_it_is_a_saddle():
    found = find(lambda z: z[0] ** 2 - z[1] ** 2, 0.0, 0.0, kind="minimum")
    assert (found.kind, found.outcome) == ("saddle", Outcome.FAILED)


@pytest.mark.parametrize("start", [0.0, 0.5, -0.7])
def test_where_the_gradient_is_not_zero_but_flat_the_search_fails_and_says_so(start):
    found = find(lambda z: z[0] ** 3 / 3 + z[0], start)
    assert (found.kind, found.outcome) == ("gradient-flat", Outcome.FAILED)
    assert place_of(found.model)[0] == pytest.approx(0, abs=1e-4) and found.gradient_norm == pytest.approx(1)
    with pytest.raises(le.SearchError, match="has not converged") as caught:
        find(lambda z: z[0] ** 3 / 3 + z[0], start, throw=True)
    assert caught.value.outcome is Outcome.FAILED and caught.value.result.kind == "gradient-flat"


def quadratic(n, index, seed=0):
    """A quadratic form about a point, with so many negative eigenvalues between 1 and 10."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.standard_normal((n, n)))
    values = np.geomspace(1, 10, n) * np.where(np.arange(n) < index, -1, 1)
    matrix, center = torch.from_numpy(axes @ np.diag(values) @ axes.T), torch.from_numpy(rng.standard_normal(n))
    return lambda z: (z - center) @ matrix @ (z - center) / 2, center.numpy(), values


@pytest.mark.parametrize("products", [256, 12], ids=["whole Hessian", "Krylov space"])
def test_the_critical_point_of_a_quadratic_form_is_found_with_its_index(products):
    function, center, values = quadratic(30, 11)
    found = find(function, *np.zeros(30), products=products)
    np.testing.assert_allclose(place_of(found.model), center, atol=1e-9)
    assert (found.kind, found.index, found.outcome) == ("saddle", 11, Outcome.CONVERGED)
    np.testing.assert_allclose(found.eigenvalues, (values.max(), values.min()), rtol=1e-8)


@pytest.mark.parametrize(("index", "counted", "kind"), [(0, 0, "minimum"), (5, 5, "saddle"), (70, np.nan, "saddle")])
def test_of_a_large_matrix_only_few_negative_eigenvalues_are_counted(index, counted, kind):
    function, center, values = quadratic(600, index)
    found = find(function, *np.zeros(600), products=64)
    np.testing.assert_allclose(place_of(found.model), center, atol=1e-8)
    assert (found.kind, found.outcome) == (kind, Outcome.CONVERGED)
    np.testing.assert_equal(found.index, counted)
    np.testing.assert_allclose(found.eigenvalues, (values.max(), values.min()), rtol=1e-6)


def test_a_float32_model_gets_a_tolerance_that_its_numbers_allow():
    model = Vector(lambda z: torch.cosh(z[0]) - torch.cosh(z[1]), 0.7, -0.6, dtype=torch.float32)
    found = critical_points.find(model, Height())
    assert (found.kind, found.outcome) == ("saddle", Outcome.CONVERGED)
    assert found.gradient_norm <= 1e-5 and found.model.parameters["place"].dtype == torch.float32


# --- networks


def examples(n=20):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return inputs, torch.sin(2 * inputs[:, :1]) + 0.3 * torch.randn(n, 1, generator=generator, dtype=torch.float64)


def network(hidden, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 1)).double()


def with_weights(module, parameters):
    """A module with parameters of its own."""
    module.load_state_dict({n: t.clone() for n, t in parameters.items()})
    return module


def derivatives(module):
    inputs, targets = examples()
    return oracle.derivatives(module, lambda m: F.mse_loss(m(inputs), targets))


@pytest.mark.parametrize("batch_size", [4096, 7])
@pytest.mark.parametrize(("kind", "hidden"), [("any", 3), ("minimum", 1), ("minimum", 3)])
def test_at_the_critical_point_of_a_network_the_dense_derivatives_agree(kind, hidden, batch_size):
    loss = Loss(F.mse_loss, *examples(), batch_size=batch_size)
    found = critical_points.find(network(hidden), loss, kind)
    value, gradient, hessian = derivatives(with_weights(network(hidden), found.model.parameters))
    eigenvalues = np.linalg.eigvalsh(hessian)
    assert found.outcome is Outcome.CONVERGED and found.kind == {"any": "saddle"}.get(kind, "minimum")
    assert found.loss == pytest.approx(value) and np.linalg.norm(gradient) < 1e-8
    assert found.index == (eigenvalues < -1e-9).sum()
    np.testing.assert_allclose(found.eigenvalues, (eigenvalues[-1], eigenvalues[0]), rtol=1e-5)


def test_a_krylov_space_finds_a_critical_point_of_a_network_as_its_whole_hessian_does():
    loss = Loss(F.mse_loss, *examples())
    whole = critical_points.find(network(3), loss)
    some = critical_points.find(network(3), loss, products=8)
    assert some.outcome is Outcome.CONVERGED and some.gradient_norm < 1e-10
    assert (some.kind, some.index) == (whole.kind, whole.index)
    assert some.loss == pytest.approx(whole.loss)  # both on the manifold of a network that gives the mean


@pytest.mark.parametrize("share", [0.3, 1.4])
def test_a_minimum_with_a_hidden_unit_split_in_two_is_a_critical_point_of_the_larger_network(share):
    """Fukumizu, Amari 2000, Local minima and plateaus in hierarchical structures of multilayer perceptrons."""
    loss = Loss(F.mse_loss, *examples())
    small = critical_points.find(network(1), loss, "minimum", tolerance=1e-13)
    assert small.kind == "minimum"
    p = small.model.parameters
    split = {
        "0.weight": p["0.weight"].repeat(2, 1),
        "0.bias": p["0.bias"].repeat(2),
        "2.weight": torch.cat([share * p["2.weight"], (1 - share) * p["2.weight"]], dim=1),
        "2.bias": p["2.bias"],
    }
    found = critical_points.find(with_weights(network(2), split), loss)
    assert (found.outcome, found.steps) == (Outcome.CONVERGED, 0)
    assert found.loss == pytest.approx(small.loss) and found.gradient_norm < 1e-10
    _, gradient, hessian = derivatives(with_weights(network(2), split))
    eigenvalues = np.linalg.eigvalsh(hessian)
    assert np.linalg.norm(gradient) < 1e-10 and np.abs(eigenvalues).min() < 1e-10  # a line of critical points
    assert found.index == (eigenvalues < -1e-9).sum()
    assert found.kind == ("saddle" if found.index else "degenerate")


def test_the_callers_model_is_not_touched():
    model = network(2).train()
    before = {n: p.clone() for n, p in model.state_dict().items()}
    found = critical_points.find(model, Loss(F.mse_loss, *examples()))
    assert model.training and all(torch.equal(p, before[n]) for n, p in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not torch.equal(found.model.parameters["0.weight"], model[0].weight)


def test_chosen_parameters_alone_move():
    model = le.wrap_model(network(2), parameters="2.*")
    found = critical_points.find(model, Loss(F.mse_loss, *examples()))  # a linear regression on the hidden units
    inputs, targets = examples()
    hidden = torch.cat([torch.tanh(model.get_model()[0](inputs)).detach(), torch.ones(20, 1).double()], dim=1)
    best = torch.linalg.lstsq(hidden, targets).solution[:, 0]
    weights = torch.cat([found.model.parameters["2.weight"][0], found.model.parameters["2.bias"]])
    torch.testing.assert_close(weights, best)
    assert found.kind == "minimum" and set(found.model.parameters) == {"2.weight", "2.bias"}


# --- watched, stopped, resumed, refused


@pytest.mark.parametrize("products", [256, 5], ids=["whole Hessian", "Krylov space"])
@pytest.mark.parametrize("kind", ["any", "minimum"])
def test_a_search_that_is_stopped_and_resumed_ends_where_the_uninterrupted_one_ends(kind, products):
    loss, options = Loss(F.mse_loss, *examples()), {"steps": 30, "products": products}
    seen = []
    whole = critical_points.find(network(2), loss, kind, watch=seen.append, **options)
    assert [step.count for step in seen] == list(range(1, whole.steps + 1)) and {s.limit for s in seen} == {30}
    first = critical_points.find(network(2), loss, kind, watch=lambda step: step.count < 4, **options)
    assert (first.outcome, first.steps, first.kind) == (Outcome.STOPPED, 4, "not critical")
    second = critical_points.find(network(2), loss, kind, start=first, **options)
    assert (second.outcome, second.steps) == (whole.outcome, whole.steps)
    for name, value in whole.model.parameters.items():
        assert torch.equal(second.model.parameters[name], value)


def test_a_search_that_ran_out_of_steps_says_so_and_can_go_on():
    function, center, _ = quadratic(30, 11)
    short = find(function, *np.zeros(30), steps=2)
    assert (short.outcome, short.steps, short.kind) == (Outcome.LIMIT, 2, "not critical")
    longer = find(function, *np.zeros(30), start=short)
    assert longer.outcome is Outcome.CONVERGED
    np.testing.assert_allclose(place_of(longer.model), center, atol=1e-9)


def test_values_that_are_not_finite_end_a_search_but_raise_nothing():
    found = find(lambda z: torch.log(z[0]), -1.0)
    assert (found.outcome, found.kind) == (Outcome.FAILED, "not critical") and np.isnan(found.index)
    beside = find(lambda z: torch.sqrt(z[0]) + 1 / z[0], 0.3, kind="minimum")  # not defined below 0
    assert beside.kind == "minimum"
    np.testing.assert_allclose(place_of(beside.model), 2 ** (2 / 3))


def test_what_cannot_be_chosen_is_refused_in_a_sentence():
    for options in ({"kind": "saddle"}, {"tolerance": 0}, {"radius": -1.0}, {"steps": -1}, {"products": 0}):
        with pytest.raises(le.ChoiceError, match="must be"):
            find(lambda z: z[0] ** 2, 1.0, **options)
    with pytest.raises(le.MismatchError, match="the start does not fit the model"):
        critical_points.find(Place(0.0, 0.0), Height(), start=find(lambda z: z[0] ** 2, 1.0, steps=0))
    saddle = critical_points.find(Place(*SADDLES[0]), Height())
    for distance in (0, -1.0, float("nan")):
        with pytest.raises(le.ChoiceError, match="distance must be a finite number above 0"):
            critical_points.descend(saddle, Height(), distance=distance)
    inputs, _ = examples()
    with pytest.raises(le.EvaluationError, match="piecewise constant"):
        critical_points.find(nn.Linear(2, 3).double(), Accuracy(inputs, torch.zeros(20, dtype=torch.int64)))


# --- down from a saddle point


def ends_of(descent):
    return [tuple(np.round(place_of(end.model), 6)) for end in descent.ends]


@pytest.mark.parametrize(("saddle", "minima"), [(SADDLES[0], (MINIMA[0], MINIMA[2])), (SADDLES[1], MINIMA[1:])])
def test_a_saddle_of_the_mueller_brown_potential_connects_the_minima_it_is_known_to(saddle, minima):
    point = critical_points.find(Place(*saddle), Height())
    descent = critical_points.descend(point, Height(), throw=True)
    assert descent.saddle is point and {end.kind for end in descent.ends} == {"minimum"}
    for end in descent.ends:
        nearest = min(minima, key=lambda z: np.linalg.norm(np.subtract(z, place_of(end.model))))
        np.testing.assert_allclose(place_of(end.model), newton(*nearest), atol=1e-6)
    assert ends_of(descent)[0] != ends_of(descent)[1]


def test_the_ends_are_in_the_order_of_the_eigenvector():
    def wells(z):
        return (z[0] ** 2 - 1) ** 2 + z[1] ** 2

    point = find(wells, 0.1, 0.3)
    assert (point.kind, point.index) == ("saddle", 1)
    assert ends_of(critical_points.descend(point, Height())) == [(-1.0, 0.0), (1.0, 0.0)]
    assert ends_of(critical_points.descend(point, Height(), distance=0.3)) == [(-1.0, 0.0), (1.0, 0.0)]


def test_a_descent_that_is_stopped_and_resumed_ends_where_the_uninterrupted_one_ends():
    point = critical_points.find(Place(*SADDLES[0]), Height())
    seen = []
    whole = critical_points.descend(point, Height(), watch=seen.append)
    assert len(seen) == sum(end.steps for end in whole.ends)
    for stop in (3, len(seen) - 2):
        counted = iter([True] * (stop - 1) + [False])
        first = critical_points.descend(point, Height(), watch=lambda step, counted=counted: next(counted))
        assert first.outcome is Outcome.STOPPED
        assert sum(end.steps for end in first.ends) == stop
        second = critical_points.descend(point, Height(), start=first)
        assert second.outcome is Outcome.CONVERGED
        for end, expected in zip(second.ends, whole.ends, strict=True):
            assert np.array_equal(place_of(end.model), place_of(expected.model)) and end.steps == expected.steps


def test_no_way_is_down_from_a_minimum_and_too_few_steps_are_an_outcome():
    minimum = critical_points.find(Place(*MINIMA[0]), Height())
    with pytest.raises(le.ChoiceError, match="a saddle point, with a way down"):
        critical_points.descend(minimum, Height())
    saddle = critical_points.find(Place(*SADDLES[0]), Height())
    assert critical_points.descend(saddle, Height(), steps=1).outcome is Outcome.LIMIT
    with pytest.raises(le.SearchError, match="the descent from the saddle point has not converged"):
        critical_points.descend(saddle, Height(), steps=1, throw=True)


def test_the_split_network_goes_down_to_a_smaller_loss_on_both_sides():
    loss = Loss(F.mse_loss, *examples())
    saddle = critical_points.find(network(3), loss)
    descent = critical_points.descend(saddle, loss, steps=15)
    assert saddle.kind == "saddle" and all(end.loss < saddle.loss for end in descent.ends)


# --- slices


def slice_of(function, center, directions, **size):
    """The subspace through a point along directions, all given as plain numbers."""
    vectors = [{"place": torch.tensor(d, dtype=torch.float64)} for d in directions]
    kind = le.Line if len(vectors) == 1 else le.Plane
    return kind.from_directions(Vector(function, *center), vectors, **size)


def mueller_brown_plane():
    def function(z):
        return mueller_brown(z[0], z[1], torch.exp)

    return slice_of(function, (0.0, 0.0), ((1.0, 0.0), (0.0, 1.0)), bounds=((-1.5, 1.2), (-0.2, 2.0)))


def check_mueller_brown(found, atol=1e-6):
    exact = sorted((mueller_brown(*newton(*z)), newton(*z), index) for z, index in PUBLISHED.items())
    assert len(found) == len(exact)
    for point, (value, place, index) in zip(found, exact, strict=True):
        np.testing.assert_allclose(point.coordinates, place, atol=atol)
        assert point.value == pytest.approx(value, abs=1e3 * atol)
        assert point.kind == ("minimum", "saddle")[index]


@pytest.mark.parametrize("resolution", [17, 33, 40])
def test_the_stationary_points_of_the_mueller_brown_plane_are_its_critical_points(resolution):
    found = critical_points.of_slice(mueller_brown_plane(), Height(), resolution=resolution)
    assert found.outcome is Outcome.CONVERGED
    check_mueller_brown(found)
    assert all(p.gradient_norm < 1e-6 and p.slice_gradient_norm < 1e-6 for p in found)


def test_predicted_nodes_and_the_order_of_dims_do_no_harm():
    plane = mueller_brown_plane()
    *_, landscape = le.refine(Height(), plane, resolution=33, tolerance=0.05)
    assert not landscape.evaluated.all()
    noise = np.random.default_rng(0).normal(0, 0.1, landscape.evaluated.shape)
    landscape["height"] = landscape.height + noise * ~landscape.evaluated
    check_mueller_brown(critical_points.of_slice(plane, Height(), landscape))
    check_mueller_brown(critical_points.of_slice(plane, Height(), landscape.height.transpose("beta", "alpha")))


def test_a_metric_without_derivatives_is_stationary_where_the_spline_is():
    plane = mueller_brown_plane()
    found = critical_points.of_slice(plane, Plain(), resolution=129)
    check_mueller_brown(found, atol=5e-3)
    *_, predicted = le.refine(Plain(), plane, resolution=129)  # of which the spline has points of its own
    assert not predicted["evaluated"].values.all()
    assert len(critical_points.of_slice(plane, Plain(), predicted)) > len(found)
    _, gradient, _ = oracle.derivatives(Place(*found[0].coordinates), lambda module: module())
    assert found[0].gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-4)


def tilted(z):
    """A wavy bowl over the first two coordinates, and a slope along the third that no slice of them shows."""
    return torch.cosh(z[0] - 0.2) + 2 * torch.cosh(z[1] + 0.3) + 3 * z[2]


def test_a_minimum_of_a_slice_need_not_be_one_of_the_whole_space():
    plane = slice_of(tilted, (0.0, 0.0, 0.0), ((1.0, 0.0, 0.0), (2.0, 4.0, 0.0)))
    (point,) = critical_points.of_slice(plane, Height(), resolution=17)
    np.testing.assert_allclose(point.coordinates, (0.2 + 0.15, -0.075), atol=1e-9)
    assert point.kind == "minimum" and point.value == pytest.approx(3)
    assert point.gradient_norm == pytest.approx(3) and point.slice_gradient_norm < 1e-8
    full = critical_points.find(plane.model, Height())
    assert full.kind == "gradient-flat" and full.gradient_norm == pytest.approx(3)


@pytest.mark.parametrize("metric", [Height(), Plain()], ids=["differentiable", "not differentiable"])
def test_the_stationary_points_of_a_line_are_found_but_not_its_ends(metric):
    line = slice_of(lambda z: z[0] ** 3 - 3 * z[0] + z[1], (0.0, 0.0), ((1.0, 0.0),), extent=3.0)
    low, high = critical_points.of_slice(line, metric, resolution=33)
    assert (low.kind, high.kind) == ("minimum", "maximum")
    np.testing.assert_allclose([*low.coordinates, *high.coordinates], (1, -1), atol=1e-8)
    assert low.gradient_norm == pytest.approx(1) and low.slice_gradient_norm < 1e-6
    away = slice_of(lambda z: (z[0] - 2) ** 2, (0.0,), ((1.0,),), extent=1.5)
    assert len(critical_points.of_slice(away, metric, resolution=17)) == 0


def test_where_a_surface_is_not_finite_the_rest_of_it_still_tells():
    def function(z):
        return torch.where(z[0] < 0, torch.nan, (z[0] - 0.5) ** 2 - z[1] ** 2)

    plane = slice_of(function, (0.5, 0.0), ((1.0, 0.0), (0.0, 1.0)), extent=1.0)
    (point,) = critical_points.of_slice(plane, Height(), resolution=21)
    assert point.kind == "saddle"
    np.testing.assert_allclose(point.coordinates, (0, 0), atol=1e-9)


@pytest.mark.parametrize("function", [lambda z: 0 * z[0] + 3, lambda z: z[0] * torch.nan], ids=["constant", "NaN"])
def test_a_surface_without_shape_has_no_stationary_points(function):
    plane = slice_of(function, (0.0, 0.0), ((1.0, 0.0), (0.0, 1.0)))
    assert len(critical_points.of_slice(plane, Height(), resolution=17)) == 0


def test_a_random_slice_of_a_trained_network_has_a_minimum_that_is_none():
    sample = sample_models.load("digits_mlp")
    loss, accuracy = sample.metrics("train")
    plane = le.Plane.random(sample.model, extent=1.5)
    *_, landscape = le.refine([loss, accuracy], plane, resolution=33)
    minima = [p for p in critical_points.of_slice(plane, loss, landscape) if p.kind == "minimum"]
    assert minima
    for point in minima:
        assert np.abs(point.coordinates).max() < 0.2
        assert point.gradient_norm > 0.01 and point.slice_gradient_norm < 1e-4
    steps = critical_points.of_slice(plane, accuracy, landscape)
    assert all(np.isnan(p.gradient_norm) and 0 <= p.value <= 1 for p in steps)


def test_a_search_of_a_slice_that_is_stopped_and_resumed_finds_the_same_points():
    plane = mueller_brown_plane()
    *_, landscape = le.refine(Height(), plane, resolution=33)
    seen = []
    whole = critical_points.of_slice(plane, Height(), landscape, watch=seen.append)
    assert [s.count for s in seen] == list(range(1, whole.tried + 1)) and seen[-1].limit == whole.tried
    first = critical_points.of_slice(plane, Height(), landscape, watch=lambda step: step.count < 3)
    assert (first.outcome, first.tried) == (Outcome.STOPPED, 3)
    with pytest.raises(le.SearchError):
        critical_points.of_slice(plane, Height(), landscape, watch=lambda step: False, throw=True)
    assert critical_points.of_slice(plane, Height(), landscape, start=first) == whole


def test_a_landscape_of_something_else_is_refused_in_a_sentence():
    plane = mueller_brown_plane()
    line = slice_of(lambda z: z[0] ** 2, (0.0,), ((1.0,),))
    *_, other = le.refine(Height(), line, resolution=17)
    with pytest.raises(le.MismatchError, match="must hold 'height' over alpha, beta"):
        critical_points.of_slice(plane, Height(), other)
    *_, elsewhere = le.refine(Height(), le.Plane.random(plane.model, normalization="none", seed=3), resolution=9)
    with pytest.raises(le.MismatchError, match="computed along the directions"):
        critical_points.of_slice(plane, Height(), elsewhere)
    with pytest.raises(le.MismatchError, match="no such variable"):
        critical_points.of_slice(plane, Height(), other.rename(height="depth"))
    with pytest.raises(le.ChoiceError, match="a Line or a Plane"):
        critical_points.of_slice(le.Point.of(Place(0.0, 0.0)), Height())


def test_nothing_warns_on_an_unbounded_way_down():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find(lambda z: z[0] ** 2 - z[1] ** 2, 0.3, 0.4, kind="minimum", steps=40)
    assert (found.outcome, found.kind) == (Outcome.LIMIT, "not critical")


def test_a_forward_that_uses_another_model_than_the_one_it_is_given_is_noticed():
    captured, (inputs, targets) = network(2), examples()
    loss = Loss(F.mse_loss, data=[(inputs, targets)], forward=lambda model, batch: captured(batch[0]))
    with pytest.raises(le.EvaluationError, match="uses another model than the one"):
        critical_points.find(network(2), loss)


def test_a_metric_of_several_numbers_has_no_critical_points():
    loss = Loss(F.mse_loss, *examples())
    for search in (critical_points.find, lambda model, metric: critical_points.of_slice(le.Line.random(model), metric)):
        with pytest.raises(le.ChoiceError, match="a metric of one number"):
            search(network(2), LossGradient(loss))
