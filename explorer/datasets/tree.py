"""The files in a file, a folder or a zip archive, opened safely."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from landscape_engine import FileFormatError

LARGEST = 2**33
"""Bytes that may be read into memory."""
SUSPECT = 2**28
"""Unpacked bytes above which an archive may not be smaller by more than ``RATIO``."""
RATIO = 100


class File(NamedTuple):
    """A file to be read.

    Attributes:
        name: Its path in the folder or archive.
        size: Bytes, unpacked.
        open: Opens it.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]

    @property
    def path(self) -> PurePosixPath:
        """Its name, in parts."""
        return PurePosixPath(self.name)


@contextmanager
def tree(path: Path) -> Iterator[list[File]]:
    """The files of a folder or zip archive in natural order, or the file itself. Hidden ones are left out.

    Raises:
        FileFormatError: If there is nothing, or an archive or a link that leads elsewhere or unpacks to too much.
    """
    if path.is_dir():
        yield _in_order([_of_folder(p, path) for p in path.rglob("*") if p.is_file()], path)
    elif path.suffix.lower() == ".zip" and path.is_file():
        with archive(path, path.name) as opened:
            members = [m for m in opened.infolist() if not m.is_dir()]
            yield _in_order([_of_archive(m, opened) for m in members], path)
    elif path.is_file():
        yield [File(path.name, path.stat().st_size, lambda: path.open("rb"))]
    else:
        raise FileFormatError(f"There is no file or folder {path}. Check its name.", path=path)


@contextmanager
def archive(file: Path | IO[bytes], name: str) -> Iterator[zipfile.ZipFile]:
    """An archive, if what it says of its members can be trusted.

    A member gives no more bytes than its entry says, so that it is enough to look at the entries.

    Args:
        file: Where it is.
        name: As a sentence has it.

    Raises:
        FileFormatError: If not.
    """
    try:
        opened = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise FileFormatError(f"{name} is not a zip archive, or it is damaged. Save it again.", path=name) from error
    with opened:
        members = opened.infolist()
        unpacked, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
        if unpacked > LARGEST or (unpacked > SUSPECT and unpacked > RATIO * packed):
            raise FileFormatError(
                f"{name} has {packed:,} bytes and would unpack to {unpacked:,}, which is not read. Unpack it yourself "
                "if you trust it, and open the folder.",
                path=name,
            )
        for member in members:
            if _leads_outside(member.filename):
                raise FileFormatError(
                    f"{name} has a member '{member.filename}' that leads outside of it. Do not trust this archive.",
                    path=name,
                )
            if member.flag_bits & 1:
                raise FileFormatError(f"{name} is encrypted. Unpack it and open the folder.", path=name)
        yield opened


def read_all(file: File) -> bytes:
    """The whole of a file.

    Raises:
        FileFormatError: If it is larger than what may be read.
    """
    if file.size > LARGEST:
        raise FileFormatError(
            f"{file.name} has {file.size:,} bytes, more than the {LARGEST:,} that are read. Save fewer examples.",
            path=file.name,
        )
    with file.open() as stream:
        return stream.read()


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in names by their value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _leads_outside(name: str) -> bool:
    return name.startswith(("/", "\\")) or ":" in name[:2] or ".." in re.split(r"[/\\]", name)


def _of_folder(path: Path, folder: Path) -> File:
    name = path.relative_to(folder).as_posix()
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FileFormatError(
            f"{name} in {folder} is a link that leads outside of the folder. Copy the file into it.", path=path
        )
    return File(name, path.stat().st_size, lambda: path.open("rb"))


def _of_archive(member: zipfile.ZipInfo, opened: zipfile.ZipFile) -> File:
    return File(member.filename, member.file_size, lambda: opened.open(member))


def _in_order(files: list[File], where: Path) -> list[File]:
    seen = [f for f in files if not any(part.startswith((".", "__MACOSX")) for part in f.path.parts)]
    if not seen:
        raise FileFormatError(f"{where} has no files in it. Choose another one.", path=where)
    return sorted(seen, key=lambda f: natural(f.name))
