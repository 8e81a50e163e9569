"""Other types of numbers and other examples for the same metrics, against float64 loops."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import landscape_engine as le
import oracle
import sample_models
from landscape_engine.metrics import Accuracy, Examples, GradientNorm, Loss, RegularizedLoss
from landscape_engine.metrics.elsewhere import on_subset


def regression(count=17, size=3):
    generator = torch.Generator().manual_seed(5)
    x, y = torch.randn(count, size, generator=generator), torch.randn(count, 1, generator=generator)
    model = torch.nn.Linear(size, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.randn(1, size, generator=generator))
    return model, x, y


SUBSPACES = {
    "line": lambda model: le.Line.random(model, normalization="model", seed=3),
    "plane": lambda model: le.Plane.random(model, normalization="none", seed=3),
    "sphere": lambda model: le.Sphere(model, radii=(0.5, 2.0), samples=3, normalization="model"),
    "curve": lambda model: le.Curve.along(model, path(model)),
    "bezier": lambda model: le.Curve.bezier([le.wrap_model(model).at(path(model)[k]) for k in range(3)]),
}


def path(model):
    steps = torch.Generator().manual_seed(1)
    stack = torch.stack([model.weight.detach() + torch.randn(1, 3, generator=steps) for _ in range(3)])
    return le.Trajectory({"weight": stack}, (0, 1, 2))


def weights_at(kind, subspace, place):
    """The point in float64 from what is given in float32."""
    if kind == "curve":
        a, b = (subspace.path[k]["weight"].double() for k in (int(place[0]), int(place[0]) + 1))
        return a + (place[0] - int(place[0])) * (b - a)
    if kind == "bezier":
        (t,), (a, b, c) = place, (subspace.path[k]["weight"].double() for k in range(3))
        return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
    return subspace.origin["weight"].double() + sum(
        c * d["weight"].double() for c, d in zip(place, subspace.directions, strict=True)
    )


@pytest.mark.parametrize("kind", [k for k in SUBSPACES if k != "sphere"])
def test_in_float64_a_quadratic_is_that_of_the_closed_form_to_the_last_digits(kind):
    model, x, y = regression()
    subspace = SUBSPACES[kind](model)
    places = [(0.3,), (0.71,)] if len(subspace.dims) == 1 else [(0.3, -0.7), (0.0, 0.4)]
    found = le.evaluate(subspace, Loss(F.mse_loss, x, y, name="loss"), places, precision="float64")["loss"]
    rough = le.evaluate(subspace, Loss(F.mse_loss, x, y, name="loss"), places)["loss"]
    rows, targets = x.double().numpy(), y.double().numpy().ravel()
    known = [oracle.least_squares(weights_at(kind, subspace, p).numpy().ravel(), rows, targets) for p in places]
    np.testing.assert_allclose(found, known, rtol=1e-12)
    assert 1e-12 < np.abs(rough / known - 1).max() < 1e-5
    assert model.weight.dtype == torch.float32


def test_a_sphere_in_float64_is_that_of_a_float64_model():
    model, x, y = regression()
    sphere, loss = SUBSPACES["sphere"](model), Loss(F.mse_loss, x, y)
    exact = SUBSPACES["sphere"](torch.nn.Linear(3, 1, bias=False).double())
    exact.model.get_model().weight.data.copy_(model.weight)
    exact = le.Sphere(exact.model.get_model(), sphere.radii, 3, "model")
    places = list(itertools.product(sphere.radii, range(3)))
    expected = le.evaluate(exact, Loss(F.mse_loss, x.double(), y.double()), places)["loss"]
    np.testing.assert_allclose(le.evaluate(sphere, loss, places, "float64")["loss"], expected, rtol=1e-12)


def test_class_weights_buffers_and_batches_follow_the_precision():
    cnn = sample_models.load("digits_cnn")
    inputs, targets = (t[:40] for t in cnn.train)
    weight = torch.linspace(0.5, 2, 10)
    line = le.Line.random(cnn.model, seed=0)
    loss = Loss(torch.nn.CrossEntropyLoss(weight), data=DataLoader(TensorDataset(inputs, targets), batch_size=7))
    found = le.evaluate(line, loss, [(0.2,)], precision="float64")["loss"][0]
    outputs = le.wrap_model(cnn.model).cast(torch.double).at(line.state_at((0.2,))).forward(inputs.double())
    each = oracle.cross_entropies(outputs.detach().numpy(), targets.numpy())
    shares = weight.double().numpy()[targets]
    assert found == pytest.approx((each * shares).sum() / shares.sum(), rel=1e-6)  # the point was formed in float32
    assert loss.data._kept[0][0].dtype == torch.float32


def test_a_subset_is_a_choice_of_rows_and_its_mean_is_theirs(digits, plane):
    inputs, targets = digits.train
    metrics = [Loss(F.cross_entropy, inputs, targets), Accuracy(inputs, targets)]
    fewer = on_subset(metrics, 200)
    assert fewer[0].data.is_same_as(fewer[1].data) and fewer[0].data.count == 200
    ((x, y),) = fewer[0].data.batches()
    rows = [int((inputs == row).all(dim=1).nonzero()[0, 0]) for row in x]
    assert rows == sorted(set(rows)) and torch.equal(targets[rows], y)
    place = (0.3, -0.2)
    found = le.evaluate(plane, fewer, [place])
    scores = oracle.mlp_logits(oracle.as_arrays(plane.state_at(place)), inputs.double().numpy()[rows])
    assert found["loss"][0] == pytest.approx(oracle.cross_entropies(scores, targets[rows].numpy()).mean(), rel=1e-5)
    assert found["accuracy"][0] == oracle.accuracy(scores, targets[rows].numpy())
    assert metrics[0].data.count == len(inputs)
    again, other = on_subset(metrics, 200)[0].data, on_subset(metrics, 200, seed=1)[0].data
    assert torch.equal(again._pair[0], x) and not torch.equal(other._pair[0], x)


def test_a_subset_of_batches_of_any_kind_is_that_of_the_tensors(digits):
    inputs, targets = digits.train
    expected = Examples((inputs, targets)).subset(100)._pair
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=64)
    dicts = [{"x": x, "labels": y} for x, y in loader]
    for data, keys in ((loader, (0, 1)), (dicts, ("x", "labels"))):
        batches = list(Examples(data).subset(100).batches())
        for key, tensor in zip(keys, expected, strict=True):
            assert torch.equal(torch.cat([batch[key] for batch in batches]), tensor)
    assert Examples(loader).subset(5000).count == len(inputs)
    with pytest.raises(le.ChoiceError, match="one row an example"):
        Examples([(torch.zeros(7, 4), torch.zeros(4))]).subset(3)


def test_metrics_that_share_a_loss_share_its_copy(digits, loss, plane):
    metrics = [loss, GradientNorm(loss), RegularizedLoss(loss, 0.1)]
    fewer = on_subset(metrics, 50)
    assert fewer[1].loss is fewer[0] is fewer[2].loss and metrics[1].loss is loss
    ((x, y),) = fewer[0].data.batches()
    own = Loss(digits.loss_function, x, y)
    expected = le.evaluate(plane, [own, GradientNorm(own), RegularizedLoss(own, 0.1)], [(0.1, 0.2)])
    found = le.evaluate(plane, fewer, [(0.1, 0.2)])
    for name in ("loss", "gradient_norm", "regularized_loss"):
        assert found[name][0] == pytest.approx(expected[name][0], rel=1e-6)


def test_a_precision_that_is_not_offered_is_one_sentence(digits, loss, plane):
    with pytest.raises(le.ChoiceError, match="precision must be one of model, float32, float64, bfloat16"):
        le.evaluate(plane, loss, [(0, 0)], precision="float16")


def test_bfloat16_is_off_by_its_rounding_and_no_more(loss, plane):
    places = [(0.5, 0.2), (-1.0, 1.0)]
    exact, rough = (le.evaluate(plane, loss, places, precision=p)["loss"] for p in ("float64", "bfloat16"))
    assert 1e-5 < np.abs(rough / exact - 1).max() < 0.02
