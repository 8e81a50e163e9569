"""Curvature at many points: both ends from one Krylov space that starts near those of the nearest point before."""

import itertools
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
from landscape_engine import hessian
from landscape_engine.evaluation import Evaluator, evaluate
from landscape_engine.hessian import lanczos
from landscape_engine.metrics import (
    ConvexityRatio,
    LargestCurvature,
    Loss,
    Metric,
    PrincipalCurvatures,
    SmallestCurvature,
)
from landscape_engine.metrics.neighbors import Neighbors

STEPS, TOLERANCE = 11, 1e-2


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 24), nn.Tanh(), nn.Linear(24, 3)).double()


@pytest.fixture(scope="module")
def loss():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(40, 4, generator=generator, dtype=torch.float64)
    return Loss(F.cross_entropy, inputs, torch.randint(0, 3, (40,), generator=generator))


@pytest.fixture(scope="module")
def plane(net):
    return le.Plane.random(net, seed=1)


@pytest.fixture(scope="module")
def points(plane):
    return list(itertools.product(*plane.axes(STEPS)))


@pytest.fixture(scope="module")
def exact(net, loss, plane, points):
    """All eigenvalues at each point, ascending, of a Hessian that is formed by PyTorch's own transforms."""
    (inputs, targets), names = next(iter(loss.data.batches())), [n for n, _ in net.named_parameters()]
    shapes = [p.shape for p in net.parameters()]

    def value(vector):
        pieces = vector.split([shape.numel() for shape in shapes])
        state = {n: piece.view(shape) for n, piece, shape in zip(names, pieces, shapes, strict=True)}
        return F.cross_entropy(torch.func.functional_call(net, state, (inputs,)), targets)

    matrix = torch.func.jacrev(torch.func.jacrev(value))
    states = [plane.state_at(point) for point in points]
    thetas = [torch.cat([state[n].detach().reshape(-1) for n in names]) for state in states]
    return np.array([np.linalg.eigvalsh(matrix(theta).numpy()) for theta in thetas])


@pytest.fixture
def products(monkeypatch):
    """A list that grows by one with each product."""
    found, plain = [], hessian.HessianOperator.__matmul__
    monkeypatch.setattr(hessian.HessianOperator, "__matmul__", lambda self, v: (found.append(1), plain(self, v))[1])
    return found


def both(loss, tolerance=TOLERANCE):
    return [LargestCurvature(loss, tolerance=tolerance), SmallestCurvature(loss, tolerance=tolerance)]


def ends(found):
    return np.stack([found["lambda_min"], found["lambda_max"]], axis=-1)


def norm(exact):
    return np.abs(exact).max(axis=-1, keepdims=True)


@pytest.mark.parametrize("tolerance", [1e-3, None])
def test_a_map_has_the_ends_of_dense_hessians_within_its_tolerance(loss, plane, points, exact, tolerance):
    found = evaluate(plane, both(loss, tolerance), points)
    assert (np.abs(ends(found) - exact[:, [0, -1]]) <= (tolerance or 1e-10) * norm(exact)).all()


def test_a_rough_map_is_seldom_beyond_its_tolerance_and_never_beyond_the_margin(loss, plane, points, exact):
    error = np.abs(ends(evaluate(plane, both(loss), points)) - exact[:, [0, -1]]) / norm(exact)
    assert (error <= TOLERANCE).mean() > 0.99 and error.max() < lanczos.MARGIN


def test_all_metrics_of_the_ends_share_one_krylov_space_of_few_products(loss, plane, points, products):
    evaluate(plane, both(loss), points)
    of_two, _ = len(products), products.clear()
    evaluate(plane, [*both(loss), ConvexityRatio(loss, tolerance=TOLERANCE)], points)
    assert len(products) == of_two < 18 * len(points)


def test_what_was_found_nearby_saves_products(loss, plane, points, products):
    evaluate(plane, both(loss, 1e-3), points[:44])
    together, _ = len(products), products.clear()
    for point in points[:44]:
        evaluate(plane, both(loss, 1e-3), [point])
    assert together < 0.95 * len(products)


def test_several_eigenvalues_from_each_end_are_found_along_a_map_as_well(loss, plane, points, exact):
    found = evaluate(plane, PrincipalCurvatures(loss, 3), points[:22])["principal_curvatures"]
    expected = exact[:22, [-1, -2, -3, 2, 1, 0]]
    assert (np.abs(found - expected) <= 1e-9 * norm(exact[:22])).all()


def test_values_depend_on_the_order_of_points_no_more_than_the_tolerance_says(loss, plane, points):
    kinds, some = both(loss, 1e-3), points[::3]
    forward = ends(evaluate(plane, kinds, some))
    for order in (np.arange(len(some))[::-1], np.random.default_rng(0).permutation(len(some))):
        other = ends(evaluate(plane, kinds, [some[k] for k in order]))
        assert (np.abs(other - forward[order]) <= 1e-3 * norm(forward[order])).all()
    alone = np.array([ends(evaluate(plane, kinds, [point]))[0] for point in some[::4]])
    assert (np.abs(alone - forward[::4]) <= 1e-3 * norm(alone)).all()


def test_the_same_points_in_the_same_order_give_the_same_numbers(loss, plane, points):
    first, second = (ends(evaluate(plane, both(loss), points[:30])) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_evaluators_share_nothing_though_their_metrics_are_the_same(loss, plane, points):
    kinds = both(loss)
    ways = [points[:40], points[40:80][::-1]]
    alone = [ends(evaluate(plane, kinds, way)) for way in ways]

    evaluators = [Evaluator(plane, kinds) for _ in ways]
    turns = [[evaluator(way[k]) for evaluator, way in zip(evaluators, ways, strict=True)] for k in range(40)]
    for mine, expected in zip(zip(*turns, strict=True), alone, strict=True):
        values = [[found["lambda_min"].value, found["lambda_max"].value] for found in mine]
        np.testing.assert_array_equal(values, expected)

    found = {}
    threads = [
        threading.Thread(target=lambda k=k, way=way: found.update({k: ends(evaluate(plane, kinds, way))}))
        for k, way in enumerate(ways)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, expected in enumerate(alone):
        np.testing.assert_array_equal(found[k], expected)
    assert plane.model.memory is None


def numbers(*values):
    """A model whose parameters are these numbers."""
    layer = nn.Linear(len(values), 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([values], dtype=torch.float64))
    return layer


class Switching(Metric):
    """theta.H.theta / 2, where H is one matrix where the first parameter is negative and another one elsewhere."""

    name = "switching"

    def __init__(self, *matrices):
        self.matrices = [torch.from_numpy(m) for m in matrices]

    def __call__(self, model_wrapper):
        theta = model_wrapper.parameters["weight"].reshape(-1)
        return theta @ self.matrices[int(theta[0] >= 0)] @ theta / 2


def matrix(size, seed, largest, smallest, blocks=False):
    """A bulk of both signs and, if ``blocks``, in each half of the rows an outlier; else both along random vectors."""
    random = np.random.default_rng(seed)
    basis = np.linalg.qr(random.normal(size=(size, size)))[0]
    if blocks:
        half = size // 2
        basis = np.zeros((size, size))
        basis[:half, :half] = np.linalg.qr(random.normal(size=(half, half)))[0]
        basis[half:, half:] = np.linalg.qr(random.normal(size=(size - half, size - half)))[0]
    values = random.uniform(-1, 1, size)
    values[0], values[-1], values[1], values[-2] = *largest, *smallest
    return basis @ np.diag(values) @ basis.T


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("blocks", [False, True])
def test_a_leading_eigenvector_that_changes_places_at_once_is_found(seed, blocks):
    before = matrix(300, seed, (9, 4), (-6, -3), blocks)
    after = matrix(300, seed, (7, 9), (-3, -6), blocks)  # in the other block, orthogonal to those before
    metric = Switching(before, after)
    start, end = np.zeros((2, 300))
    start[0], end[0] = -1, 1
    line = le.Line.between(numbers(*start), numbers(*end))
    evaluator = Evaluator(line, both(metric))
    for t in (0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8):
        found = {name: estimate.value for name, estimate in evaluator([t]).items()}
        assert abs(found["lambda_max"] - 9) < 0.09 and abs(found["lambda_min"] + 6) < 0.09


def operator_of(matrix):
    model = le.wrap_model(numbers(*np.ones(len(matrix))))
    return LargestCurvature(Switching(matrix, matrix)).operator(model)


@pytest.mark.parametrize("end", [1, -1])
@pytest.mark.parametrize("seed", range(12))
def test_what_lies_beyond_the_end_that_was_handed_over_is_seen(seed, end):
    size = 400
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]
    values = np.linspace(-0.9, 0.9, size)
    values[:2] = 1.0, 1 / (1 - lanczos.MARGIN)  # the second by just the margin beyond the first
    found = hessian.eigenpairs(
        operator_of(end * basis @ np.diag(values) @ basis.T),
        *((1, 0) if end > 0 else (0, 1)),
        TOLERANCE,
        near=basis.T[:1],
    )
    assert found.converged and abs(found.values[0] - end * values[1]) <= TOLERANCE * values[1]


def test_vectors_handed_over_need_not_be_any_good():
    random = np.random.default_rng(0)
    symmetric = matrix(200, 3, (5, 4), (-3, -2))
    worst = np.linalg.eigh(symmetric)[1].T[100:102]  # eigenvectors of the bulk
    nonsense = np.linalg.qr(random.normal(size=(200, 2)))[0].T
    for near in (worst, nonsense, worst[:1]):
        found = hessian.eigenpairs(operator_of(symmetric), 1, 1, 1e-6, near=near)
        np.testing.assert_allclose(found.values, [5, -3], atol=1e-5)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-8])
def test_residuals_are_those_of_the_vectors(tolerance):
    symmetric = matrix(300, 1, (5, 4), (-3, -2))
    found = hessian.eigenpairs(operator_of(symmetric), 1, 1, tolerance)
    lengths = np.linalg.norm(found.vectors @ symmetric - found.values[:, None] * found.vectors, axis=1)
    assert (lengths <= found.residuals + 1e-12).all() and (found.residuals <= 2 * tolerance * 5).all()
    np.testing.assert_allclose(found.residuals, lengths, atol=1e-9)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(2), atol=1e-10)


def test_an_iteration_that_is_too_short_is_gone_on_with(monkeypatch):
    monkeypatch.setattr(lanczos, "STEPS", 20)
    symmetric = matrix(300, 1, (1.1, 1.0), (-1.1, -1.0))
    operator = operator_of(symmetric)
    found = hessian.eigenpairs(operator, 1, 1, 1e-9)
    assert found.converged and operator.products > 40
    np.testing.assert_allclose(found.values, [1.1, -1.1], atol=1e-8)


def test_the_nearest_point_is_found_and_old_ones_are_forgotten():
    places = [np.full(70, float(k)) for k in range(6)]
    models = [le.wrap_model(numbers(*place)) for place in places]
    neighbors = Neighbors(room=4 * 70)
    assert neighbors.nearest("key", models[0]) is None
    for k, model in enumerate(models):
        neighbors.remember("key", model, np.full((1, 70), float(k)))
    nearest = [neighbors.nearest("key", le.wrap_model(numbers(*(place + 0.2))))[0, 0] for place in places]
    assert nearest == [2, 2, 2, 3, 4, 5]  # there is room for four
    assert neighbors.nearest("another key", models[0]) is None


def test_a_curvature_is_refined_like_any_metric(net, loss):
    kinds, line = both(loss, 1e-4), le.Line.random(net, seed=2)
    *_, whole = le.refine(kinds, line, resolution=129, tolerance=0)
    for drive in ("lambda_max", "lambda_min"):
        *_, refined = le.refine(kinds, line, resolution=129, tolerance=0.01, drive=drive)
        assert int(refined["evaluated"].sum()) <= 65
        error = np.abs(refined[drive] - whole[drive])
        assert float(error.max()) < 0.02 * float(whole[drive].max() - whole[drive].min())
