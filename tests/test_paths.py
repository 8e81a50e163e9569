"""Paths between two models, against formulas, brute force, and a potential whose passes are known."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import nn

import landscape_engine as le
import odd_models
from known_surfaces import MINIMA, SADDLES, Height, Place, mueller_brown, newton
from landscape_engine import Outcome, paths
from landscape_engine.metrics import Accuracy, Examples, Loss
from landscape_engine.paths.search import Moments

SEARCHES = {
    "bezier": lambda a, b, metric, **options: paths.bezier(a, b, metric, **options),
    "cubic": lambda a, b, metric, **options: paths.bezier(a, b, metric, degree=3, **options),
    "chain": lambda a, b, metric, **options: paths.polygonal_chain(a, b, metric, bends=2, **options),
    "band": lambda a, b, metric, **options: paths.nudged_elastic_band(a, b, metric, cycles=3, **options),
}


def blobs(count=96):
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(count, 4, generator=generator)
    return inputs, (inputs[:, :2].prod(1) > 0).long() + (inputs[:, 2] > 0.5).long()


def train(seed, module, data, steps=150):
    torch.manual_seed(seed)
    model = module()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(data[0]), data[1]).backward()
        optimizer.step()
    return model


def mlp():
    return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3))


@pytest.fixture(scope="module")
def two():
    """Two networks of one task, trained from two seeds, and their loss."""
    data = blobs()
    return train(0, mlp, data), train(1, mlp, data), Loss(F.cross_entropy, *data)


def random_band():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(6, 4, generator=generator, dtype=torch.float64)


def unit(v):
    return v / np.linalg.norm(v)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.0, 1.0, 3.0), lambda after, before: after),  # uphill: toward the next
        ((3.0, 1.0, 0.0), lambda after, before: before),  # downhill: from the one before
        ((0.0, 5.0, 2.0), lambda after, before: 5 * after + 3 * before),  # a summit, the next one higher
        ((2.0, 5.0, 0.0), lambda after, before: 3 * after + 5 * before),
        ((4.0, 1.0, 2.0), lambda after, before: 1 * after + 3 * before),  # a hollow, the one before higher
        ((1.0, 1.0, 1.0), lambda after, before: after + before),  # a plain
    ],
)
def test_the_tangent_looks_to_the_higher_neighbor(values, expected):
    p = random_band()[:3]
    (found,) = paths.tangents(p, torch.tensor(values, dtype=torch.float64)).numpy()
    after, before = (p[2] - p[1]).numpy(), (p[1] - p[0]).numpy()
    np.testing.assert_allclose(found, unit(expected(after, before)), rtol=1e-12)


def test_tangents_do_not_jump_where_the_higher_neighbor_changes_sides():
    p = random_band()[:3]
    near = [paths.tangents(p, torch.tensor([2 + e, 5.0, 2 - e], dtype=torch.float64))[0] for e in (1e-9, -1e-9)]
    np.testing.assert_allclose(near[0], near[1], atol=1e-8)


def test_springs_pull_to_the_longer_side_along_the_band_alone():
    p, k = random_band(), 1.7
    directions = paths.tangents(p, torch.arange(6.0, dtype=torch.float64))
    found = paths.spring_forces(p, directions, k).numpy()
    for i in range(1, 5):
        after, before = np.linalg.norm(p[i + 1] - p[i]), np.linalg.norm(p[i] - p[i - 1])
        np.testing.assert_allclose(found[i - 1], k * (after - before) * directions[i - 1].numpy(), rtol=1e-12)


def test_springs_of_a_band_of_equal_pieces_pull_nowhere():
    p = torch.arange(5.0, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 2.0, -1.0]], dtype=torch.float64)
    directions = paths.tangents(p, torch.zeros(5, dtype=torch.float64))
    np.testing.assert_allclose(paths.spring_forces(p, directions, 3.0), 0, atol=1e-15)


def test_the_force_of_the_loss_is_across_the_band_and_turned_round_at_the_climbing_pivot():
    p = random_band()
    directions, slopes = paths.tangents(p, torch.arange(6.0, dtype=torch.float64)), random_band()[1:5].flip(1)
    found = paths.loss_forces(slopes, directions, climbing=2)
    for i in range(4):
        g, tau = slopes[i].numpy(), directions[i].numpy()
        wanted = -g + (2 if i == 2 else 1) * (g @ tau) * tau
        np.testing.assert_allclose(found[i], wanted, rtol=1e-12, atol=1e-14)
        assert (found[i].numpy() @ tau == pytest.approx(0, abs=1e-12)) == (i != 2)


def test_the_band_between_the_deep_minima_passes_the_highest_saddle_of_mueller_and_brown():
    deep, other = (newton(*place) for place in MINIMA[:2])
    band = paths.nudged_elastic_band(Place(*deep), Place(*other), Height(), batch_size=None, steps=600)
    highest = mueller_brown(*newton(*SADDLES[0]))
    assert float(band.profile.max()) == pytest.approx(highest, abs=1e-3)
    pivots = band.path.states["place"].numpy()
    assert np.linalg.norm(pivots - newton(*SADDLES[0]), axis=1).min() < 1e-3
    assert np.linalg.norm(pivots - newton(*SADDLES[1]), axis=1).min() < 0.15  # it bends round the second one as well
    assert band.outcome == Outcome.CONVERGED
    top = band.excess.t[int(band.excess.argmax("t"))]
    ends = [mueller_brown(*deep), mueller_brown(*other)]
    assert band.barrier == pytest.approx(highest - (1 - float(top)) * ends[0] - float(top) * ends[1], rel=0.01)


def test_pivots_are_inserted_where_the_loss_is_badly_told_and_no_more_than_allowed():
    ends = Place(*MINIMA[0]), Place(*MINIMA[1])
    options = {"batch_size": None, "steps": 120, "pivots": 2}
    counts = [len(paths.nudged_elastic_band(*ends, Height(), most_pivots=m, **options).path) - 2 for m in (2, 3, 9)]
    assert counts[0] == 2
    assert counts[1] == 3
    assert counts[1] < counts[2] <= 9
    assert len(paths.nudged_elastic_band(*ends, Height(), insertion=100.0, **options).path) == 4


def hill(x, y, exp=torch.exp):
    """A round hill at (0.1, 0.3) in a shallow bowl."""
    return 3 * exp(-4 * ((x - 0.1) ** 2 + (y - 0.3) ** 2)) + 0.3 * (x**2 + y**2)


def mean_on(points, kind, bend, count=2001):
    """The mean height of a curve from (-1, 0) to (1, 0) with one bend, by brute force."""
    t = np.linspace(0, 1, count)[:, None]
    p, q = np.array([[-1.0, 0.0]]), np.array([[1.0, 0.0]])
    if kind == "bezier":
        z = (1 - t) ** 2 * p + 2 * t * (1 - t) * bend + t**2 * q
    else:
        z = np.where(t < 0.5, (1 - 2 * t) * p + 2 * t * bend, (2 - 2 * t) * bend + (2 * t - 1) * q)
    values = hill(z[:, 0], z[:, 1], np.exp)
    return float(np.trapezoid(values, dx=1 / (count - 1)))


@pytest.mark.parametrize(("kind", "search"), [("bezier", paths.bezier), ("chain", paths.polygonal_chain)])
def test_the_bend_is_where_brute_force_finds_the_smallest_mean(kind, search):
    best = min(
        (minimize(lambda b: mean_on(None, kind, b), start, method="Nelder-Mead") for start in ((0, -1), (0, 2))),
        key=lambda found: found.fun,
    )
    ends = Place(-1.0, 0.0, hill), Place(1.0, 0.0, hill)
    curve = search(*ends, Height(), steps=3000, tolerance=0.0, batch_size=None)
    bend = curve.path.states["place"][1].numpy()
    assert mean_on(None, kind, bend) == pytest.approx(best.fun, rel=1e-3)
    np.testing.assert_allclose(bend, best.x, atol=0.03)


def test_the_straight_line_has_the_barrier_of_a_plain_loop(two):
    a, b, loss = two
    line = paths.straight_line(a, b, loss)
    t = line.profile["t"].values
    values = []
    for share in t:
        moved = copy.deepcopy(a)
        with torch.no_grad():
            for p, q in zip(moved.parameters(), b.parameters(), strict=True):
                p.copy_((1 - share) * p + share * q)
            values.append(F.cross_entropy(moved(blobs()[0]), blobs()[1]).item())
    values = np.array(values)
    np.testing.assert_allclose(line.profile, values, rtol=1e-5)
    assert line.barrier == pytest.approx((values - (1 - t) * values[0] - t * values[-1]).max(), rel=1e-4)
    assert (float(t[0]), float(t[-1]), len(t)) == (0, 1, 61)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_curve_between_two_networks_is_far_lower_than_the_straight_line(two, name):
    a, b, loss = two
    before = [copy.deepcopy(m.state_dict()) for m in (a, b)]
    straight = paths.straight_line(a, b, loss)
    curve = SEARCHES[name](a, b, loss, tolerance=0.05)
    assert straight.barrier > 0.3
    assert curve.barrier <= 0.05 * straight.barrier
    assert curve.outcome == Outcome.CONVERGED
    for t, end in ((0.0, a), (1.0, b)):
        assert all(torch.equal(curve.state_at((t,))[n], p) for n, p in end.state_dict().items())
    for model, state in zip((a, b), before, strict=True):
        assert all(torch.equal(p, state[n]) for n, p in model.state_dict().items())
    found = le.evaluate(curve, Loss(F.cross_entropy, *blobs()), [(t,) for t in curve.profile["t"].values])
    np.testing.assert_allclose(found["loss"], curve.profile, rtol=1e-6)


def test_a_curve_is_a_subspace_that_can_be_refined_and_drawn(two):
    a, b, loss = two
    curve = paths.bezier(a, b, loss, steps=20)
    *_, landscape = le.refine([loss, Accuracy(*blobs())], curve, resolution=33, tolerance=0)
    assert landscape.sizes == {"t": 33}
    assert float(landscape["loss"][-1]) == pytest.approx(F.cross_entropy(b(blobs()[0]), blobs()[1]).item(), rel=1e-5)
    assert "bezier" in landscape.attrs["provenance"]


@pytest.mark.parametrize("name", ["bezier", "cubic", "chain", "band"])
def test_points_of_a_curve_are_those_of_its_formula(two, name):
    a, b, loss = two
    curve = SEARCHES[name](a, b, loss, steps=12, tolerance=0.0)
    p = curve.path.states["0.weight"].double().numpy()
    t = 0.37
    if name in ("bezier", "cubic"):  # de Casteljau's construction
        while len(p) > 1:
            p = np.array([(1 - t) * x + t * y for x, y in pairwise(p)])
        wanted = p[0]
    else:
        k = int(np.searchsorted(curve.knots, t)) - 1
        w = (t - curve.knots[k]) / (curve.knots[k + 1] - curve.knots[k])
        wanted = (1 - w) * p[k] + w * p[k + 1]
    np.testing.assert_allclose(curve.state_at((t,))["0.weight"], wanted, rtol=1e-5, atol=1e-6)


def test_t_of_a_band_is_the_share_of_its_length(two):
    a, b, loss = two
    band = paths.nudged_elastic_band(a, b, loss, steps=20, tolerance=0.0)
    stacked = np.concatenate([band.path.states[n].double().flatten(1).numpy() for n in band.path.states], axis=1)
    lengths = np.linalg.norm(np.diff(stacked, axis=0), axis=1)
    np.testing.assert_allclose(band.knots, [0, *np.cumsum(lengths) / lengths.sum()], rtol=1e-6)
    assert set(band.knots) <= set(band.profile["t"].values)


def test_a_quadratic_bezier_and_its_straight_line_lie_in_its_plane(two):
    a, b, loss = two
    curve = paths.bezier(a, b, loss, steps=30, tolerance=0.0)
    plane = curve.plane()
    for t in (0.0, 0.3, 0.5, 0.8, 1.0):
        fall = plane.project(curve.state_at((t,)))
        assert fall.residual < 1e-5 * max(fall.distance, 1)
    middle = {n: (p + b.state_dict()[n]) / 2 for n, p in a.state_dict().items()}
    assert plane.project(middle).residual < 1e-5 * plane.project(middle).distance
    start, end, bend = plane.facts["points"]
    np.testing.assert_allclose(start, 0, atol=1e-6)
    assert end[0] > 0
    assert bend[1] > 0


def test_the_bend_of_a_band_is_its_pivot_farthest_from_the_straight_line():
    points = [(0.0, 0.0), (1.0, 0.5), (2.0, -2.0), (3.0, 0.1), (4.0, 0.0)]
    curve = le.Curve.polygonal([Place(*p) for p in points])
    assert curve.plane().facts["points"][2] == pytest.approx([2.0, 2.0])
    with pytest.raises(le.ChoiceError, match="between its ends"):
        le.Curve.polygonal([Place(0.0, 0.0), Place(1.0, 0.0)]).plane()


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("at", [1, 20, 47])
def test_a_search_that_is_stopped_and_resumed_ends_where_one_ends_that_is_not(two, name, at):
    a, b, loss = two
    options = {"steps": 60, "tolerance": 0.0, "batch_size": 16, "resolution": 9}
    search, seen = SEARCHES[name], []
    whole = search(a, b, loss, watch=seen.append, **options)
    stopped = search(a, b, loss, watch=lambda step: step.count < at, **options)
    assert stopped.outcome == Outcome.STOPPED
    assert stopped.facts["steps"] == at
    resumed = search(a, b, loss, start=stopped, **options)
    assert resumed.outcome == whole.outcome
    assert [step.count for step in seen] == list(range(1, len(seen) + 1))
    for n, stack in whole.path.states.items():
        assert torch.equal(resumed.path.states[n], stack)


def test_a_band_that_is_stopped_where_it_would_have_converged_has_converged():
    ends = Place(*newton(*MINIMA[0])), Place(*newton(*MINIMA[1]))
    options = {"batch_size": None, "steps": 600, "cycles": 12}
    whole = paths.nudged_elastic_band(*ends, Height(), **options)
    taken = whole.facts["steps"]
    stopped = paths.nudged_elastic_band(*ends, Height(), watch=lambda step: step.count < taken, **options)
    resumed = paths.nudged_elastic_band(*ends, Height(), start=stopped, **options)
    assert whole.outcome == resumed.outcome == Outcome.CONVERGED
    assert resumed.facts["steps"] == taken


def test_what_has_not_converged_says_so_and_raises_only_if_asked_to(two):
    a, b, loss = two
    curve = paths.bezier(a, b, loss, steps=3)
    assert curve.outcome == Outcome.LIMIT
    with pytest.raises(le.SearchError, match="has not converged") as caught:
        paths.bezier(a, b, loss, steps=3, throw=True)
    assert caught.value.outcome == Outcome.LIMIT
    assert caught.value.result.facts["steps"] == 3


def test_a_loss_that_is_not_finite_ends_the_search_with_the_last_finite_curve():
    ends = Place(-1.0, 1.0, lambda x, y: torch.sqrt(x)), Place(1.0, 1.0, lambda x, y: torch.sqrt(x))
    curve = paths.bezier(*ends, Height(), steps=5, batch_size=None)
    assert curve.outcome == Outcome.FAILED
    assert torch.isfinite(curve.path.states["place"]).all()


def test_where_the_loss_is_not_a_number_the_barrier_is_none_and_nothing_converges():
    def dip(x, y):
        return torch.where(x.abs() < 0.1, torch.nan, 1 - x**2) * 1.0

    ends = Place(-1.0, 1.0, dip), Place(1.0, 1.0, dip)
    assert np.isnan(paths.straight_line(*ends, Height()).barrier)
    curve = paths.bezier(*ends, Height(), steps=3, batch_size=None, tolerance=10.0)
    assert np.isnan(curve.barrier)
    assert curve.outcome != Outcome.CONVERGED


def test_there_is_no_curve_beyond_its_ends(two):
    a, b, loss = two
    for curve in (le.Curve.polygonal([a, b]), le.Curve.bezier([a, b])):
        for t in (-0.5, 1.5, float("nan")):
            with pytest.raises(le.ChoiceError, match="t must be between 0 and 1"):
                le.evaluate(curve, loss, [(t,)])


def test_values_that_are_not_finite_are_an_outcome_and_no_wrong_choice(two):
    a, b, loss = two
    broken = copy.deepcopy(b)
    with torch.no_grad():
        broken[0].weight[0, 0] = torch.nan
    for search in SEARCHES.values():
        assert search(a, broken, loss, steps=4).outcome == Outcome.FAILED


def test_a_search_looks_whether_it_is_done_after_its_last_step(two):
    a, b, loss = two
    last = paths.bezier(a, b, loss, steps=59, tolerance=0.0)
    share = 1.001 * last.barrier / paths.straight_line(a, b, loss).barrier
    curve = paths.bezier(a, b, loss, steps=59, tolerance=share)
    assert curve.barrier <= share * paths.straight_line(a, b, loss).barrier
    assert curve.outcome == Outcome.CONVERGED


def test_models_without_a_barrier_need_no_step(two):
    a, _, loss = two
    near = copy.deepcopy(a)
    with torch.no_grad():
        near[2].bias += 0.01  # a loss that is convex along the bias of the last layer has no barrier there
    assert paths.bezier(a, near, loss).facts["steps"] == 0


def normed():
    return nn.Sequential(nn.Linear(4, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3))


def test_batch_norm_statistics_are_re_estimated_along_the_curve():
    data = blobs()
    a, b = (train(seed, normed, data, 60) for seed in (0, 1))
    loss = Loss(F.cross_entropy, *data)
    before = copy.deepcopy(a.state_dict())
    for curve in (paths.straight_line(a, b, loss), paths.bezier(a, b, loss, steps=40, tolerance=0.0)):
        state = curve.state_at((0.5,))
        found = float(curve.profile.sel(t=0.5))
        plain = copy.deepcopy(a)
        plain.load_state_dict(state, strict=False)
        hidden = plain[0](data[0])
        scaled = (hidden - hidden.mean(0)) / torch.sqrt(hidden.var(0, unbiased=True) + plain[1].eps)
        wanted = F.cross_entropy(plain[3](F.relu(scaled * plain[1].weight + plain[1].bias)), data[1]).item()
        assert found == pytest.approx(wanted, rel=1e-5)
    assert all(torch.equal(v, before[n]) for n, v in a.state_dict().items())
    uneven = Loss(F.cross_entropy, *data, batch_size=95)  # the last batch, of one example, has no variance of its own
    assert np.isfinite(paths.straight_line(a, b, uneven, resolution=3).profile).all()
    stored = le.wrap_model(a, batch_norm="batch")  # a policy that was chosen stays
    assert paths.straight_line(stored, b, loss).model.batch_norm == "batch"


def test_batch_norm_statistics_are_those_of_the_inputs_however_a_batch_holds_them():
    inputs, _ = blobs()
    targets = inputs[:, :3] - 5
    a, b = (train(seed, normed, blobs(), 20) for seed in (0, 1))

    class Named(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x, shift):
            return self.inner(x - shift)

    plain = paths.straight_line(a, b, Loss(F.mse_loss, inputs, targets)).profile
    swapped = Loss(F.mse_loss, data=[(targets, inputs)], forward=lambda m, batch: m(batch[1]), targets=lambda b: b[0])
    several = Loss(F.mse_loss, data=[{"target": targets, "x": inputs + 1, "shift": torch.ones(len(inputs), 1)}])
    np.testing.assert_allclose(paths.straight_line(a, b, swapped).profile, plain, rtol=1e-6)
    np.testing.assert_allclose(paths.straight_line(Named(a), Named(b), several).profile, plain, rtol=1e-5)


@pytest.mark.parametrize("name", odd_models.NAMES)
def test_odd_models_have_curves_too(name):
    model, _ = odd_models.build(name)
    dtype = next(iter(model.parameters.values())).dtype
    generator = torch.Generator().manual_seed(2)
    moved = {n: p + 0.3 * torch.randn(p.shape, generator=generator).to(p) for n, p in model.parameters.items()}
    inputs, targets = torch.randn(17, 4, generator=generator).to(dtype), torch.arange(17) % 3
    loss = Loss(F.cross_entropy, inputs, targets)
    for search in (paths.bezier, paths.nudged_elastic_band):
        curve = search(model, model.at(moved), loss, steps=4, batch_size=8, resolution=5, tolerance=0.0)
        assert np.isfinite(curve.profile).all()


def test_losses_that_are_no_mean_over_examples_take_all_of_them(two):
    a, b, _ = two

    def deviation(outputs, targets):
        return F.cross_entropy(outputs, targets) ** 2  # of the mean, not a mean

    loss = Loss(deviation, *blobs(), batch_size=10)
    whole, some = (paths.bezier(a, b, loss, steps=5, batch_size=n, tolerance=0.0) for n in (None, 8))
    assert torch.equal(whole.path.states["0.weight"], some.path.states["0.weight"])


def test_a_minibatch_of_which_no_example_counts_moves_nothing(two):
    a, b, _ = two
    inputs, targets = blobs()
    few = torch.where(torch.arange(len(targets)) < 5, targets, -100)
    curve = paths.bezier(a, b, Loss(F.cross_entropy, inputs, few), steps=30, batch_size=4, tolerance=0.0)
    assert curve.outcome != Outcome.FAILED
    assert curve.facts["steps"] > 0
    assert torch.isfinite(curve.path.states["0.weight"]).all()


def test_a_minibatch_that_is_too_small_for_the_model_is_an_error_that_says_so():
    data = blobs()
    a, b = (train(seed, normed, data, 60) for seed in (0, 1))
    with pytest.raises(le.EvaluationError, match=r"step 1 failed on its minibatch .* Choose batch_size"):
        paths.bezier(a, b, Loss(F.cross_entropy, *data), batch_size=1, tolerance=0.0)


def test_minibatches_take_each_example_once_a_pass_in_an_order_that_changes():
    examples = Examples((torch.arange(10), torch.arange(10)))
    passes = [[examples.minibatch(5, 2 * k + i, seed=1)[0].tolist() for i in range(2)] for k in range(3)]
    for batches in passes:
        assert sorted(sum(batches, [])) == list(range(10))
    assert passes[0] != passes[1]
    assert passes[0][1] == examples.minibatch(5, 1, seed=1)[1].tolist()
    assert len(examples.minibatch(100, 7)[0]) == 10
    loader = Examples([(torch.tensor([k]), torch.tensor([k])) for k in range(4)])
    assert sorted(int(loader.minibatch(5, k)[0]) for k in range(4)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, b, loss: paths.bezier(a, b, loss, degree=4), "degree must be 2 or 3"),
        (lambda a, b, loss: paths.polygonal_chain(a, b, loss, bends=0), "bends must be 1 or more"),
        (lambda a, b, loss: paths.nudged_elastic_band(a, b, loss, pivots=0), "pivots must be from 1"),
        (lambda a, b, loss: paths.nudged_elastic_band(a, b, loss, cycles=0), "cycles must be from 1"),
        (lambda a, b, loss: paths.bezier(a, a, loss), "another model than a"),
        (lambda a, b, loss: paths.bezier(a, b, loss, steps=0), "steps must be 1 or more"),
        (lambda a, b, loss: paths.bezier(a, b, loss, learning_rate=0.0), "learning_rate must be greater than 0"),
        (lambda a, b, loss: paths.bezier(a, b, loss, resolution=2), "resolution must be 3 or more"),
        (lambda a, b, loss: paths.bezier(a, nn.Linear(4, 3), loss), "model 2 does not fit the model"),
        (lambda a, b, loss: paths.bezier(a, b, Accuracy(*blobs()), steps=2), "piecewise constant"),
        (
            lambda a, b, loss: paths.bezier(a, b, loss, start=paths.straight_line(a, b, loss)),
            "a curve that this search returned",
        ),
        (
            lambda a, b, loss: paths.bezier(a, b, loss, degree=3, start=paths.bezier(a, b, loss, steps=2)),
            "a curve that this search returned",
        ),
        (
            lambda a, b, loss: paths.polygonal_chain(a, b, loss, start=paths.bezier(a, b, loss, steps=2)),
            "that of another search",
        ),
        (lambda a, b, loss: le.Curve.polygonal([a, b], knots=(0.0, 0.5)), "increase from 0 to 1"),
        (lambda a, b, loss: le.Curve.bezier([a]), "two or more"),
        (lambda a, b, loss: paths.straight_line(a, b, loss, resolution=1), "resolution must be 3 or more"),
        (lambda a, b, loss: paths.bezier(a, b, loss, batch_size=0), "batch_size must be a whole number"),
        (lambda a, b, loss: paths.straight_line(a, b, [loss]), "metric must be a metric of one number"),
        (lambda a, b, loss: paths.bezier(a, b, [loss]), "metric must be a metric of one number"),
        (lambda a, b, loss: le.Curve.bezier([a, b]).excess, "profile must be that of a curve"),
        (lambda a, b, loss: le.Curve.polygonal([a, b, a]).plane(), "the two models are equal"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_a_sentence(two, call, message):
    with pytest.raises(le.LandscapeError, match=message):
        call(*two)


@pytest.mark.parametrize("usual", [torch.float32, torch.bfloat16])
def test_moments_move_points_as_the_optimizer_does(usual):
    generator = torch.Generator().manual_seed(0)
    own, given = torch.ones(7), torch.ones(7, requires_grad=True)
    torch.set_default_dtype(usual)
    try:
        moments, optimizer = Moments.zero(own), torch.optim.Adam([given], lr=0.01)
        for _ in range(300):  # more than bfloat16 can count
            given.grad = torch.randn(7, generator=generator, dtype=torch.float32)
            moments.step(own, given.grad.clone(), 0.01)
            optimizer.step()
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(own, given.detach(), rtol=0, atol=0)
