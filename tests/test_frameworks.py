"""Models of other frameworks, against those frameworks themselves."""

import threading

import keras
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_iris, make_regression
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn

import landscape_engine as le
from landscape_engine import metrics
from landscape_engine.metrics import Loss
from landscape_engine.normalization import is_one_dimensional

NODES = [(0.0, 0.0), (0.7, -0.4), (-1.0, 1.0)]


@pytest.fixture(scope="module")
def iris():
    inputs, targets = load_iris(return_X_y=True)
    return (inputs - inputs.mean(axis=0)) / inputs.std(axis=0), targets


@pytest.fixture(scope="module")
def classifier(iris):
    return MLPClassifier(
        hidden_layer_sizes=(6,), activation="tanh", solver="lbfgs", max_iter=30, random_state=0, alpha=1e-3, tol=1e-1
    ).fit(*iris)


def log_probabilities(model, batch):
    return model(batch[0]).clamp_min(torch.finfo(torch.float64).eps).log()


def iris_loss(iris):
    inputs, targets = (torch.tensor(part) for part in iris)
    return Loss(F.nll_loss, inputs, targets, forward=log_probabilities)


def set_weights(estimator, state):
    """Another estimator of scikit-learn with these weights."""
    twin = type(estimator)(**estimator.get_params())
    twin.__dict__.update(vars(estimator))
    count = len(estimator.coefs_)
    twin.coefs_ = [state[f"coefs_/{k}"].numpy() for k in range(count)]
    twin.intercepts_ = [state[f"intercepts_/{k}"].numpy() for k in range(count)]
    return twin


def test_a_plane_of_a_classifier_has_scikit_learn_s_own_log_loss(iris, classifier):
    before = [w.copy() for w in classifier.coefs_]
    plane = le.Plane.random(le.wrap_sklearn(classifier), seed=1)
    found = le.evaluate(plane, iris_loss(iris), NODES)["loss"]
    for value, node in zip(found, NODES, strict=True):
        twin = set_weights(classifier, plane.state_at(node))
        assert value == pytest.approx(log_loss(iris[1], twin.predict_proba(iris[0])), abs=1e-5)
    assert all(np.array_equal(a, b) for a, b in zip(before, classifier.coefs_, strict=True))
    far = le.evaluate(plane, iris_loss(iris), [(80.0, 80.0)])["loss"][0]  # where probabilities are 0
    twin = set_weights(classifier, plane.state_at((80.0, 80.0)))
    assert far == pytest.approx(log_loss(iris[1], twin.predict_proba(iris[0])), rel=1e-5)
    assert (twin.predict_proba(iris[0]) < 1e-16).any()


def test_a_plane_of_a_regressor_has_scikit_learn_s_own_squared_error():
    inputs, targets = make_regression(40, 3, random_state=0)
    mlp = MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", max_iter=20, random_state=0, tol=1e3).fit(
        inputs, targets / 100
    )
    loss = Loss(F.mse_loss, torch.tensor(inputs), torch.tensor(targets / 100))
    plane = le.Plane.random(le.wrap_sklearn(mlp), normalization="layer")
    found = le.evaluate(plane, loss, NODES)["loss"]
    for value, node in zip(found, NODES, strict=True):
        twin = set_weights(mlp, plane.state_at(node))
        assert value == pytest.approx(mean_squared_error(targets / 100, twin.predict(inputs)), rel=1e-5)


def test_the_gradient_norm_of_a_classifier_is_found_by_differences(iris, classifier):
    """Against PyTorch's gradient of the same network, written down once more."""
    model = le.wrap_sklearn(classifier)
    found = le.point(model, metrics.GradientNorm(iris_loss(iris)))
    weights = [torch.tensor(w, requires_grad=True) for w in (*classifier.coefs_, *classifier.intercepts_)]
    hidden = torch.tanh(torch.tensor(iris[0]) @ weights[0] + weights[2])
    loss = F.cross_entropy(hidden @ weights[1] + weights[3], torch.tensor(iris[1]))
    expected = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, weights)]).norm().item()
    assert found == pytest.approx(expected, rel=1e-6)
    with pytest.raises(le.EvaluationError, match="no Hessian: PyTorch cannot differentiate it"):
        le.point(model, metrics.LargestCurvature(iris_loss(iris)))


def test_a_classifier_is_refined_from_a_coarse_grid(iris, classifier):
    plane = le.Plane.random(le.wrap_sklearn(classifier), seed=1)
    *_, landscape = le.refine(iris_loss(iris), plane, resolution=33, tolerance=0.02)
    *_, full = le.refine(iris_loss(iris), plane, resolution=33, tolerance=0)
    assert int(landscape["evaluated"].sum()) < 33 * 33
    assert float(abs(landscape["loss"] - full["loss"]).max()) < 0.02 * float(full["loss"].max() - full["loss"].min())


def test_units_are_the_columns_of_a_kernel(classifier):
    model = le.wrap_sklearn(classifier)
    direction = le.Line.random(model, normalization="filter").directions[0]
    for k, weight in enumerate(classifier.coefs_):
        moved = direction[f"coefs_/{k}"].numpy()
        np.testing.assert_allclose(np.linalg.norm(moved, axis=0), np.linalg.norm(weight, axis=0), rtol=1e-6)
        assert not np.allclose(np.linalg.norm(moved, axis=1), np.linalg.norm(weight, axis=1), rtol=1e-2)
        assert not direction[f"intercepts_/{k}"].any()


def test_a_line_joins_two_classifiers_and_does_not_move_when_they_are_fitted_again(iris, classifier):
    other = MLPClassifier(hidden_layer_sizes=(6,), activation="tanh", solver="lbfgs", max_iter=9, random_state=1, tol=9)
    other.fit(*iris)
    line = le.Line.between(le.wrap_sklearn(other), le.wrap_sklearn(classifier))
    expected = [log_loss(iris[1], mlp.predict_proba(iris[0])) for mlp in (other, classifier)]
    other.set_params(hidden_layer_sizes=(3, 2)).fit(*iris)
    np.testing.assert_allclose(le.evaluate(line, iris_loss(iris), [(0.0,), (1.0,)])["loss"], expected, rtol=1e-6)


def test_an_estimator_of_a_data_frame_in_float32_is_evaluated_on_tensors_in_float64(iris):
    frame = pd.DataFrame(iris[0], columns=list("abcd"), dtype="float32")
    mlp = MLPClassifier(hidden_layer_sizes=(6,), random_state=0).partial_fit(frame, iris[1], classes=[0, 1, 2])
    assert mlp.coefs_[0].dtype == np.float32
    model = le.wrap_sklearn(mlp, parameters="*/0")
    assert {n: p.dtype for n, p in model.parameters.items()} == dict.fromkeys(
        ["coefs_/0", "intercepts_/0"], torch.float64
    )
    outputs = model(torch.tensor(iris[0]))
    assert outputs.dtype == torch.float64
    np.testing.assert_allclose(outputs, mlp.predict_proba(frame), atol=1e-5)
    moved = model.at({n: p.requires_grad_() for n, p in model.parameters.items()})
    assert moved(torch.tensor(iris[0])).grad_fn is None


def dense():
    keras.utils.set_random_seed(0)
    layers = [keras.Input((4,)), keras.layers.Dense(7, "tanh"), keras.layers.Dense(3)]
    return keras.Sequential(layers), torch.randn(20, 4, generator=torch.Generator().manual_seed(0))


def convolution():
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((6, 6, 2)),
        keras.layers.Conv2D(5, 3),
        keras.layers.BatchNormalization(),
        keras.layers.Activation("relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
    ]
    model = keras.Sequential(layers)
    inputs = torch.randn(20, 6, 6, 2, generator=torch.Generator().manual_seed(0))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(inputs.numpy(), np.arange(20) % 3, epochs=2, verbose=0)  # so that the statistics are not those at first
    return model, inputs


@pytest.mark.parametrize("build", [dense, convolution])
def test_a_plane_of_a_keras_model_has_its_own_loss_and_gradient(build):
    model, inputs = build()
    targets, own = torch.arange(20) % 3, keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    before = [np.array(w) for w in model.get_weights()]
    loss = Loss(F.cross_entropy, inputs, targets, batch_size=7)
    wrapped = le.wrap_keras(model)
    plane = le.Plane.random(wrapped, seed=2)
    found = le.evaluate(plane, [loss, metrics.GradientNorm(loss)], NODES)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    twin, _ = build()
    for k, node in enumerate(NODES):
        state = plane.state_at(node)
        for variable, value in zip(twin.trainable_variables, state.values(), strict=True):
            variable.assign(value.numpy())
        value = own(targets, twin(inputs, training=False))
        assert found["loss"][k] == pytest.approx(float(value.detach()), abs=1e-5)
        slopes = torch.autograd.grad(value, [v.value for v in twin.trainable_variables])
        norm = torch.cat([g.reshape(-1) for g in slopes]).norm().item()
        assert found["gradient_norm"][k] == pytest.approx(norm, rel=1e-4)
    kernels = [n for n, p in wrapped.parameters.items() if p.ndim > 1]
    for name in kernels:
        theta, moved = wrapped.parameters[name], plane.directions[0][name]
        axes = tuple(range(theta.ndim - 1))
        torch.testing.assert_close(*((t**2).sum(dim=axes).sqrt() for t in (moved, theta)))
    assert len(kernels) == 2
    curved = le.point(wrapped, metrics.LargestCurvature(loss))
    assert curved > 0
    *_, landscape = le.refine(loss, plane, resolution=17, tolerance=0.02)
    assert np.isfinite(landscape["loss"].values).all()


def in_threads(function, count=2):
    found = [None] * count

    def work(k):
        found[k] = function()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("build", [None, dense, convolution])
def test_two_threads_may_evaluate_one_model(build, iris, classifier):
    model, inputs = build() if build else (classifier, None)
    plane = le.Plane.random(le.wrap_keras(model) if build else le.wrap_sklearn(model))
    loss = Loss(F.cross_entropy, inputs, torch.arange(20) % 3) if build else iris_loss(iris)
    points = [(a, 0.0) for a in np.linspace(-1, 1, 15)]
    expected = le.evaluate(plane, loss, points)["loss"]
    for found in in_threads(lambda: le.evaluate(plane, loss, points)["loss"]):
        np.testing.assert_array_equal(found, expected)


def test_a_function_of_arrays_in_torch_has_exact_derivatives():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    inputs, targets = torch.randn(9, 4).double(), torch.arange(9) % 3
    arrays = {n: p.detach().numpy() for n, p in net.named_parameters()}  # their names have dots

    def function(theta, x):
        return torch.tanh(x @ theta["0.weight"].T + theta["0.bias"]) @ theta["2.weight"].T + theta["2.bias"]

    loss = Loss(F.cross_entropy, inputs, targets)
    wanted = [loss, metrics.LossGradient(loss), metrics.Hessian(loss)]
    found, own = le.point(le.wrap_arrays(arrays, function), wanted), le.point(net, wanted)
    for name in own:
        np.testing.assert_allclose(found[name], own[name], rtol=1e-12, atol=1e-15)
    both = [le.Line.random(m).directions[0] for m in (net, le.wrap_arrays(arrays, function))]
    lengths = [[float(t.norm()) for t in d.values()] for d in both]
    np.testing.assert_allclose(*lengths, rtol=1e-12)  # rows are filters, the same ones


ODD = ["training", "function", "a.b", "a/b", "a.b.", "", "\N{GREEK SMALL LETTER THETA} 0"]


def test_arrays_may_have_any_name():
    arrays = {name: np.full(2, float(k)) for k, name in enumerate(ODD)}
    model = le.wrap_arrays(arrays, lambda theta, x: x * sum(theta.values()), buffers={"parts.model": np.full(2, 9.0)})
    assert list(model.parameters) == ODD and model.names() == {*ODD, "parts.model"}
    loss = Loss(F.mse_loss, torch.ones(1, 2), torch.zeros(1, 2))
    line = le.Line.random(model, normalization="none")
    total = 30 + sum(0.5 * d for d in line.directions[0].values())
    found = le.evaluate(line, loss, [(0.0,), (0.5,)])["loss"]
    np.testing.assert_allclose(found, [900, float((total**2).mean())], rtol=1e-6)
    one = torch.ones(2).double()
    assert model.at(dict.fromkeys(ODD, one))(one).tolist() == [16, 16]  # one tensor under every name


class Times(nn.Module):
    """A function with a parameter of its own, which is no array."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(3.0))

    def forward(self, theta, x):
        return self.factor * theta["w"] * x


def test_the_function_may_be_any_object_and_is_not_copied():
    function = Times()
    model = le.wrap_arrays({"w": np.ones(2)}, function)
    assert model.names() == {"w"}
    private = model.private_copy()
    with torch.no_grad():
        function.factor += 1
    assert private(torch.ones(2)).tolist() == [4, 4]


@pytest.mark.parametrize("axes", [0, 1, -1, (0, 2), (-1, 0), ()])
def test_units_may_be_counted_along_any_axes(axes):
    weight = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    arrays = {"weight": weight, "matrix": np.ones((2, 2)), "vector": np.ones(4)}
    model = le.wrap_arrays(arrays, lambda theta, x: x, unit_axis={"weight": axes})
    moved = le.Line.random(model, normalization="filter").directions[0]
    if axes == ():
        assert not moved["weight"].any() and moved["matrix"].any()
    else:
        kept = {k % 3 for k in ((axes,) if isinstance(axes, int) else axes)}
        others = tuple({0, 1, 2} - kept)
        torch.testing.assert_close(*((t**2).sum(dim=others) for t in (moved["weight"], weight)))
        assert not torch.allclose(*((t**2).sum(dim=tuple(kept)) for t in (moved["weight"], weight)))
    assert not moved["vector"].any()


LAYERS = {
    "Dense": (lambda: keras.layers.Dense(3), (4, 6), {"kernel": [1]}),
    "Embedding": (lambda: keras.layers.Embedding(5, 3), (4,), {"embeddings": [0]}),
    "Conv2D": (lambda: keras.layers.Conv2D(4, 3, groups=2), (5, 5, 2), {"kernel": [3]}),
    "Conv2DTranspose": (lambda: keras.layers.Conv2DTranspose(4, 3), (5, 5, 2), {"kernel": [2]}),
    "DepthwiseConv2D": (lambda: keras.layers.DepthwiseConv2D(3, depth_multiplier=2), (5, 5, 2), {"kernel": [2, 3]}),
    "SeparableConv1D": (
        lambda: keras.layers.SeparableConv1D(4, 3),
        (5, 2),
        {"depthwise_kernel": [1, 2], "pointwise_kernel": [2]},
    ),
    "GRU": (lambda: keras.layers.GRU(3), (5, 2), {"kernel": [1], "recurrent_kernel": [1]}),
    "LayerNormalization": (lambda: keras.layers.LayerNormalization(axis=(1, 2)), (5, 2), {}),
    "PReLU": (lambda: keras.layers.PReLU(alpha_initializer="ones"), (5, 2), {}),
    "MultiHeadAttention": (
        lambda: keras.layers.MultiHeadAttention(2, 3),
        (5, 4),
        dict.fromkeys(["query/kernel", "key/kernel", "value/kernel"], [1, 2]) | {"attention_output/kernel": [2]},
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_filter_of_a_layer_of_keras_is_as_long_as_the_model_s(name):
    build, shape, units = LAYERS[name]
    keras.utils.set_random_seed(0)
    inputs, layer = keras.Input(shape), build()
    model = keras.Model(inputs, layer(inputs, inputs) if name == "MultiHeadAttention" else layer(inputs))
    model.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in model.get_weights()])  # no bias is 0
    wrapped, found = le.wrap_keras(model), set()
    moved = le.Line.random(wrapped, "filter", one_dimensional=True).directions[0]
    for parameter, theta in wrapped.parameters.items():
        kernel = next((n for n in units if parameter.endswith(f"/{n}")), "")
        found |= {kernel} - {""}
        assert is_one_dimensional(wrapped.owner(parameter), theta) == (kernel == "")
        others = tuple(k for k in range(theta.ndim) if k not in units.get(kernel, []))
        torch.testing.assert_close(*((t**2).sum(dim=others) for t in (moved[parameter], theta)))
    assert found == set(units)


def test_a_line_joins_two_keras_models_and_their_training_is_a_trajectory():
    (start, inputs), (end, _) = dense(), dense()
    assert [v.path for v in start.variables] != [v.path for v in end.variables]
    model = keras.models.clone_model(start)
    recorder = le.TrajectoryRecorder(lambda: le.wrap_keras(model))
    for step, source in enumerate((start, end)):
        end.layers[0].bias.assign(np.ones(7))
        model.set_weights(source.get_weights())
        recorder.record(step)
    loss = Loss(F.cross_entropy, inputs, torch.arange(20) % 3)
    expected = [F.cross_entropy(m(inputs), torch.arange(20) % 3).item() for m in (start, end)]
    assert abs(expected[0] - expected[1]) > 1e-3
    line = le.Line.between(le.wrap_keras(start), le.wrap_keras(end))
    path = le.Curve.along(le.wrap_keras(model), recorder.trajectory())
    for subspace in (line, path):
        np.testing.assert_allclose(le.evaluate(subspace, loss, [(0.0,), (1.0,)])["loss"], expected, rtol=1e-5)


def test_the_outputs_of_a_keras_model_keep_the_graph_whatever_their_structure():
    inputs = keras.Input((4,))
    outputs = {"a": keras.layers.Dense(3)(inputs), "b": [keras.layers.Dense(3)(inputs), inputs]}
    wrapped = le.wrap_keras(keras.Model(inputs, outputs))
    theta = {n: p.clone().requires_grad_() for n, p in wrapped.parameters.items()}
    found = wrapped.at(theta)(torch.ones(2, 4))
    slopes = torch.autograd.grad(found["a"].sum() + found["b"][0].sum(), list(theta.values()))
    for slope, (name, tensor) in zip(slopes, theta.items(), strict=True):
        assert torch.equal(slope, torch.full_like(tensor, 2)), name


def test_bad_models_are_refused_in_a_sentence():
    for make, sentence in [
        (lambda: le.wrap_sklearn(MLPClassifier()), "a fitted MLPClassifier or MLPRegressor; call fit first"),
        (lambda: le.wrap_keras(keras.Sequential([keras.layers.Dense(2)])), "a Keras 3 model that is built"),
        (lambda: le.wrap_keras(nn.Linear(2, 2)), "a Keras 3 model that is built"),
        (lambda: le.wrap_arrays({"w": [1, 2]}, lambda theta, x: x), "of a floating type; pass others as buffers"),
        (lambda: le.wrap_arrays({"w": "text"}, lambda theta, x: x), "array 'w' must be an array of numbers"),
        (lambda: le.wrap_arrays({}, lambda theta, x: x), "at least one floating-point parameter"),
        (lambda: le.wrap_arrays({"w": np.ones((2, 3))}, abs, 2), "unit_axis of 'w' must be one or more axes of its"),
        (lambda: le.wrap_arrays({"w": np.ones((2, 3))}, abs, (0, -2)), "unit_axis of 'w' must be one or more axes"),
        (lambda: le.wrap_arrays({"w": np.ones(2)}, abs, {"v": 1}), "unit_axis must be by names of arrays .here: w."),
        (lambda: le.wrap_arrays({"w": np.ones(2)}, abs, 0, {"w": 1}), "array 'w' must be either in arrays"),
        (lambda: le.wrap_model(MLPClassifier()), "a ModelWrapper, which wrap_keras, wrap_sklearn and wrap_arrays make"),
        (lambda: le.wrap_model(dense()[0]), "which wrap_keras, .* make of others, but it is 'Sequential'"),
    ]:
        with pytest.raises(le.ChoiceError, match=sentence):
            make()
    nonsense = le.wrap_arrays({"w": np.ones(2)}, lambda theta, x: {"no": {"array"}})
    loss = Loss(F.mse_loss, torch.ones(2, 1), torch.ones(2, 1))
    with pytest.raises(le.EvaluationError, match="returned set, which is no array of numbers"):
        le.point(nonsense, loss)
