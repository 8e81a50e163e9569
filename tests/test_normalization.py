"""Normalization of random directions: norms, what stays put, and what a rescaling of units changes."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import odd_models
import oracle
from landscape_engine.directions import random_directions
from landscape_engine.metrics import Loss
from landscape_engine.models import wrap_model
from landscape_engine.normalization import NORMALIZATIONS, normalize
from parameter_functions import Bowl


def length(*tensors):
    """Euclidean norm of the numbers of several tensors, by an explicit sum."""
    return sum(float(v) ** 2 for t in tensors for v in t.detach().double().reshape(-1)) ** 0.5


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("name", odd_models.MODULES)
def test_every_odd_model_gets_finite_directions_of_the_right_norms(name, normalization):
    torch.manual_seed(0)
    model = odd_models.MODULES[name]()
    parameters = dict(model.named_parameters())
    plane = le.Plane.random(model, normalization=normalization, seed=2)
    one_dimensional = {n for n, p in parameters.items() if p.ndim < 2 or n == "token"}
    for direction in plane.directions:
        assert direction.keys() == parameters.keys()
        assert all(torch.isfinite(d).all() for d in direction.values())
        if normalization == "model":
            assert length(*direction.values()) == pytest.approx(length(*parameters.values()), rel=1e-5)
        for n, p in parameters.items():
            assert direction[n].shape == p.shape
            if n in one_dimensional and normalization in ("layer", "filter"):
                assert not direction[n].any()
            elif p.numel():
                assert direction[n].any()
            if n not in one_dimensional and normalization == "layer":
                assert length(direction[n]) == pytest.approx(length(p), rel=1e-5)
            if n not in one_dimensional and normalization == "filter":
                for row, own in zip(direction[n], p, strict=True):
                    assert length(row) == pytest.approx(length(own), rel=1e-5)


def rows(weight):
    return list(weight)


def transposed(groups):
    """The filters of a transposed convolution: what reaches one output channel."""

    def split(weight):
        share = len(weight) // groups
        return [
            torch.stack([weight[g * share + i, o] for i in range(share)])
            for g in range(groups)
            for o in range(weight.shape[1])
        ]

    return split


LAYERS = {
    "Conv2d": (lambda: nn.Conv2d(4, 6, 3, groups=2), {"weight": rows}),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 3), {"weight": transposed(1)}),
    "ConvTranspose2d in 2 groups": (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), {"weight": transposed(2)}),
    "Embedding": (lambda: nn.Embedding(7, 3), {"weight": rows}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_filter_of_the_direction_is_as_long_as_the_models(name):
    build, filters = LAYERS[name]
    torch.manual_seed(0)
    model = build()
    direction = le.Line.random(model, normalization="filter", seed=4).directions[0]
    for n, p in model.named_parameters():
        if n not in filters:
            assert not direction[n].any()
            continue
        found, expected = filters[n](direction[n]), filters[n](p)
        np.testing.assert_allclose([length(f) for f in found], [length(e) for e in expected], rtol=1e-5)


@pytest.mark.parametrize("normalization", ["layer", "filter"])
def test_biases_and_norm_layers_move_when_asked_for(normalization):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm((2, 2)), nn.PReLU(4))
    asked = le.Line.random(model, normalization, one_dimensional=True).directions[0]
    for n, p in model.named_parameters():
        assert length(asked[n]) == pytest.approx(length(p), rel=1e-5)  # the fresh LayerNorm's bias is 0: stays put
    held = le.Line.random(model, normalization).directions[0]
    assert {n for n, d in held.items() if d.any()} == {"0.weight"}  # LayerNorm's (2, 2) weight is no matrix


def relu_pair():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[0].weight *= 10
        twin[0].bias *= 10
        twin[2].weight /= 10
    return model, twin


def slices(normalization):
    model, twin = relu_pair()
    x, y = torch.randn(20, 6, dtype=torch.float64), torch.randint(0, 3, (20,))
    assert torch.allclose(model(x), twin(x))  # one function, two sets of weights
    points = [(a, b) for a in np.linspace(-1, 1, 5) for b in np.linspace(-1, 1, 5)]
    planes = [le.Plane.random(m, normalization, seed=5) for m in (model, twin)]
    return [le.evaluate(plane, Loss(F.cross_entropy, x, y), points)["loss"] for plane in planes]


def test_a_rescaling_of_relu_units_leaves_the_filter_normalized_slice_unchanged():
    np.testing.assert_allclose(*slices("filter"), rtol=1e-5)


def test_a_rescaling_of_relu_units_changes_the_unnormalized_slice_by_far():
    a, b = slices("none")
    assert np.abs(a - b).max() > 0.1 * np.ptp(a)


class Point(nn.Module):
    """One 1-D parameter."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.randn(50, dtype=torch.float64))


@pytest.mark.parametrize("normalization", ["none", "model"])
@pytest.mark.parametrize("seed", range(3))
def test_every_row_of_an_isotropic_bowl_has_its_minimum_in_the_same_column(normalization, seed):
    torch.manual_seed(seed)
    model = Point()
    plane = le.Plane.random(model, normalization, seed)
    axes = plane.axes(21)
    found = le.evaluate(plane, Bowl(), [(a, b) for a in axes[0] for b in axes[1]])["bowl"].reshape(21, 21)
    origin, d1, d2 = (oracle.as_arrays(t) for t in (plane.origin, *plane.directions))
    np.testing.assert_allclose(found, oracle.plane_values(origin, d1, d2, *axes, oracle.bowl), rtol=1e-12)
    assert len(set(found.argmin(axis=0))) == 1 and len(set(found.argmin(axis=1))) == 1
    assert found[10, 10] == pytest.approx(oracle.bowl(origin), rel=1e-12)


def test_filters_of_a_zero_matrix_stay_put_and_are_counted():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 4))
    nn.init.zeros_(model[1].weight)
    with torch.no_grad():
        model[0].weight[2] = 0
    line = le.Line.random(model, normalization="filter")
    direction = line.directions[0]
    assert not direction["1.weight"].any() and not direction["0.weight"][2].any()
    assert direction["0.weight"][[0, 1, 3, 4]].any(dim=1).all()
    assert line.facts["zero_filters"] == 5


@pytest.mark.parametrize("normalization", ["layer", "filter", "model"])
def test_a_direction_that_would_move_nothing_is_an_error(normalization):
    model = nn.Linear(3, 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    with pytest.raises(le.DirectionError, match=f"moves nothing: under normalization '{normalization}'") as caught:
        le.Line.random(model, normalization)
    assert caught.value.normalization == normalization


@pytest.mark.parametrize("normalization", ["layer", "filter"])
def test_a_model_of_vectors_only_moves_nothing_under_layer_and_filter(normalization):
    with pytest.raises(le.DirectionError, match="Choose normalization 'none', or pass one_dimensional=True."):
        le.Plane.random(Point(), normalization)
    assert le.Plane.random(Point(), normalization, one_dimensional=True).directions[0]["theta"].any()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_a_direction_of_zeros_is_an_error(normalization):
    wrapper = wrap_model(nn.Linear(3, 2))
    with pytest.raises(le.DirectionError, match="moves nothing"):
        normalize({n: torch.zeros_like(p) for n, p in wrapper.parameters.items()}, wrapper, normalization)


def test_an_unknown_normalization_is_refused_with_the_choices():
    with pytest.raises(le.ChoiceError) as caught:
        random_directions(wrap_model(nn.Linear(3, 2)), 2, "Filter")
    assert str(caught.value) == "normalization must be one of none, model, layer, filter, but it is 'Filter'."


def test_directions_of_parametrized_weights_live_in_the_leaves_with_a_warning():
    torch.manual_seed(0)
    model = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    with pytest.warns(UserWarning, match="leaves of parametrized weights"):
        line = le.Line.random(model, normalization="filter")
    assert set(line.directions[0]) == {n for n, _ in model.named_parameters()}
    x, y = torch.randn(5, 3), torch.randn(5, 2)
    found = le.evaluate(line, Loss(F.mse_loss, x, y), [(0.0,), (0.5,)])["loss"]
    assert found[0] == pytest.approx(F.mse_loss(model(x), y).item(), rel=1e-6)
    with torch.no_grad():
        for n, p in model.named_parameters():
            p += 0.5 * line.directions[0][n]
    assert found[1] == pytest.approx(F.mse_loss(model(x), y).item(), rel=1e-5)


def test_the_length_of_each_layer_of_a_direction_is_told():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    plane = le.Plane.random(model, normalization="layer")
    told = plane.facts["layer_lengths"]
    assert told["0.weight"] == pytest.approx([length(model[0].weight)] * 2, rel=1e-5)
    assert told["0.bias"] == [0, 0]


class Standardized(nn.Conv2d):
    """A convolution of the user's own."""


class Transformer(nn.Module):
    """A small vision transformer with layer scale, biased keys, and a single score."""

    def __init__(self):
        super().__init__()
        self.patch, self.score = Standardized(1, 4, 2, stride=2), Standardized(4, 1, 1)
        self.cls_token, self.pos_embed = nn.Parameter(torch.randn(1, 1, 4)), nn.Parameter(torch.randn(1, 5, 4))
        self.norm, self.attention = nn.LayerNorm(4), nn.MultiheadAttention(4, 2, batch_first=True, add_bias_kv=True)
        self.layer_scale, self.mix = nn.Parameter(torch.randn(4, 1, 1)), nn.Bilinear(4, 4, 1)
        self.experts = nn.Parameter(torch.randn(3, 4, 4))

    def forward(self, x):
        tokens = self.patch(x).flatten(2).mT
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], 1) + self.pos_embed
        z = self.norm(tokens)
        z = tokens + self.attention(z, z, z)[0] @ self.experts.mean(0)
        return self.score(self.layer_scale * z.mT[..., None])[:, 0, :, 0] + self.mix(z[:, 0], z[:, 1])


@pytest.mark.parametrize("normalization", ["layer", "filter"])
def test_of_a_vision_transformer_only_what_has_output_units_moves(normalization):
    torch.manual_seed(0)
    model = Transformer()
    line = le.Line.random(model, normalization)
    moving = {"patch.weight", "score.weight", "mix.weight", "experts"}
    moving |= {"attention.in_proj_weight", "attention.out_proj.weight"}
    assert {n for n, d in line.directions[0].items() if d.any()} == moving
    for n, p in model.named_parameters():
        if n in moving and normalization == "filter":
            for row, own in zip(line.directions[0][n], p, strict=True):
                assert length(row) == pytest.approx(length(own), rel=1e-5)
    asked = le.Line.random(model, normalization, one_dimensional=True).directions[0]
    for n in ("cls_token", "pos_embed", "layer_scale", "attention.bias_k"):
        assert length(asked[n]) == pytest.approx(length(model.get_parameter(n)), rel=1e-5)
    assert all(d.any() for d in le.Line.random(model, "model").directions[0].values())
    x, y = torch.randn(3, 1, 4, 4), torch.randn(3, 5)
    found = le.evaluate(line, Loss(F.mse_loss, x, y), [(0.0,), (0.5,)])["loss"]
    assert np.isfinite(found).all() and found[0] != found[1]
