"""A model of the caller's own: its loss by hand, whatever the data come in; nothing of it is changed."""

import asyncio
import copy
import gc
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import landscape_engine as le
from explorer import datasets, sources
from explorer.app import Explorer
from explorer.own import Own
from explorer.state import State
from explorer.subjects import offer
from explorer.views.opening import OpeningView

COUNT = 90


def network(seed=0):
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return model


class Named(nn.Module):
    """Takes its inputs by name."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        return self.inner(x)


@pytest.fixture(scope="module")
def pair():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(COUNT, 4, generator=generator), torch.randint(3, (COUNT,), generator=generator)


def finish(explorer, seconds=30.0):
    """The result of its run."""
    end = time.monotonic() + seconds
    while explorer.state.phase == "running":
        assert time.monotonic() < end, "the run did not end in time"
        time.sleep(0.02)
    assert explorer.state.message == ""
    return explorer.state.result


@pytest.fixture
def explore():
    """Explorers of few nodes, ended with the test."""
    made = []

    def one(*args, **options):
        made.append(Explorer(*args, **{"resolution": 33, "tolerance": 20.0, **options}))
        return made[-1]

    yield one
    for explorer in made:
        explorer.runner.close()
    for thread in threading.enumerate():
        if thread.name == "landscape":
            thread.join(10)


FORMS = {
    "tensors": lambda x, y: (x, y),
    "arrays": lambda x, y: (x.double().numpy(), y.numpy()),
    "data set": lambda x, y: TensorDataset(x, y),
    "loader": lambda x, y: DataLoader(TensorDataset(x, y), batch_size=32),
    "batches": lambda x, y: [(x[:40], y[:40]), (x[40:], y[40:])],
    "train and test": lambda x, y: {"test": (x, y), "train": (x, y)},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_loss_of_the_model_is_that_by_hand_in_whatever_form_the_data_come(form, pair):
    own, model = Own(network(), FORMS[form](*pair)), network()
    split = next(iter(own.splits))
    assert own.splits[split] == COUNT
    loss, accuracy = own.metrics(split)
    outputs = model(pair[0])
    assert loss(own.model) == pytest.approx(F.cross_entropy(outputs, pair[1]).item(), abs=1e-6)
    assert accuracy(own.model) == pytest.approx((outputs.argmax(1) == pair[1]).double().mean().item())
    assert own.description.startswith("Targets are whole numbers from 0 to 2 and the model gives 3 outputs: ")


@pytest.mark.parametrize("wrap", [lambda batches: batches, lambda batches: batches[0]], ids=["batches", "one batch"])
def test_batches_may_be_dicts(wrap, pair):
    batches = [{"x": pair[0], "labels": pair[1]}]
    own = Own(Named(), wrap(batches))
    assert own.metrics("all")[0](own.model) == pytest.approx(F.cross_entropy(network()(pair[0]), pair[1]).item())


@pytest.mark.parametrize("form", ["tensors", "loader"])
def test_fewer_examples_are_drawn_from_all_of_them(form, pair):
    (loss, _), inputs = Own(network(), FORMS[form](*pair)).metrics("all", 20), pair[0]
    rows = torch.cat([batch[0] for batch in loss.data.batches()])
    places = [(inputs == row).all(1).nonzero().item() for row in rows]
    expected = F.cross_entropy(network()(inputs[places]), pair[1][places]).item()
    assert (len(set(places)), loss(le.wrap_model(network()))) == (20, pytest.approx(expected, abs=1e-6))


def test_a_model_that_computes_its_loss_is_taken_at_its_word(pair):
    class Complete(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, x, labels):
            logits = self.inner(x)
            return SimpleNamespace(loss=2 * F.cross_entropy(logits, labels), logits=logits)

    batches = [{"x": pair[0], "labels": pair[1]}]
    own = Own(Complete(), batches, forward=lambda model, batch: model(**batch))
    expected = 2 * F.cross_entropy(network()(pair[0]), pair[1]).item()
    assert own.metrics("all")[0](own.model) == pytest.approx(expected, abs=1e-6)
    assert own.description.startswith("The model computes its loss itself.")


def test_a_loss_may_be_named_or_given_and_numbers_have_no_accuracy(pair):
    inputs = pair[0]
    targets = network(1)(inputs).detach()
    expected = F.l1_loss(network()(inputs), targets).item()
    for loss in ("l1_loss", F.l1_loss, nn.L1Loss()):
        (metric,) = Own(network(), (inputs, targets), loss).metrics("all")
        assert metric(le.wrap_model(network())) == pytest.approx(expected, abs=1e-6)
    source = sources.load(offer(Own(network(), (inputs, targets))))
    assert "accuracy" not in source.offered and "regularized_loss" not in source.offered
    assert (source.measure("loss").label, source.measure("sam_sharpness").units) == ("Mean squared error", "")


def test_the_page_shows_a_model_alone_and_says_what_is_missing(explore, pair):
    model = network()
    before = copy.deepcopy(model.state_dict())
    model.train()
    explorer = explore(model, pair)
    state, result = explorer.state, finish(explorer)
    expected = F.cross_entropy(network()(pair[0]), pair[1]).item()
    assert (state.subspace, state.splits, state.request.split) == ("random", ["all"], "all")
    assert float(result.landscape["all_loss"].sel(alpha=0, beta=0)) == pytest.approx(expected, abs=1e-6)
    assert "alone" in explorer.board.css_classes
    assert explorer.source.summary == (
        "67 parameters, no path of its training, 90 examples. Targets are whole numbers from 0 to 2 and the model "
        "gives 3 outputs: cross-entropy. Give checkpoints of the training to see its path."
    )
    assert explorer.header.subtitle == "Sequential, random plane, loss"
    assert model.training and all(torch.equal(before[n], t) for n, t in model.state_dict().items())


def test_training_on_does_not_move_what_is_shown(pair):
    model = network()
    own = Own(model, pair)
    before = own.metrics("all")[0](own.model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    assert own.metrics("all")[0](own.model) == before


def trained(pair, count):
    """A model and the checkpoints of its training."""
    model, recorder = network(), le.TrajectoryRecorder
    recorder = recorder(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for step in range(count):
        recorder.record(step)
        optimizer.zero_grad()
        F.cross_entropy(model(pair[0]), pair[1]).backward()
        optimizer.step()
    return recorder


def test_checkpoints_come_as_a_trajectory_a_list_a_file_or_a_folder(pair, tmp_path):
    trajectory = trained(pair, 4).trajectory()
    trajectory.save(tmp_path / "run.safetensors")
    (tmp_path / "epochs").mkdir()
    models = []
    for k in range(4):
        models.append(network())
        models[-1].load_state_dict(trajectory[k])
        save_file(trajectory[k], tmp_path / "epochs" / f"epoch_{k}.safetensors")
    states = [model.state_dict() for model in models]
    for given in (trajectory, models, states, tmp_path / "run.safetensors", str(tmp_path / "epochs")):
        own = Own(network(), pair, checkpoints=given)
        assert own.trajectory.steps == (0, 1, 2, 3)
        assert all(torch.equal(own.model.parameters[n], t) for n, t in trajectory[-1].items())
    only = Own(network(1), pair, checkpoints=[states[0]])
    assert only.trajectory is None and torch.equal(only.model.parameters["0.weight"], states[0]["0.weight"])


@pytest.mark.parametrize(("count", "place"), [(2, "between"), (3, "trajectory")])
def test_the_usual_place_is_what_the_checkpoints_span(count, place, explore, pair):
    trajectory = trained(pair, count).trajectory()
    explorer = explore(network(), {"train": pair, "test": pair}, checkpoints=trajectory)
    result = finish(explorer)
    assert explorer.state.subspace == place
    by_hand = [
        F.cross_entropy(torch.func.functional_call(network(), trajectory[k], pair[:1]), pair[1]) for k in (0, -1)
    ]
    np.testing.assert_allclose(result.profile["train_loss"][[0, -1]], [float(v) for v in by_hand], rtol=1e-6)


def test_what_cannot_be_used_is_a_sentence(pair):
    x, y = pair
    with pytest.raises(le.LandscapeError, match=r"^model must be a torch\.nn\.Module or a ModelWrapper"):
        Explorer([1, 2], pair)
    with pytest.raises(le.LandscapeError, match=r"^data must be a pair of tensors \(inputs, targets\), a Dataset"):
        Explorer(network())
    with pytest.raises(
        le.LandscapeError, match=r"^Inputs and targets of the given data do not fit each other: there are 90"
    ):
        Explorer(network(), (x, y[:80]))
    with pytest.raises(
        le.LandscapeError, match=r"^The model cannot be called with inputs of shape \(2, 3\) in float32"
    ):
        Explorer(network(), (x[:, :3], y))
    with pytest.raises(le.LandscapeError, match=r"^The model cannot be called with the data: mat1 and mat2 shapes"):
        Explorer(network(), [(x[:, :3], y)])  # batches
    with pytest.raises(le.LandscapeError, match=r"^Label 3 in row \d+ of the test targets is outside of what"):
        Explorer(network(), {"train": (x, y), "test": (x, y + 1)})
    with pytest.raises(
        le.LandscapeError, match=r"^The given inputs are not finite in 4 places, first in row 4 at \(0,\)"
    ):
        Explorer(network(), (x.index_fill(0, torch.tensor([4]), float("inf")), y))
    with pytest.raises(
        le.LandscapeError, match=r"^the keys of data must be 'train' and 'test', but it is 'train, tset'"
    ):
        Explorer(network(), {"train": pair, "tset": pair})
    with pytest.raises(le.LandscapeError, match=r"^the weights do not fit the model: missing are 0\.bias, 2\.weight, "):
        Explorer(network(), pair, checkpoints=[network(), nn.Sequential(nn.Linear(4, 8, bias=False))])
    with pytest.raises(le.LandscapeError, match=r"^model must be a network, since data are given, but it is 'digits"):
        Explorer("digits_mlp", pair)
    with pytest.raises(le.LandscapeError, match=r"^metric must be one of loss, accuracy"):
        Explorer("digits_mlp", metric="los")
    with pytest.raises(le.LandscapeError, match=r"^subspace of Sequential must be one of random"):
        Explorer(network(), pair, subspace="trajectory")
    with pytest.raises(le.LandscapeError, match=r"^a choice must be one of split, .* but it is 'resolutoin'"):
        Explorer(network(), pair, resolutoin=33)


class Wrapping(nn.Module):
    """A network inside a module, whose names all begin with ``net.``."""

    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x):
        return self.net(x)


def test_what_programs_put_before_names_is_kept_where_the_model_has_it(pair, tmp_path):
    models = [Wrapping() for _ in range(3)]
    for k, model in enumerate(models):
        nn.init.constant_(model.net[0].bias, k)
        save_file(model.state_dict(), tmp_path / f"epoch_{k}.safetensors")
        torch.save({"state_dict": {f"module.{n}": t for n, t in model.net.state_dict().items()}}, tmp_path / f"n{k}.pt")
    wrapped = Own(models[0], pair, checkpoints=tmp_path)  # the safetensors files
    assert [float(wrapped.trajectory[k]["net.0.bias"][0]) for k in range(3)] == [0, 1, 2]
    bare = Own(models[0].net, pair, checkpoints=sorted(tmp_path.glob("*.pt")))
    assert [float(bare.trajectory[k]["0.bias"][0]) for k in range(3)] == [0, 1, 2]


def test_a_model_opened_on_a_page_is_gone_with_its_session(pair):
    view = OpeningView(State())
    view._fill()
    view.opening.own = lambda taken: Own(network(), pair)
    asyncio.run(view._explore(None))
    key = view.state.model
    source = sources.load(key)
    source.metrics(source.splits[0], 0)
    kept = weakref.ref(source)
    other = offer(Own(network(), pair))
    view.close()
    del view, source
    gc.collect()
    assert kept() is None
    with pytest.raises(le.ChoiceError, match="one that was given to this page"):
        sources.load(key)
    assert sources.load(other).name == other


def test_the_first_batch_and_the_checkpoints_are_looked_at_as_files_are(pair):
    inputs, targets = pair
    wrong = targets.clone()
    wrong[5] = 7
    with pytest.raises(le.MismatchError, match=r"^Label 7 in row 5 of the first batch's targets is outside of what"):
        Own(network(), DataLoader(TensorDataset(inputs, wrong), batch_size=32))
    broken = inputs.clone()
    broken[2, 1] = float("nan")
    sentence = r"^The first batch's inputs are not finite in 1 place, first in row 2 at \(1,\), which holds nan\."
    with pytest.raises(le.LandscapeError, match=sentence):
        Own(network(), [(broken, targets)])
    diverged = network(1)
    diverged[0].weight.data[0, 0] = float("inf")
    states = [model.state_dict() for model in (network(0), diverged, network(2))]
    for data in (pair, [pair]):
        with pytest.raises(
            le.LandscapeError, match=r"^Checkpoint 2 of 3 holds weights that are not finite: '0.weight'"
        ):
            Own(network(), data, checkpoints=states)


class Tied(nn.Module):
    """A model whose first and last layers share their weights, with a buffer that no file holds."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.last = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.last.weight = self.first.weight
        self.register_buffer("scale", torch.full((4,), 2.0), persistent=False)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x) * self.scale))


def test_a_tied_weight_may_be_in_a_checkpoint_under_either_name(pair):
    states = [{"last.weight": Tied(seed).first.weight.detach()} for seed in (1, 2, 3)]
    for given in (states[2], states):
        own = Own(Tied(0), pair, checkpoints=given)
        found = le.point(own.model, own.metrics("all")[0])
        assert found == pytest.approx(F.cross_entropy(Tied(3)(pair[0]), pair[1]).item(), rel=1e-6)
    assert torch.equal(own.trajectory[1]["first.weight"], states[1]["last.weight"])


def test_models_with_buffers_that_no_file_holds_are_checkpoints(pair):
    own = Own(Tied(0), pair, checkpoints=[Tied(1), le.wrap_model(Tied(2))])
    assert torch.equal(own.trajectory[0]["first.weight"], Tied(1).first.weight)
    assert torch.equal(own.trajectory[1]["first.weight"], Tied(2).first.weight)


def test_rows_of_files_are_told_as_in_the_file_and_what_was_read_is_data(pair, tmp_path):
    lines = [",".join([*(f"{x:.4f}" for x in row), str(int(label))]) for row, label in zip(*pair, strict=True)]
    (tmp_path / "good.csv").write_text("\n".join(["a,b,c,d,label", *lines]))
    data = datasets.read(tmp_path / "good.csv", datasets.DataChoices(split=0.0, samples=30))
    assert Own(network(), data).splits == {"train": 30}
    lines[7] = "0.1,0.2,0.3,0.4,9"
    (tmp_path / "bad.csv").write_text("\n".join(["a,b,c,d,label", *lines]))
    with pytest.raises(le.MismatchError, match=r"^Label 9 in row 7 of the (training|test) targets is outside"):
        Own(network(), tmp_path / "bad.csv")


class Unreadable(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return object(), 0


def test_data_that_cannot_be_read_are_a_sentence():
    with pytest.raises(le.LandscapeError, match=r"^The data cannot be read: .*\. Give a data set whose examples are"):
        Own(network(), Unreadable())
    with pytest.raises(
        le.LandscapeError, match=r"^The data are no tensors: .*\. Give tensors, or arrays of numbers\.$"
    ):
        Own(network(), (np.array([[object()] * 4]), np.array([0])))


class TimeFirst(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.read, self.last = nn.RNN(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.last(self.read(x)[0][-1])


def test_batches_may_have_their_examples_in_another_dimension(pair):
    inputs, targets = torch.randn(7, 12, 4), torch.arange(12) % 3
    own = Own(TimeFirst(), [(inputs, targets)])
    found = le.point(own.model, own.metrics("all")[0])
    assert found == pytest.approx(F.cross_entropy(TimeFirst()(inputs), targets).item(), rel=1e-6)
