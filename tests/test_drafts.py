"""Drafts on fewer examples or in lower precision, against surfaces known everywhere."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr

import landscape_engine as le
import oracle
import sample_models
from landscape_engine.metrics import Accuracy, GradientNorm, Loss, Metric
from landscape_engine.metrics.elsewhere import on_subset
from landscape_engine.refinement import drafting, run
from landscape_engine.refinement.drafts import _interpolated, anchors


@pytest.fixture(scope="module")
def spirals():
    """A small network: its loss, a plane, and the loss at every one of 65 x 65 nodes."""
    sample = sample_models.load("spirals_mlp")
    loss, plane = Loss(sample.loss_function, *sample.train), le.Plane.random(sample.model, seed=0)
    *_, landscape = le.refine(loss, plane, resolution=65, tolerance=0)
    return loss, plane, landscape["loss"].values


PATIENT = {"resolution": 65, "strategy": "loop", "interval": 1e9}
EAGER = PATIENT | {"interval": 0}


def story(landscape):
    return json.loads(landscape.attrs["provenance"])


def regression():
    generator = torch.Generator().manual_seed(5)
    x, y = torch.randn(17, 3, generator=generator), torch.randn(17, 1, generator=generator)
    model = torch.nn.Linear(3, 1, bias=False)
    torch.nn.init.constant_(model.weight, 0.3)
    return model, x, y


def test_a_parabola_refined_in_float64_says_so_and_keeps_its_directions():
    model, x, y = regression()
    line, loss = le.Line.random(model, normalization="model", seed=3), Loss(F.mse_loss, x, y)
    *_, landscape = le.refine(loss, line, resolution=33, tolerance=0, precision="float64")
    theta, d = (v["weight"].double().numpy().ravel() for v in (line.origin, line.directions[0]))
    rows, targets, a = x.double().numpy(), y.double().numpy().ravel(), landscape["alpha"].values
    slope = oracle.least_squares_gradient(theta, rows, targets) @ d
    parabola = oracle.least_squares(theta, rows, targets) + a * slope
    parabola = parabola + a**2 * (d @ oracle.least_squares_hessian(rows) @ d) / 2
    np.testing.assert_allclose(landscape["loss"], parabola, rtol=1e-12)
    *_, plain = le.refine(loss, line, resolution=33, tolerance=0)
    assert story(landscape)["precision"] == "float64" and story(plain)["precision"] == "float32"
    same = ("subspace", "model", "data")
    assert [story(landscape)[k] for k in same] == [story(plain)[k] for k in same]


def test_a_difference_of_second_degree_is_put_right_by_nine_nodes():
    a, b = np.meshgrid(np.linspace(-1, 1, 65), np.linspace(-1, 1, 65), indexing="ij")
    difference, known = 1 + a - 2 * b + a * b + a**2, np.zeros((65, 65), dtype=bool)
    known[::32, ::32] = True
    found, error = _interpolated(np.where(known, difference, np.nan), known, 32)
    np.testing.assert_allclose(found, difference, atol=1e-12)
    assert not error[known].any() and (error[~known] > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_error_of_a_difference_covers_what_it_leaves(seed):
    a, b = np.meshgrid(np.linspace(-1, 1, 65), np.linspace(-1, 1, 65), indexing="ij")
    refiner, shares = le.Refiner((65, 65), seed=seed), np.random.default_rng(seed).normal(size=(4, 4))
    difference = sum(shares[i, j] * np.sin((i + 1) * a + j) * np.cos(j * b + i) for i in range(4) for j in range(4))
    known = anchors(refiner)
    assert known.sum() == 17 and known[::32, ::32].all() and not known[1::2].any()
    found, error = _interpolated(np.where(known, difference, np.nan), known, 32)
    off = np.abs(found - difference)
    assert np.mean(error[~known] >= off[~known] / 2) >= 0.99
    assert off.max() / 2 <= error.max() <= 2 * np.abs(difference[known]).max()


OPTIONS = {"subset": {"subset": 200}, "bfloat16": {"precision": "bfloat16"}}
OPTIONS["both"] = OPTIONS["subset"] | OPTIONS["bfloat16"]


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_drafts_are_whole_and_their_errors_cover_the_truth(kind, scale, spirals):
    loss, plane, truth = spirals
    change = np.asarray if scale == "linear" else np.log
    known, span = change(truth), np.ptp(change(truth))
    seen = itertools.islice(le.refine(loss, plane, scale=scale, **EAGER, **OPTIONS[kind]), 0, 161, 20)
    drafts = [landscape for landscape in seen if "draft" in landscape.attrs]
    assert drafts[0]["evaluated"].sum() == 17 and drafts[0]["drafted"].sum() == 81
    assert drafts[-1]["evaluated"].sum() > 30 and drafts[-1]["drafted"].sum() > 100
    for draft in drafts:
        computed, error = draft["evaluated"].values, draft["loss_error"].values
        np.testing.assert_allclose(draft["loss"].values[computed], truth[computed], rtol=1e-5)
        off = np.abs(change(draft["loss"].values) - known)
        assert np.isfinite(off).all() and not error[computed].any()
        assert draft["loss_error"].attrs["range"] == pytest.approx(span, rel=0.3)
        assert np.mean(error[~computed] >= off[~computed] / 2) >= 0.99
        assert error.max() >= off.max() / 2


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_draft_leaves_no_trace_in_the_last_landscape(kind, spirals):
    loss, plane, _ = spirals
    *_, final = le.refine(loss, plane, **PATIENT, **OPTIONS[kind])
    *_, plain = le.refine(loss, plane, **PATIENT)
    xr.testing.assert_identical(final.drop_attrs(), plain.drop_attrs())
    assert final.attrs.keys() == plain.attrs.keys()
    assert story(final)["draft"]["state"] == "replaced" and "draft" not in story(plain)


def test_a_stopped_draft_says_what_it_is(spirals):
    loss, plane, truth = spirals
    landscape = next(iter(le.refine(loss, plane, resolution=65, subset=300)))
    assert landscape.attrs["draft"] == "300 of 600 examples"
    said = story(landscape)["draft"]
    assert said["subset"] == 300 and said["state"] == "part of this landscape" and said["nodes"] == 81
    fewer = on_subset([loss], 300)
    both = np.argwhere(landscape["evaluated"].values)
    alpha, beta = plane.axes(65)
    own = le.evaluate(plane, fewer, [(alpha[i], beta[j]) for i, j in both])["loss"]
    off = truth[tuple(both.T)] - own
    assert said["difference"]["largest"] == pytest.approx(np.abs(off).max(), rel=1e-4)
    assert said["difference"]["rms"] == pytest.approx(np.sqrt(np.mean(off**2)), rel=1e-4)


def test_a_draft_of_a_metric_that_is_not_smooth_keeps_what_was_drafted(spirals):
    class Rough(Loss):
        smooth = False

    loss, plane, _ = spirals
    sample = sample_models.load("spirals_mlp")
    rough = Rough(sample.loss_function, *sample.train)
    drawn = [next(iter(le.refine(m, plane, resolution=65, subset=300, drive="loss")))["loss"] for m in (loss, rough)]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("stop", [0, 30, 110])
def test_what_is_resumed_from_a_draft_takes_true_values_only(stop, spirals, tmp_path):
    loss, plane, _ = spirals
    stopped = next(itertools.islice(le.refine(loss, plane, subset=300, **EAGER), stop, None))
    assert "draft" in stopped.attrs
    le.save(stopped, tmp_path / "draft.nc")
    loaded, total = le.load(tmp_path / "draft.nc"), []
    *_, plain = le.refine(loss, plane, **PATIENT)
    for more in ({}, {"subset": 300}):
        seen = []
        *_, resumed = le.refine(loss, plane, start=loaded, progress=seen.append, **more, **PATIENT)
        xr.testing.assert_identical(resumed.drop_attrs(), plain.drop_attrs())
        total.append(seen[-1].evaluated + int(loaded["evaluated"].sum()))
    count = int(plain["evaluated"].sum())
    assert total[0] == count and count <= total[1] <= count + 65 * 65 // 25


def test_a_start_with_a_whole_coarse_grid_needs_no_draft(plane, loss):
    first = next(iter(le.refine(loss, plane, resolution=33)))
    *_, final = le.refine(loss, plane, resolution=33, start=first, subset=300)
    assert story(final)["draft"] == {"state": "none", "reason": "the start holds a whole coarse grid"}


@pytest.mark.parametrize(("count", "resolution", "nodes"), [(1, 65, (7, 17)), (3, 9, (35, 125))])
def test_lines_and_cubes_have_drafts_too(count, resolution, nodes, spirals):
    loss, plane, _ = spirals
    directions = le.Cube.random(plane.model, seed=0).directions[:count]
    subspace = (le.Line if count == 1 else le.Cube).from_directions(plane.model, directions)
    options = PATIENT | {"resolution": resolution, "tolerance": 0.05}
    *_, plain = le.refine(loss, subspace, **options)
    first, *_, final = le.refine(loss, subspace, subset=300, **options)
    assert (first["evaluated"].sum(), first["drafted"].sum()) == nodes
    np.testing.assert_array_equal(final["loss"], plain["loss"])


class Norm(Metric):
    """Has no examples."""

    name = "norm"

    def __call__(self, model_wrapper):
        return sum(float((p.double() ** 2).sum()) for p in model_wrapper.parameters.values()) ** 0.5


def test_other_metrics_are_drafted_where_they_have_examples(digits, plane, loss):
    accuracy = Accuracy(*digits.train)
    first = next(iter(le.refine([loss, accuracy, Norm()], plane, resolution=33, subset=300)))
    computed, drafted = first["evaluated"].values, first["drafted"].values
    assert np.array_equal(np.isfinite(first["accuracy"].values), computed | drafted)
    assert np.array_equal(np.isfinite(first["norm"].values), computed)
    alpha, beta = plane.axes(33)
    only = np.argwhere(drafted & ~computed)
    true = le.evaluate(plane, accuracy, [(alpha[i], beta[j]) for i, j in only])["accuracy"]
    found = first["accuracy"].values[tuple(only.T)]
    assert np.abs(found - true).max() < 0.1 and found.max() <= 1


def test_the_whole_set_makes_no_draft(plane, loss):
    seen = list(le.refine(loss, plane, resolution=33, subset=1437))
    assert not any("draft" in s.attrs for s in seen)
    assert story(seen[-1])["draft"]["reason"] == "the subset is all examples"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": 0}, "subset must be a whole number"),
        ({"subset": 2.5}, "subset must be a whole number"),
        ({"precision": "half"}, "precision must be one of model"),
        ({"subset": 10, "drive": "norm"}, "subset must be left out, since metric 'norm' has no examples"),
        ({"precision": "bfloat16", "drive": "norm"}, "precision must be left out, since metric 'norm' has no examples"),
        ({"precision": "bfloat16", "drive": "gradient_norm"}, "made of derivatives"),
    ],
)
def test_what_cannot_be_drafted_is_one_sentence(options, message, plane, loss):
    with pytest.raises(le.ChoiceError, match=message):
        le.refine([loss, Norm(), GradientNorm(loss)], plane, **options)


def test_nothing_is_drafted_where_nothing_is_predicted(digits, loss):
    sphere = le.Sphere(digits.model, radii=(0.1, 0.2), samples=2)
    with pytest.raises(le.ChoiceError, match="cannot be predicted here"):
        le.refine(loss, sphere, subset=10)
    *_, landscape = le.refine(loss, sphere, precision="auto")
    assert "predicted" in story(landscape)["draft"]["reason"]


@pytest.mark.parametrize("more", [{}, {"subset": 300}])
def test_lower_precision_is_drafted_where_it_is_faster_and_near(more, plane, loss, monkeypatch):
    monkeypatch.setattr(drafting, "GAIN", 0.0)
    options = {"resolution": 33, "scale": "log", "precision": "auto", "tolerance": 0.02, **more}
    first = next(iter(le.refine(loss, plane, **options)))
    assert first.attrs["draft"].endswith("bfloat16") and "times as fast" in story(first)["draft"]["bfloat16"]
    assert story(first)["draft"]["precision"] == "bfloat16"


def test_lower_precision_is_refused_where_it_is_slow_or_off(plane, loss, monkeypatch):
    monkeypatch.setattr(drafting, "GAIN", float("inf"))
    *_, slow = le.refine(loss, plane, resolution=33, precision="auto")
    assert "less than inf" in story(slow)["draft"]["bfloat16"] and story(slow)["draft"]["state"] == "none"
    monkeypatch.setattr(drafting, "GAIN", 0.0)
    off = next(iter(le.refine(loss, plane, resolution=33, precision="auto", tolerance=1e-6, subset=300)))
    assert "more than the tolerance" in story(off)["draft"]["bfloat16"]
    assert off.attrs["draft"] == "300 of 1,437 examples"


def test_derivatives_are_drafted_on_a_subset_and_never_in_lower_precision(spirals, monkeypatch):
    monkeypatch.setattr(drafting, "GAIN", 0.0)
    loss, plane, _ = spirals
    options = {"resolution": 17, "tolerance": 0.1, "precision": "auto", "strategy": "loop"}
    *_, alone = le.refine(GradientNorm(loss), plane, **options)
    first = next(le.refine(GradientNorm(loss), plane, subset=300, **options))
    assert story(alone)["draft"] == {"state": "none", "reason": "metric 'gradient_norm' is made of derivatives"}
    assert first.attrs["draft"] == "300 of 600 examples" and first["drafted"].sum() == 81


def test_a_model_that_cannot_be_had_in_lower_precision_is_no_error(loss, plane):
    def strict(model, batch):
        outputs = model(batch[0])
        if outputs.dtype == torch.bfloat16:
            raise RuntimeError("float32 only")
        return outputs

    picky = Loss(F.cross_entropy, data=loss.data._pair, forward=strict)
    *_, landscape = le.refine(picky, plane, resolution=33, precision="auto")
    assert "float32 only" in story(landscape)["draft"]["bfloat16"]
    with pytest.raises(le.EvaluationError, match="float32 only"):
        list(le.refine(picky, plane, resolution=33, precision="bfloat16"))


def test_the_progress_counts_every_evaluation_and_ends_at_what_was_planned(spirals):
    loss, plane, _ = spirals
    seen = []
    *_, final = le.refine(loss, plane, subset=300, progress=seen.append, **PATIENT)
    counts = [p.evaluated for p in seen]
    assert counts == list(range(1, counts[-1] + 1)) and all(p.planned >= p.evaluated for p in seen)
    assert seen[-1].planned == seen[-1].evaluated
    assert counts[-1] == int(final["evaluated"].sum()) + story(final)["draft"]["nodes"]


def test_what_is_left_is_told_by_how_long_points_of_a_draft_and_true_ones_took(spirals, monkeypatch):
    _, plane, _ = spirals
    sample, clock, seen = sample_models.load("spirals_mlp"), [0.0], []

    def timed(outputs, targets):
        clock[0] += len(targets)  # an example takes a second
        return sample.loss_function(outputs, targets)

    monkeypatch.setattr(run, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    loss, every = Loss(timed, *sample.train), len(sample.train[1])
    list(le.refine(loss, plane, subset=100, progress=seen.append, **PATIENT))
    assert {p.pace for p in seen} == {every} and seen[-1].left == 0
    some = [p for p in seen if p.left < every * (p.planned - p.evaluated)]
    assert some and all(p.left >= 100 * (p.planned - p.evaluated) for p in some)
    ahead = {(p.left - 100 * (p.planned - p.evaluated)) / (every - 100) for p in some}
    assert all(count == int(count) > 0 for count in ahead), "whole points, of two kinds"


def test_values_that_are_not_finite_are_no_trouble(spirals):
    loss, plane, truth = spirals
    steepest = float(np.quantile(truth, 0.9))

    class Cut(Metric):
        """Infinite where the loss is large."""

        name, positive = "loss", True

        def __init__(self, loss):
            self.loss, self.data = loss, loss.data

        def __call__(self, model_wrapper):
            value = float(self.loss(model_wrapper))
            return value if value < steepest else float("inf")

    options = {"resolution": 17, "strategy": "loop"}
    *drafts, final = le.refine(Cut(loss), plane, subset=300, interval=0, **options)
    *_, plain = le.refine(Cut(loss), plane, **options)
    assert np.isinf(plain["loss"]).any() and "draft" in drafts[0].attrs
    np.testing.assert_array_equal(final["loss"], plain["loss"])
    assert all(np.isfinite(d["loss_error"]).all() for d in drafts)


def test_a_first_draft_computes_its_nodes_and_tries_no_strategies():
    sample, calls = sample_models.load("spirals_mlp"), itertools.count()

    def counted(outputs, targets):
        next(calls)
        return sample.loss_function(outputs, targets)

    loss, plane = Loss(counted, *sample.train), le.Plane.random(sample.model, seed=0)
    before = next(calls)
    first = next(iter(le.refine(loss, plane, resolution=129, subset=100, interval=0)))
    assert first["evaluated"].sum() == 17
    assert next(calls) - before - 1 == 17 + 81
