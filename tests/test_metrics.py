"""Metrics: means, standard errors and losses of every form, against answers known without the engine."""

import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import oracle
from landscape_engine.metrics import (
    Accuracy,
    Examples,
    Loss,
    Metric,
    PairMetric,
    TokenCrossEntropy,
    TokenNLL,
)


def linear_problem(count=17, size=4, dtype=torch.float64, seed=0):
    """A linear model and data whose last examples are much worse than the others."""
    torch.manual_seed(seed)
    model = nn.Linear(size, 1, bias=False).to(dtype)
    x, y = torch.randn(count, size, dtype=dtype), torch.randn(count, 1, dtype=dtype)
    y[-2:] += 5
    return model, x, y


@pytest.mark.parametrize("seed", range(5))
def test_every_line_slice_of_least_squares_is_the_known_parabola(seed):
    model, x, y = linear_problem(seed=seed)
    line = le.Line.random(model, normalization="none", seed=seed)
    steps = np.linspace(-2, 2, 9)
    found = le.evaluate(line, Loss(F.mse_loss, x, y, batch_size=5), [(a,) for a in steps])["loss"]

    xs, ys, theta = x.numpy(), y.numpy()[:, 0], model.weight.detach().numpy()[0]
    d = line.directions[0]["weight"].numpy()[0]
    slope = oracle.least_squares_gradient(theta, xs, ys) @ d
    curvature = d @ oracle.least_squares_hessian(xs) @ d
    expected = oracle.least_squares(theta, xs, ys) + steps * slope + steps**2 * curvature / 2
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_a_mean_is_a_mean_whatever_the_batches(dtype, tolerance):
    model, x, y = linear_problem(dtype=dtype)
    line = le.Line.random(model, normalization="none")
    losses = [Loss(F.mse_loss, x, y, batch_size=size) for size in (5, 1, 17, 4096)]
    found = [le.evaluate(line, loss, [(0.0,), (0.5,)]) for loss in losses]

    origin, d = oracle.as_arrays(line.origin), oracle.as_arrays(line.directions[0])
    xs, ys = x.double().numpy(), y.double().numpy()[:, 0]
    for i, a in enumerate((0.0, 0.5)):
        theta = oracle.point(origin, (d,), (a,))["weight"][0]
        expected = oracle.least_squares(theta, xs, ys)
        parts = [oracle.least_squares(theta, xs[k : k + 5], ys[k : k + 5]) for k in range(0, 17, 5)]
        assert abs(np.mean(parts) - expected) > 1e-2 * expected  # a mean of means would be seen
        np.testing.assert_allclose([f["loss"][i] for f in found], expected, rtol=tolerance)
        np.testing.assert_allclose([f["loss_stderr"][i] for f in found], found[0]["loss_stderr"][i], rtol=1e-5)


def classification(dtype=torch.float64):
    torch.manual_seed(0)
    model = nn.Linear(4, 3).to(dtype)
    return model, torch.randn(17, 4, dtype=dtype), torch.randint(0, 3, (17,))


WEIGHT = torch.tensor([1.0, 5.0, 0.2], dtype=torch.float64)


def test_the_standard_error_of_a_weighted_loss_is_that_of_a_ratio():
    model, x, y = classification()
    loss = Loss(nn.CrossEntropyLoss(weight=WEIGHT), x, y, batch_size=5)
    found = le.evaluate(le.Line.random(model), loss, [(0.0,)])
    s = F.cross_entropy(model(x), y, weight=WEIGHT, reduction="none").detach().numpy()
    assert found["loss_stderr"][0] == pytest.approx(oracle.ratio_standard_error(s, WEIGHT[y].numpy()), rel=1e-10)


def test_one_example_has_no_standard_error():
    model, x, y = linear_problem()
    assert np.isnan(le.evaluate(le.Line.random(model), Loss(F.mse_loss, x[:1], y[:1]), [(0.0,)])["loss_stderr"][0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight": WEIGHT},
        {"ignore_index": 1},
        {"weight": WEIGHT, "ignore_index": 1},
        {"weight": WEIGHT, "label_smoothing": 0.1},
    ],
    ids=lambda o: "+".join(o) or "plain",
)
@pytest.mark.parametrize("form", ["module", "partial"])
def test_class_weights_and_ignored_targets_count_as_torch_counts_them(options, form):
    model, x, y = classification()
    function = nn.CrossEntropyLoss(**options) if form == "module" else partial(F.cross_entropy, **options)
    found = le.evaluate(le.Line.random(model), Loss(function, x, y, batch_size=5), [(0.0,)])["loss"][0]
    assert found == pytest.approx(F.cross_entropy(model(x), y, **options).item(), rel=1e-12)


def test_a_metric_can_be_called_and_ignores_targets_of_minus_100_by_default():
    model, x, y = classification()
    y[::3] = -100
    found = Loss(F.cross_entropy, x, y, batch_size=5)(le.wrap_model(model))
    assert found == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-12)


def test_a_loss_of_many_values_an_example_is_torchs_mean():
    torch.manual_seed(0)
    model = nn.Conv2d(2, 3, 1).double()
    x, y = torch.randn(7, 2, 4, 4, dtype=torch.float64), torch.randint(0, 3, (7, 4, 4))
    y[0, :3] = -100
    pipeline = [Loss(F.cross_entropy, x, y, batch_size=2), Accuracy(x, y, batch_size=2)]
    found = le.evaluate(le.Line.random(model), pipeline, [(0.0,)])
    assert found["loss"][0] == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-12)
    assert found["accuracy"][0] == pytest.approx(float((model(x).argmax(1) == y)[y >= 0].double().mean()), rel=1e-12)


def test_a_loss_that_knows_no_reduction_is_evaluated_on_the_whole_set():
    model, x, y = linear_problem()
    loss = Loss(lambda outputs, targets: ((outputs - targets) ** 2).mean().sqrt(), x, y, batch_size=5)
    found = le.evaluate(le.Line.random(model), loss, [(0.0,)])
    theta = model.weight.detach().numpy()[0]
    expected = oracle.least_squares(theta, x.numpy(), y.numpy()[:, 0]) ** 0.5
    assert found["loss"][0] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(found["loss_stderr"][0])


def test_metrics_of_one_data_set_share_a_forward_pass_and_keep_their_order():
    model, x, y = classification()
    calls = []
    model.register_forward_hook(lambda *_: calls.append(threading.get_ident()))
    twice = [Accuracy(x, y), Loss(F.cross_entropy, x, y), Loss(F.cross_entropy, x[:5], y[:5], name="few")]
    evaluator = le.Evaluator(le.Line.random(model), twice)
    calls.clear()
    found = evaluator((0.0,))
    assert list(found) == ["accuracy", "loss", "few"]
    assert len(calls) == 2


class Dictionary(torch.utils.data.Dataset):
    """Examples as dicts."""

    def __init__(self, x, y, key):
        self.x, self.y, self.key = x, y, key

    def __len__(self):
        return len(self.x)

    def __getitem__(self, k):
        return {"input": self.x[k], self.key: self.y[k]}


FORMS = {
    "data set of tuples": lambda x, y: {"data": torch.utils.data.TensorDataset(x, y)},
    "data set of dicts": lambda x, y: {"data": Dictionary(x, y, "labels")},
    "dicts with a key": lambda x, y: {"data": Dictionary(x, y, "truth"), "targets": "truth"},
    "loader": lambda x, y: {"data": torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=4)},
    "list of batches": lambda x, y: {"data": [[x[:10], y[:10]], [x[10:], y[10:]]]},
    "forward": lambda x, y: {"data": [(x, y)], "forward": lambda model, batch: model(batch[0])},
    "pair": lambda x, y: {"data": (x, y)},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch_size", [1, 5, 17])
def test_every_form_of_data_gives_the_same_mean(form, batch_size):
    model, x, y = classification()
    given = FORMS[form](x, y)
    pipeline = [Loss(F.cross_entropy, **given, batch_size=batch_size), Accuracy(**given, batch_size=batch_size)]
    found = le.evaluate(le.Line.random(model), pipeline, [(0.0,)])
    assert found["loss"][0] == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-12)
    assert found["accuracy"][0] == pytest.approx(float((model(x).argmax(1) == y).double().mean()), rel=1e-12)
    each = F.cross_entropy(model(x), y, reduction="none").detach().numpy()
    assert found["loss_stderr"][0] == pytest.approx(each.std(ddof=1) / 17**0.5, rel=1e-10)


class Focal(nn.Module):
    """A loss of its own with class weights of its own, which it averages with."""

    def __init__(self, weight, reduction="mean"):
        super().__init__()
        self.weight, self.reduction = weight, reduction

    def forward(self, outputs, targets):
        w = self.weight[targets]
        values = w * (1 - outputs.softmax(1).gather(1, targets[:, None])[:, 0]) ** 2
        return values if self.reduction == "none" else values.sum() / w.sum()


@pytest.mark.parametrize("batch_size", [1, 5, 17])
@pytest.mark.parametrize("loss", [Focal(WEIGHT), nn.MSELoss(reduction="sum")], ids=["weights", "sum"])
def test_a_loss_that_averages_in_its_own_way_is_given_all_examples_at_once(loss, batch_size):
    model, x, y = classification()
    targets = y if isinstance(loss, Focal) else torch.randn(17, 3, dtype=torch.float64)
    found = le.evaluate(le.Line.random(model), Loss(loss, x, targets, batch_size=batch_size), [(0.0,)])
    assert found["loss"][0] == pytest.approx(loss(model(x), targets).item(), rel=1e-12)


@pytest.mark.parametrize("batch_size", [1, 5, 17])
def test_masked_tokens_do_not_count(batch_size):
    torch.manual_seed(0)
    model = nn.Linear(4, 3).double()
    x, y = torch.randn(17, 6, 4, dtype=torch.float64), torch.randint(0, 3, (17, 6))
    mask = torch.rand(17, 6) > 0.4
    mask[:, 0] = True
    batches = [{"input": x[k : k + batch_size], "y": y[k : k + batch_size], "mask": mask[k : k + batch_size]}
               for k in range(0, 17, batch_size)]  # fmt: skip
    each = Loss(
        lambda outputs, targets, reduction="mean": F.cross_entropy(outputs.mT, targets, reduction=reduction),
        data=batches,
        forward=lambda model, batch: model(batch["input"]),
        weights=lambda batch: batch["mask"],
    )
    found = le.evaluate(le.Line.random(model), each, [(0.0,)])["loss"][0]
    assert found == pytest.approx(F.cross_entropy(model(x)[mask], y[mask]).item(), rel=1e-12)


class Speaking(nn.Module):
    """Computes its loss itself and returns it beside its logits, as language models do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, input, labels=None):
        scores = self.layer(input)
        loss = None if labels is None else F.cross_entropy(scores.mT, labels)
        return SimpleNamespace(logits=scores, loss=loss)


@pytest.mark.parametrize("batch_size", [1, 5, 17])
def test_a_loss_computed_inside_the_model_is_weighted_by_what_it_is_the_mean_of(batch_size):
    torch.manual_seed(0)
    model = Speaking().double()
    x, y = torch.randn(17, 6, 4, dtype=torch.float64), torch.randint(0, 3, (17, 6))
    y[::3, 2:] = -100
    data = Examples(Dictionary(x, y, "labels"), batch_size, forward=lambda model, batch: model(**batch))
    counted = Loss(None, data=data, weights=lambda batch: (batch["labels"] >= 0).sum())
    found = le.evaluate(le.Line.random(model), [counted, Accuracy(data=data)], [(0.0,)])
    assert found["loss"][0] == pytest.approx(model(x, y).loss.item(), rel=1e-12)
    right = (model(x).logits.argmax(-1) == y)[y >= 0].double().mean()
    assert found["accuracy"][0] == pytest.approx(float(right), rel=1e-12)


def test_the_model_s_logits_are_what_the_loss_is_given():
    torch.manual_seed(0)
    model = Speaking().double()
    x, y = torch.randn(17, 6, 4, dtype=torch.float64), torch.randint(0, 3, (17, 6))
    found = le.evaluate(
        le.Line.random(model), Loss(lambda out, t: F.cross_entropy(out.mT, t), data=Dictionary(x, y, "y")), [(0.0,)]
    )
    assert found["loss"][0] == pytest.approx(model(x, y).loss.item(), rel=1e-12)


def test_inputs_that_the_model_changes_stay_as_they_are():
    class Impolite(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return self.layer(x.mul_(2))

    torch.manual_seed(0)
    model, x, y = Impolite(), torch.randn(9, 4), torch.randint(0, 3, (9,))
    before = x.clone()
    loss = Loss(F.cross_entropy, x, y, batch_size=4)
    found = le.evaluate(le.Line.random(model), loss, [(0.0,), (0.0,), (0.0,)])["loss"]
    assert torch.equal(x, before)
    assert found == pytest.approx([F.cross_entropy(model(x.clone()), y).item()] * 3, rel=1e-6)


class Norms(Metric):
    """The norm of each parameter: a vector."""

    name, dims = "norms", ("parameter",)

    def __call__(self, model_wrapper):
        return torch.stack([p.norm() for p in model_wrapper.parameters.values()])


def test_a_vector_metric_is_an_array_at_each_point_and_never_refined():
    model = nn.Linear(4, 3)
    line = le.Line.random(model)
    found = le.evaluate(line, Norms(), [(0.0,), (0.5,)])["norms"]
    assert found.shape == (2, 2)
    assert found[0] == pytest.approx([model.weight.norm().item(), model.bias.norm().item()], rel=1e-6)
    with pytest.raises(le.ChoiceError, match="'norms'"):
        list(le.refine(Norms(), line))


class Step(PairMetric):
    """How far apart two neighbors are."""

    name = "step"

    def pair(self, a, b):
        return sum(float(((b.parameters[n] - p) ** 2).sum()) for n, p in a.parameters.items()) ** 0.5


def test_a_pair_metric_is_measured_between_neighbors_of_a_line():
    model = nn.Linear(4, 3).double()
    line = le.Line.random(model, normalization="model")
    found = le.evaluate(line, [Step(), Norms()], [(0.0,), (0.5,), (2.0,)])["step"]
    length = oracle.norm(line.directions[0])
    np.testing.assert_allclose(found, [np.nan, 0.5 * length, 1.5 * length], rtol=1e-12)
    with pytest.raises(le.ChoiceError, match="lines and curves"):
        le.evaluate(le.Plane.random(model), Step(), [(0.0, 0.0)])


class Own(nn.CrossEntropyLoss):
    """The user's own name for a cross entropy."""


class OwnFocal(nn.CrossEntropyLoss):
    """Inherits the class weights, but is the plain mean of its values."""

    def forward(self, outputs, targets):
        values = super().forward(outputs, targets) ** 2
        return values if self.reduction == "none" else values.mean()


class Inner(nn.Module):
    """Has a reduction and makes nothing of it."""

    def __init__(self, weight):
        super().__init__()
        self.reduction, self.inner = "mean", nn.CrossEntropyLoss(weight=weight)

    def forward(self, outputs, targets):
        return self.inner(outputs, targets)


def weighted(outputs, targets, weight, reduction="mean"):
    return F.cross_entropy(outputs, targets, weight=weight, reduction=reduction)


def balanced(outputs, targets, reduction="mean"):
    """Each class counts alike, however many examples of it there are."""
    counts = torch.bincount(targets, minlength=3)
    values = F.cross_entropy(outputs, targets, reduction="none") / counts[targets] * len(targets) / (counts > 0).sum()
    return values if reduction == "none" else values.mean()


@pytest.mark.parametrize("batch_size", [1, 40, 64, 4096])
@pytest.mark.parametrize(
    "loss",
    [
        Own(weight=WEIGHT),
        Own(weight=WEIGHT, ignore_index=2),
        Focal(WEIGHT),
        Inner(WEIGHT),
        partial(weighted, weight=WEIGHT),
        nn.CrossEntropyLoss(weight=WEIGHT, reduction="sum"),
    ],
    ids=["subclass", "ignoring", "own weights", "inner", "partial", "sum"],
)
def test_class_weights_of_any_loss_count_even_if_the_first_examples_do_not_show_them(loss, batch_size):
    model, _, _ = classification()
    x, y = torch.randn(200, 4, dtype=torch.float64), torch.arange(3).repeat_interleave(67)[:200]  # weight 1 first
    found = le.evaluate(le.Line.random(model), Loss(loss, x, y, batch_size=batch_size), [(0.0,)])
    assert found["loss"][0] == pytest.approx(loss(model(x), y).item(), rel=1e-12)
    assert np.isfinite(found["loss_stderr"][0]) == isinstance(loss, Own)


@pytest.mark.parametrize("batch_size", [1, 40, 67])
def test_a_loss_that_depends_on_the_other_examples_is_given_all_of_them(batch_size):
    model, _, _ = classification()
    x, y = torch.randn(151, 4, dtype=torch.float64), torch.arange(3).repeat_interleave(67)[:151]
    found = le.evaluate(le.Line.random(model), Loss(balanced, x, y, batch_size=batch_size), [(0.0,)])
    assert found["loss"][0] == pytest.approx(balanced(model(x), y).item(), rel=1e-12)


@pytest.mark.parametrize("weighted", [Focal(WEIGHT), Inner(WEIGHT)], ids=["own weights", "inner"])
def test_a_point_where_the_loss_is_not_finite_settles_nothing(weighted):
    model, x, y = classification()
    line = le.Line.random(model, normalization="none")
    nowhere = {n: d * float("nan") for n, d in line.directions[0].items()}
    broken = le.Line(line.model, line.origin, (nowhere,), line.bounds)
    loss = Loss(weighted, x, y, batch_size=5)
    assert np.isnan(le.evaluate(broken, loss, [(1.0,)])["loss"][0])
    expected = weighted(line.model.forward(x), y).item()
    assert le.evaluate(line, loss, [(0.0,)])["loss"][0] == pytest.approx(expected, rel=1e-12)


def test_a_point_where_the_loss_is_zero_settles_nothing():
    model, x, y = classification()
    line = le.Line.random(model, normalization="none")
    expected = Focal(WEIGHT)(model(x), y).item()
    nothing = Loss(lambda o, t, reduction="mean": Focal(WEIGHT, reduction)(o, t) * (o.abs().max() > 1e-9), x, y)
    flat = {n: -p for n, p in line.origin.items()}
    toward_zero = le.Line(line.model, line.origin, (flat,), line.bounds)
    found = le.evaluate(toward_zero, nothing, [(1.0,), (0.0,)])["loss"]
    assert found == pytest.approx([0, expected], rel=1e-12)


@pytest.mark.parametrize("batch_size", [1, 5, 17])
def test_a_mean_that_is_not_the_inherited_one_is_taken_as_it_is(batch_size):
    model, x, y = classification()
    loss = OwnFocal(weight=WEIGHT)
    found = le.evaluate(le.Line.random(model), Loss(loss, x, y, batch_size=batch_size), [(0.0,)])["loss"][0]
    assert found == pytest.approx(loss(model(x), y).item(), rel=1e-12)


@pytest.mark.parametrize("batch_size", [1, 5, 17])
def test_a_loss_that_returns_one_value_an_example_is_their_mean(batch_size):
    model, x, _ = classification()
    y = torch.randn(17, 3, dtype=torch.float64)
    loss = Loss(nn.MSELoss(reduction="none"), x, y, batch_size=batch_size)
    found = le.evaluate(le.Line.random(model), loss, [(0.0,)])
    assert found["loss"][0] == pytest.approx(F.mse_loss(model(x), y).item(), rel=1e-12)
    assert np.isfinite(found["loss_stderr"][0])


def test_batches_of_sequences_of_several_lengths_are_compared_one_by_one():
    torch.manual_seed(0)
    model = nn.Linear(4, 3).double()
    batches = [(torch.randn(2, n, 4, dtype=torch.float64), torch.randint(0, 3, (2, n))) for n in (5, 7, 6)]

    def tokens(outputs, targets, reduction="mean"):
        return F.cross_entropy(outputs.mT, targets, reduction=reduction)

    found = le.evaluate(le.Line.random(model), Loss(tokens, data=batches), [(0.0,)])["loss"][0]
    x, y = (torch.cat([part.flatten(0, 1) for part in parts]) for parts in zip(*batches, strict=True))
    assert found == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_rounding_is_no_difference_between_two_means(dtype):
    model, x, y = classification(dtype)
    found = le.evaluate(le.Line.random(model), Loss(Own(weight=WEIGHT.to(dtype)), x, y, batch_size=5), [(0.0,)])
    expected = F.cross_entropy(model(x), y, weight=WEIGHT.to(dtype)).item()
    assert found["loss"][0] == pytest.approx(expected, rel=torch.finfo(dtype).eps * 4)
    assert np.isfinite(found["loss_stderr"][0])


def test_what_is_no_metric_is_refused_in_a_sentence():
    line = le.Line.random(nn.Linear(4, 3))
    for wrong in (lambda wrapper: 1.0, [lambda wrapper: 1.0], "loss"):
        with pytest.raises(le.ChoiceError, match="metrics must be a Metric"):
            le.evaluate(line, wrong, [(0.0,)])


def test_a_loader_that_drops_examples_is_told():
    model, x, y = classification()
    data = torch.utils.data.TensorDataset(x, y)
    loss = Loss(F.cross_entropy, data=torch.utils.data.DataLoader(data, batch_size=5, drop_last=True))
    with pytest.warns(UserWarning, match="drop_last"):
        found = le.point(model, loss)
    assert found == pytest.approx(F.cross_entropy(model(x[:15]), y[:15]).item(), rel=1e-12)


def test_arrays_at_more_points_than_memory_holds_are_refused(monkeypatch):
    monkeypatch.setattr("landscape_engine.evaluation.evaluator.MEMORY_CAP", 100)
    line = le.Line.random(nn.Linear(4, 3))
    with pytest.raises(le.ChoiceError, match="points must be few enough"):
        le.evaluate(line, Norms(), [(k / 10,) for k in range(10)])
    assert len(le.evaluate(line, Norms(), [(0.0,), (1.0,)])["norms"]) == 2


@pytest.mark.parametrize("kind", [TokenCrossEntropy, TokenNLL])
def test_losses_of_tokens_are_torchs_over_all_tokens_that_count(kind):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(5, 5), nn.LogSoftmax(-1)).double()
    tokens, targets = torch.randint(5, (6, 4)), torch.randint(5, (6, 4))
    targets[:, 0] = -100
    counted = targets.flatten() != -100
    scores = network(tokens).flatten(0, 1)[counted]
    expected = F.nll_loss(scores, targets.flatten()[counted])  # log-probabilities are their own log-softmax
    found = Loss(kind(), tokens, targets, batch_size=2).estimate(network)
    assert found.value == pytest.approx(expected.item(), rel=1e-12)
    sums = torch.zeros(6, 4, dtype=torch.double)
    sums[targets != -100] = F.nll_loss(scores, targets.flatten()[counted], reduction="none")
    spread = (sums[:, 1:].mean(dim=1)).std()  # examples, of three tokens each, are independent; tokens are not
    assert found.stderr == pytest.approx(spread.item() / 6**0.5, rel=1e-6)
    assert Accuracy(tokens, targets).estimate(network).value == pytest.approx(
        (scores.argmax(1) == targets.flatten()[counted]).double().mean().item()
    )
