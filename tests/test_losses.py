"""Losses: found by name, and the one that fits a model and its data."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
from explorer.own.losses import LOSSES, by_name, chosen, infer
from landscape_engine.metrics import Accuracy, Loss


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LABELS = torch.tensor([0, 9, 3, 3, 1, 7])
BITS = torch.tensor([0, 1, 1, 0, 1, 0])
CASES = {
    "labels": (
        normal(6, 10),
        LABELS,
        "cross_entropy",
        "Targets are whole numbers from 0 to 9 and the model gives 10 outputs: cross-entropy.",
        lambda o, t: -(o - o.logsumexp(1, keepdim=True))[range(6), t].mean(),
    ),
    "log-probabilities": (
        normal(6, 10).log_softmax(1),
        LABELS,
        "nll_loss",
        "Targets are whole numbers from 0 to 9 and the model gives 10 outputs that are log-probabilities: "
        "negative log-likelihood.",
        lambda o, t: -o[range(6), t].mean(),
    ),
    "probabilities": (
        normal(6, 10).softmax(1),
        LABELS,
        "probability_nll_loss",
        "Targets are whole numbers from 0 to 9 and the model gives 10 outputs that are probabilities: "
        "negative log-likelihood.",
        lambda o, t: -o[range(6), t].log().mean(),
    ),
    "tokens": (
        normal(2, 3, 11),
        LABELS.reshape(2, 3),
        "token_cross_entropy",
        "Targets are whole numbers from 0 to 9 and the model gives 11 outputs for each of them: cross-entropy.",
        lambda o, t: F.cross_entropy(o.reshape(6, 11), t.reshape(6)),
    ),
    "pixels": (
        normal(2, 10, 3, 1),
        LABELS.reshape(2, 3, 1),
        "cross_entropy",
        "Targets are whole numbers from 0 to 9 and the model gives 10 outputs for each of them: cross-entropy.",
        lambda o, t: F.cross_entropy(o.movedim(1, 3).reshape(6, 10), t.reshape(6)),
    ),
    "numbers": (
        normal(6, 2),
        normal(6, 2, seed=1),
        "mse_loss",
        "Targets are numbers and the model gives one for each: mean squared error.",
        lambda o, t: ((o - t) ** 2).mean(),
    ),
    "numbers beside a column": (
        normal(6, 1),
        normal(6, seed=1),
        "mse_loss",
        "Targets are numbers and the model gives one for each: mean squared error.",
        lambda o, t: ((o[:, 0] - t) ** 2).mean(),
    ),
    "counts": (
        normal(6, 1),
        LABELS,
        "mse_loss",
        "Targets are numbers and the model gives one for each: mean squared error.",
        lambda o, t: ((o[:, 0] - t) ** 2).mean(),
    ),
    "yes or no": (
        normal(6, 1),
        BITS,
        "binary_cross_entropy_with_logits",
        "Targets are 0 or 1 and the model gives one output, taken as logits: binary cross-entropy.",
        lambda o, t: F.softplus(-o[:, 0] * (2 * t - 1)).mean(),
    ),
    "yes or no of probabilities": (
        normal(6).sigmoid(),
        BITS.float(),
        "binary_cross_entropy_with_logits",
        "Targets are 0 or 1 and the model gives one output, taken as logits: binary cross-entropy. All outputs lie "
        "between 0 and 1: if they are probabilities already, choose 'binary_cross_entropy'.",
        lambda o, t: F.softplus(-o * (2 * t - 1)).mean(),
    ),
    "several labels": (
        normal(3, 4),
        torch.tensor([[0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]]),
        "binary_cross_entropy_with_logits",
        "Targets are 0 or 1 and the model gives 4 outputs, taken as logits: binary cross-entropy.",
        lambda o, t: F.softplus(-o * (2 * t - 1)).mean(),
    ),
    "soft labels": (
        normal(6, 4),
        normal(6, 4, seed=1).softmax(1),
        "cross_entropy",
        "Targets are probabilities of 4 classes: cross-entropy.",
        lambda o, t: -(t * o.log_softmax(1)).sum(1).mean(),
    ),
    "one-hot labels": (
        normal(6, 10),
        F.one_hot(LABELS, 10),
        "cross_entropy",
        "Targets are probabilities of 10 classes: cross-entropy.",
        lambda o, t: F.cross_entropy(o, LABELS),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_loss_that_fits_is_found_and_says_why(case):
    outputs, targets, name, why, by_hand = CASES[case]
    found = infer(outputs, targets)
    assert (found.name, found.why) == (name, why)
    assert found.function(outputs, targets).item() == pytest.approx(by_hand(outputs, targets).item(), rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_engine_gives_the_same_value_in_batches(case):
    outputs, targets, _, _, by_hand = CASES[case]
    loss = Loss(infer(outputs, targets).function, outputs, targets, batch_size=4)

    class Same(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return self.factor * x

    value, stderr = loss.estimate(le.wrap_model(Same()))
    assert value == pytest.approx(by_hand(outputs, targets).item(), rel=1e-6)
    assert stderr > 0


@pytest.mark.parametrize("case", CASES)
def test_accuracy_has_a_meaning_exactly_where_targets_are_indices_of_classes(case):
    outputs, targets, *_ = CASES[case]
    classes = {"labels": 10, "log-probabilities": 10, "probabilities": 10, "tokens": 11, "pixels": 10}.get(case, 0)
    assert infer(outputs, targets).classes == classes
    if classes:
        sums, weights = Accuracy(outputs, targets).contributions(outputs, (outputs, targets))
        assert 0 <= sums.sum() <= weights.sum() == 6


def test_tokens_that_do_not_count_are_left_out():
    outputs, targets = normal(2, 3, 11), torch.tensor([[1, 2, -100], [3, -100, -100]])
    loss = chosen("cross_entropy", outputs, targets).function
    expected = F.cross_entropy(torch.stack([outputs[0, 0], outputs[0, 1], outputs[1, 0]]), torch.tensor([1, 2, 3]))
    metric = Loss(loss, outputs, targets)
    sums, weights = metric.contributions(outputs, (outputs, targets))
    assert sums.sum() / weights.sum() == pytest.approx(expected.item(), rel=1e-6)
    assert metric.units == "nats"


def test_every_loss_of_outputs_and_targets_has_a_name():
    assert set(LOSSES) >= {
        *("cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div"),
        *("binary_cross_entropy", "binary_cross_entropy_with_logits", "poisson_nll_loss", "multi_margin_loss"),
    }
    assert {"gaussian_nll_loss", "ctc_loss", "triplet_margin_loss", "linear_cross_entropy"} & set(LOSSES) == set()


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("cross_entropy", F.cross_entropy),
        ("CrossEntropyLoss", F.cross_entropy),
        ("cross-entropy", F.cross_entropy),
        ("MSELoss", F.mse_loss),
        ("mse", F.mse_loss),
        ("NLLLoss", F.nll_loss),
        ("KLDivLoss", F.kl_div),
        ("BCELoss", F.binary_cross_entropy),
        ("BCEWithLogitsLoss", F.binary_cross_entropy_with_logits),
    ],
)
def test_a_loss_is_known_by_its_names(name, function):
    assert by_name(name) is function


def test_a_name_that_is_unknown_comes_back_with_those_that_are_near():
    with pytest.raises(le.ChoiceError) as caught:
        by_name("crossentrpy")
    assert str(caught.value) == (
        "loss must be the name of a loss of torch.nn.functional, such as 'cross_entropy' or 'token_cross_entropy' or "
        "'binary_cross_entropy', but it is 'crossentrpy'."
    )
    with pytest.raises(le.ChoiceError, match="such as 'cross_entropy' or 'mse_loss', but it is 'zzz'"):
        by_name("zzz")


def test_a_named_loss_compares_each_output_with_its_own_target():
    outputs, targets = normal(6, 1), normal(6, seed=1)
    found = chosen("L1Loss", outputs, targets)
    assert (found.name, found.why) == ("l1_loss", "The loss was chosen: l1_loss.")
    assert found.function(outputs, targets).item() == pytest.approx((outputs[:, 0] - targets).abs().mean().item())


def test_a_given_loss_is_taken_as_it_is():
    function, module = (lambda o, t: (o - t).sum()), nn.HuberLoss(delta=2.0)
    assert chosen(function, normal(2), normal(2)).function is function
    found = chosen(module, normal(6, 10), LABELS)
    assert found.function is module and found.classes == 10
    assert (found.name, found.why) == ("HuberLoss", "The loss was given: HuberLoss.")
    assert isinstance(chosen(nn.HuberLoss, normal(2), normal(2)).function, nn.HuberLoss)
    with pytest.raises(
        le.ChoiceError, match=r"loss must be a name, or a function of \(outputs, targets\), but it is 3\."
    ):
        chosen(3, normal(2), normal(2))


def test_what_a_model_returns_may_hold_its_logits_or_its_loss():
    class Returned:
        def __init__(self, loss=None):
            self.logits, self.loss = normal(6, 10), loss

    assert infer(Returned(), LABELS).name == "cross_entropy"
    found = infer(Returned(torch.tensor(1.0)), LABELS)
    assert (found.function, found.why) == (None, "The model computes its loss itself.")


@pytest.mark.parametrize(
    ("outputs", "targets", "sentence"),
    [
        (
            normal(6, 10),
            torch.zeros(6, 3, dtype=torch.int64),
            "No loss is known for outputs of shape (6, 10) in float32 and targets of shape (6, 3) in int64. "
            "Choose one by its name, or give a function of (outputs, targets).",
        ),
        (
            (normal(6, 10), normal(6)),
            LABELS,
            "No loss is known for outputs of type tuple and targets of shape (6,) in int64. "
            "Choose one by its name, or give a function of (outputs, targets).",
        ),
        (
            normal(2, 3, 3),
            torch.zeros(2, 3, dtype=torch.int64),
            "Outputs of shape (2, 3, 3) in float32 may have their classes in the second dimension or in the last. "
            "Choose the loss: 'cross_entropy' for the second, 'token_cross_entropy' for the last.",
        ),
    ],
)
def test_what_fits_no_loss_is_told_with_both_shapes(outputs, targets, sentence):
    with pytest.raises(le.MismatchError) as caught:
        infer(outputs, targets)
    assert str(caught.value) == sentence
