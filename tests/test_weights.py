"""Weights from files of any program, each written by plain torch, safetensors or transformers."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

import landscape_engine as le
from explorer import weights
from explorer.weights import huggingface, layouts, unpickling
from landscape_engine import ChoiceError, FileFormatError, LandscapeError, MismatchError
from sample_models.architectures import recognize

REMEDY = "Save the model's state_dict() alone, with safetensors or torch.save."


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def equal(a, b):
    return list(a) == list(b) and all(torch.equal(a[n], b[n]) for n in b)


def prefixed(prefix):
    return {f"{prefix}{name}": tensor for name, tensor in network().state_dict().items()}


def optimizer():
    model = network()
    made = torch.optim.Adam(model.parameters())
    model(torch.ones(3, 3)).sum().backward()
    made.step()
    return made.state_dict()


# As programs write them: what is in the file; then entries, prefixes, and what was left out.
LAYOUTS = {
    "a state dict": (network().state_dict, (), (), ()),
    "Lightning": (
        lambda: {
            "epoch": 3,
            "state_dict": prefixed("model."),
            "optimizer_states": [optimizer()],
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
        },
        ("state_dict",),
        ("model.",),
        ("epoch", "optimizer_states", "callbacks"),
    ),
    "PyTorch's tutorial": (
        lambda: {"epoch": 1, "model_state_dict": prefixed(""), "optimizer_state_dict": optimizer(), "loss": 0.5},
        ("model_state_dict",),
        (),
        ("epoch", "optimizer_state_dict", "loss"),
    ),
    "many scripts": (lambda: {"net": prefixed("module."), "acc": 91.25}, ("net",), ("module.",), ("acc",)),
    "a compiled model in parallel": (
        lambda: {"model": prefixed("_orig_mod.module.")},
        ("model",),
        ("_orig_mod.", "module."),
        (),
    ),
    "an averaged model": (
        lambda: torch.optim.swa_utils.AveragedModel(network()).state_dict(),
        (),
        ("module.",),
        ("n_averaged",),
    ),
    "an average beside": (
        lambda: {"model": prefixed(""), "ema": prefixed("module."), "rng": torch.zeros(3)},
        ("model",),
        (),
        ("ema", "rng"),
    ),
    "a name of its own": (lambda: {"student": prefixed("net."), "step": 3}, ("student",), ("net.",), ("step",)),
    "a state within a state": (lambda: {"model": {"state_dict": prefixed("")}}, ("model", "state_dict"), (), ()),
    "an extra state": (lambda: {**prefixed(""), "1._extra_state": {"a": 1}}, (), (), ("1._extra_state",)),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_programs_put_around_the_weights_is_taken_off_and_told(name):
    made, entries, prefixes, left_out = LAYOUTS[name]
    layout = layouts.find(made())
    assert equal(layout.state, network().state_dict())
    assert layout[1:] == (entries, prefixes, left_out)


@pytest.mark.parametrize(
    "found",
    [None, 3, torch.zeros(3), [torch.zeros(3)], {}, {"a": 1}, {3: torch.zeros(3)}, optimizer()]
    + [{"generator": prefixed(""), "critic": prefixed("")}, {"n_averaged": torch.tensor(3)}],
)
def test_where_no_weights_can_be_told_none_are_found(found):
    assert layouts.find(found) is None


def test_files_of_torch_are_read_by_another_process_in_the_order_of_their_names(tmp_path):
    paths = [tmp_path / f"{k}.ckpt" for k in range(len(LAYOUTS))]
    for k, (path, (made, *_)) in enumerate(zip(paths, LAYOUTS.values(), strict=True)):
        torch.save(made(), path, _use_new_zipfile_serialization=k % 2 == 0)
    odd = {"b": torch.arange(6.0).view(2, 3).t(), "a": torch.ones(2, dtype=torch.bfloat16), "tied": torch.ones(3)}
    odd["c"], odd["part"] = odd["tied"], odd["tied"][1:]
    torch.save(odd, tmp_path / "odd.pt")
    *read, last = unpickling.unpickle([*paths, tmp_path / "odd.pt"])
    assert all(equal(layout.state, network().state_dict()) for layout in read)
    assert [layout[1:] for layout in read] == [tuple(facts) for _, *facts in LAYOUTS.values()]
    assert equal(last.state, odd) and last.state["a"].dtype == torch.bfloat16


def test_what_was_taken_off_is_told_in_a_sentence(tmp_path):
    layout = layouts.find(LAYOUTS["Lightning"][0]())
    assert weights.Weights(layout, tmp_path).report == (
        "Taken from state_dict; 'model.' cut off all names; left out: epoch, optimizer_states, callbacks."
    )
    assert weights.Weights(layouts.find(prefixed("")), tmp_path).report == ""


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_file_that_wants_to_run_code_is_refused_and_does_not_run_it(tmp_path):
    trap, path = tmp_path / "trap", tmp_path / "hostile.pt"
    torch.save({"weight": torch.ones(2), "more": Hostile(trap)}, path)
    with pytest.raises(FileFormatError) as caught:
        weights.read(path)
    named = f"{os.mkdir.__module__}.mkdir"
    assert str(caught.value) == f"{path} wants to run code when it is opened ({named}), so that it was not. {REMEDY}"
    assert caught.value.path == path
    assert not trap.exists()
    torch.load(path, weights_only=False)
    assert trap.exists()  # it would have


def legacy(found, path):
    torch.save(found, path, _use_new_zipfile_serialization=False)


def compressed(path):
    torch.save(network().state_dict(), path)
    with zipfile.ZipFile(path) as archive:
        members = {m.filename: archive.read(m) for m in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


DAMAGED = "cannot be read: it is damaged, or holds more than tensors and plain values."
REFUSED = {
    "nothing": (lambda path: path.write_bytes(b""), DAMAGED),
    "a text": (lambda path: path.write_text("weights", encoding="utf-8"), DAMAGED),
    "a part": (lambda path: (torch.save(prefixed(""), path), os.truncate(path, 900)), DAMAGED),
    "compressed": (compressed, DAMAGED),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps({"a": 1}, protocol=5)), DAMAGED),
    "a module": (
        lambda path: torch.save(nn.Linear(2, 2), path),
        "wants to run code when it is opened (torch.nn.modules.linear.Linear), so that it was not.",
    ),
    "code, in the older form": (
        lambda path: legacy(Hostile("trap"), path),
        f"wants to run code when it is opened ({os.mkdir.__module__}.mkdir), so that it was not.",
    ),
    "two networks": (
        lambda path: torch.save({"generator": prefixed(""), "critic": prefixed("")}, path),
        "holds no weights by name that could be told (but 'generator', 'critic').",
    ),
    "a list": (
        lambda path: torch.save([torch.ones(2)], path),
        "holds no weights by name that could be told (but list).",
    ),
    "an expanded tensor": (
        lambda path: torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, path),
        "does not hold all numbers of 'a' as such.",
    ),
    "a sparse tensor": (
        lambda path: torch.save({"a": torch.eye(3).to_sparse()}, path),
        "does not hold all numbers of 'a' as such.",
    ),
    "one tensor by many names": (
        lambda path: torch.save(dict.fromkeys(map(str, range(99)), torch.ones(10_000)), path),
        "names the same numbers again and again.",
    ),
    "very many tensors": (
        lambda path: torch.save(dict.fromkeys(map(str, range(20_001)), torch.ones(1)), path),
        "holds 20001 tensors, more than 20000.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_weights_as_such_is_refused_in_a_sentence(tmp_path, name):
    write, text = REFUSED[name]
    path = tmp_path / "file.pt"
    write(path)
    with pytest.raises(FileFormatError) as caught:
        unpickling.hand_over(path, tmp_path / "out.safetensors")
    assert str(caught.value) == f"{path} {text} {REMEDY}"
    assert not (tmp_path / "out.safetensors").exists() and not Path("trap").exists()


def test_a_file_that_takes_too_long_is_given_up(tmp_path):
    path = tmp_path / "slow.pt"
    torch.save(prefixed(""), path)
    with pytest.raises(FileFormatError) as caught:
        unpickling.unpickle([path], seconds=0)
    assert str(caught.value) == f"It takes longer than 0 s to read {path}, so that it was given up. {REMEDY}"


def test_a_file_that_ends_its_reader_is_told(tmp_path, monkeypatch):
    torch.save(prefixed(""), tmp_path / "fatal.pt")
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(FileFormatError) as caught:
        weights.read(tmp_path / "fatal.pt")
    assert str(caught.value) == f"{tmp_path / 'fatal.pt'} ends the program that reads it. {REMEDY}"


def test_safetensors_are_read_with_the_same_things_taken_off(tmp_path):
    save_file(prefixed("_orig_mod.model."), tmp_path / "a.safetensors")
    found = weights.read(tmp_path / "a.safetensors")
    expected = network().state_dict()
    assert found.prefixes == ("_orig_mod.", "model.") and equal(
        dict(sorted(found.items())), dict(sorted(expected.items()))
    )
    assert weights.read(tmp_path).prefixes == found.prefixes  # the one file in a folder


def test_parts_of_a_safetensors_file_are_put_together_before_names_are_cut(tmp_path):
    state = prefixed("model.") | {"head.weight": torch.ones(2)}
    for k, name in enumerate(state):
        save_file({name: state[name]}, tmp_path / f"model-{k + 1:05}-of-{len(state):05}.safetensors")
    found = weights.read(tmp_path)
    assert found.prefixes == () and found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)
    (tmp_path / f"model-00001-of-{len(state):05}.safetensors").unlink()
    with pytest.raises(FileFormatError, match="holds only some parts of a file: expected one that ends in "):
        weights.read(tmp_path)


EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}


def header(path, content):
    path.write_bytes(len(content).to_bytes(8, "little") + content)


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (lambda path: None, "is not there: expected one that ends in .safetensors, .pt, .pth, .th, .ckpt."),
        (lambda path: path.write_bytes(b"123"), "cannot be read as safetensors ("),
        (
            lambda path: path.write_bytes((2**62).to_bytes(8, "little")),
            "cannot be read as safetensors (its header is too",
        ),
        (lambda path: header(path, b"{}"), "holds no weights."),
        (
            lambda path: header(path, json.dumps({str(k): EMPTY for k in range(20_001)}).encode()),
            "cannot be read as safetensors (it holds 20001 tensors, more than 20000).",
        ),
    ],
)
def test_a_damaged_safetensors_file_is_refused_in_a_sentence(tmp_path, write, text):
    path = tmp_path / "a.safetensors"
    write(path)
    with pytest.raises(FileFormatError) as caught:
        weights.read(path)
    assert str(caught.value).startswith(f"{path} {text}")


def test_other_files_and_folders_of_several_are_refused_in_a_sentence(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"1")
    ends = "expected one that ends in .safetensors, .pt, .pth, .th, .ckpt."
    with pytest.raises(FileFormatError, match=rf"model\.onnx is no file of weights: {ends}$"):
        weights.read(tmp_path / "model.onnx")
    with pytest.raises(FileFormatError, match=rf"holds 0 files of weights: {ends} Choose a file in it\.$"):
        weights.read(tmp_path)
    for name in "ab":
        save_file(prefixed(""), tmp_path / f"{name}.safetensors")
    with pytest.raises(FileFormatError, match=rf"holds 2 files of weights: {ends} Choose a file in it\.$"):
        weights.read(tmp_path)


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        ("epoch_0.pt epoch_2.pt epoch_10.pt", [0, 2, 10]),
        ("net20_init.pt net20_ep5.pt net20_ep40.pt net20_best.pt net20_last.pt net20_final.pt", [4, 5, 40, 41, 42, 43]),
        ("epoch=2-step=90-loss=0.7.ckpt epoch=11-step=400-loss=0.3.ckpt last.ckpt", [2, 11, 12]),
        ("a.pt b.pt final.pt", [0, 1, 2]),
        ("final_run_1.pt final_run_2.pt", [1, 2]),
        ("best_step_100.pt best_step_200.pt", [100, 200]),
        ("best.pt final.pt", [0, 1]),
        ("checkpoint-500/model.safetensors checkpoint-1000/model.safetensors", [500, 1000]),
        ("initially_3.pt initially_12.pt", [3, 12]),
        ("lasting_3.pt lasting_12.pt", [3, 12]),
    ],
)
def test_checkpoints_are_in_the_order_of_the_steps_in_their_names(names, steps):
    assert weights.in_order(sorted(names.split(), reverse=True), "run") == (names.split(), steps)


def test_an_order_that_the_names_do_not_tell_is_refused():
    names = ["epoch_1_loss_0.9.pt", "epoch_2_loss_0.10.pt", "weights_3.pt"]
    with pytest.raises(MismatchError) as caught:
        weights.in_order(names, "runs")
    assert str(caught.value) == (
        "the order of the checkpoints in runs is not known: 'weights_3.pt' is not named like 'epoch_1_loss_0.9.pt'. "
        "Bring those of one run, whose names differ in the number of the step alone."
    )


def at(step):
    return {name: tensor + step for name, tensor in network().state_dict().items()}


def test_several_files_are_the_checkpoints_of_a_run(tmp_path):
    for step in (2, 10, 1):
        torch.save({"model": at(step), "step": step}, tmp_path / f"epoch_{step}.pt")
    torch.save({"model": at(11)}, tmp_path / "final.pt")
    found = weights.checkpoints(sorted(tmp_path.iterdir()))
    assert found.names == ["epoch_1.pt", "epoch_2.pt", "epoch_10.pt", "final.pt"]
    assert found.steps == [1, 2, 10, 11]
    assert all(equal(state, at(step)) for state, step in zip(found.states, found.steps, strict=True))


def test_a_folder_is_a_run_of_its_files_or_of_its_folders(tmp_path):
    for step in (5, 10):
        (tmp_path / f"run/checkpoint-{step}").mkdir(parents=True)
        save_file(at(step), tmp_path / f"run/checkpoint-{step}/model.safetensors")
        torch.save(optimizer(), tmp_path / f"run/checkpoint-{step}/optimizer.pt")
        save_file(at(step), tmp_path / f"step{step}.safetensors")
    by_folder, by_file = weights.checkpoints([tmp_path / "run"]), weights.checkpoints([tmp_path])
    assert by_folder.names == ["checkpoint-5", "checkpoint-10"] and by_file.names[0] == "step5.safetensors"
    for found in (by_folder, by_file):
        assert found.steps == [5, 10]
        assert all(torch.equal(found.states[1][name], tensor) for name, tensor in at(10).items())
    one = weights.checkpoints([tmp_path / "run/checkpoint-5"])
    assert len(one.states) == 1 and torch.equal(one.states[0]["0.weight"], at(5)["0.weight"])


def test_a_recorded_trajectory_is_a_run_and_its_last_checkpoint_a_set_of_weights(tmp_path):
    path, model = tmp_path / "run.safetensors", network()
    recorder = le.TrajectoryRecorder(model)
    for step in (0, 7, 9):
        with torch.no_grad():
            model[0].weight.fill_(step)
        recorder.record(step)
    recorder.trajectory().save(path)
    found = weights.checkpoints([path])
    assert (found.names, found.steps) == (["step 0", "step 7", "step 9"], [0, 7, 9])
    assert [float(state["0.weight"][0, 0]) for state in found.states] == [0, 7, 9]
    weights.fit(network(), weights.read(path))
    assert torch.equal(weights.read(path)["0.weight"], torch.full((4, 3), 9.0))


def test_checkpoints_of_other_networks_are_told_apart(tmp_path):
    save_file(at(1), tmp_path / "epoch_1.safetensors")
    save_file({"0.weight": torch.ones(2)}, tmp_path / "epoch_2.safetensors")
    with pytest.raises(MismatchError, match="is in .*epoch_1.safetensors, but not in .*epoch_2.safetensors. Choose"):
        weights.checkpoints([tmp_path])
    with pytest.raises(ChoiceError, match="paths must be one file or folder, or more, but it is"):
        weights.checkpoints([])


def test_weights_are_loaded_into_the_model_that_they_fit():
    model, state = network(1), network(0).state_dict()
    weights.fit(model, state)
    assert equal(model.state_dict(), state)


def test_a_prefix_that_was_cut_off_is_put_back_for_a_model_that_has_it(tmp_path):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network(1)

    save_file(prefixed("module.net."), tmp_path / "a.safetensors")
    for model, inner in ((wrapped := Wrapped(), wrapped.net), (plain := network(1), plain)):
        weights.fit(model, weights.read(tmp_path / "a.safetensors"))
        assert equal(inner.state_dict(), network(0).state_dict())


def test_a_tied_weight_may_be_there_once(tmp_path):
    def tied(seed):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
        model[1].weight = model[0].weight
        return model

    save_model(tied(0), str(tmp_path / "a.safetensors"))
    model, found = tied(1), weights.read(tmp_path / "a.safetensors")
    weights.fit(model, found)
    assert len(found) == 1 and torch.equal(model[0].weight, tied(0)[0].weight)


def test_counts_that_old_files_lack_are_not_missed():
    model, state = network(1), network(0).state_dict()
    del state["1.num_batches_tracked"]
    weights.fit(model, state)
    assert equal(model.state_dict(), network(0).state_dict())


def test_weights_that_do_not_fit_are_told_by_name_and_shape_and_change_nothing():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = {f"a{k}": torch.ones(2) for k in range(6)} | {"0.weight": torch.ones(5, 2), "0.bias": torch.ones(2)}
    with pytest.raises(MismatchError) as caught:
        weights.fit(model, state)
    assert str(caught.value) == (
        "the weights do not fit the model: missing are 1.weight, 1.bias, 2.weight, 2.bias, 3.weight, 1 more; "
        "not expected are a0, a1, a2, a3, a4, 1 more; of another shape are 0.weight (5, 2), expected (2, 2). "
        "Choose the weights of this model, or the model they came from."
    )
    assert equal(model.state_dict(), before)


def test_a_file_of_a_known_architecture_becomes_a_network(tmp_path):
    own = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    save_file(
        {f"module.fc{k}.{kind}": getattr(own[2 * k - 2], kind) for k in (1, 2) for kind in ("weight", "bias")},
        tmp_path / "a.safetensors",
    )
    state = weights.read(tmp_path)
    (match,) = recognize({name: tuple(tensor.shape) for name, tensor in state.items()})
    model = match.build(activation="tanh")
    weights.fit(model, match.renamed(state))
    assert torch.equal(model(torch.ones(1, 3)), own(torch.ones(1, 3)))


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """A folder with a tiny language model in several files, and the model."""
    import transformers

    torch.manual_seed(0)
    sizes = dict(n_layer=1, n_head=2, n_embd=8, vocab_size=11, n_positions=6)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
    folder = tmp_path_factory.mktemp("gpt2")
    model.save_pretrained(folder, max_shard_size="2KB")
    return folder, model.eval()


def test_a_folder_of_transformers_is_the_model_that_was_saved(transformer, monkeypatch):
    folder, model = transformer
    assert len(list(folder.glob("*.safetensors"))) > 1
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it asks the network"))
    loaded, tokens = huggingface.load(folder), torch.tensor([[1, 2, 3]])
    assert type(loaded) is type(model) and not loaded.training
    torch.testing.assert_close(loaded(tokens).logits, model(tokens).logits)
    assert weights.read(folder).keys() <= model.state_dict().keys()


def altered(folder, to, find, replacement):
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    config = to / "config.json"
    text = config.read_text(encoding="utf-8")
    assert find in text
    config.write_text(text.replace(find, replacement), encoding="utf-8")


@pytest.mark.parametrize(
    ("find", "replacement", "kind", "text"),
    [
        (
            '"n_layer": 1',
            '"n_layer": 2',
            MismatchError,
            "the weights do not fit the model: missing are transformer.h.1.",
        ),
        (
            '"vocab_size": 11',
            '"vocab_size": 9',
            MismatchError,
            "the weights do not fit the model: of another shape are ",
        ),
        ("GPT2LMHeadModel", "Trainer", FileFormatError, "config.json in {} names Trainer, which transformers "),
        ('"architectures"', '"others"', FileFormatError, "config.json in {} names no class: expected a model's class"),
        ('"n_head": 2', '"n_head": 3', FileFormatError, "transformers cannot build the model in {} ("),
    ],
)
def test_a_folder_that_does_not_make_a_model_is_told_in_a_sentence(
    transformer, tmp_path, find, replacement, kind, text
):
    altered(transformer[0], tmp_path, find, replacement)
    with pytest.raises(kind) as caught:
        huggingface.load(tmp_path)
    assert str(caught.value).startswith(text.format(tmp_path))


def test_code_in_a_folder_is_not_run(transformer, tmp_path):
    altered(transformer[0], tmp_path, '"GPT2LMHeadModel"', '"Own"], "auto_map": {"AutoModel": "own.Own"}, "x": [1')
    (tmp_path / "own.py").write_text(f"import os; os.mkdir({str(tmp_path / 'trap')!r})", encoding="utf-8")
    with pytest.raises(FileFormatError, match="names Own, which transformers .* does not know"):
        huggingface.load(tmp_path)
    assert not (tmp_path / "trap").exists()


def test_without_transformers_a_sentence_says_what_to_install(transformer, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(LandscapeError, match=r"not installed: pip install transformers\.$"):
        huggingface.load(transformer[0])


def test_reading_weights_loads_nothing_of_a_screen():
    code = (
        "import explorer.weights.huggingface, explorer.weights, sample_models.architectures, sys; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert not set(done.stdout.split()) & {"panel", "param", "bokeh", "holoviews", "transformers"}
