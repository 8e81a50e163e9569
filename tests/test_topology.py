"""Basins, saddles and roughness of surfaces, against known critical points, component counting and GUDHI."""

import itertools

import gudhi
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from scipy import ndimage
from torch import nn

import landscape_engine as le
from landscape_engine import topology
from landscape_engine.metrics import Accuracy, Loss, MetricPipeline

DIMS = ("alpha", "beta", "gamma")
CELLS = {"all": "top_dimensional_cells", "axes": "vertices"}  # of GUDHI's cubical complexes


def surface(values, dims=DIMS, **coords):
    values = np.asarray(values, dtype=float)
    return xr.DataArray(values, coords, dims[: values.ndim], name="loss")


def two_wells(count=61):
    """3 x^4 - 4 x^3 - 12 x^2 + 5 y^2: minima -5 at (-1, 0) and -32 at (2, 0), a saddle 0 at (0, 0)."""
    x, y = np.linspace(-2, 4, count), np.linspace(-1, 2, count)
    alpha, beta = np.meshgrid(x, y, indexing="ij")
    return surface(3 * alpha**4 - 4 * alpha**3 - 12 * alpha**2 + 5 * beta**2, alpha=x, beta=y)


def mueller_brown(count=201):
    """The potential of Mueller and Brown 1979."""
    x, y = np.linspace(-1.5, 1.2, count), np.linspace(-0.3, 2.0, count)
    alpha, beta = np.meshgrid(x, y, indexing="ij")
    height, x0, y0 = (-200, -100, -170, 15), (1, 0, -0.5, -1), (0, 0.5, 1.5, 1)
    a, b, c = (-1, -1, -6.5, 0.7), (0, 0, 11, 0.6), (-10, -10, -6.5, 0.7)
    terms = zip(height, a, b, c, x0, y0, strict=True)
    value = sum(
        h * np.exp(p * (alpha - u) ** 2 + q * (alpha - u) * (beta - v) + r * (beta - v) ** 2)
        for h, p, q, r, u, v in terms
    )
    return surface(value, alpha=x, beta=y)


def random_surfaces():
    """Of one, two and three dims; some with ties, some with holes of NaN and infinity."""
    rng = np.random.default_rng(0)
    for shape in [(40,), (1,), (9, 7), (12, 15), (1, 8), (4, 5, 3)]:
        for ties, holes in itertools.product((False, True), repeat=2):
            values = rng.normal(size=shape)
            values = np.round(2 * values) if ties else values
            if holes:
                values[rng.random(shape) < 0.2] = np.nan
                values[rng.random(shape) < 0.1] = np.inf
            if np.isfinite(values).any():
                yield surface(values)


def ordered(pairs):
    return pairs[np.lexsort(np.transpose(pairs))]


def by_gudhi(values, neighbors, dimension=0):
    """Persistence pairs of the cubical complex of a surface, without what is infinitely high."""
    filled = np.where(np.isfinite(values), values, np.inf)
    complex_ = gudhi.CubicalComplex(**{CELLS[neighbors]: filled})
    complex_.compute_persistence()
    pairs = complex_.persistence_intervals_in_dimension(dimension).reshape(-1, 2)
    return ordered(pairs[np.isfinite(pairs[:, 0])])


def components(mask, neighbors):
    structure = ndimage.generate_binary_structure(mask.ndim, mask.ndim if neighbors == "all" else 1)
    return ndimage.label(mask, structure)[0]


def around(node, shape, neighbors):
    """Indices of the neighbors of a node, one by one."""
    for step in itertools.product((-1, 0, 1), repeat=len(shape)):
        if any(step) and (neighbors == "all" or sum(map(abs, step)) == 1):
            other = tuple(i + s for i, s in zip(node, step, strict=True))
            if all(0 <= i < n for i, n in zip(other, shape, strict=True)):
                yield other


class Sine(nn.Module):
    """Bends the loss up and down again, so that it has several basins."""

    def forward(self, inputs):
        return torch.sin(inputs)


@pytest.fixture(scope="module")
def refined():
    """Loss and accuracy of a small network; the loss drives."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(2, 8), Sine(), nn.Linear(8, 3)).double()
    inputs, targets = torch.randn(40, 2, dtype=torch.float64), torch.randint(0, 3, (40,))
    pipeline = MetricPipeline([Loss(F.cross_entropy, inputs, targets), Accuracy(inputs, targets)])
    plane = le.Plane.random(model, "none", seed=1, extent=3.0)
    *_, landscape = le.refine(pipeline, plane, resolution=65, tolerance=0.02, scale="log")
    return landscape


def test_two_wells_have_one_saddle_of_the_known_height():
    tree = topology.merge_tree(two_wells())
    deep, shallow = tree.minima
    (saddle,) = tree.saddles
    assert deep.coordinates == pytest.approx({"alpha": 2, "beta": 0})
    assert shallow.coordinates == pytest.approx({"alpha": -1, "beta": 0})
    assert saddle.coordinates == pytest.approx({"alpha": 0, "beta": 0}, abs=1e-12)
    assert (deep.value, shallow.value, saddle.value) == pytest.approx((-32, -5, 0), abs=1e-12)
    assert (deep.persistence, shallow.persistence) == (np.inf, pytest.approx(5))
    assert (deep.depth, shallow.depth) == pytest.approx((32, 5))
    assert (set(saddle.basins), saddle.ends, saddle.into) == ({0, 1}, 1, 0)
    np.testing.assert_allclose(tree.pairs, [[-32, np.inf], [-5, 0]], atol=1e-12)


def test_the_basins_of_two_wells_are_parted_at_the_saddle():
    basins = topology.merge_tree(two_wells()).basins
    assert (basins.sel(alpha=slice(0.05, None)) == 0).all()
    assert (basins.sel(alpha=slice(None, -0.05)) == 1).all()


def test_the_potential_of_mueller_and_brown_has_its_three_minima_and_two_saddles():
    tree = topology.merge_tree(mueller_brown())
    expected = [
        ((-0.558224, 1.441726), -146.6995, np.inf, -40.6648 + 146.6995),
        ((0.623499, 0.028038), -108.1667, -40.6648 + 108.1667, -72.2489 + 108.1667),
        ((-0.050011, 0.466694), -80.7678, -72.2489 + 80.7678, -72.2489 + 80.7678),
    ]
    assert len(tree.minima) == 3 and len(tree.saddles) == 2
    for minimum, (where, value, persistence, depth) in zip(tree.minima, expected, strict=True):
        assert tuple(minimum.coordinates.values()) == pytest.approx(where, abs=0.015)
        assert (minimum.value, minimum.persistence, minimum.depth) == pytest.approx(
            (value, persistence, depth), abs=0.3
        )
    low, high = tree.saddles
    assert tuple(low.coordinates.values()) == pytest.approx((0.212487, 0.292988), abs=0.03)
    assert tuple(high.coordinates.values()) == pytest.approx((-0.822002, 0.624313), abs=0.03)
    assert (low.value, high.value) == pytest.approx((-72.2489, -40.6648), abs=0.3)
    assert (set(low.basins), low.ends, low.into) == ({1, 2}, 2, 1)
    assert (set(high.basins), high.ends, high.into) == ({0, 2}, 1, 0)  # the third lies between the two


def test_a_shallow_minimum_joins_the_basin_it_spills_into():
    tree = topology.merge_tree(mueller_brown())
    simple = tree.simplified(20.0)
    assert [m.value for m in simple.minima] == [m.value for m in tree.minima[:2]]
    assert simple.minima[1].depth == simple.minima[1].persistence == tree.minima[1].persistence
    xr.testing.assert_equal(simple.basins, tree.basins.where(tree.basins != 2, 1))
    assert set(simple.saddles[0].basins) == {0, 1}
    tree = topology.merge_tree(surface([-10, -1, -5, 0, -3]))
    assert tree.simplified(3).basins.values.tolist()[-1] == 1  # its neighbor, not the deepest, which ends it too
    assert tree.simplified(2.9).basins.values.tolist()[-1] == 2
    assert tree.simplified(4).basins.values.tolist() == [0] * 5


@pytest.mark.parametrize("neighbors", CELLS)
def test_pairs_are_those_of_counting_components_at_every_two_levels(neighbors):
    for landscape in random_surfaces():
        values = landscape.values
        pairs = topology.merge_tree(landscape, neighbors=neighbors).pairs
        levels = np.unique(values[np.isfinite(values)])
        labels = [components(values <= level, neighbors) for level in levels]
        for i, j in itertools.combinations_with_replacement(range(0, len(levels), max(1, len(levels) // 20)), 2):
            alive = len(np.unique(labels[j][values <= levels[i]]))
            assert alive == ((pairs[:, 0] <= levels[i]) & (pairs[:, 1] > levels[j])).sum()


@pytest.mark.parametrize("neighbors", CELLS)
def test_pairs_are_those_of_gudhi(neighbors):
    for landscape in [*random_surfaces(), two_wells(), mueller_brown(81)]:
        pairs = topology.merge_tree(landscape, neighbors=neighbors).pairs
        np.testing.assert_array_equal(ordered(pairs), by_gudhi(landscape.values, neighbors))


@pytest.mark.parametrize("neighbors", CELLS)
def test_basins_and_hills_of_computed_landscapes_are_those_of_gudhi(neighbors, refined):
    for name in ("loss", "accuracy"):  # the accuracy has ties, and gaps where it was not computed
        values = refined[name]
        pairs = topology.merge_tree(values, neighbors=neighbors).pairs
        np.testing.assert_array_equal(ordered(pairs), by_gudhi(values.values, neighbors))
        assert len(pairs) > 1
        assert_equal_hills(values, neighbors)


@pytest.mark.parametrize("neighbors", CELLS)
def test_roughness_is_the_total_persistence_that_gudhi_finds(neighbors):
    for landscape in random_surfaces():
        if landscape.ndim < 3:
            assert_equal_hills(landscape, neighbors)


def assert_equal_hills(landscape, neighbors):
    found = topology.smoothness(landscape, neighbors=neighbors)
    dimensions = range(landscape.ndim)
    births, deaths = np.concatenate([by_gudhi(landscape.values, neighbors, d) for d in dimensions]).T
    heights = (deaths - births)[np.isfinite(deaths)]
    finite = landscape.values[np.isfinite(landscape.values)]
    assert found.roughness == pytest.approx(heights.sum() / np.ptp(finite) if np.ptp(finite) else 0)
    assert found.basins + found.hills == np.isfinite(heights).sum() + np.isinf(by_gudhi(landscape, neighbors)).sum()


@pytest.mark.parametrize("neighbors", CELLS)
def test_each_node_belongs_to_the_minimum_below_it(neighbors):
    values = np.random.default_rng(1).normal(size=(11, 14))
    values[3:6, 7] = np.nan
    tree = topology.merge_tree(surface(values), neighbors=neighbors)
    assert (tree.basins.values == -1).tolist() == np.isnan(values).tolist()
    for node in np.argwhere(np.isfinite(values)):
        here = tuple(node)
        while True:
            lower = [n for n in around(here, values.shape, neighbors) if values[n] < values[here]]
            if not lower:
                break
            here = min(lower, key=lambda n: values[n])
        minimum = tree.minima[int(tree.basins.values[tuple(node)])]
        assert tuple(minimum.coordinates.values()) == here


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.5])
def test_the_depth_is_the_climb_to_the_lowest_way_out_however_simplified(threshold):
    values = np.random.default_rng(2).normal(size=(12, 13))
    full = topology.merge_tree(surface(values))
    tree = full.simplified(threshold)
    np.testing.assert_array_equal(tree.pairs, [p for p in full.pairs if p[1] - p[0] > threshold])
    assert len(tree.saddles) == len(tree.minima) - 1
    basins = tree.basins.values
    for label, minimum in enumerate(tree.minima):
        assert minimum.value == values[basins == label].min()
        assert components(basins == label, "all").max() == 1
        exits = [
            max(values[tuple(node)], values[other])
            for node in np.argwhere(basins == label)
            for other in around(tuple(node), values.shape, "all")
            if basins[other] != label
        ]
        assert minimum.depth == min(exits) - minimum.value


def test_what_an_error_makes_is_gone_at_twice_the_error():
    landscape, error = mueller_brown(81), 1.0
    wrong = landscape + np.random.default_rng(4).uniform(-error, error, landscape.shape)
    tree, simple = topology.merge_tree(wrong), topology.merge_tree(wrong).simplified(2 * error)
    assert len(tree.minima) > 3 == len(simple.minima)
    np.testing.assert_allclose(simple.pairs, topology.merge_tree(landscape).pairs, rtol=0, atol=error)


def test_simplifying_in_steps_is_simplifying_at_once():
    full = topology.merge_tree(surface(np.random.default_rng(3).normal(size=(20, 20))))
    steps, once = full.simplified(0.4).simplified(1.1), full.simplified(1.1)
    assert (steps.minima, steps.saddles) == (once.minima, once.saddles)
    xr.testing.assert_identical(steps.basins, once.basins)
    assert full.simplified(0.0).saddles == full.saddles


def test_neither_the_order_nor_the_sense_of_the_dims_matters():
    landscape = np.round(mueller_brown(41) / 20)  # with ties
    landscape = landscape + (landscape.alpha > 0.5)
    tree, turned = topology.merge_tree(landscape), topology.merge_tree(landscape.transpose("beta", "alpha"))
    assert turned.basins.dims == ("beta", "alpha")
    assert (tree.minima, tree.saddles) == (turned.minima, turned.saddles)
    xr.testing.assert_identical(tree.basins, turned.basins.transpose("alpha", "beta"))
    assert topology.smoothness(landscape) == topology.smoothness(landscape.T)
    mirrored = topology.merge_tree(landscape.isel(alpha=slice(None, None, -1)))
    np.testing.assert_array_equal(ordered(mirrored.pairs), ordered(tree.pairs))


def test_a_bowl_has_one_basin_and_no_roughness():
    x = np.linspace(-1, 1, 33)
    for values in (x**2, x[:, None] ** 2 + x**2, x[:, None] ** 2 + 3 * x**2 - x[:, None] * x, np.hypot(x[:, None], x)):
        tree = topology.merge_tree(surface(values))
        assert [m.persistence for m in tree.minima] == [m.depth for m in tree.minima] == [np.inf]
        assert tree.saddles == () and (tree.basins == 0).all()
        assert topology.smoothness(surface(values)) == topology.Smoothness(0.0, 1, 0, 0.0)


def test_a_constant_surface_is_one_basin():
    for shape in ((5,), (6, 4), (1, 1)):
        tree = topology.merge_tree(surface(np.full(shape, 2.0)))
        assert len(tree.minima) == 1 and (tree.basins == 0).all() and tree.minima[0].value == 2
        assert topology.smoothness(surface(np.full(shape, 2.0))).roughness == 0


def test_a_flat_bottom_is_one_minimum_whatever_its_form():
    u = [[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]
    for landscape in (surface(u), surface(u[::-1])):
        for neighbors in CELLS:
            assert len(topology.merge_tree(landscape, neighbors=neighbors).minima) == 1


def test_a_hill_counts_from_its_top_to_where_it_is_enclosed():
    x = np.linspace(-2, 2, 41)
    ring = np.abs(np.maximum(np.abs(x[:, None]), np.abs(x)) - 1)  # a moat of height 0 around a top of height 1
    assert topology.smoothness(surface(ring)) == topology.Smoothness(pytest.approx(1.0), 1, 1, 0.0)
    breached = np.where((x[:, None] > 0) & (np.abs(x) < 0.05), np.maximum(ring, 0.75), ring)
    assert topology.smoothness(surface(breached)).roughness == pytest.approx(0.25)
    assert topology.smoothness(surface(breached), threshold=0.3).hills == 0


def test_roughness_on_a_line_is_that_of_its_barriers():
    found = topology.smoothness(surface([4, 0, 3, 1, 5, 4, 10]))
    assert found == topology.Smoothness((2 + 1) / 10, 3, 0, 1.5)
    assert topology.smoothness(surface([4, 0, 3, 1, 5, 4, 10]), threshold=1) == topology.Smoothness(0.2, 2, 0, 2.0)


def test_rougher_surfaces_have_larger_roughness_in_any_units():
    x = np.linspace(-1, 1, 65)
    bowl = x[:, None] ** 2 + x**2
    ripple = np.sin(20 * x[:, None]) * np.sin(20 * x)
    found = [topology.smoothness(surface(bowl + a * ripple)).roughness for a in (0, 0.05, 0.1, 0.2, 0.5)]
    assert found == sorted(found) and found[0] == 0 and len(set(found)) == 5
    scaled = topology.smoothness(surface(3 - 7 + 50 * (bowl + 0.2 * ripple))).roughness
    assert scaled == pytest.approx(found[3], rel=1e-9)


def test_a_wall_of_nan_parts_a_surface_into_pieces():
    values = np.add.outer(np.arange(-3.0, 4) ** 2, np.arange(-2.0, 3) ** 2)
    values[3] = np.nan
    values[6, 4] = np.inf
    values[0, 0] = -np.inf
    tree = topology.merge_tree(surface(values))
    assert [m.persistence for m in tree.minima] == [np.inf, np.inf] and tree.saddles == ()
    assert set(np.unique(tree.basins[:3])) == {-1, 0} and set(np.unique(tree.basins[4:])) == {-1, 1}
    assert (tree.basins == -1).sum() == 7
    assert topology.smoothness(surface(values)).roughness == 0


def test_a_narrow_oblique_valley_is_one_basin_where_diagonal_neighbors_count():
    x = np.linspace(-1, 1, 21)
    valley = 100 * (x[:, None] - x) ** 2 + (x[:, None] + x) ** 2
    assert len(topology.merge_tree(surface(valley)).minima) == 1
    assert len(topology.merge_tree(surface(valley), neighbors="axes").minima) > 1


def test_a_logarithmic_scale_changes_heights_and_no_basin(refined):
    linear, log = (topology.merge_tree(refined, "loss", scale) for scale in ("linear", "log"))
    assert {tuple(m.coordinates.items()) for m in linear.minima} == {tuple(m.coordinates.items()) for m in log.minima}
    assert [s.coordinates for s in linear.saddles] == [s.coordinates for s in log.saddles]
    for minimum, (birth, _) in zip(log.minima, log.pairs, strict=True):
        assert minimum.value == refined["loss"].sel(minimum.coordinates) == pytest.approx(np.exp(birth))
    for saddle in log.saddles:
        ended = log.minima[saddle.ends]
        assert ended.persistence == pytest.approx(np.log(saddle.value / ended.value))


def test_the_estimated_error_of_a_landscape_says_which_basins_are_real(refined):
    tree = topology.merge_tree(refined, "loss", "log")
    assert tree.error == refined["loss_error"].max() > 0
    assert len(tree.minima) > len(tree.simplified().minima) > 1
    assert tree.simplified().minima == tree.simplified(2 * tree.error).minima
    assert topology.smoothness(refined, "loss", "log", threshold=None).basins == len(tree.simplified().minima)
    with pytest.raises(le.ChoiceError, match="threshold must be a number.*linear scale"):
        topology.merge_tree(refined, "loss").simplified()
    whole = refined[["loss"]].assign(loss_error=0 * refined["loss_error"])
    assert topology.merge_tree(whole).error == 0


def test_a_landscape_that_was_cut_off_is_judged_by_what_is_left_of_it(tmp_path):
    model, (inputs, targets) = nn.Linear(2, 2), (torch.eye(2), torch.arange(2))
    loss = Loss(F.cross_entropy, inputs, targets)
    *_, landscape = le.refine(loss, le.Plane.random(model, extent=9.0, seed=1), resolution=33, vmax=0.8, tolerance=0.02)
    le.save(landscape, tmp_path / "run.nc")
    landscape = le.load(tmp_path / "run.nc")
    assert landscape.attrs["vmax"] == landscape["loss_error"].attrs["vmax"] == 0.8
    assert float(landscape["loss"].max()) > 0.8
    assert np.nanmax(topology.merge_tree(landscape).pairs[:, :1]) <= 0.8
    cut = topology.smoothness(landscape["loss"].clip(max=0.8))
    assert topology.smoothness(landscape, threshold=0.0) == cut != topology.smoothness(landscape["loss"])


def test_basins_lie_over_the_landscape_they_are_of(refined, tmp_path):
    tree = topology.merge_tree(refined, "loss", "log")
    le.save(refined.assign(basin=tree.basins), tmp_path / "run.nc")
    again = le.load(tmp_path / "run.nc")
    xr.testing.assert_equal(again["basin"], tree.basins)
    for label, minimum in enumerate(tree.minima):
        assert tree.basins.sel(minimum.coordinates) == label


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"variable": None}, "variable must be one of loss, accuracy"),
        ({"variable": "accuracy"}, "variable must be the metric that drove the refinement"),
        ({"variable": "loss", "scale": "cubic"}, "scale must be one of linear, log, symlog"),
        ({"variable": "loss", "neighbors": "none"}, "neighbors must be one of all, axes"),
    ],
)
def test_a_wrong_choice_is_refused_in_one_sentence(refined, choices, message):
    for function in (topology.merge_tree, topology.smoothness):
        with pytest.raises(le.ChoiceError, match=message):
            function(refined, **choices)


def test_one_metric_is_not_taken_for_another(refined):
    with pytest.raises(le.ChoiceError, match="variable must be 'loss', which the landscape is, or left out, but it is"):
        topology.merge_tree(refined["loss"], "accuracy")
    assert topology.merge_tree(refined["loss"], "loss").pairs.shape == topology.merge_tree(refined["loss"]).pairs.shape


@pytest.mark.parametrize(
    "landscape", [surface(np.full((3, 3), np.nan)), surface(1.0), surface([[0, 1]], ("seed", "t"))]
)
def test_what_is_no_surface_is_refused(landscape):
    with pytest.raises(le.ChoiceError, match="landscape must be"):
        topology.merge_tree(landscape)


@pytest.mark.parametrize("threshold", [-1.0, np.nan, np.inf])
def test_a_threshold_is_a_finite_height(threshold):
    with pytest.raises(le.ChoiceError, match="threshold must be"):
        topology.merge_tree(two_wells()).simplified(threshold)
