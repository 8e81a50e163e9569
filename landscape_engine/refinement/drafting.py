"""Which draft is wanted, and whether lower precision is worth one here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ..errors import ChoiceError
from ..evaluation import Evaluator
from ..landscape import transform
from ..metrics.base import Metric
from ..metrics.elsewhere import on_subset
from ..metrics.gradients import DerivedMetric
from ..subspaces import Subspace
from .drafts import Draft, anchor_grid
from .interpolation import Mask
from .refiner import Refiner

PRECISIONS = ("model", "float32", "float64", "auto", "bfloat16")
GAIN = 1.5  # by which lower precision must be faster, since what it computes is computed again


@final
@dataclass(frozen=True)
class Drafting:
    """What was asked for.

    Attributes:
        subset: Examples of a draft; None for all.
        precision: See ``refine``.
        smooth: Whether values between nodes can be predicted, as a draft needs.
    """

    subset: int | None
    precision: str
    smooth: bool

    @property
    def last(self) -> str:
        """Precision of the values that last."""
        return self.precision if self.precision.startswith("float") else "model"

    @property
    def is_wanted(self) -> bool:
        """Whether there may be a draft."""
        return self.subset is not None or self.precision in ("auto", "bfloat16")

    def roughs(self, driver: Metric) -> tuple[str, ...]:
        """Precisions of drafts to be tried, the surest first; none if none would be cheaper."""
        fewer = self.subset is not None and driver.data is not None and driver.data.count > self.subset
        plain = (self.last,) if fewer else ()
        rough = () if self.unfit(driver, "bfloat16") else ("bfloat16",)
        return {"auto": (*plain, *rough), "bfloat16": rough}.get(self.precision, plain)

    def check(self, driver: Metric) -> None:
        """Raise if it is not what is offered, or cannot be had for this metric."""
        subset = self.subset
        if self.precision not in PRECISIONS:
            raise ChoiceError("precision", self.precision, f"one of {', '.join(PRECISIONS)}")
        if subset is not None and (not isinstance(subset, int) or subset < 1):
            raise ChoiceError("subset", subset, "a whole number of examples, 1 or more, or None")
        for name, asked, rough in (
            ("subset", subset is not None, ""),
            ("precision", self.precision == "bfloat16", "bfloat16"),
        ):
            if asked and (reason := self.unfit(driver, rough)):
                raise ChoiceError(name, vars(self)[name], f"left out, since {reason}")

    def unfit(self, driver: Metric, precision: str = "") -> str:
        """Why there can be no draft of the driving metric; empty if there can."""
        if not self.smooth:
            return "values between nodes cannot be predicted here"
        if driver.data is None:
            return f"metric '{driver.name}' has no examples"
        if driver not in _fit([driver], precision):
            return f"metric '{driver.name}' is made of derivatives"
        return ""

    def useless(self, driver: Metric, full: Refiner) -> str:
        """Why a draft would be no gain; empty if it may be one."""
        if full.is_whole:
            return "the start holds a whole coarse grid"
        if anchor_grid(full)[0].step == full.stride:
            return f"{full.shape[0]} nodes on an axis have no grid that is coarser than the first one"
        if self.roughs(driver):
            return ""
        return self.unfit(driver, "bfloat16") if self.precision == "auto" else "the subset is all examples"

    def made(
        self,
        precision: str,
        subspace: Subspace,
        metrics: Sequence[Metric],
        driver: Metric,
        full: Refiner,
        strategy: str,
    ) -> Draft:
        """A draft in a precision, told nothing yet."""
        chosen, words = _fit(metrics, precision), []
        if self.subset is not None and driver.data is not None:
            chosen = on_subset(chosen, self.subset)
            words = [f"{min(self.subset, driver.data.count):,} of {driver.data.count:,} examples"]
        label = " in ".join([*words, *([precision] if precision == "bfloat16" else [])])
        return Draft(full, driver.name, Evaluator(subspace, chosen, strategy, precision), label)

    def facts(self, precision: str) -> dict[str, Any]:
        """For the provenance."""
        return ({} if self.subset is None else {"subset": self.subset, "seed": 0}) | {"precision": precision}


def _fit(metrics: Sequence[Metric], precision: str) -> list[Metric]:
    """The metrics of examples; in lower precision without derivatives, whose errors would be anything."""
    rough = precision == "bfloat16"
    return [m for m in metrics if m.data is not None and not (rough and isinstance(m, DerivedMetric))]


def refusal(sure: Refiner, rough: Refiner, both: Mask, speedup: float) -> str:
    """Why lower precision is not worth a draft, from values at some nodes both ways; empty if it is.

    Args:
        sure: Was told values in the model's own precision.
        rough: Was told those in the lower one.
        both: Where.
        speedup: Time of the former by that of the latter.
    """
    if speedup < GAIN:
        return f"it is {speedup:.2f} times as fast, less than {GAIN:g}"
    a, b = (transform(told.values[both], told.scale, told.vmax) for told in (sure, rough))
    with np.errstate(invalid="ignore"):  # where a value is not finite, lower precision is refused
        off, span = float(np.abs(a - b).max()), float(np.ptp(a))
    if not off <= sure.tolerance * span:
        return f"values are off by {off / span if span else np.inf:.2%} of their range, more than the tolerance"
    return ""
