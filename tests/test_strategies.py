"""Every strategy of evaluation gives the values of the plain loop, and the choice between them is an honest one."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import odd_models
from landscape_engine.evaluation import STRATEGIES, strategies
from landscape_engine.metrics import Accuracy, GradientNorm, Loss

OTHERS = [name for name in STRATEGIES if name != "loop"]
POINTS = [(a, b) for a in (-0.7, 0.0, 0.4) for b in (-0.2, 0.0, 0.9)]


def data(dtype=torch.float32, count=17):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 4, generator=generator).to(dtype), torch.arange(count) % 3


def found_by(name, subspace, metrics, points=POINTS):
    """Values and standard errors at points, all of them by the strategy of this name; None if it does not fit."""
    evaluator = le.Evaluator(subspace, metrics, "loop")
    kind = STRATEGIES[name]
    if not kind.fits(subspace, evaluator.pipeline, evaluator._model):
        return None
    made = kind(subspace, evaluator.pipeline, evaluator._model)
    with torch.no_grad():
        found = [made(points[k : k + 4]) for k in range(0, len(points), 4)]
    return [estimates for chunk in found for estimates in chunk]


def as_array(found):
    return np.array([[(e.value, e.stderr) for _, e in sorted(estimates.items())] for estimates in found], dtype=float)


@pytest.mark.parametrize("size", [5, 4096])
@pytest.mark.parametrize("name", odd_models.NAMES)
@pytest.mark.parametrize("strategy", OTHERS)
def test_values_and_standard_errors_are_those_of_the_loop(strategy, name, size):
    model, _ = odd_models.build(name)
    dtype = next(iter(model.parameters.values())).dtype
    inputs, targets = data(dtype)
    metrics = [Loss(F.cross_entropy, inputs, targets, batch_size=size), Accuracy(inputs, targets, batch_size=size)]
    plane = le.Plane.random(model, normalization="none", extent=0.5)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some layers are vectorized badly
            found = found_by(strategy, plane, metrics)
    except RuntimeError:  # others not at all, which the probe notices
        assert strategy == "vmap"
        return
    if found is None:
        assert strategy == "vmap"  # for models of other batches and statistics the loop stays
        return
    wanted = as_array(found_by("loop", plane, metrics))
    tolerance = {torch.float16: 2e-2, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    np.testing.assert_allclose(as_array(found), wanted, rtol=tolerance, atol=tolerance)


class Shifted(nn.Module):
    """Looks at its inputs, at a view of them, and at something computed from them."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.a(x) + self.b(x.flatten(1)) * self.c(x * 2)


class Convolved(nn.Module):
    """A convolution with all its options, then a linear layer."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 3, stride=2, padding=1, dilation=1, groups=2), nn.Linear(16, 3)

    def forward(self, x):
        return self.last(F.relu(self.first(x)).flatten(1))


@pytest.mark.parametrize("module", [Shifted, Convolved])
def test_the_first_layer_is_answered_from_products_and_nothing_else_is(module):
    torch.manual_seed(0)
    model = module().double()
    inputs = torch.randn(7, 2, 4, 4).double() if module is Convolved else torch.randn(7, 4).double()
    loss = Loss(F.cross_entropy, inputs, torch.arange(7) % 3)
    line = le.Line.random(model, normalization="none", one_dimensional=True)
    points = [(-0.5,), (0.0,), (0.3,)]
    evaluator = le.Evaluator(line, loss, "loop")
    reuse = STRATEGIES["first-layer reuse"](line, evaluator.pipeline, evaluator._model)
    with torch.no_grad():
        found = reuse(points)
    np.testing.assert_allclose(as_array(found), as_array(found_by("loop", line, loss, points)), rtol=1e-12)
    answered = {key[1] for key in reuse._layer._products}
    assert answered == ({"a.weight", "b.weight"} if module is Shifted else {"first.weight"})


def test_gradients_are_not_answered_from_products():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    slope = GradientNorm(Loss(F.cross_entropy, *data(torch.float64)))
    plane = le.Plane.random(model)
    found = as_array(found_by("first-layer reuse", plane, slope))[:, :, 0]
    np.testing.assert_allclose(found, as_array(found_by("loop", plane, slope))[:, :, 0], rtol=1e-12)


@pytest.mark.parametrize("fastest", ["loop", *OTHERS])
def test_the_fastest_of_those_that_agree_is_taken(fastest, monkeypatch):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    monkeypatch.setattr(strategies, "_seconds", lambda made, points, enough=0.0: 1.0 if made.name == fastest else 3.0)
    evaluator = le.Evaluator(le.Plane.random(model), Loss(F.cross_entropy, *data()))
    best, found = strategies.choose(evaluator._strategy, POINTS[:2])
    assert best.name == fastest
    assert [e["loss"].value for e in found] == [e["loss"].value for e in evaluator.many(POINTS[:2])]


@pytest.mark.parametrize("wrong", OTHERS)
def test_a_strategy_that_gives_other_values_is_overruled_however_fast_it_is(wrong, monkeypatch):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    right = STRATEGIES[wrong].__call__

    def off_by_little(self, points):
        return [{n: e._replace(value=e.value * 1.001) for n, e in found.items()} for found in right(self, points)]

    monkeypatch.setattr(STRATEGIES[wrong], "__call__", off_by_little)
    monkeypatch.setattr(strategies, "_seconds", lambda made, points, enough=0.0: 1.0 if made.name == wrong else 3.0)
    loss = Loss(F.cross_entropy, *data())
    for asked in ("auto", wrong):
        *_, landscape = le.refine(loss, le.Plane.random(model), resolution=9, tolerance=0, strategy=asked)
        assert '"strategy": "loop"' in landscape.attrs["provenance"]


@pytest.mark.parametrize("name", ["loop", *OTHERS])
def test_a_landscape_by_any_strategy_is_the_same_and_says_which_it_was(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    metrics = [Loss(F.cross_entropy, *(xy := data())), Accuracy(*xy)]
    plane = le.Plane.random(model)
    *_, wanted = le.refine(metrics, plane, resolution=17, tolerance=0.01, strategy="loop")
    *_, found = le.refine(metrics, plane, resolution=17, tolerance=0.01, strategy=name)
    assert f'"strategy": "{name}"' in found.attrs["provenance"]
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-5)
    assert (found["evaluated"] == wanted["evaluated"]).all()


def test_models_that_cannot_be_vectorized_are_looped():
    torch.manual_seed(0)
    model, _ = odd_models.build("LSTM")
    *_, landscape = le.refine(Loss(F.cross_entropy, *data()), le.Plane.random(model), resolution=9, strategy="vmap")
    assert '"strategy": "loop"' in landscape.attrs["provenance"]


def test_a_strategy_that_does_not_exist_is_refused():
    line = le.Line.random(nn.Linear(4, 3))
    with pytest.raises(le.ChoiceError, match="strategy must be one of auto, loop, first-layer reuse, vmap"):
        le.refine(Loss(F.cross_entropy, *data()), line, strategy="fastest").__next__()
