"""Wrapped models: agents of several modules, chosen parameters, modes, batch norm, and what cannot be copied."""

import copy
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import odd_models
from landscape_engine.metrics import Loss, Metric


def agent():
    torch.manual_seed(0)
    return odd_models.Agent(), torch.randn(7, 4), torch.randint(0, 3, (7,))


@pytest.mark.parametrize("named", [False, True])
def test_an_agent_of_two_networks_spans_the_space_of_both(named):
    actor, x, y = agent()
    modules = {"body": actor.body, "head": actor.head} if named else [actor.body, actor.head]
    wrapper = le.GeneralModelWrapper(actor, modules, lambda model, inputs: model.act(inputs))
    first, second = ("body", "head") if named else ("0", "1")
    assert list(wrapper.parameters) == [f"{m}.{n}" for m in (first, second) for n in ("weight", "bias")]

    line = le.Line.random(wrapper, normalization="model", seed=3)
    found = le.evaluate(line, Loss(F.cross_entropy, x, y), [(0.0,), (0.7,)])["loss"]
    direction = line.directions[0]
    weights = {n: p + 0.7 * direction[n] for n, p in wrapper.parameters.items()}
    hidden = torch.relu(x @ weights[f"{first}.weight"].T + weights[f"{first}.bias"])
    moved = hidden @ weights[f"{second}.weight"].T + weights[f"{second}.bias"]
    expected = [F.cross_entropy(actor.act(x), y).item(), F.cross_entropy(moved, y).item()]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_forward_that_uses_the_original_is_noticed():
    actor, x, y = agent()
    wrapper = le.GeneralModelWrapper(actor, [actor.body, actor.head], lambda model, inputs: actor.act(inputs))
    with pytest.raises(le.EvaluationError, match="captured from outside"):
        le.evaluate(le.Line.random(wrapper), Loss(F.cross_entropy, x, y), [(0.0,)])


class Holder(nn.Module):
    """Holds a lock, which cannot be copied, and a dropout that training mode would show."""

    def __init__(self):
        super().__init__()
        self.layer, self.drop, self.lock = nn.Linear(4, 3), nn.Dropout(0.5), threading.Lock()

    def forward(self, x):
        with self.lock:
            return self.drop(self.layer(x))


def test_a_model_that_cannot_be_copied_is_swapped_in_place_and_restored():
    torch.manual_seed(0)
    model, x, y = Holder(), torch.randn(7, 4), torch.randint(0, 3, (7,))
    with pytest.raises(TypeError):
        copy.deepcopy(model)
    before = {n: p.clone() for n, p in model.named_parameters()}
    line = le.Line.random(model, normalization="none")
    found = le.evaluate(line, Loss(F.cross_entropy, x, y), [(0.0,), (0.3,)])["loss"]
    weights = {n: before[n] + a * line.directions[0][n] for a in (0.3,) for n in before}
    expected = [F.cross_entropy(F.linear(x, w["layer.weight"], w["layer.bias"]), y).item() for w in (before, weights)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert model.training and model.drop.training

    class Broken(Metric):
        def __call__(self, model_wrapper):
            model_wrapper(x)
            raise RuntimeError("no")

    with pytest.raises(le.EvaluationError):
        le.evaluate(line, Broken(), [(0.3,)])
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters()) and model.training


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ("2.*", ["2.weight", "2.bias"]),
        (["0.weight", "2.bias"], ["0.weight", "2.bias"]),
        (lambda name, tensor: tensor.ndim == 1, ["0.bias", "2.bias"]),
        (None, ["0.weight", "0.bias", "2.weight", "2.bias"]),
    ],
)
def test_only_chosen_parameters_span_the_space(selection, names):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    wrapper = le.wrap_model(model, parameters=selection)
    assert list(wrapper.parameters) == names
    x, y = torch.randn(7, 4), torch.randint(0, 3, (7,))
    line = le.Line.random(wrapper, normalization="none")
    found = le.evaluate(line, Loss(F.cross_entropy, x, y), [(0.4,)])["loss"][0]
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for n, p in moved.named_parameters():
            p += 0.4 * line.directions[0].get(n, torch.zeros(()))
        expected = F.cross_entropy(moved(x), y).item()
        for p in model.parameters():
            p += 100  # later training moves neither the chosen nor the other ones
    assert found == pytest.approx(expected, rel=1e-6)
    assert le.evaluate(line, Loss(F.cross_entropy, x, y), [(0.4,)])["loss"][0] == pytest.approx(expected, rel=1e-6)


def test_a_choice_of_no_parameter_is_refused_with_names_that_exist():
    with pytest.raises(le.ChoiceError, match=r"parameters must be .* \(here: weight, bias\), but it is 'head.*'"):
        le.wrap_model(nn.Linear(2, 2), parameters="head.*")


def test_what_is_no_model_is_refused_in_a_sentence():
    with pytest.raises(le.ChoiceError, match="model must be a torch.nn.Module or a ModelWrapper, .* but it is 'str'."):
        le.Line.random("resnet")
    with pytest.raises(le.ChoiceError, match="at least one floating-point parameter"):
        le.Line.random(nn.ReLU())


def normed():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()
    return model, torch.randn(12, 4, dtype=torch.float64), torch.randint(0, 3, (12,))


def by_hand(model, x, mean, variance):
    hidden = model[0](x)
    norm = model[1]
    hidden = (hidden - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias
    return model[2](hidden)


@pytest.mark.parametrize("policy", ["stored", "re-estimated", "batch"])
def test_batch_norm_is_the_choice_that_the_result_records(policy):
    model, x, y = normed()
    options = {"batch_norm_data": [x[:6], x[6:]]} if policy == "re-estimated" else {}
    wrapper = le.wrap_model(model, batch_norm=policy, **options)
    before = {n: b.clone() for n, b in model.named_buffers()}
    line = le.Line.random(wrapper, normalization="none")
    *_, landscape = le.refine(Loss(F.cross_entropy, x, y), line, resolution=3, tolerance=0)
    hidden = model[0](x)
    halves = [hidden[:6], hidden[6:]]
    mean, variance = {
        "stored": (model[1].running_mean, model[1].running_var),
        "re-estimated": (
            sum(h.mean(0) for h in halves) / 2,
            sum(h.var(0, unbiased=True) for h in halves) / 2,
        ),
        "batch": (hidden.mean(0), hidden.var(0, unbiased=False)),
    }[policy]
    expected = F.cross_entropy(by_hand(model, x, mean, variance), y).item()
    assert float(landscape["loss"].sel(alpha=0)) == pytest.approx(expected, rel=1e-10)
    assert f'"batch_norm": "{policy} statistics"' in landscape.attrs["provenance"]
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers()) and model.training


def test_as_is_keeps_training_mode_and_says_which_dropout_is_active():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.Linear(5, 3))
    x, y = torch.randn(7, 4), torch.randint(0, 3, (7,))
    line = le.Line.random(le.wrap_model(model, mode="as-is"))
    values = le.evaluate(line, Loss(F.cross_entropy, x, y), [(0.0,)] * 8)["loss"]
    assert len(set(values)) > 1
    assert line.model.facts["active_dropout"] == ["1"]
    assert le.wrap_model(model).facts["active_dropout"] == []


def test_batch_norm_needs_batches_where_it_is_re_estimated_and_nowhere_else():
    for options, sentence in (
        ({"batch_norm": "re-estimated"}, "batch_norm_data must be batches of inputs, by which statistics are re-esti"),
        ({"batch_norm_data": [torch.ones(2, 2)]}, "batch_norm_data must be left out unless batch_norm='re-estimated'"),
    ):
        with pytest.raises(le.ChoiceError, match=sentence):
            le.wrap_model(nn.Linear(2, 2), **options)


@pytest.mark.parametrize(
    ("option", "value"), [("mode", "train"), ("batch_norm", "moving"), ("batch_norm", "re-estimated")]
)
def test_an_unknown_option_is_refused(option, value):
    with pytest.raises(le.ChoiceError, match=option):
        le.wrap_model(nn.Linear(2, 2), **{option: value})
