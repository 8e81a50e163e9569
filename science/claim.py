"""What a reproduced claim is: what was said, where, what we measure, and what it has to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import final

from matplotlib.figure import Figure


@final
@dataclass(frozen=True)
class Number:
    """A number that a claim is judged by, and its tolerance, which is written down before it is looked at.

    Args:
        name: What it is, in a few words.
        least: It is within its tolerance from here.
        most: It is within its tolerance up to here. Without either it is told, not judged.
        form: How it is shown, as a format specification.
    """

    name: str
    least: float | None = None
    most: float | None = None
    form: str = ".3g"

    @property
    def judged(self) -> bool:
        """Whether it has a tolerance."""
        return self.least is not None or self.most is not None

    @property
    def tolerance(self) -> str:
        """The tolerance in words."""
        low, high = (None if bound is None else self.shown(bound) for bound in (self.least, self.most))
        if low is not None and high is not None:
            return f"{low} to {high}"
        return f"at least {low}" if low is not None else f"at most {high}" if high is not None else "not judged"

    def shown(self, value: float) -> str:
        """The value as the page shows it."""
        return format(value, self.form).replace("%", "\N{NO-BREAK SPACE}%")

    def holds(self, value: float) -> bool:
        """Whether a value is within the tolerance; one that is not a number never is."""
        low = float("-inf") if self.least is None else self.least
        high = float("inf") if self.most is None else self.most
        return low <= value <= high or not self.judged


@final
@dataclass(frozen=True, eq=False)
class Finding:
    """What was found.

    Args:
        values: By the names of the claim's numbers.
        figure: What it looks like.
        seen: A sentence with the numbers behind the numbers: of each seed, of each size.
    """

    values: Mapping[str, float]
    figure: Figure
    seen: str


@final
@dataclass(frozen=True, eq=False)
class Claim:
    """A published claim and how it is reproduced.

    Args:
        name: A short word for the command line and the file of the figure.
        title: A heading.
        says: The claim, in a sentence of ours.
        source: Authors, year, title, section, arXiv number.
        done: What is done here, so that somebody could repeat it without the code.
        numbers: What is measured.
        discussion: What the finding means and what it does not.
        caption: Of the figure.
        run: Does it.
        quick: Whether it takes less than 20 seconds; such claims are tested with every change.
        explained: Why a number is outside its tolerance, for each that is known to be.
    """

    name: str
    title: str
    says: str
    source: str
    done: str
    numbers: tuple[Number, ...]
    discussion: str
    caption: str
    run: Callable[[], Finding]
    quick: bool = False
    explained: Mapping[str, str] = field(default_factory=dict)

    def outside(self, values: Mapping[str, float]) -> list[str]:
        """The names of the numbers that are outside their tolerance."""
        return [number.name for number in self.numbers if not number.holds(values[number.name])]

    def surprises(self, values: Mapping[str, float]) -> list[str]:
        """The names of the numbers that are outside and not explained, or explained and not outside."""
        return sorted(set(self.outside(values)) ^ set(self.explained))
