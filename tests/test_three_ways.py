"""One network, brought to the explorer from a notebook, from the command line and by dropping its weights."""

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from explorer import cli
from explorer.opening import Opening
from explorer.own import Own
from explorer.subjects import subject

MODULE = """
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        new = stride > 1 or a != b
        self.downsample = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b)) if new else None

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class ByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4)
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(Block(a, b, s)) for a, b, s in ((4, 4, 1), (4, 8, 2), (8, 16, 2))
        )
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def images():
    found = np.load(__file__.replace("handwritten.py", "images.npz"))
    return torch.from_numpy(found["x"]), torch.from_numpy(found["y"])
"""


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """A folder with the network's module, its data and a run of three checkpoints, and the final network."""
    (tmp_path / "handwritten.py").write_text(MODULE)
    generator = np.random.default_rng(0)
    images = generator.normal(size=(50, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "images.npz", x=images, y=generator.integers(10, size=50))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "handwritten", raising=False)
    import handwritten

    torch.manual_seed(0)
    model = handwritten.ByHand()
    (tmp_path / "run").mkdir()
    for k in range(3):
        model.train()(torch.from_numpy(images) + k)  # moves the statistics of batch norm
        torch.nn.init.normal_(model.fc.weight)
        save_file(model.state_dict(), tmp_path / "run" / f"epoch_{k}.safetensors")
    return tmp_path, model.eval(), handwritten


def loss_of(own):
    """What is drawn where its final checkpoint is."""
    (split,) = own.splits
    return own.metrics(split)[0](own.model.private_copy())


def test_a_network_written_by_hand_has_the_same_loss_whichever_way_it_comes(brought):
    folder, model, module = brought
    inputs, targets = module.images()
    with torch.no_grad():
        by_hand = F.cross_entropy(model(inputs), targets).item()
    in_notebook = Own(model, (inputs, targets), checkpoints=folder / "run")
    named = ["--model", "handwritten:ByHand", "--data", "handwritten:images", "--checkpoints", "run"]
    (key,) = cli.chosen(cli.parsed(named))
    dropped = Opening(split=0.0)
    for kind, files in (("weights", (folder / "run").iterdir()), ("data", [folder / "images.npz"])):
        for file in files:
            dropped.take(kind, file.name, 1, 1, file.read_bytes())
    dropped.settle(dropped.look())
    assert dropped.findings.wrong == {}
    for own in (in_notebook, subject(key), dropped.own()):
        assert loss_of(own) == pytest.approx(by_hand, abs=1e-5)
        assert len(own.trajectory) == 3
    dropped.close()
