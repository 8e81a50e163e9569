"""What a network does with its examples, against networks whose answers are known."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import landscape_engine as le
from explorer.behavior import behavior
from explorer.insight import Insight, insight
from explorer.own import Own
from explorer.sources import load, withdraw
from explorer.state import Marker, State
from explorer.subjects import offer
from explorer.tracks import network_at, said
from explorer.views.behavior import behavior_html
from landscape_engine.metrics import Examples


def fixed(outputs):
    """A model that gives these outputs, whatever its inputs."""
    model = nn.Linear(1, 1)
    model.forward = lambda x: outputs[: len(x)]
    return le.wrap_model(model)


def test_the_most_confident_mistakes_come_first_and_right_answers_are_none():
    chances = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.05, 0.95]])
    targets = torch.tensor([0, 0, 0, 0])
    for outputs in (chances, chances.log(), chances.log() + 7):  # a softmax does not see a constant
        found = behavior(fixed(outputs), Examples((torch.zeros(4, 5), targets)))
        assert (found.count, found.wrong, found.classes) == (4, 3, 2)
        assert [(m.number, m.target, m.said) for m in found.mistakes] == [(3, 0, 1), (1, 0, 1), (2, 0, 1)]
        assert [m.confidence for m in found.mistakes] == pytest.approx([0.95, 0.8, 0.7])
        assert all(m.picture is None for m in found.mistakes)
    right = behavior(fixed(chances[:1]), Examples((torch.zeros(1, 5), targets[:1])))
    assert right.wrong == 0 and right.mistakes == () and "None of 1." in behavior_html(right, "test")


def test_inputs_that_are_pictures_are_shown_also_if_they_are_flat_and_others_are_not():
    rows, columns = np.mgrid[:8, :8] / 7.0
    smooth = torch.tensor(np.stack([rows, columns, rows * columns]), dtype=torch.float32)
    wrong = fixed(torch.tensor([[0.0, 1.0]] * 3))
    targets = torch.zeros(3, dtype=torch.long)
    for inputs in (smooth, smooth[:, None], smooth.reshape(3, 64)):
        first = next(m for m in behavior(wrong, Examples((inputs, targets))).mistakes if m.number == 0)
        assert np.array_equal(first.picture, (255 * smooth[0]).byte().numpy())
    color = smooth[:, None].repeat(1, 3, 1, 1)
    assert behavior(wrong, Examples((color, targets))).mistakes[0].picture.shape == (8, 8, 3)
    noise = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    assert behavior(wrong, Examples((noise, targets))).mistakes[0].picture is None


def test_the_plane_of_the_inputs_is_cut_where_the_network_cuts_it():
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))  # class 1 where x > 0.5
        model.bias.copy_(torch.tensor([0.5, -0.5]))
    points = torch.tensor([[-1.0, 0.0], [0.0, 3.0], [1.0, 1.0], [3.0, -1.0]])
    found = behavior(le.wrap_model(model), Examples((points, torch.tensor([0, 1, 1, 1])))).regions
    assert found.low == pytest.approx([-1.24, -1.24]) and found.high == pytest.approx([3.24, 3.24])
    x = np.linspace(found.low[0], found.high[0], found.classes.shape[1])
    assert np.array_equal(found.classes, np.broadcast_to(x > 0.5, found.classes.shape))
    assert found.confidence == pytest.approx(
        np.broadcast_to(1 / (1 + np.exp(-2 * abs(x - 0.5))), x.shape * 2), abs=1e-6
    )
    assert found.wrong.tolist() == [False, True, False, False]


def test_sequences_show_what_was_read_and_what_the_network_says_the_worst_first():
    outputs = nn.functional.one_hot(torch.tensor([[2, 1, 2, 0], [0, 1, 1, 1]]), 3).float()
    targets = torch.tensor([[-100, 1, 2, -100], [-100, 1, 1, 0]])  # those of -100 do not count
    tokens = torch.tensor([[2, 1, 1, 2], [1, 0, 1, 1]])
    found = behavior(fixed(outputs), Examples((tokens, targets)))
    assert (found.count, found.wrong, found.classes) == (5, 1, 3)
    worst, other = found.sequences
    assert worst == (1, (1, 1, 0), (1, 1, 1), (1, 0), True)
    assert other == (0, (1, 2), (1, 2), (2, 1), True)
    html = behavior_html(found, "all")
    assert "1 of 5 tokens are wrong (20.0 %)" in html
    assert "<i>1 0</i> → 1 1 <s>1</s><b>0</b>" in html and "<i>2 1</i> → 1 2" in html


def test_of_long_sequences_the_last_tokens_are_shown_and_of_inputs_that_are_no_tokens_none():
    tokens = torch.arange(30)[None]
    said = nn.functional.one_hot(tokens + 1, 32).float()
    (shown,) = behavior(fixed(said), Examples((tokens, tokens + 1))).sequences
    assert (shown.read, shown.targets, shown.whole) == (tuple(range(7, 19)), tuple(range(19, 31)), False)
    (shown,) = behavior(fixed(said), Examples((torch.rand(1, 30, 4), tokens + 1))).sequences
    assert (shown.read, shown.targets, shown.whole) == ((), tuple(range(19, 31)), False)
    assert behavior(fixed(said), Examples((tokens, torch.full((1, 30), -100)))) is None


def test_what_was_read_is_shown_only_where_targets_are_the_tokens_that_come_next():
    tokens, tags = torch.tensor([[4, 7, 5]]), torch.tensor([[0, 2, 1]])
    (shown,) = behavior(fixed(nn.functional.one_hot(tags, 3).float()), Examples((tokens, tags))).sequences
    assert (shown.read, shown.said, shown.whole) == ((), (0, 2, 1), True)
    assert "<div class='tokens'>0 2 1</div>" in behavior_html(
        behavior(fixed(nn.functional.one_hot(tags, 3).float()), Examples((tokens, tags))), "all"
    )
    batch = {"mask": torch.ones(1, 3, dtype=torch.long), "ids": tokens, "labels": torch.tensor([[7, 5, -100]])}
    said = nn.functional.one_hot(torch.tensor([[7, 5, 0]]), 8).float()
    examples = Examples([batch], forward=lambda model, batch: model.forward(batch["ids"]), targets="labels")
    assert behavior(fixed(said), examples).sequences == ((0, (7, 5), (7, 5), (4,), True),)


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (torch.zeros(3, 1), torch.zeros(3, 1)),
        (torch.zeros(3), torch.zeros(3, dtype=torch.long)),
        ([1, 2], torch.ones(3)),
    ],
)
def test_what_tells_no_classes_apart_has_no_behavior(outputs, targets):
    assert behavior(fixed(outputs), Examples((torch.zeros(3, 2), targets))) is None


def test_a_point_of_the_picture_is_the_network_that_stands_there():
    source, state = load("spirals_mlp"), State(model="spirals_mlp", metric="accuracy", subspace="trajectory")
    request = state.request
    track, plane = source.track(request), source.subspace(request)
    found = insight(request, track, plane, Marker(0.0, (-3.0, 2.0)))
    assert isinstance(found, Insight) and said(found.at, track) == "at α −3.00, β 2.00"
    network = network_at(found.at, track, plane)
    state_there = plane.state_at((-3.0, 2.0))
    assert all(torch.equal(network.parameters[name], state_there[name]) for name in network.parameters)
    module = copy.deepcopy(source.sample.model)
    module.load_state_dict(state_there)
    inputs, targets = source.sample.test
    wrong = int((module(inputs).argmax(1) != targets).sum())
    assert found.values["test_accuracy"] == pytest.approx(1 - wrong / len(targets))
    assert found.behavior.wrong == wrong and found.behavior.regions.wrong.sum() == wrong
    loss = nn.functional.cross_entropy(module(source.sample.train[0]), source.sample.train[1])
    assert found.values["train_loss"] == pytest.approx(loss.item(), rel=1e-5)
    slopes = torch.autograd.grad(loss, list(module.parameters()))
    assert found.gradient_norm == pytest.approx(float(sum(g.square().sum() for g in slopes).sqrt()), rel=1e-4)
    names = [name for name, _ in module.named_parameters()]
    basis = np.stack([np.concatenate([d[n].double().numpy().ravel() for n in names]) for d in plane.directions], axis=1)
    gradient = np.concatenate([g.double().numpy().ravel() for g in slopes])
    along = basis @ np.linalg.lstsq(basis, gradient, rcond=None)[0]
    assert found.gradient_share == pytest.approx(float(along @ along / (gradient @ gradient)), rel=1e-4)
    states = [source.sample.trajectory[k] for k in range(len(source.steps))]
    off = [sum(float((s[n] - t).square().sum()) for n, t in network.parameters.items()) ** 0.5 for s in states]
    k = int(np.argmin(off))
    assert found.nearest == (f"checkpoint {k + 1} of 44, step {source.steps[k]:,}", pytest.approx(min(off), rel=1e-5))


def test_values_are_told_before_the_rest_and_those_of_the_set_that_is_drawn_first():
    source, request = load("spirals_mlp"), State(model="spirals_mlp", split="test").request
    told = []
    found = insight(request, source.track(request), source.subspace(request), Marker(0.0, (1.0, 2.0)), tell=told.append)
    first, second = told
    assert {name.split("_")[0] for name in first.values} == {"test"}
    assert second.values == found.values and {"train_loss", "test_loss"} <= set(found.values)
    assert not first.whole and not second.whole and second.behavior is None and np.isnan(second.gradient_norm)
    assert found.whole and found.behavior is not None and found.gradient_norm > 0
    assert first.nearest == found.nearest


def test_on_the_track_values_are_known_and_the_network_is_that_of_the_checkpoint():
    source, state = load("digits_mlp"), State()
    request = state.request
    track, plane = source.track(request), source.subspace(request)
    found = insight(request, track, plane, Marker(5.0), evaluated=False, thorough=False)
    assert (
        found.values == {}
        and np.isnan(found.gradient_norm)
        and found.nearest == (f"checkpoint 6 of 43, step {source.steps[5]}", 0.0)
    )
    assert said(found.at, track) == f"step {source.steps[5]}"


def test_tokens_are_no_points_of_a_plane_and_a_batch_may_be_a_list_or_have_its_targets_first():
    pairs, classes = torch.tensor([[1, 5], [4, 2]]), torch.tensor([0, 1])
    embedded = nn.Sequential(nn.Embedding(6, 3), nn.Flatten(), nn.Linear(6, 2))
    found = behavior(le.wrap_model(embedded), Examples((pairs, classes)))
    assert found.regions is None and found.count == 2
    points = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert behavior(le.wrap_model(nn.Linear(2, 2)), Examples([[points, classes]])).regions is not None
    wrong = fixed(torch.tensor([[0.0, 1.0]] * 2))
    named = [{"label": torch.zeros(2, dtype=torch.long), "x": torch.eye(8)[None].repeat(2, 1, 1)}]
    found = behavior(wrong, Examples(named, forward=lambda model, batch: model.forward(batch["x"]), targets="label"))
    assert found.mistakes[0].picture.shape == (8, 8)


def test_what_is_not_finite_is_no_behavior_and_some_examples_are_not_said_to_be_all():
    nothing = behavior(fixed(torch.tensor([[float("nan"), 1.0]])), Examples((torch.zeros(1, 3), torch.tensor([0]))))
    assert nothing is None
    wrong = fixed(torch.tensor([[0.0, 1.0]] * 5))
    found = behavior(wrong, Examples((torch.zeros(5, 3), torch.zeros(5, dtype=torch.long))), most=2)
    assert (found.count, found.whole) == (2, False)
    assert "2 of the first 2 test examples are wrong" in behavior_html(found, "test")


def test_large_pictures_are_thinned_and_a_column_without_spread_makes_no_hole():
    wrong = fixed(torch.tensor([[0.0, 1.0]]))
    large = torch.rand(1, 1, 400, 300)
    found = behavior(wrong, Examples((large, torch.tensor([0])))).mistakes[0].picture
    assert found.shape == (100, 75)
    flat = torch.tensor([[0.0, 2.0], [1.0, 2.0]])
    found = behavior(le.wrap_model(nn.Linear(2, 2)), Examples((flat, torch.tensor([0, 1]))))
    assert "nan" not in behavior_html(found, "test").lower()


def test_statistics_that_are_estimated_again_count_for_what_the_network_does_as_well():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    inputs, targets = 5 + 3 * torch.randn(200, 2), torch.arange(200) % 3
    key = offer(Own(model, (inputs, targets)))
    source = load(key)
    state = State(split="all", subspace="random", has_statistics=True, statistics="re-estimated")
    state.offer([key])
    state.model = key
    request = state.request
    found = insight(request, source.track(request), source.subspace(request), Marker(0.0, (0.3, -0.2)))
    assert found.behavior.wrong == round(200 * (1 - found.values["all_accuracy"]))
    withdraw(key)
