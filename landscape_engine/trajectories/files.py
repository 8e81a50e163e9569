"""Checkpoint files: what is in one, and in which order several belong."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import FileFormatError, MismatchError

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt")
ENTRIES = ("state_dict", "model_state_dict", "model")
"""Where a checkpoint of several things usually has the model's state."""
WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that DataParallel, AveragedModel and torch.compile give to every name."""
LARGEST_HEADER, MOST_TENSORS = 4_000_000, 20_000


def read_tensors(path: str | Path, form: str, what: str, remedy: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file whose metadata name a format.

    Raises:
        FileFormatError: If the file is missing, damaged, or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise FileFormatError(f"{path} cannot be read as {what} ({error}). {remedy}", path=path) from error
    if metadata.get("format") != form:
        raise FileFormatError(
            f"{path} holds no {what}: its metadata names the format {metadata.get('format')!r}, expected {form!r}. "
            f"{remedy}",
            path=path,
        )
    return tensors, metadata


def read_checkpoint(path: str | Path, key: str | None = None, names: Sequence[str] | None = None) -> dict[str, Tensor]:
    """The parameters and buffers in one checkpoint file of any program, by name.

    The tensors are maps of the file: a number is read from disk when it is used. Nothing in the file is executed.

    Args:
        path: A safetensors file, or what ``torch.save`` wrote: a state dict, or a checkpoint that holds one under
            ``"state_dict"``, ``"model_state_dict"`` or ``"model"``. A prefix ``module.`` or ``_orig_mod.`` of all
            names is cut off; what is no tensor is left out.
        key: The entry that holds the state dict, or a prefix of the names to be chosen and cut off.
        names: Only these, which is quicker.

    Raises:
        FileFormatError: If the file is missing, damaged, holds more than tensors and plain values, or no state dict.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        found = _safetensors(path, None if key is not None else names)
        asked = key is None and names is not None and set(names) == set(found)
    else:
        found, asked = unpickled(path), False
    state = found if asked else _without_wrappers(_state(found, path, key))
    if len(state) > MOST_TENSORS:
        raise FileFormatError(f"{path} holds {len(state)} tensors, more than {MOST_TENSORS}. {REMEDY}", path=path)
    for name, tensor in state.items():
        _check_stored(name, tensor, path)
    return state if names is None else {n: state[n] for n in names if n in state}


REMEDY = "Save the model's state_dict() alone, with safetensors or torch.save."


def _safetensors(path: Path, names: Sequence[str] | None) -> dict[str, Tensor]:
    """The tensors of these names, or all if there are no such names."""
    try:
        with path.open("rb") as raw:
            if int.from_bytes(raw.read(8), "little") > LARGEST_HEADER:
                raise ValueError("its header is too large")
        with safe_open(path, framework="pt") as file:
            stored = file.keys()
            chosen = names if names is not None and set(names) <= set(stored) else stored
            return {n: file.get_tensor(n) for n in chosen}
    except (OSError, SafetensorError, ValueError) as error:
        raise FileFormatError(f"{path} cannot be read as a checkpoint ({error}). {REMEDY}", path=path) from error


def unpickled(path: Path) -> Any:
    """What ``torch.save`` wrote, if it is tensors and plain values alone; nothing in the file is executed.

    Raises:
        FileFormatError: If it is missing, damaged, compressed, or holds more than that.
    """
    try:
        zipped = zipfile.is_zipfile(path)
        if zipped:
            with zipfile.ZipFile(path) as archive:
                if any(m.compress_type != zipfile.ZIP_STORED for m in archive.infolist()):
                    raise ValueError("its members are compressed")
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read ({error.strerror or error}). {REMEDY}", path=path) from error
    except Exception as error:  # torch raises many kinds, and its text advises to load without caution
        named = re.search(r"GLOBAL (\S{1,80})", str(error))
        hostile = named and f"wants to run code when it is opened ({named[1]}), so that it was not"
        damaged = "cannot be read: it is damaged, or holds more than tensors and plain values"
        raise FileFormatError(f"{path} {hostile or damaged}. {REMEDY}", path=path) from error


def _state(found: Any, path: Path, key: str | None) -> dict[str, Tensor]:
    entries = found if isinstance(found, Mapping) else {}
    if key is not None and isinstance(entries.get(key), Mapping):
        return _tensors(entries[key])
    inner = next((entries[e] for e in ENTRIES if isinstance(entries.get(e), Mapping)), entries)
    state = _tensors(inner)
    if key is not None:
        state = {n.removeprefix(f"{key}."): t for n, t in state.items() if n.startswith(f"{key}.")}
    if not state:
        some = ", ".join(repr(e) for e in list(entries)[:8]) or f"only a {type(found).__name__}"
        where = "" if key is None else f" under {key!r}"
        raise FileFormatError(
            f"{path} holds no state dict{where} (but {some}). Name the entry that holds the parameters with key=.",
            path=path,
        )
    return state


def _tensors(entries: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(n): t.detach() for n, t in entries.items() if isinstance(t, Tensor)}


def _without_wrappers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in WRAPPERS * 2:  # a compiled model in parallel, and the other way round
        named = [n for n in state if n != "n_averaged"]  # AveragedModel's count
        if named and all(n.startswith(prefix) for n in named):
            state = {n.removeprefix(prefix): state[n] for n in named}
    return state


def _check_stored(name: str, tensor: Tensor, path: Path) -> None:
    """A tensor must have all its numbers in the file: a small file can name a huge expanded one."""
    if tensor.layout == torch.strided and tensor.device.type == "cpu":
        if tensor.numel() * tensor.itemsize <= tensor.untyped_storage().nbytes():
            return
    raise FileFormatError(f"{path} does not hold all numbers of the tensor '{name}' as such. {REMEDY}", path=path)


def natural(name: str) -> tuple[list[int], tuple[str, ...]]:
    """The numbers in a name and the texts around them, by which names are ordered."""
    parts = re.split(r"(\d+)", name)
    return [int(number) for number in parts[1::2]], tuple(parts[::2])


_IN_ORDER = (
    "Choose those of one run by pattern=, such as 'epoch_*.pt', or give all in their order to Trajectory.from_files."
)


def in_order(names: Sequence[str], where: str, remedy: str = _IN_ORDER) -> tuple[list[str], list[int]]:
    """File names in natural order (``epoch_2`` before ``epoch_10``), and the step of each.

    Steps are the first number in the names that increases from each to the next; without one, 0, 1, 2 and so on.

    Raises:
        MismatchError: If their order is not known: names with numbers in them are not alike otherwise, or decimals in
            them (a loss, a date) say another order than the whole numbers do. ``remedy`` says what to do.
    """
    parts = {name: natural(name) for name in names}
    texts = {name: text for name, (_, text) in parts.items()}
    usual = Counter(texts.values()).most_common(1)[0][0]
    odd = next((name for name in names if texts[name] != usual), None)
    if odd is not None and any(len(t) > 1 for t in texts.values()):
        other = next(name for name in names if texts[name] == usual)
        raise MismatchError(
            f"the order of the checkpoints in {where} is not known: '{odd}' is not named like '{other}'. {remedy}",
            what="checkpoints",
            expected=other,
            found=odd,
        )
    numbers = {name: number for name, (number, _) in parts.items()}
    ordered = sorted(names, key=parts.__getitem__)
    whole = [k for k in range(len(usual) - 1) if "." not in (k and usual[k], usual[k + 1])]
    by_whole = sorted(ordered, key=lambda name: [numbers[name][k] for k in whole if k < len(numbers[name])])
    if whole and by_whole != ordered:
        raise MismatchError(
            f"the order of the checkpoints in {where} is not known: it begins with '{ordered[0]}' or with "
            f"'{by_whole[0]}', by the decimals in their names or by the whole numbers. {remedy}",
            what="checkpoints",
            expected=ordered[0],
            found=by_whole[0],
        )
    columns = zip(*(numbers[name] for name in ordered), strict=True)
    rising = (list(c) for c in columns if all(a < b for a, b in zip(c, c[1:], strict=False)))
    return ordered, next(rising, list(range(len(ordered))))
