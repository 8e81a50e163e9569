"""What a trajectory plane of a large model costs: `python benchmarks/trajectory_pca.py`.

A model of 100 million parameters is recorded into a folder, 6 checkpoints in float16 (other numbers and another type
may follow the name of the script), and its two principal directions are found from there: time, and the largest memory
as a multiple of the parameters in float32; then the same for the whole plane, projections included. Each in a process
of its own, one thread. The folder is removed afterwards.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import landscape_engine as le
from landscape_engine.directions import principal_directions

WIDTH = 4096


def network(parameters: int) -> nn.Module:
    """Square layers without biases, as many as are needed for so many parameters; their weights are zero."""
    count = max(round(parameters / WIDTH**2), 1)
    with torch.device("meta"):
        model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(count)))
    return model.to_empty(device="cpu").requires_grad_(False).apply(zero)


def zero(module: nn.Module) -> None:
    """Set the parameters of a module itself to zero."""
    for parameter in module.parameters(recurse=False):
        parameter.zero_()


def record(folder: Path, parameters: int, count: int, dtype: torch.dtype) -> None:
    """A random walk with a drift."""
    model = network(parameters)
    recorder = le.TrajectoryRecorder(model, path=folder, dtype=dtype)
    for step in range(count):
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01).add_(0.01)
        recorder.record(step)


def memory(entry: str) -> int:
    """``VmRSS``, the memory held now, or ``VmHWM``, the largest so far, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(entry))


def measure(what: str, folder: Path, parameters: int) -> None:
    """Print time and largest memory of one of the two."""
    model, run = le.wrap_model(network(parameters)), le.Trajectory.from_folder(folder)
    size = 4 * sum(p.numel() for p in model.parameters.values())
    verbs: dict[str, Callable[[], Any]] = {
        "principal directions": lambda: principal_directions(run, model),
        "trajectory plane": lambda: le.Plane.trajectory(model, run),
    }
    before, start = memory("VmRSS"), time.perf_counter()
    found = verbs[what]()
    seconds, more = time.perf_counter() - start, memory("VmHWM") - before
    shares = ", ".join(f"{s:.1%}" for s in found.facts["shares"])
    print(
        f"{what} of {size // 4 / 1e6:.0f} million parameters x {len(run)} checkpoints: {seconds:.1f} s, "
        f"{more / size:.2f} times the parameters' size ({more / 2**20:.0f} MiB) more memory; shares {shares}",
        flush=True,
    )


def main(parameters: int = 100_000_000, count: int = 6, dtype: str = "float16") -> None:
    """Record once, and measure each verb in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder), parameters, count, getattr(torch, dtype))
        for what in ("principal directions", "trajectory plane"):
            subprocess.run([sys.executable, __file__, "measure", what, folder, str(parameters)], check=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main(*(int(a) for a in sys.argv[1:3]), *sys.argv[3:4])
