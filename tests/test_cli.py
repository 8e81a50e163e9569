"""The command line: models of one's own by their names, and what is wrong in one sentence."""

import itertools
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from explorer import cli, sources
from explorer.app import Explorer
from explorer.state import MODELS, State

NETS = """
import torch
from torch import nn

def factory():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))

def broken():
    raise RuntimeError("no weights today")

pair = torch.randn(60, 4, generator=torch.Generator().manual_seed(1)), torch.arange(60) % 3

def both():
    return {"train": pair, "test": pair}
"""
NUMBERS = itertools.count()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module of this test's own, from which the command is run."""
    name = f"nets_{next(NUMBERS)}"
    (tmp_path / f"{name}.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path, name
    sys.modules.pop(name, None)


def loss_of(source):
    """Its loss at the network that is shown, as the page computes it."""
    return source.metrics(source.splits[0], 0)[0](source.sample.model)


def by_hand(module, state=None):
    model = module.factory()
    model.load_state_dict(state or model.state_dict())
    inputs, targets = module.pair
    return F.cross_entropy(model(inputs), targets).item()


def chosen(*arguments):
    return [sources.load(key) for key in cli.chosen(cli.parsed(arguments))]


def test_a_model_by_its_module_is_shown_with_its_own_loss(folder):
    path, name = folder
    (source,) = chosen(
        "--model", f"{name}:factory", "--data", f"{name}:both", "--loss", "cross_entropy", "--name", "mine"
    )
    assert (source.label, source.splits) == ("mine", ["train", "test"])
    assert loss_of(source) == pytest.approx(by_hand(sys.modules[name]), abs=1e-6)


def test_checkpoints_and_data_may_be_files(folder):
    path, name = folder
    (path / "run").mkdir()
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    for k in range(2):
        state = {n: t + 0.1 * k for n, t in net.state_dict().items()}
        torch.save(state, path / "run" / f"step_{10 * k}.pt")
    (source,) = chosen("--model", f"{name}:factory", "--data", f"{name}:pair", "--checkpoints", "run")
    assert source.steps == [0, 10]
    assert loss_of(source) == pytest.approx(by_hand(sys.modules[name], state), abs=1e-6)
    inputs, targets = sys.modules[name].pair
    np.savez(path / "some.npz", x_train=inputs, y_train=targets, x_test=inputs, y_test=targets)
    (other,) = chosen("--model", f"{name}:factory", "--data", "some.npz", "--checkpoints", "run/step_10.pt")
    assert (other.steps, other.splits) == ([0], ["train", "test"])
    assert loss_of(other) == pytest.approx(loss_of(source), abs=1e-6)


def test_a_course_names_several_models_in_their_order(folder):
    path, name = folder
    (path / "lab").mkdir()
    (path / "lab" / "course.toml").write_text(
        f'[[model]]\nname = "first"\nmodel = "{name}:factory"\ndata = "{name}:pair"\n[[model]]\nmodel = "spirals_mlp"\n'
    )
    (path / f"{name}.py").rename(path / "lab" / f"{name}.py")
    assert [source.label for source in chosen("lab/course.toml")] == ["first", "spirals_mlp"]


def test_the_page_opens_on_the_first_model_that_was_named_beside_the_samples(folder):
    path, name = folder
    models = cli.chosen(cli.parsed(["--model", f"{name}:factory", "--data", f"{name}:pair", "--name", "mine"]))
    explorer = Explorer(models=models)
    explorer.runner.close()
    assert (explorer.source.label, explorer.state.subspace) == ("mine", "random")
    assert explorer.state.param.model.objects == [*models, *MODELS]
    assert State().param.model.objects == MODELS  # that of another session


WRONG = {
    ("--model", "no_such_module:net"): "model no_such_module:net: the module 'no_such_module' cannot be imported from ",
    (
        "--model",
        "{}:net",
    ): "the name after ':' in model {}:net must be one of torch, nn, factory, broken, pair, both, but",
    ("--model", "{}:broken", "--data", "{}:pair"): "model {}:broken fails when it is called without arguments: "
    "RuntimeError: no weights today. ",
    (
        "--model",
        "{}:factory",
    ): "data must be a pair of tensors (inputs, targets), a Dataset, a DataLoader or batches, but",
    ("--model", "{}:factory", "--data", "gone.npz"): "gone.npz",
    ("--model", "{}:factory", "--data", "{}:pair", "--checkpoints", "gone"): "gone",
    (
        "--model",
        "{}:factory",
        "--data",
        "{}:pair",
        "--loss",
        "cross_entrpy",
    ): "loss must be the name of a loss of torch",
    (
        "--model",
        "digits_mlp",
        "--data",
        "{}:pair",
    ): "data of digits_mlp must be left out, since a sample model has its own",
    ("--data", "{}:pair"): "model must be 'module:object', a folder, or the name of a sample model, but it is None.",
    ("gone.toml",): "gone.toml cannot be read: No such file or directory. Name a TOML file of models.",
    (
        "wrong.toml",
    ): "In model 1 of wrong.toml: a key must be one of name, model, checkpoints, data, loss, but it is 'modle'",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_what_is_wrong_is_one_sentence_and_exit_code_two(arguments, folder, capsys):
    path, name = folder
    (path / "wrong.toml").write_text('[[model]]\nmodle = "digits_mlp"\n')
    with pytest.raises(SystemExit) as ended:
        cli.main([argument.format(name) for argument in arguments])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert printed.err.startswith("landscape-explorer: ") and WRONG[arguments].format(name) in printed.err
    assert printed.err.count("\n") == 1 and "Traceback" not in printed.err


def test_as_many_pages_stand_ready_as_were_asked_for(capsys):
    assert [cli.parsed(given).ready for given in ([], ["--ready", "30"], ["--ready", "0"])] == [4, 30, 0]
    with pytest.raises(SystemExit, match="2"):
        cli.parsed(["--ready", "-1"])
    assert "argument --ready: must be a whole number, 0 or more, but it is '-1'" in capsys.readouterr().err
