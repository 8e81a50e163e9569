"""Every metric on every subspace under every normalization for every odd model, against loops without the engine.

What is registered is tested: a new normalization, subspace, metric or model enters by one line.
"""

import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import landscape_engine as le
import odd_models
import oracle
from landscape_engine import metrics
from landscape_engine.metrics import Accuracy, Loss, Metric
from landscape_engine.normalization import NORMALIZATIONS
from landscape_engine.subspaces import Subspace
from parameter_functions import Bowl

COUNT = 17


def data(dtype):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(COUNT, 4, generator=generator).to(dtype)
    return inputs, torch.randint(0, 3, (COUNT,), generator=generator)


METRICS = {
    "loss": lambda x, y, size: Loss(F.cross_entropy, x, y, batch_size=size),
    "accuracy": lambda x, y, size: Accuracy(x, y, batch_size=size),
    "bowl": lambda x, y, size: Bowl(),  # the ancestor's form: a subclass with __call__
}
ELSEWHERE = """
AdaptiveSharpness AlongGradient BetaSmoothness ConvexityRatio CurvaturePositivity ExpectedReturn GradientNorm
GradientPredictiveness Hessian HessianIndex HessianTrace KeskarSharpness LargestCurvature LossGradient
LossPerturbations PrincipalCurvatures RegularizedLoss SAMSharpness SmallestCurvature SpectralDensity
""".split()  # in test_reinforcement, which needs no examples, and in test_hessian, against dense derivatives
EXPECTED = {
    "loss": lambda outputs, y, state: F.cross_entropy(outputs.double(), y).item(),
    "accuracy": lambda outputs, y, state: (outputs.argmax(1) == y).double().mean().item(),
    "bowl": lambda outputs, y, state: oracle.bowl(oracle.as_arrays(state)),
}


def moved(model):
    """The model elsewhere, as the other end of a line."""
    generator = torch.Generator().manual_seed(2)
    return model.at({n: p + torch.randn(p.shape, generator=generator).to(p) for n, p in model.parameters.items()})


def path(model):
    """Two checkpoints: the model, and the model elsewhere."""
    states = {n: torch.stack([p, moved(model).parameters[n]]) for n, p in model.parameters.items()}
    return le.Curve.along(model, le.Trajectory(states, (0, 10)))


SUBSPACES = {
    "line": (le.Line.random, [(0.0,), (0.5,), (-1.0,)]),
    "plane": (le.Plane.random, [(0.0, 0.0), (0.5, -0.5), (-1.0, 0.25)]),
    "cube": (lambda model, n: le.Cube.random(model, n), [(0.0, 0.0, 0.0), (0.5, -0.5, 0.25)]),
    "sphere": (lambda model, n: le.Sphere(model, (0.0, 0.7), 2, n), [(0.0, 0), (0.7, 0), (0.7, 1)]),
    "point": (lambda model, n: le.Point.of(model), [()]),
    "between": (lambda model, n: le.Line.between(model, moved(model)), [(0.0,), (0.5,), (1.0,)]),
    "curve": (lambda model, n: path(model), [(0.0,), (0.25,), (1.0,)]),
}
FIXED = ("point", "between", "curve")  # their directions are not random, so none is normalized
CASES = [(where, n) for where in SUBSPACES for n in NORMALIZATIONS if where not in FIXED or n == "none"]


def point_by_hand(subspace, model, coordinates):
    """theta_0 + sum of coordinate times direction, without the engine's arithmetic."""
    origin = {n: p.double() for n, p in model.parameters.items()}
    if isinstance(subspace, le.Sphere):
        return {n: t.double() for n, t in subspace.state_at(coordinates).items()}
    if isinstance(subspace, le.Curve):
        end, t = moved(model).parameters, coordinates[0]
        return {n: (1 - t) * p + t * end[n].double() for n, p in origin.items()}
    for c, direction in zip(coordinates, subspace.directions, strict=True):
        origin = {n: p + c * direction[n].double() for n, p in origin.items()}
    return origin


def test_everything_that_is_exported_is_in_the_matrix():
    exported = [getattr(module, name) for module in (le, metrics) for name in module.__all__]
    classes = [c for c in exported if inspect.isclass(c) and not inspect.isabstract(c)]
    model, _ = odd_models.build("plain")
    inputs, targets = data(torch.float32)
    built = [build(model, "none") for build, _ in SUBSPACES.values()]
    made = [make(inputs, targets, 5) for make in METRICS.values()]
    assert {c for c in classes if issubclass(c, Subspace)} == {type(subspace) for subspace in built}
    listed = {*ELSEWHERE, *(type(metric).__name__ for metric in made)}
    assert {c.__name__ for c in classes if issubclass(c, Metric)} == listed - {"Bowl"}


@pytest.mark.parametrize("name", odd_models.NAMES)
@pytest.mark.parametrize(("where", "normalization"), CASES)
def test_values_are_those_of_a_loop_that_sets_the_weights(where, normalization, name):
    model, forward = odd_models.build(name)
    dtype = next(iter(model.parameters.values())).dtype
    inputs, targets = data(dtype)
    build, points = SUBSPACES[where]
    subspace = build(model, normalization)
    made = [make(inputs, targets, 5) for make in METRICS.values()]
    found = le.evaluate(subspace, made, points)

    tolerance = {torch.float16: 2e-2, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    for k, coordinates in enumerate(points):
        state = {n: t.to(dtype) for n, t in point_by_hand(subspace, model, coordinates).items()}
        outputs = forward(state, inputs)
        for metric, expected in EXPECTED.items():
            wanted = expected(outputs, targets, state)
            tie = 1.01 / COUNT if metric == "accuracy" and dtype == torch.float16 else 1e-12
            assert found[metric][k] == pytest.approx(wanted, rel=tolerance, abs=tie), (metric, coordinates)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["plain", "fresh batch norm", "LSTM", "attention"])
def test_neither_batches_nor_the_order_of_points_matter(name, dtype):
    torch.manual_seed(0)
    module = odd_models.MODULES[name]().to(dtype)
    inputs, targets = data(dtype)
    plane = le.Plane.random(module, normalization="filter")
    points = [(a, b) for a in (-0.5, 0.0, 0.5) for b in (0.0, 0.3)]
    first = None
    for size in (1, 5, 17, 4096):
        for order in (1, -1):
            made = [make(inputs, targets, size) for make in METRICS.values()]
            found = le.evaluate(plane, made, points[::order])
            values = {n: found[n][::order] for n in METRICS}
            first = first or values
            for n in METRICS:
                np.testing.assert_allclose(values[n], first[n], rtol=1e-6 if dtype == torch.float32 else 1e-12)
