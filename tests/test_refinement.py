"""Refinement against surfaces that are known everywhere."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

import landscape_engine as le
import sample_models
from known_surfaces import Height, Place
from landscape_engine.metrics import Accuracy, Loss, Metric
from landscape_engine.refinement import coarse_stride
from landscape_engine.refinement.audits import LARGEST, MARGIN, calibrate, choose
from landscape_engine.refinement.descent import _doubt
from landscape_engine.refinement.interpolation import refine_grid

AXIS = np.linspace(-1, 1, 129)
A, B = np.meshgrid(AXIS, AXIS, indexing="ij")


def finish(refiner, surface, count=None):
    while len(nodes := refiner.ask(count)):
        refiner.tell(nodes, surface[tuple(nodes.T)])
    return refiner.analysis


@pytest.mark.parametrize(
    ("resolution", "dimensions", "stride"),
    [(129, 2, 16), (33, 2, 4), (257, 2, 32), (129, 1, 8), (65, 3, 16), (100, 2, 1), (101, 2, 4), (9, 2, 1)],
)
def test_the_coarse_stride_is_the_one_of_the_rule(resolution, dimensions, stride):
    assert coarse_stride(resolution, dimensions) == stride


SMOOTH = {
    "cubic polynomial": A**3 + 2 * A * B - B**2,
    "tilted bowl": (A - 0.3) ** 2 + 4 * (B + 0.2 * A) ** 2,
    "waves": np.sin(3 * A + B) * np.cos(2 * B),
    "narrow valley": 1 / (1 + 20 * (A - B**2) ** 2),
}


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("tolerance", [0.02, 0.005, 0.001])
def test_a_smooth_surface_meets_its_tolerance_with_few_nodes(name, tolerance):
    surface = SMOOTH[name]
    refiner = le.Refiner(surface.shape, tolerance)
    analysis = finish(refiner, surface)
    error = np.abs(analysis.prediction - surface).max() / np.ptp(surface)
    assert error <= tolerance
    assert refiner.computed.sum() < surface.size / (4 if name == "narrow valley" else 25)


def test_a_cubic_is_predicted_exactly():
    refiner = le.Refiner((129, 129), 0.005)
    analysis = finish(refiner, SMOOTH["cubic polynomial"])
    np.testing.assert_allclose(analysis.prediction, SMOOTH["cubic polynomial"], atol=1e-12)


def test_a_jump_is_computed_on_both_sides_and_smooth_parts_are_not():
    surface = np.where(A + B / 3 > 0.1, 1.0, 0.0)
    refiner = le.Refiner(surface.shape, 0.005)
    analysis = finish(refiner, surface)
    assert np.abs(analysis.prediction - surface).max() <= 0.005
    assert refiner.computed[:20].mean() < 0.5


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_nothing_is_interpolated_over_values_that_are_not_finite(hole):
    surface = np.where(A + B > 1.2, hole, A * B + B)
    refiner = le.Refiner(surface.shape, 0.005)
    analysis = finish(refiner, surface)
    predicted = ~refiner.computed
    assert np.isfinite(surface[predicted]).all() and np.isfinite(analysis.prediction[predicted]).all()
    finite = np.isfinite(surface)
    error = np.abs(analysis.prediction[finite] - surface[finite])
    assert error.max() <= 0.005 * np.ptp(surface[finite])


def test_a_constant_surface_ends_after_the_coarse_pass():
    refiner = le.Refiner((129, 129), 0.005)
    analysis = finish(refiner, np.full((129, 129), 3.7))
    assert refiner.computed.sum() == 81
    np.testing.assert_allclose(analysis.prediction, 3.7, rtol=1e-12)
    assert not analysis.error.any()


@pytest.mark.parametrize(
    ("shape", "tolerance", "first"), [((33, 33), 0, 25), ((33, 33), 0.01, 81), ((129,), 0, 9), ((100, 100), 0, 10_000)]
)
def test_where_every_node_is_computed_the_first_look_takes_a_quarter_as_many(shape, tolerance, first):
    assert len(le.Refiner(shape, tolerance).ask()) == first


def test_tolerance_zero_misses_nothing_between_equal_values():
    surface = np.zeros((33, 33))
    surface[9:16, 9:16] = 1
    refiner = le.Refiner(surface.shape, 0)
    np.testing.assert_array_equal(finish(refiner, surface).prediction, surface)
    assert refiner.computed.all()


def test_a_value_that_is_told_anew_changes_what_is_asked():
    surface = SMOOTH["tilted bowl"].copy()
    refiner = le.Refiner(surface.shape, 0.005)
    finish(refiner, surface)
    surface[64, 64] += 1  # one of the coarse grid
    refiner.tell(np.array([[64, 64]]), surface[64, 64])
    again = finish(refiner, surface)
    fresh = le.Refiner(surface.shape, 0.005)
    finish(fresh, surface)
    assert refiner.computed[fresh.computed].all()
    assert np.abs(again.prediction - surface)[fresh.computed].max() < 1e-12


def test_tolerance_zero_computes_every_node():
    refiner = le.Refiner((33, 17), 0)
    surface = np.random.default_rng(0).normal(size=(33, 17))
    analysis = finish(refiner, surface)
    assert refiner.computed.all()
    np.testing.assert_array_equal(analysis.prediction, surface)


def kinks(seed):
    """The mean of many ramps, each with a kink somewhere else: rough everywhere, and coarse by nothing."""
    generator, total = np.random.default_rng(seed), np.zeros_like(A)
    for a, b, c in generator.normal(size=(300, 3)):
        total += np.maximum(a * A + b * B + 0.7 * c, 0)
    return total / 300


def losses(seed):
    """The mean loss of many small ReLU networks of two inputs: smooth parts, kinks, plains and slopes."""
    generator, total = np.random.default_rng(seed), np.zeros_like(A)
    for _ in range(40):
        a, b, c, v = generator.normal(size=(4, 8, 1, 1))
        total += np.logaddexp(0, 2 / 3 * (v * np.maximum(a * A + b * B + c, 0)).sum(axis=0))
    return total / 40


def assert_calibrated(refiner, surface):
    """The four properties of the estimate, against the surface known everywhere."""
    analysis, predicted = finish(refiner, surface), ~refiner.computed
    error, estimate = np.abs(analysis.prediction - surface)[predicted], analysis.error[predicted]
    assert error.max() <= refiner.tolerance * np.ptp(surface)
    assert error.max() / 2 <= estimate.max() <= refiner.tolerance * np.ptp(surface)
    assert np.mean(estimate >= error / 2) >= 0.99
    assert np.median(estimate) <= 10 * np.median(error)


CALIBRATED = {"waves": SMOOTH["waves"], "kinks": kinks(0), "losses": losses(0), "other losses": losses(1)}


@pytest.mark.parametrize("name", CALIBRATED)
@pytest.mark.parametrize("seed", range(3))
def test_the_estimate_is_calibrated_where_the_truth_is_known(name, seed):
    assert_calibrated(le.Refiner((129, 129), 0.005, seed=seed), CALIBRATED[name])


def test_portions_of_any_size_lead_to_the_same_nodes():
    surface = losses(2)
    whole, little = le.Refiner(surface.shape, 0.01), le.Refiner(surface.shape, 0.01)
    expected = finish(whole, surface)
    found = finish(little, surface, count=23)
    np.testing.assert_array_equal(little.computed, whole.computed)
    np.testing.assert_array_equal(found.error, expected.error)


def test_each_block_has_an_audit_at_random():
    surface = A**2 + B**2  # 9x9 nodes predict it exactly, so that all others are audits
    places = []
    for seed in range(30):
        refiner = le.Refiner(surface.shape, 0.05, seed=seed)
        finish(refiner, surface)
        refiner.computed[::16, ::16] = False
        audits = np.argwhere(refiner.computed)
        assert len(audits) == len({tuple(a) for a in np.minimum(audits // 16, 7)}) == 64
        places.extend(audits % 16)
    assert np.abs(np.mean(places, axis=0) - 7.5).max() < 0.5  # 1,920 of them: five standard errors


def test_an_audit_stands_until_its_node_is_computed_and_the_next_is_another():
    computed = np.zeros((33, 33), dtype=bool)
    computed[::16, ::16] = True
    first = choose(computed, 16, seed=3)
    np.testing.assert_array_equal(choose(computed, 16, seed=3), first)
    second = choose(computed | first, 16, seed=3)
    assert first.sum() == second.sum() == 4 and not (first & second).any()
    np.testing.assert_array_equal(choose(computed | second, 16, seed=3), first)
    assert not choose(np.ones((33, 33), dtype=bool), 16, seed=3).any()


def test_a_factor_is_the_mean_of_the_ratios_nearby_times_what_covers_most_of_them():
    nodes = np.argwhere(choose(np.zeros((129, 129), dtype=bool), 16, seed=0))
    same = calibrate(nodes, np.full(64, 0.3), (129, 129), 16)
    np.testing.assert_allclose(same, MARGIN * 0.3, rtol=1e-12)
    left = nodes[:, 0] < 64
    halves = calibrate(nodes, np.where(left, 0.1, 10.0), (129, 129), 16)
    assert halves[:16].max() < halves[-16:].min() / 3
    ratios = np.abs(np.random.default_rng(0).standard_t(3, size=64))
    places, weights = nodes / 16, np.zeros(64)
    beside = []
    for i in range(64):
        for j in range(64):
            weights[j] = np.exp(-((places[i] - places[j]) ** 2).sum() / 2) if i != j else 0
        beside.append(ratios[i] / ((weights @ ratios + ratios.mean()) / (weights.sum() + 1)))
    weights = np.exp(-((places - [3, 5]) ** 2).sum(axis=1) / 2)
    scale = min(MARGIN * np.quantile(beside, 0.95), LARGEST * np.median(beside))
    expected = scale * (weights @ ratios + ratios.mean()) / (weights.sum() + 1)
    assert calibrate(nodes, ratios, (129, 129), 16)[48, 80] == pytest.approx(expected, rel=1e-12)


def test_few_audits_and_audits_without_error_change_nothing():
    few, none = np.array([[3], [9]]), np.arange(1, 120, 8)[:, None]
    np.testing.assert_array_equal(calibrate(few, np.array([5.0, 6.0]), (129,), 8), 1)
    np.testing.assert_array_equal(calibrate(none, np.zeros(15), (129,), 8), 1)


def test_a_block_whose_audit_fails_is_computed_more_densely():
    bump = np.exp(-((A - 0.07) ** 2 + (B - 0.05) ** 2) / 0.02**2)  # between the nodes of every coarse level
    surface, found = A**2 + B + 3 * bump, []
    for seed in range(40):
        refiner = le.Refiner(surface.shape, 0.005, seed=seed)
        analysis = finish(refiner, surface)
        found.append(np.abs(analysis.prediction - surface).max() <= 0.005 * np.ptp(surface))
        assert found[-1] == (refiner.computed.sum() > 81 + 64)
    assert 2 <= sum(found) < 40


def test_what_a_coarse_pass_misses_a_density_finds():
    bump = np.exp(-((A - 0.07) ** 2 + (B - 0.05) ** 2) / 0.02**2)
    surface = A**2 + B + 3 * bump
    coarse, dense = le.Refiner(surface.shape, 0.005), le.Refiner(surface.shape, 0.005, density=65)
    assert np.abs(finish(coarse, surface).prediction - surface).max() > 1
    assert np.abs(finish(dense, surface).prediction - surface).max() <= 0.005 * np.ptp(surface)
    assert dense.computed[::2, ::2].all() and not dense.computed.all()
    assert len(dense.ask()) == 0 and len(le.Refiner((129, 129), density=65).ask()) == 81


@pytest.mark.parametrize("shape", [(33,), (65, 33), (17, 17, 17), (50, 41), (10,)])
def test_lines_planes_cubes_and_odd_resolutions_meet_the_tolerance(shape):
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    surface = sum((k + 1) * axis**2 + 0.3 * np.sin(2 * axis) for k, axis in enumerate(axes))
    analysis = finish(le.Refiner(shape, 0.005), surface)
    assert np.abs(analysis.prediction - surface).max() <= 0.005 * np.ptp(surface)


def test_the_order_of_telling_and_telling_twice_do_not_matter():
    surface, generator = SMOOTH["waves"], np.random.default_rng(1)
    plain, mixed = le.Refiner(surface.shape, 0.002), le.Refiner(surface.shape, 0.002)
    expected = finish(plain, surface)
    while len(nodes := mixed.ask()):
        for node in generator.permutation(np.concatenate([nodes, nodes[:3]])):
            mixed.tell(node[None], surface[tuple(node)])
    np.testing.assert_array_equal(mixed.computed, plain.computed)
    np.testing.assert_array_equal(mixed.analysis.prediction, expected.prediction)
    np.testing.assert_array_equal(mixed.analysis.error, expected.error)


def test_a_half_told_refiner_resumes_with_the_same_asks():
    surface = SMOOTH["tilted bowl"]
    first = le.Refiner(surface.shape, 0.001)
    for _ in range(5):
        nodes = first.ask(40)
        first.tell(nodes, surface[tuple(nodes.T)])
    known = np.argwhere(first.computed)
    resumed = le.Refiner(surface.shape, 0.001)
    resumed.tell(known, surface[tuple(known.T)])
    np.testing.assert_array_equal(resumed.ask(), first.ask())


def test_on_a_log_scale_the_tolerance_counts_in_logarithms():
    surface = np.exp(-3 * (A**2 + B**2)) + 1e-3 * (1 + A)
    refiner = le.Refiner(surface.shape, 0.005, scale="log")
    analysis = finish(refiner, surface)
    true = np.log(surface)
    known = refiner.computed
    assert not known.all()
    assert np.abs(analysis.prediction - true).max() <= 0.005 * np.ptp(true)


def test_values_above_vmax_count_as_vmax():
    surface = np.where(A > 0.5, 1e6 * (A - 0.5) ** 2 * (1 + np.sin(40 * B)), 0) + A**2 + B**2
    capped = le.Refiner(surface.shape, 0.005, vmax=4.0)
    finish(capped, surface)
    assert np.abs(capped.analysis.prediction - np.minimum(surface, 4)).max() <= 0.005 * 4
    assert capped.analysis.span <= 4.01


@pytest.mark.parametrize(
    ("argument", "value"), [("tolerance", -1), ("tolerance", float("nan")), ("scale", "cubic"), ("density", -1)]
)
def test_a_choice_outside_the_offer_is_one_sentence(argument, value):
    with pytest.raises(le.ChoiceError, match=f"{argument} must be"):
        le.Refiner((129, 129), **{argument: value})


@pytest.fixture(scope="module")
def digits():
    return sample_models.load("digits_mlp")


@pytest.fixture(scope="module")
def metrics(digits):
    return [Loss(digits.loss_function, *digits.train), Accuracy(*digits.train)]


@pytest.mark.parametrize("kind", ["trajectory", "random"])
def test_digits_mlp_needs_one_node_in_25_for_half_a_percent(digits, metrics, kind):
    plane = (
        le.Plane.trajectory(digits.model, digits.trajectory)
        if kind == "trajectory"
        else le.Plane.random(digits.model, normalization="filter", seed=0)
    )
    full = le.evaluate(plane, metrics[0], [(a, b) for a in plane.axes(129)[0] for b in plane.axes(129)[1]])
    true = full["loss"].reshape(129, 129)
    for scale, change in (("linear", np.asarray), ("log", np.log)):
        *_, landscape = le.refine(metrics, plane, scale=scale, strategy="loop")
        assert landscape["evaluated"].sum() <= 129 * 129 / 25
        computed = landscape["evaluated"].values
        np.testing.assert_array_equal(landscape["loss"].values[computed], true[computed])
        error = np.abs(change(landscape["loss"].values) - change(true))
        span = np.ptp(change(true))
        assert error.max() < 0.005 * span
        estimate = landscape["loss_error"].values
        assert estimate.max() >= error.max() / 2
        assert np.mean(estimate[~computed] >= error[~computed] / 2) >= 0.99


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_estimate_is_calibrated_on_a_plane_of_a_network(scale):
    sample = sample_models.load("two_seeds")
    plane = le.Plane.random(sample.model, seed=0)
    alpha, beta = plane.axes(65)
    loss = Loss(sample.loss_function, *sample.test, name="loss")
    values = le.evaluate(plane, loss, [(a, b) for a in alpha for b in beta])["loss"].reshape(65, 65)
    assert_calibrated(le.Refiner((65, 65), 0.005), values if scale == "linear" else np.log(values))


def test_a_landscape_says_how_dense_it_was_wanted(corner):
    *_, landscape = le.refine(Slope(), corner, resolution=33, density=17)
    assert landscape["evaluated"].values[::2, ::2].all() and landscape.attrs["density"] == 17
    *_, landscape = le.refine(Slope(), corner, resolution=33)
    assert "density" not in landscape.attrs


class Slope(Metric):
    """2 alpha - beta on a model of two parameters: nothing is symmetric."""

    name = "slope"

    def __call__(self, model_wrapper):
        weight = model_wrapper.parameters["weight"].flatten()
        return 2 * float(weight[0]) - float(weight[1])


@pytest.fixture
def corner():
    model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    units = [{"weight": torch.eye(2, dtype=torch.float64)[k : k + 1]} for k in range(2)]
    return le.Plane.from_directions(model, units)


def test_a_landscape_is_addressed_by_name_and_carries_its_story(corner, tmp_path):
    *_, landscape = le.refine(Slope(), corner, resolution=33)
    assert landscape["slope"].dims == ("alpha", "beta")
    assert float(landscape["slope"].sel(alpha=1, beta=-1)) == 3
    assert float(landscape["slope"].sel(alpha=-1, beta=1)) == -3
    story = json.loads(landscape.attrs["provenance"])
    assert story["subspace"]["type"] == "Plane" and story["evaluations"] == int(landscape["evaluated"].sum())
    landscape.to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "run.nc", engine="h5netcdf") as loaded:
        xr.testing.assert_identical(loaded.load().astype(landscape.dtypes), landscape)


def test_every_landscape_on_the_way_is_whole(digits, metrics):
    plane = le.Plane.random(digits.model, seed=1)
    seen = list(le.refine(metrics, plane, resolution=65, interval=0))
    assert int(seen[0]["evaluated"].sum()) == 81 and len(seen) > 2
    assert all(np.isfinite(s["loss"]).all() for s in seen)
    counts = [int(s["evaluated"].sum()) for s in seen]
    assert counts == sorted(counts)


def test_what_the_progress_callback_raises_ends_the_run(corner):
    class Enough(Exception):
        pass

    def stop(progress):
        if progress.evaluated == 10:
            raise Enough

    with pytest.raises(Enough):
        list(le.refine(Slope(), corner, progress=stop))


def test_a_second_metric_goes_on_from_the_nodes_known(digits, metrics):
    plane, seen = le.Plane.random(digits.model, seed=2), []
    *_, first = le.refine(metrics, plane, resolution=33, scale="log")
    *_, second = le.refine(metrics, plane, resolution=33, drive="accuracy", start=first, progress=seen.append)
    assert (second["evaluated"] | ~first["evaluated"]).all()
    assert seen[-1].evaluated == int(second["evaluated"].sum() - first["evaluated"].sum())
    assert np.isfinite(second["accuracy"]).all() and second["accuracy"].max() <= 1


def test_a_metric_that_may_be_negative_has_no_log_scale(corner):
    with pytest.raises(le.ChoiceError, match="may be negative"):
        le.refine(Slope(), corner, scale="log")


@pytest.mark.parametrize(("rough_from", "everywhere"), [(-0.5, True), (0.5, False)])
def test_where_most_of_a_surface_is_rough_the_rest_is_computed_too(rough_from, everywhere):
    a, b = np.meshgrid(*2 * [np.linspace(-1, 1, 65)], indexing="ij")
    noise = 0.05 * np.random.default_rng(0).normal(size=a.shape)  # ten tolerances: no neighbor tells of another
    values = a**2 + b**2 + np.where(a > rough_from, noise, 0.0)
    refiner = le.Refiner(values.shape, 0.005)
    while len(nodes := refiner.ask()):
        refiner.tell(nodes, values[tuple(nodes.T)])
    assert refiner.computed.all() == everywhere
    assert refiner.computed[a > rough_from].mean() > 0.95


def test_of_a_quintic_two_degrees_tell_the_error_of_the_cubic_to_the_last_digit():
    """The spline of degree 5 is the polynomial itself, so what the cubic is off by is what they differ by."""
    x, y = (np.linspace(-1, 1, n) for n in (17, 33))
    off = refine_grid(x**5 - x**4, 3) - (y**5 - y**4)
    wanted = []
    for i in range(33):
        near = {k: w for k, w in zip(range(i - 2, i + 3), (0.2, 0.6, 1, 0.6, 0.2), strict=True) if k in range(1, 33, 2)}
        wanted.append(np.sqrt(sum(w * off[k] ** 2 for k, w in near.items()) / sum(near.values())))
    np.testing.assert_allclose(_doubt(x**5 - x**4, refine_grid(x**5 - x**4, 3)), wanted, rtol=1e-8)
    assert np.abs(off).max() > 1e-5


@pytest.mark.parametrize("smooth", [True, False])
def test_nothing_beyond_what_was_computed_is_predicted_of_a_metric_that_is_not_smooth(smooth):
    class Step(Height):
        pass

    Step.smooth = smooth
    model = Place(0.0, 0.0, lambda x, y: torch.where(x + 0.37 * y < 0.11, 0.0, 500.0).double())
    plane = le.Plane.random(model, seed=0, normalization="none")
    overshoot = []
    for landscape in le.refine([Step()], plane, resolution=33, tolerance=0.05):
        values = landscape["height"].values
        overshoot.append(bool(values.min() < 0 or values.max() > 500))
    assert any(overshoot) == smooth
