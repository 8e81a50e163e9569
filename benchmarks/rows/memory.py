"""The largest memory of a random plane through a large model, as a multiple of the model's parameters.

Each row is a process of its own. Its base is the largest memory that it had after all the same steps with a tiny model,
before the large one is made: the interpreter, the libraries and what they set up at first use are in it, and no part of
the large model. What counts from there is everything: the model, whatever the plane keeps, the points. On a CPU that is
the kernel's mark of the most resident memory (``VmHWM``, which, unlike ``ru_maxrss``, does not begin at the size of the
process that started this one); on a GPU, PyTorch's mark of the most memory allocated there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
from landscape_engine.metrics import Loss

from ..measure import Row

WIDTH, DEPTH, EXAMPLES = 4096, 12, 16
POINTS = [(0.3, -0.2), (0.1, 0.5), (0.0, -0.4)]
MILLION = 10**6


def rows(device: str) -> Iterator[Row]:
    """The plane as the engine keeps it; in the note, what one takes whose tensors are kept."""
    found, stored = (measured(device, keep) for keep in ("auto", "tensors"))
    what = (
        f"random plane, {found['parameters'] / MILLION:.0f} M parameters, {DEPTH} layers of {WIDTH} units: peak memory"
    )
    done = f"plane made, {len(POINTS)} points and a 3 x 3 landscape evaluated"
    note = f"{found['kept']} kept, {done}; {stored['ratio']:.2f} with keep='tensors'"
    yield Row(what, "the size of the parameters", found["ratio"], 2.5, True, note)


def measured(device: str, keep: str) -> dict[str, Any]:
    """What a process of its own finds."""
    command = [sys.executable, "-c", f"from {__name__} import main; main({device!r}, {keep!r})"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    return dict(json.loads(told.splitlines()[-1]))


def use(width: int, device: str, keep: str) -> dict[str, Any]:
    """Make a model and a plane through it, and evaluate points off its axes."""
    layers = [nn.Linear(width, width, device=device) for _ in range(DEPTH)]
    model = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
    loss = Loss(
        F.cross_entropy, torch.randn(EXAMPLES, width).to(device), torch.randint(0, width, (EXAMPLES,)).to(device)
    )
    plane = le.Plane.random(model, seed=0, keep=keep)
    le.evaluate(plane, loss, POINTS)
    list(le.refine(loss, plane, resolution=3, tolerance=0))
    return {"parameters": sum(p.numel() for p in model.parameters()), "kept": plane.facts["kept"]}


def peak(device: str) -> int:
    """The most bytes that this process has had at once."""
    if device != "cpu":
        return int(torch.accelerator.max_memory_allocated())
    with open("/proc/self/status", encoding="utf-8") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main(device: str, keep: str) -> None:
    """What one process finds."""
    torch.set_num_threads(1)
    use(16, device, "tensors" if keep == "tensors" else "seeds")
    base = peak(device)
    found = use(WIDTH, device, keep)
    size = 4 * found["parameters"]
    print(json.dumps(found | {"ratio": (peak(device) - base) / size}))
