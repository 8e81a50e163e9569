"""Files of ``torch.save``, read by another process: what is damaged or hostile ends there, with its time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from landscape_engine.errors import FileFormatError
from landscape_engine.trajectories.files import MOST_TENSORS, REMEDY, unpickled

from . import layouts
from .layouts import Layout

SECONDS, BYTES_A_SECOND = 60.0, 20_000_000
"""How long a file may take, and how much longer a large one may."""
SPARE = 256_000_000
"""Bytes that the other process may take beside four times the file."""
PROGRAM = f"import sys; from {__name__} import main; sys.exit(main(*sys.argv[1:]))"


def unpickle(paths: Sequence[Path], seconds: float = SECONDS) -> list[Layout]:
    """The model's state in each of several files that ``torch.save`` wrote.

    Another process reads them, numbers and plain values only, and hands over safetensors files, so that nothing of
    theirs is unpickled here. All are read by one such process, since it takes seconds to start.

    Args:
        paths: Of the files.
        seconds: How long the first may take, and one of any size.

    Raises:
        FileFormatError: If one is damaged, wants to run code, holds no state, or takes too long or too much memory.
    """
    with TemporaryDirectory() as folder:
        size = sum(path.stat().st_size for path in paths if path.is_file())
        answer = _run([folder, *map(str, paths)], seconds + size / BYTES_A_SECOND)
        written = [Path(folder) / f"{k}.safetensors" for k in range(len(paths))]
        failed = next((path for path, out in zip(paths, written, strict=True) if not out.exists()), None)
        if failed is not None:
            raise FileFormatError(answer or f"{failed} ends the program that reads it. {REMEDY}", path=failed)
        return [_handed(out) for out in written]


def _run(arguments: list[str], seconds: float) -> str:
    """Run ``main`` in another process; what it says of the file that it cannot read."""
    command = [sys.executable, "-P", "-c", PROGRAM, *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"It takes longer than {seconds:.0f} s to read {arguments[1]}, so that it was given up. {REMEDY}"
    return done.stdout.strip()


def _handed(path: Path) -> Layout:
    """What the other process wrote, in memory and in the order in which it was found."""
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["layout"])
        state = {name: file.get_tensor(name).clone() for name in facts["names"]}
    return Layout(state, *(tuple(facts[key]) for key in ("entries", "prefixes", "left_out")))


def hand_over(path: Path, out: Path) -> None:
    """Read one file and write the model's state in it as safetensors; done by the other process.

    Args:
        path: What ``torch.save`` wrote.
        out: The file to be written.

    Raises:
        FileFormatError: As ``unpickle`` says.
    """
    found = unpickled(path)
    layout = layouts.find(found)
    if layout is None:
        some = ", ".join(repr(key) for key in list(found)[:8]) if isinstance(found, dict) else type(found).__name__
        raise FileFormatError(f"{path} holds no weights by name that could be told (but {some}). {REMEDY}", path=path)
    _check_stored(layout.state, path)
    facts = {**layout._asdict(), "names": list(layout.state)}
    del facts["state"]
    partial = out.with_suffix(".part")
    save_file(_apart(layout.state), partial, metadata={"layout": json.dumps(facts)})
    os.replace(partial, out)


def _check_stored(state: dict[str, Tensor], path: Path) -> None:
    """All numbers must be in the file, and none much more than once: a small file can name huge tensors."""
    if len(state) > MOST_TENSORS:
        raise FileFormatError(f"{path} holds {len(state)} tensors, more than {MOST_TENSORS}. {REMEDY}", path=path)
    for name, tensor in state.items():
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not plain or tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
            raise FileFormatError(f"{path} does not hold all numbers of '{name}' as such. {REMEDY}", path=path)
    if sum(tensor.nbytes for tensor in state.values()) > 2 * path.stat().st_size:
        raise FileFormatError(f"{path} names the same numbers again and again. {REMEDY}", path=path)


def _apart(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share no memory, as safetensors wants them."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in state.items():
        shared = tensor.untyped_storage().data_ptr() in seen
        seen.add(tensor.untyped_storage().data_ptr())
        apart[name] = tensor.clone() if shared else tensor.contiguous()
    return apart


def _limit_memory(more: int) -> None:
    """Let this process take no more than so many bytes beside what it has, where the system can say that."""
    now = Path("/proc/self/statm")
    if now.exists():
        import resource

        most = int(now.read_text().split()[0]) * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main(folder: str, *paths: str) -> int:
    """Hand over each file; say of the first that cannot be read why, and stop."""
    for k, path in enumerate(paths):
        try:
            _limit_memory(4 * Path(path).stat().st_size + SPARE)
            hand_over(Path(path), Path(folder) / f"{k}.safetensors")
        except FileFormatError as error:
            print(error)
            return 1
        except Exception:  # out of memory, or a kind of number that safetensors does not know
            print(f"{path} cannot be read in four times its size of memory, or as plain numbers. {REMEDY}")
            return 1
    return 0
