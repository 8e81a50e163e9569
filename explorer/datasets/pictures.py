"""Folders of images: each folder is a class."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np

from landscape_engine import FileFormatError, LandscapeError, MismatchError

from .tree import LARGEST, File

PATTERN = r".*\.(png|jpe?g|bmp|gif|webp|ppm|pgm|tiff?)"
MOST_PIXELS = 50_000_000


def is_picture(file: File) -> bool:
    """Whether a file is an image, by its name."""
    return re.fullmatch(PATTERN, file.name.lower()) is not None


def read_pictures(files: list[File], size: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, channels, height, width) in uint8, and the name of the folder that each lies in.

    Args:
        files: The images.
        size: Height and width that all are brought to; as they are when left out.

    Raises:
        MismatchError: If they are of several sizes and none is given.
        FileFormatError: If one cannot be read, lies in no folder, or all are too large for memory.
        LandscapeError: If Pillow is not installed.
    """
    bare = next((f for f in files if len(f.path.parts) < 2), None)
    if bare is not None:
        raise FileFormatError(
            f"The image {bare.name} lies in no folder that names its class. Put the images of each class in a folder.",
            path=bare.name,
        )
    pillow = _pillow()
    found, room = [], LARGEST
    for file in files:
        found.append(_open(pillow, file, size))
        room -= 3 * found[-1].width * found[-1].height
        if room < 0:
            raise FileFormatError(
                f"The images have more than {LARGEST:,} bytes when they are opened. Choose fewer, or a smaller size.",
            )
    sizes = Counter(image.size for image in found)
    if len(sizes) > 1:
        (width, height), _ = sizes.most_common(1)[0]
        raise MismatchError(
            f"The images have {len(sizes)} sizes, most of them {height} × {width} (height × width). "
            f"Choose one size for all, such as size=({height}, {width}).",
            expected=(height, width),
            found=[(h, w) for w, h in sizes],
        )
    mode = "L" if all(image.mode == "L" for image in found) else "RGB"
    arrays = np.stack([np.asarray(image.convert(mode)) for image in found])
    channels = arrays[:, None] if mode == "L" else arrays.transpose(0, 3, 1, 2)
    return channels, np.array([f.path.parent.name for f in files])


def _open(pillow: Any, file: File, size: tuple[int, int] | None) -> Any:
    """An image as gray or color, and no more than may be in memory."""
    try:
        with file.open() as stream, pillow.open(stream) as image:
            if image.width * image.height > MOST_PIXELS or file.size > LARGEST:
                raise ValueError(f"it has {image.width * image.height:,} pixels, more than {MOST_PIXELS:,}")
            plain = image.convert("L" if image.mode in ("1", "L") else "RGB")
            return plain.resize(size[::-1], pillow.Resampling.BILINEAR) if size else plain
    except Exception as error:  # Pillow raises many kinds for one thing: it cannot be read
        raise FileFormatError(
            f"The image {file.name} cannot be read ({str(error).rstrip('.')}). Save it again, or take it out.",
            path=file.name,
        ) from error


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise LandscapeError(
            "Images need the package Pillow, which is not installed. Install it: pip install pillow."
        ) from error
    return Image
