"""Dropped files without a screen: what is understood of them, and what is said where they do not fit."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save, save_file
from torch import nn

from explorer.opening import Opening
from explorer.opening.findings import Findings
from explorer.opening.inbox import Inbox
from landscape_engine import FileFormatError, LandscapeError
from sample_models.architectures import ARCHITECTURES, build

COUNT = 100


def network(seed=0, **options):
    torch.manual_seed(seed)
    return build("mlp", **{"sizes": (4, 8, 3), "activation": "tanh", **options})


def arrays(**more):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(COUNT, 4)).astype(np.float32), generator.integers(3, size=COUNT)
    return {"x": x, "y": y, **more}


def packed(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def drop(opening, kind, name, data, size=1000):
    """As the browser does: piece by piece."""
    pieces = [data[k : k + size] for k in range(0, len(data), size)] or [b""]
    for k, piece in enumerate(pieces):
        opening.take(kind, name, k + 1, len(pieces), piece)


def look(opening):
    opening.settle(opening.look())
    return opening.findings


@pytest.fixture
def opening():
    made = Opening()
    yield made
    folders = [inbox.folder for inbox in made.inboxes.values()]
    made.close()
    assert not any(folder.exists() for folder in folders)


def test_several_files_become_a_run_whose_loss_is_that_of_each_network(opening):
    networks = [network(k) for k in range(3)]
    for k in (2, 0, 1):
        drop(opening, "weights", f"net_{10 * k}.safetensors", save(networks[k].state_dict()))
    given = arrays()
    drop(opening, "data", "data.npz", packed(**given))
    opening.choose_option("activation", "tanh")  # nothing is known yet, so that this changes nothing
    look(opening)
    opening.choose_option("activation", "tanh")
    found = look(opening)
    assert found.wrong == {}
    own = opening.own()
    assert (own.name, own.trajectory.steps, own.parameter_count) == ("net", (0, 10, 20), 67)
    train = own.splits["train"]
    assert (train, own.splits["test"]) == (80, 20)
    rows = found.data.rows["train"]
    inputs, targets = torch.tensor(given["x"])[rows], torch.tensor(given["y"])[rows]
    for k, model in enumerate(networks):
        expected = F.cross_entropy(model(inputs), targets).item()
        at = own.model.at(own.trajectory[k])
        assert float(own.metrics("train")[0](at)) == pytest.approx(expected, rel=1e-5)
    right = (networks[-1](inputs).argmax(1) == targets).float().mean().item()
    assert found.preview.value == pytest.approx(expected, rel=1e-5)
    assert found.preview.accuracy == pytest.approx(right)
    assert found.preview.classes == ("0", "1", "2")


def test_what_shapes_do_not_tell_can_be_chosen_and_nothing_else(opening):
    drop(opening, "weights", "net.safetensors", save(network().state_dict()))
    found = look(opening)
    assert found.network.open == ("activation",)
    assert found.network.options["activation"] == "relu"
    assert "What the shapes do not tell: activation." in " ".join(found.said["weights"])
    opening.choose_option("activation", "gelu")
    assert look(opening).network.options == {"sizes": (4, 8, 3), "activation": "gelu", "bias": True}
    opening.choose_option("activation", "sine")
    assert opening.message == "Activation must be one of relu, tanh, sigmoid, gelu, silu, but it is 'sine'."
    assert opening.options == {"activation": "gelu"}


def test_unknown_weights_ask_for_an_architecture_and_say_what_does_not_fit_it(opening):
    state = {"deep.weight": torch.zeros(2, 3, 4, 5), "other": torch.zeros(7)}
    drop(opening, "weights", "odd.safetensors", save(state))
    wrong = look(opening).wrong["weights"]
    assert wrong.startswith(
        "The architecture was not recognized from the weights: 'deep.weight' (2, 3, 4, 5), 'other' (7,)"
    )
    opening.architecture = "mlp"
    look(opening)
    opening.choose_option("sizes", "3, 4, 2")
    found = look(opening)
    assert found.network.options["sizes"] == (3, 4, 2)
    assert (
        "missing are 0.weight, 0.bias, 2.weight, 2.bias; not expected are deep.weight, other" in found.wrong["weights"]
    )
    opening.choose_option("sizes", "3, many, 2")
    assert "Sizes must be a tuple of whole numbers" in opening.message


def test_a_wrong_file_leaves_the_rest_as_it_was(opening):
    drop(opening, "weights", "net.safetensors", save(network().state_dict()))
    drop(opening, "data", "data.npz", packed(**arrays()))
    opening.loss = "nll_loss"
    drop(opening, "weights", "broken.safetensors", b"no tensors at all")
    found = look(opening)
    assert found.wrong["weights"].startswith("broken.safetensors cannot be read as safetensors (")
    assert found.said["data"][0] == "Inputs: x. Targets: y."
    assert found.preview is None
    with pytest.raises(LandscapeError, match="Nothing can be explored yet"):
        opening.own()
    opening.remove("weights", "broken.safetensors")
    assert look(opening).preview.loss.name == "nll_loss"


def test_a_file_of_torch_save_is_read_and_one_that_runs_code_is_refused(opening):
    file = io.BytesIO()
    torch.save({"state_dict": network().state_dict(), "epoch": 3}, file)
    drop(opening, "weights", "net.pt", file.getvalue(), size=300)
    found = look(opening)
    assert found.network.architecture.name == "mlp"
    assert found.said["weights"][0] == "Taken from state_dict; left out: epoch."
    file = io.BytesIO()
    torch.save(nn.Linear(2, 3), file)
    drop(opening, "weights", "net.pt", file.getvalue())
    assert "net.pt wants to run code when it is opened" in look(opening).wrong["weights"]


def test_inputs_and_targets_can_be_chosen_among_what_the_file_holds(opening):
    given = arrays()
    drop(opening, "data", "data.npz", packed(first=given["x"], second=given["x"] + 1, kind=given["y"]))
    found = look(opening)
    assert found.wrong["data"].startswith("The inputs and targets were not found in data.npz, which holds 'first' of ")
    assert list(found.contents.names) == ["first", "second", "kind"]
    opening.param.update(inputs="second", targets="kind", split=0.5, samples=0)
    data = look(opening).data
    assert (len(data.train[0]), len(data.test[0])) == (50, 50)
    torch.testing.assert_close(data.train[0], torch.tensor(given["x"] + 1)[data.rows["train"]])


def test_inputs_of_another_shape_with_as_many_numbers_are_brought_to_that_of_the_network(opening):
    torch.manual_seed(0)
    model = build("lenet")
    images = np.random.default_rng(0).random((20, 784)).astype(np.float32)
    drop(opening, "weights", "lenet.safetensors", save(model.state_dict()), size=100_000)
    drop(opening, "data", "data.npz", packed(x=images, y=np.arange(20) % 10), size=100_000)
    found = look(opening)
    assert "Each input was brought from shape (784,) to (1, 28, 28)." in found.said["data"]
    inputs, targets = found.preview.data.train
    assert found.preview.value == pytest.approx(F.cross_entropy(model(inputs), targets).item(), rel=1e-5)


def test_data_of_the_samples_go_with_weights_of_ones_own(opening):
    torch.manual_seed(0)
    drop(opening, "weights", "net.safetensors", save(build("mlp", sizes=(64, 10)).state_dict()))
    opening.param.update(source="digits", samples=500, standardize="feature", inputs="of a file before")
    found = look(opening)
    assert found.wrong == {}
    assert found.preview.examples == {"train": 500, "test": 360}
    assert found.data.train[0].mean(0).abs().max() < 1e-5


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_run_of_each_architecture_fits_it(opening, name):
    state = build(name, **{"vgg": {"width": 8}}.get(name, {})).state_dict()
    seen = {}  # tied weights lie in safetensors once
    state = {n: t for n, t in state.items() if seen.setdefault(t.data_ptr(), n) == n or not t.numel()}
    for k in (1, 2):
        drop(opening, "weights", f"{k}.safetensors", save({n: t.clone() for n, t in state.items()}), size=10**7)
    found = look(opening)
    assert found.wrong == {}
    assert found.network.architecture.name == name
    assert len(found.run) == 2


def test_names_of_files_cannot_lead_out_of_their_folder_and_folders_stay(opening):
    drop(opening, "data", "../data.npz", packed(**arrays()))
    assert opening.message == (
        "../data.npz could not be kept: A file is called '../data.npz', which leads elsewhere. Give it another name."
    )
    assert opening.inboxes["data"].files == []
    opening.remove("data", "../data.npz")
    assert opening.message == ""
    drop(opening, "data", "/train/x.npy", b"1")
    drop(opening, "data", "/test/x.npy", b"2")
    inbox = opening.inboxes["data"]
    assert [path.relative_to(inbox.folder).as_posix() for path in inbox.files] == ["test/x.npy", "train/x.npy"]
    assert inbox.place == inbox.folder
    opening.remove("data", "x.npy")  # a folder's file is known to the browser by its last name
    assert len(inbox.files) == 1


def test_a_file_counts_once_it_is_whole_and_its_share_is_known_before():
    inbox = Inbox()
    inbox.take("net.pt", 1, 4, b"ab")
    assert (inbox.files, inbox.arriving, inbox.revision) == ([], {"net.pt": 0.25}, 0)
    inbox.take("net.pt", 1, 2, b"cd")  # dropped again
    inbox.take("net.pt", 2, 2, b"e")
    assert [path.read_bytes() for path in inbox.files] == [b"cde"]
    assert (inbox.arriving, inbox.size) == ({}, 3)
    folder = inbox.folder
    inbox.close()
    assert not folder.exists()
    with pytest.raises(FileFormatError, match="leads elsewhere"):
        inbox.take("C:\\net.pt", 1, 1, b"")


def test_what_was_not_foreseen_is_a_sentence_too(opening, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError("out of luck")

    drop(opening, "weights", "net.safetensors", save(network().state_dict()))
    monkeypatch.setattr("explorer.opening.findings.recognize", fail)
    assert look(opening).wrong == {"weights": "This could not be understood: RuntimeError: out of luck"}
    assert "Dropped files could not be understood" in caplog.text


def test_names_on_the_page_differ_and_memory_is_given_back(opening):
    drop(opening, "weights", "net.safetensors", save(network().state_dict()))
    drop(opening, "data", "data.npz", packed(**arrays()))
    look(opening)
    assert opening.own(["net", "net (2)"]).name == "net (3)"
    opening.explored()
    assert opening.findings.model is None
    assert look(opening).preview is not None
    assert Findings().preview is None


LARGE = """
import sys
from pathlib import Path
import torch
from explorer.opening import Opening
from safetensors.torch import save_file
from sample_models.architectures import build

def peak():
    return 1024 * next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))

def preview(path, data):
    opening = Opening()
    for kind, file in (("weights", path), ("data", data)):
        pieces = -(-file.stat().st_size // 4_000_000)
        with file.open("rb") as stream:
            for piece in range(1, pieces + 1):
                opening.take(kind, file.name, piece, pieces, stream.read(4_000_000))
    opening.settle(opening.look())
    assert opening.findings.preview is not None, opening.findings.wrong
    opening.close()

folder = Path(sys.argv[1])
preview(folder / "small.safetensors", folder / "data.npz")
base = peak()
preview(folder / "large.safetensors", folder / "data.npz")
print((peak() - base) / (folder / "large.safetensors").stat().st_size)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the most memory that a process had")
def test_a_hundred_megabytes_are_previewed_in_less_than_four_times_their_size(tmp_path):
    for name, width in (("small", 8), ("large", 5000)):
        save_file(build("mlp", sizes=(64, width, width, 10)).state_dict(), tmp_path / f"{name}.safetensors")
    assert (tmp_path / "large.safetensors").stat().st_size > 100_000_000
    inputs = np.random.default_rng(0).normal(size=(60, 64)).astype("float32")
    np.savez(tmp_path / "data.npz", x=inputs, y=np.arange(60) % 10)
    done = subprocess.run([sys.executable, "-c", LARGE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0.5 < float(done.stdout) < 4
