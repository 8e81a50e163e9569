"""Files that come from a browser in pieces: written as they come, gone with their session."""

from __future__ import annotations

import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import final

from landscape_engine import FileFormatError


@final
class Inbox:
    """A folder of its own for what a person drops.

    A piece is in memory only until it is written, so that the size of a file does not matter.

    Attributes:
        arriving: The share of each file that is still coming, 0 to 1.
        revision: A number that changes with the contents.
    """

    def __init__(self) -> None:
        self.arriving: dict[str, float] = {}
        self.revision = 0
        self._folder: TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """Where the files are."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="landscape-", ignore_cleanup_errors=True)
        return Path(self._folder.name)

    @property
    def files(self) -> list[Path]:
        """Those that have come as a whole."""
        if self._folder is None:
            return []
        return sorted(path for path in self.folder.rglob("*") if path.is_file() and path.suffix != PARTIAL)

    @property
    def place(self) -> Path:
        """The only file, or else the folder of all."""
        files = self.files
        return files[0] if len(files) == 1 and files[0].parent == self.folder else self.folder

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(path.stat().st_size for path in self.files)

    def take(self, name: str, piece: int, pieces: int, data: bytes) -> None:
        """Write a piece of a file; those of one file come in their order.

        Args:
            name: Of the file, with the folders that were dropped with it.
            piece: Its number, from 1.
            pieces: How many there are.
            data: Its bytes.

        Raises:
            FileFormatError: If the name leads outside of the folder.
        """
        path = self._path(name)
        partial = path.with_name(f"{path.name}{PARTIAL}")
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb" if piece == 1 else "ab") as file:
            file.write(data)
        self.arriving[name] = piece / pieces
        if piece == pieces:
            os.replace(partial, path)
            del self.arriving[name]
            self.revision += 1

    def remove(self, name: str) -> None:
        """Forget a file, whether it has come or not; of one from a folder, its last name is enough."""
        path = self._path(name)
        found = path if path.exists() else next((file for file in self.files if file.name == path.name), path)
        for gone in (found, path.with_name(f"{path.name}{PARTIAL}")):
            gone.unlink(missing_ok=True)
        self.arriving.pop(name, None)
        self.revision += 1

    def close(self) -> None:
        """Remove everything."""
        if self._folder is not None:
            self._folder.cleanup()
        self._folder = None
        self.arriving.clear()
        self.revision += 1

    def told(self, sentence: str) -> str:
        """A sentence with the files called as the person knows them, and a capital letter unless it begins with one."""
        named = self._folder is not None and sentence.startswith(f"{self.folder}{os.sep}")
        if self._folder is not None:
            sentence = sentence.replace(f"{self.folder}{os.sep}", "").replace(str(self.folder), "what was dropped")
        return sentence if named else f"{sentence[:1].upper()}{sentence[1:]}"

    def _path(self, name: str) -> Path:
        parts = [part for part in re.split(r"[/\\]", name) if part]
        if not parts or ".." in parts or ":" in parts[0] or "\0" in name:
            raise FileFormatError(f"A file is called '{name}', which leads elsewhere. Give it another name.", path=name)
        return self.folder.joinpath(*parts)


PARTIAL = ".landscape-part"
