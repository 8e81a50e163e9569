"""A line on a million examples that are read from a file, beside reading them and the forward passes alone.

The examples are the digits with noise, as bytes in a file that is mapped into memory; a data loader makes batches of
them. The engine streams them in one pass. What it is compared with reads them once too, and calls the network 41 times
with each batch, without loss and without looking at the outputs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

import landscape_engine as le
import sample_models
from landscape_engine.metrics import Examples, Loss

from ..measure import Row, ratio
from .evaluation import mlp

NODES, BATCH = 41, 4000
CASES = {(64, 128, 10): 1_000_000, (64, 256, 256, 10): 100_000}  # layers, and examples


class Digits(Dataset[tuple[Tensor, Tensor]]):
    """Examples of a file, some at a time, on a device."""

    def __init__(self, pixels: NDArray[np.uint8], targets: NDArray[np.int64], device: str) -> None:
        self.pixels, self.targets, self.device = pixels, targets, device

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        inputs, targets = torch.from_numpy(self.pixels[rows]), torch.from_numpy(self.targets[rows])
        return inputs.to(self.device).float() / 16, targets.to(self.device)


def written(folder: Path, count: int, device: str) -> Digits:
    """Noisy digits, written to a file."""
    inputs, targets = sample_models.load("digits_mlp").train
    chosen = np.random.default_rng(0).integers(0, len(inputs), count)
    noise = np.random.default_rng(1).integers(0, 3, (count, inputs.shape[1]), dtype=np.uint8)
    np.save(folder / "pixels.npy", np.round(16 * inputs.numpy()[chosen]).astype(np.uint8) + noise)
    return Digits(np.load(folder / "pixels.npy", mmap_mode="r"), targets.numpy()[chosen], device)


def rows(device: str) -> Iterator[Row]:
    """Our time by theirs, for a narrow network and, with fewer examples, for a wider one."""
    for sizes, count in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            digits = written(Path(folder), count, device)
            loader = DataLoader(digits, sampler=BatchSampler(SequentialSampler(digits), BATCH, False), batch_size=None)
            model = mlp(*sizes).to(device)
            line = le.Line.random(model)
            states = [line.state_at((float(c),)) for c in line.axes(NODES)[0]]
            loss = Loss(F.cross_entropy, data=Examples(loader, keep=False))

            def alone(
                loader: DataLoader = loader, model: torch.nn.Module = model, states: list[Mapping[str, Tensor]] = states
            ) -> None:
                with torch.no_grad():
                    for inputs, _ in loader:
                        for state in states:
                            torch.func.functional_call(model, state, (inputs,))

            def ours(loss: Loss = loss, line: le.Line = line) -> None:
                list(le.refine(loss, line, resolution=NODES, tolerance=0))

            found = 1 / ratio(alone, ours, device=device)
            what = f"MLP {'-'.join(map(str, sizes))}, {count:,} examples streamed, {NODES} nodes: time"
            note = "" if found <= 1.1 else "the loss of each example and its standard error are the rest"
            yield Row(what, "loader and forward passes alone", found, 1.1, at_most=True, note=note)
