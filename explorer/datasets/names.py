"""What the name of an array or a file says of the part of the data that it holds."""

from __future__ import annotations

import re

PARTS = {"train": "train", "training": "train", "tr": "train"}
PARTS |= {"test": "test", "testing": "test", "te": "test", "t10k": "test"}
PARTS |= {"val": "validation", "valid": "validation", "validation": "validation"}
WHOLE = ""
"""The part of what no name says to be training or test data."""


def part_of(name: str) -> tuple[str, str]:
    """A name without what says its part, and the part: "x_train" and "train-x" are "x" and "train"."""
    words = re.split(r"[\s_.\-/]+", name)
    joined = re.fullmatch(r"([xyXY])(\w+)|(\w+?)([XY])", name)
    if joined and len(words) == 1:
        words = [w for w in joined.groups() if w]
    for k in (-1, 0):
        if words[k].lower() in PARTS:
            rest = [w for j, w in enumerate(words) if j != k % len(words)]
            return "_".join(rest) or "data", PARTS[words[k].lower()]
    return name, WHOLE
