"""Checks before a run: every sentence that a person reads, and a preview against numbers found by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
from explorer.datasets import Data
from explorer.own import preview as previews
from explorer.own.checks import check
from explorer.own.preview import duration


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels(count=12, classes=3):
    return torch.arange(count) % classes


def net(*sizes, seed=0, bias=True):
    layers = []
    for k, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False)):
        layer = nn.Linear(a, b, bias=bias)
        with torch.no_grad():
            layer.weight.copy_(normal(b, a, seed=seed + k))
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def sentence(model, data, *args, **options):
    with pytest.raises(le.LandscapeError) as caught:
        check(model, data, *args, **options)
    return str(caught.value)


def test_inputs_and_targets_must_be_of_one_length():
    assert sentence(net(4, 3), Data((normal(12, 4), labels(11)))) == (
        "Inputs and targets of the training data do not fit each other: there are 12 inputs, but 11 targets. "
        "There must be one target for each input."
    )
    test = (normal(2, 4), torch.tensor(1))
    assert sentence(net(4, 3), Data((normal(12, 4), labels()), test)) == (
        "Inputs and targets of the test data do not fit each other: there are 2 inputs, but a single number targets. "
        "There must be one target for each input."
    )


def test_there_must_be_an_example():
    assert sentence(net(4, 3), Data((normal(0, 4), labels(0)))) == (
        "The training data are empty: their inputs have shape (0, 4). Choose data with an example."
    )


def test_inputs_and_targets_must_be_finite():
    inputs = normal(12, 2, 3)
    inputs[7, 1, 2], inputs[9, 0, 0] = float("nan"), float("inf")
    rows = {"train": torch.arange(100, 112)}
    assert sentence(net(3, 3), Data((inputs, labels()), rows=rows)) == (
        "The training inputs are not finite in 2 places, first in row 107 at (1, 2), which holds nan. "
        "Rows are counted from 0. Replace such values or leave their rows out."
    )
    targets = normal(12)
    targets[3] = -float("inf")
    assert sentence(net(4, 1), Data((normal(12, 4), normal(12)), (normal(12, 4), targets))) == (
        "The test targets are not finite in 1 place, first in row 3, which holds -inf. "
        "Rows are counted from 0. Replace such values or leave their rows out."
    )


def test_weights_and_checkpoints_must_be_finite():
    model, data = net(4, 3), Data((normal(12, 4), labels()))
    states = [copy.deepcopy(model.state_dict()) for _ in range(3)]
    states[1]["0.weight"][2, 1] = float("nan")
    states[1]["0.weight"][2, 3] = float("nan")
    assert sentence(model, data, states=states) == (
        "Checkpoint 2 of 3 holds weights that are not finite: '0.weight' in 2 places, first at (2, 1), which holds "
        "nan. Take a checkpoint from before training diverged."
    )
    model.load_state_dict(states[1])
    assert sentence(model, data).startswith("The model holds weights that are not finite: '0.weight' in 2 places")


def test_a_mask_may_be_infinite():
    model = net(4, 3)
    model.register_buffer("mask", torch.full((3,), -float("inf")))
    assert check(model, Data((normal(12, 4), labels())), states=[model.state_dict()]).parameters == 15


def test_the_model_must_take_the_inputs():
    assert sentence(net(5, 3), Data((normal(12, 4), labels()))) == (
        "The model cannot be called with inputs of shape (2, 4) in float32, while its first weight, '0.weight', has "
        "shape (3, 5): mat1 and mat2 shapes cannot be multiplied (2x4 and 5x3). "
        "Choose the data that it was made for, or another shape of the inputs."
    )


def test_flat_inputs_are_advised_where_they_fit():
    assert sentence(net(12, 3), Data((normal(12, 3, 4), labels()))) == (
        "The model cannot be called with inputs of shape (2, 3, 4) in float32, while its first weight, '0.weight', has "
        "shape (3, 12): mat1 and mat2 shapes cannot be multiplied (6x4 and 12x3). "
        "It can be called with flat inputs: choose the shape (-1,)."
    )


def test_tokens_must_be_in_the_embedding():
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9))
    tokens = torch.arange(400).reshape(100, 4) % 9
    tokens[88, 1] = 30
    assert sentence(model, Data((tokens, tokens % 9), kind="tokens")) == (
        "The model cannot be called with inputs of shape (65, 4) in int64 from 0 to 30, while its first weight, "
        "'0.weight', has shape (9, 4): index out of range in self. "
        "Choose the data that it was made for, or another shape of the inputs."
    )


def test_labels_must_be_among_the_outputs():
    targets = labels(100)
    targets[70], targets[80] = 3, -1
    data = Data((normal(100, 4), targets), rows={"train": torch.arange(100).flip(0)})
    assert sentence(net(4, 3), data) == (
        "Label 3 in row 29 of the training targets is outside of what the model tells apart, as are 1 more: expected 0 "
        "to 2. Rows are counted from 0. Number the labels from 0, or choose the model of these data."
    )
    test = (normal(3, 4), torch.tensor([1, 2, 3]))
    assert sentence(net(4, 3), Data((normal(12, 4), labels()), test)) == (
        "Label 3 in row 2 of the test targets is outside of what the model tells apart: expected 0 "
        "to 2. Rows are counted from 0. Subtract 1 from all labels."
    )


@pytest.mark.parametrize("loss", ["cross_entropy", F.cross_entropy, nn.CrossEntropyLoss(), nn.MultiMarginLoss()])
def test_labels_are_looked_at_for_every_loss_of_indices(loss):
    data = Data((normal(12, 4), labels(classes=4)))
    assert sentence(net(4, 3), data, loss).startswith("Label 3 in row 3 of the training targets is outside")


def test_a_label_that_is_left_out_is_no_error():
    targets = labels()
    targets[4] = -100
    found = check(net(4, 3), Data((normal(12, 4), targets)))
    assert found.loss.why == "Targets are whole numbers from 0 to 2 and the model gives 3 outputs: cross-entropy."
    targets[4] = 7
    assert check(net(4, 3), Data((normal(12, 4), targets)), nn.CrossEntropyLoss(ignore_index=7)).accuracy is not None


def test_a_loss_must_fit_the_outputs():
    data = Data((normal(12, 4), labels()))
    assert sentence(net(4, 3), data, "mse_loss") == (
        "The loss mse_loss cannot be computed of outputs of shape (12, 3) in float32 and targets of shape (12,) in "
        "int64: Using a target size (torch.Size([12])) that is different to the input size (torch.Size([12, 3])). "
        "Choose another loss."
    )
    assert sentence(net(4, 3), Data((normal(12, 4), normal(12, 7)))) == (
        "No loss is known for outputs of shape (12, 3) in float32 and targets of shape (12, 7) in float32. "
        "Choose one by its name, or give a function of (outputs, targets)."
    )


def test_a_loss_must_give_one_number_or_one_for_each_example():
    assert sentence(net(4, 3), Data((normal(12, 4), labels())), lambda o, t: o[:5]) == (
        "The loss <lambda> gives numbers of shape (5, 3) in float32 for outputs of shape (12, 3) in float32 and "
        "targets of shape (12,) in int64. It must give one number, or one for each example."
    )


def test_the_loss_of_the_model_must_be_finite():
    assert sentence(net(4, 3), Data((normal(12, 4), labels())), lambda o, t: (o - o).log().mean()) == (
        "The loss <lambda> is -inf at the model's own weights. "
        "Choose the loss that it was trained with, or check the scale of the inputs."
    )


def test_what_is_no_model_is_told():
    assert sentence("a model", Data((normal(12, 4), labels()))) == (
        "model must be a torch.nn.Module or a ModelWrapper, which wrap_keras, wrap_sklearn and wrap_arrays make of "
        "others, but it is 'str'."
    )


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (normal(12, 4).double(), "Inputs were cast from float64 to float32, the type of the model."),
        (
            torch.arange(48).reshape(12, 4).to(torch.uint8),
            "Inputs were cast from uint8 to float32, the type of the model. Their scale is as it was: divide them if "
            "the model was trained so.",
        ),
    ],
)
def test_inputs_are_cast_to_the_type_of_the_model_and_it_is_said(inputs, said):
    model = net(4, 3)
    found = check(model, Data((inputs, labels()), (inputs[:5], labels(5))))
    assert said in found.sentences
    assert found.data.train[0].dtype == found.data.test[0].dtype == torch.float32
    assert found.value == pytest.approx(F.cross_entropy(model(inputs.float()), labels()).item(), rel=1e-6)


def test_targets_are_cast_as_the_outputs_are():
    found = check(net(4, 1).double(), Data((normal(12, 4), normal(12))))
    assert "Targets were cast from float32 to float64, the type of the model." in found.sentences
    assert found.data.train[1].dtype == torch.float64


def test_whole_numbers_that_are_looked_up_stay_so():
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9))
    tokens = torch.arange(36).reshape(12, 3) % 9
    found = check(model, Data((tokens, tokens)))
    assert found.data.train[0] is tokens and found.loss.name == "token_cross_entropy"
    assert found.value == pytest.approx(F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).item(), rel=1e-6)


def test_a_preview_says_what_is_about_to_be_explored(monkeypatch):
    clock = iter([10.0, 10.5, 20.0, 20.02])
    monkeypatch.setattr(previews.time, "perf_counter", lambda: next(clock))
    model, inputs, targets = net(4, 5, 3).train(), normal(1024, 4), labels(1024)
    before = copy.deepcopy(model.state_dict())
    data = Data((inputs, targets), (inputs[:9], targets[:9]), ("cat", "dog"), facts=("Inputs: x. Targets: y.",))
    found = check(model, data)
    outputs = model(inputs[:512])
    right = (outputs.argmax(1) == targets[:512]).float().mean().item()
    loss = F.cross_entropy(outputs, targets[:512]).item()
    assert (found.parameters, found.examples) == (4 * 5 + 5 + 5 * 3 + 3, {"train": 1024, "test": 9})
    assert found.shapes == {"inputs": (4,), "targets": (), "outputs": (3,)}
    assert (found.classes, found.loss.name) == (("cat", "dog"), "cross_entropy")
    assert (found.value, found.accuracy) == (pytest.approx(loss, rel=1e-6), pytest.approx(right))
    assert found.seconds == pytest.approx(0.04)  # 0.02 s for half of the examples
    assert found.sentences == (
        "43 parameters, 1,024 training and 9 test examples.",
        "Inputs: x. Targets: y.",
        "Targets are whole numbers from 0 to 2 and the model gives 3 outputs: cross-entropy.",
        "The data have 2 classes, but the model gives 3 outputs.",
        f"On 512 examples the loss is {loss:.2f} and the accuracy {100 * right:.1f} %.",
        "A picture takes about 16 s, a first one about 3 s.",
    )
    assert model.training and all(torch.equal(before[n], t) for n, t in model.state_dict().items())


def test_a_preview_of_numbers_has_no_accuracy():
    found = check(net(4, 1), Data((normal(12, 4), normal(12))))
    assert found.accuracy is None and found.classes == ()
    assert found.sentences[-1] == "A picture takes less than a second."
    assert found.sentences[-2].startswith("On 12 examples the loss is ") and "accuracy" not in found.sentences[-2]


def test_a_long_evaluation_is_timed_once(monkeypatch):
    clock = iter([0.0, 30.0])
    monkeypatch.setattr(previews.time, "perf_counter", lambda: next(clock))
    found = check(net(4, 1), Data((normal(12, 4), normal(12))))
    assert found.cost == "A picture takes about 3 h, a first one about 40 min."


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.3, "less than a second"),
        (4.2, "about 4 s"),
        (89, "about 89 s"),
        (100, "about 2 min"),
        (7200, "about 2 h"),
        (400_000, "about 5 days"),
    ],
)
def test_times_are_said_in_words(seconds, said):
    assert duration(seconds) == said
