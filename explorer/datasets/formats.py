"""Arrays from single files: NumPy's, tables, safetensors, MNIST's and CIFAR's binary files. Nothing in them is run."""

from __future__ import annotations

import gzip
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import IO, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load as load_safetensors

from landscape_engine import FileFormatError, LandscapeError
from landscape_engine.errors import first_line

from .tree import LARGEST, File, archive, natural, read_all

LARGEST_HEADER = 4_000_000
NAMES_OF_TARGETS = ("label", "labels", "target", "targets", "class", "classes", "y")
"""From the surest to one that may also be a coordinate."""
SAVE = "Save the arrays again: np.savez('data.npz', x=..., y=...)."

Arrays = dict[str, np.ndarray]


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        what: As a sentence has it.
        pattern: Of its names, in small letters.
        read: Its arrays by name.
        table: Whether they are columns, whose names say nothing of a training part.
    """

    what: str
    pattern: str
    read: Callable[[File], Arrays]
    table: bool = False


def read_file(file: File) -> tuple[Arrays, bool] | None:
    """The arrays in a file, and whether they are columns of a table; None if it is of no known format.

    Raises:
        FileFormatError: If it cannot be read.
    """
    name = file.path.name.lower()
    known = next((f for f in FORMATS if re.fullmatch(f.pattern, name)), None)
    if known is None:
        return None
    try:
        return known.read(file), known.table
    except LandscapeError:
        raise
    except Exception as error:  # each library has its own kinds for one thing: it cannot be read
        raise FileFormatError(
            f"{file.name} cannot be read as {known.what} ({first_line(error)}). Save it again.", path=file.name
        ) from error


def _npy_file(file: File) -> Arrays:
    with file.open() as stream:
        array = _npy(stream, file.size, file.name)
    if array.dtype.names:
        return {str(name): _plain(array[name]) for name in array.dtype.names}
    return {file.path.stem: array}


def _npz(file: File) -> Arrays:
    found = {}
    with file.open() as stream, archive(stream, file.name) as opened:
        for member in opened.infolist():
            if member.filename.endswith(".npy"):
                name = member.filename.removesuffix(".npy")
                with opened.open(member) as inner:
                    found[name] = _npy(inner, member.file_size, f"'{name}' in {file.name}")
    return found


def _npy(stream: IO[bytes], size: int, name: str) -> np.ndarray:
    """An array whose header says what the file can hold, and which is no pickle."""
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.hasobject:
        raise FileFormatError(
            f"{name} holds Python objects, which could run code. Save it with a plain type: array.astype('float32').",
            path=name,
        )
    stated = math.prod(shape) * dtype.itemsize
    if stated > min(size - stream.tell(), LARGEST):
        raise FileFormatError(
            f"{name} states {stated:,} bytes of numbers, but the file has {size:,}. {SAVE}", path=name
        )
    stream.seek(0)
    found: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
    return found if found.dtype.names else _plain(found)


def _plain(array: np.ndarray) -> np.ndarray:
    """Bytes as text, and numbers in the order of bytes of this machine."""
    return array.astype(str if array.dtype.kind == "S" else array.dtype.newbyteorder("="), copy=False)


def _safetensors(file: File) -> Arrays:
    content = read_all(file)
    if int.from_bytes(content[:8], "little") > LARGEST_HEADER:
        raise ValueError("its header is too large")
    tensors = load_safetensors(content)
    return {n: (t.float() if t.dtype == torch.bfloat16 else t).numpy() for n, t in tensors.items()}


def _csv(file: File) -> Arrays:
    content = io.BytesIO(read_all(file))
    lines = [text for line in content.readlines(2**16)[:50] if (text := line.decode("utf-8-sig")).strip()]
    if not lines:
        raise ValueError("it has no rows")
    mark = _separator(lines)
    options: dict[str, Any] = {"sep": mark, "skipinitialspace": True, "encoding": "utf-8-sig"}
    if mark != "," and re.search(r"\d,\d", "".join(lines)) and not re.search(r"\d\.\d", "".join(lines)):
        options["decimal"] = ","
    content.seek(0)
    top = pd.read_csv(content, header=None, dtype=str, keep_default_na=False, nrows=len(lines), **options)
    if len(top) == 1 and not any(map(_is_number, top.iloc[0])):
        raise ValueError("it has no row with a number")
    has_header = _has_header(top)
    content.seek(0)
    table = pd.read_csv(content, header=0 if has_header else None, low_memory=False, **options)
    names = [str(n) if has_header else f"column {n + 1}" for n in table.columns]
    return {name: _column(table.iloc[:, k]) for k, name in enumerate(names)}


def _separator(lines: list[str]) -> str:
    """What occurs equally often in all lines; white space if nothing does."""
    for mark in (";", "\t", "|", ","):
        usual, times = Counter(line.count(mark) for line in lines).most_common(1)[0]
        if usual and times > len(lines) / 2:
            return mark
    return r"\s+" if any(len(line.split()) > 1 for line in lines) else ","


def _has_header(top: pd.DataFrame) -> bool:
    """Whether the first row names the columns: a word above numbers, or a usual name."""
    first, below = top.iloc[0], top.iloc[1:]
    if any(str(cell).strip().lower() in NAMES_OF_TARGETS for cell in first):
        return True
    above = [k for k, cell in enumerate(first) if not _is_number(cell)]
    return len(below) > 0 and any(all(_is_number(c) or not c for c in below.iloc[:, k]) for k in above)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _column(column: pd.Series) -> np.ndarray:
    if column.dtype == bool or pd.api.types.is_numeric_dtype(column):
        return np.asarray(column.to_numpy())
    return column.astype(object).where(column.notna(), "(missing)").to_numpy().astype(str)


_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def _idx(file: File) -> Arrays:
    """LeCun's format: two zeros, type, number of dimensions, dimensions as big-endian integers, numbers."""
    content = _unzipped(read_all(file)) if file.name.endswith(".gz") else read_all(file)
    kind, dims = _IDX_TYPES[content[2]], content[3]
    shape = tuple(int(n) for n in np.frombuffer(content, ">i4", dims, 4))
    numbers = np.frombuffer(content, kind, offset=4 + 4 * dims)
    base = re.split(r"[-.]idx", file.path.name)[0]
    return {base: numbers.reshape(shape).astype(numbers.dtype.newbyteorder("="))}


def _unzipped(content: bytes) -> bytes:
    limit = max(2**28, min(LARGEST, 100 * len(content)))
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        found = stream.read(limit + 1)
    if len(found) > limit:
        raise ValueError(f"it unpacks to more than {limit:,} bytes")
    return found


def _cifar(file: File) -> Arrays:
    """CIFAR's binary version: records of one label (CIFAR-100: two, the fine one last) and 3 x 32 x 32 bytes."""
    content = np.frombuffer(read_all(file), "u1")
    labels = 1 if "batch" in file.path.name else 2
    records = content.reshape(-1, labels + 3072)
    return {"images": records[:, labels:].reshape(-1, 3, 32, 32), "labels": records[:, labels - 1]}


FORMATS = (
    Format("a NumPy archive", r".*\.npz", _npz),
    Format("a NumPy array", r".*\.npy", _npy_file),
    Format("a safetensors file", r".*\.safetensors", _safetensors),
    Format("a table", r".*\.(csv|tsv|data)", _csv, table=True),
    Format("an IDX file", r".*[-.]idx\d-ubyte(\.gz)?", _idx),
    Format("a CIFAR file", r"(data_batch_\d|test_batch|train|test)\.bin", _cifar),
)
_PICKLES = r".*\.(pkl|pickle|joblib|pt|pth|ckpt)|(data|test)_batch(_\d)?"
_CLASSES = ("batches.meta.txt", "fine_label_names.txt")


def class_names(files: Mapping[str, File]) -> tuple[str, ...]:
    """The names of CIFAR's classes, if they lie beside its files."""
    beside = next((f for f in files.values() if f.path.name in _CLASSES), None)
    return tuple(read_all(beside).decode().split()) if beside else ()


def refusal(files: list[File], where: str) -> FileFormatError:
    """The sentence on files of which none is of a known format."""
    pickle = next((f for f in files if re.fullmatch(_PICKLES, f.path.name.lower())), None)
    if pickle is not None:
        cifar = " CIFAR comes in a binary version too, which can be opened." if "_batch" in pickle.path.name else ""
        return FileFormatError(
            f"{pickle.name} is a pickle, which could run code. Open it where you trust it and save its arrays: "
            f"np.savez('data.npz', x=..., y=...).{cifar}",
            path=pickle.name,
        )
    some = ", ".join(sorted({PurePosixPath(f.name).suffix or f.path.name for f in files}, key=natural)[:5])
    return FileFormatError(
        f"{where} holds no data that can be read (but {some}). Choose .npz, .npy, .csv, .safetensors, folders of "
        "images, or a zip archive of those.",
        path=where,
    )
