"""What a reader of data is told, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from landscape_engine import ChoiceError

KINDS = ("vectors", "images", "tokens")
CALLED = {"train": "training", "test": "test"}
STANDARDIZE = ("none", "feature", "channel")
Pair = tuple[Tensor, Tensor]


@final
@dataclass(frozen=True)
class DataChoices:
    """Which of the contents are used, and how.

    Args:
        inputs: Name of the array, or names of the columns; found from usual names when left out.
        targets: The same of what the model should give.
        split: Share of the rows that are held out as the test part, where the files do not name one. 0: none is.
        samples: At most so many examples of each part, drawn at random; 0 means all.
        standardize: ``"none"``; each ``"feature"`` to mean 0 and standard deviation 1 over the training part; or each
            ``"channel"`` of images.
        kind: ``"vectors"``, ``"images"`` or ``"tokens"``; seen from the arrays when left out.
        shape: Of one input, if not as stored: ``(1, 28, 28)``, or ``(-1,)`` for a flat one.
        size: Height and width that pictures in files are brought to; needed if they are not all alike.
        seed: Of what is drawn at random.
    """

    inputs: str | Sequence[str] = ()
    targets: str | Sequence[str] = ()
    split: float = 0.2
    samples: int = 0
    standardize: str = "none"
    kind: str = ""
    shape: tuple[int, ...] | None = None
    size: tuple[int, int] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.split < 1:
            raise ChoiceError("split", self.split, "a share of the rows, 0 or more and less than 1")
        if self.samples < 0:
            raise ChoiceError("samples", self.samples, "a number of examples, or 0 for all")
        if self.standardize not in STANDARDIZE:
            raise ChoiceError("standardize", self.standardize, f"one of {', '.join(STANDARDIZE)}")
        if self.kind and self.kind not in KINDS:
            raise ChoiceError("kind", self.kind, f"one of {', '.join(KINDS)}")


@final
@dataclass(frozen=True, eq=False)
class Data:
    """Examples, ready for a model.

    Their order is random, so that the first ones are a fair sample.

    Args:
        train: Inputs and targets: float32 inputs, or int64 tokens; int64 labels, or float32 numbers. Images have their
            channels first.
        test: The same of the test part, if there is one.
        classes: Names of the classes, in the order of their numbers; empty where they have none.
        kind: ``"vectors"``, ``"images"`` or ``"tokens"``.
        facts: Sentences on what was found and done.
        rows: For ``"train"`` and ``"test"``, the row of each example in the file, counted from 0; its own place when
            left out.
        called: What each part is called in a sentence.
    """

    train: Pair
    test: Pair | None = None
    classes: tuple[str, ...] = ()
    kind: str = "vectors"
    facts: tuple[str, ...] = ()
    rows: Mapping[str, Tensor] = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=lambda: CALLED)

    @property
    def parts(self) -> dict[str, Pair]:
        """The parts by name."""
        return {"train": self.train} | ({} if self.test is None else {"test": self.test})

    def row(self, part: str, place: int) -> int:
        """The row in the file of an example."""
        return int(self.rows[part][place]) if part in self.rows else place
