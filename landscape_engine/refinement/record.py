"""What a run has computed, and the landscape that is made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import ChoiceError
from ..evaluation import Evaluator
from ..landscape import build, inverse, provenance
from ..metrics.base import Estimate, Metric
from ..metrics.pipeline import MetricPipeline
from ..subspaces import Subspace
from .drafts import Draft, bounded
from .interpolation import Array
from .refiner import Refiner


@final
class Record:
    """The values of every metric at the computed nodes, and those of a draft while it tells more.

    Attributes:
        evaluator: Of the values that last.
        refiner: Is told those of the driving metric.
        evaluations: In this run, without those of a draft.
        draft: A cheaper surface; None if there is none.
        drafting: What the provenance says of drafts; empty if none was asked for.
    """

    def __init__(
        self,
        pipeline: MetricPipeline,
        driver: Metric,
        subspace: Subspace,
        axes: Sequence[Array],
        refiner: Refiner,
        evaluator: Evaluator,
    ) -> None:
        self.pipeline, self.driver, self.subspace, self.axes = pipeline, driver, subspace, axes
        self.refiner, self.evaluator = refiner, evaluator
        self.values = {m.name: np.full(refiner.shape, np.nan) for m in pipeline.metrics}
        self.stderr = {m.name: np.full(refiner.shape, np.nan) for m in pipeline.metrics}
        self.evaluations = 0
        self.draft: Draft | None = None
        self.drafting: dict[str, Any] = {}
        self._story = provenance(subspace, pipeline.metrics)  # hashing the data is done once
        self._story["precision"] = str(evaluator.subspace.model.dtype).removeprefix("torch.")

    @property
    def is_whole(self) -> bool:
        """Whether there is a surface at every node."""
        return self.refiner.is_whole or (self.draft is not None and self.draft.is_whole)

    def take_over(self, start: xr.Dataset) -> None:
        """Take the computed nodes of a landscape, and tell the refiner of them; what a draft found is not taken."""
        order = self.subspace.dims
        computed = start["evaluated"].transpose(*order).values.astype(bool)
        same = all(np.array_equal(start[d].values, a) for d, a in zip(order, self.axes, strict=True))
        if not same or not set(self.values) <= set(start.data_vars):
            raise ChoiceError("start", dict(start.sizes), "a landscape of the same subspace, resolution and metrics")
        for name in self.values:
            self.values[name][computed] = start[name].transpose(*order).values[computed]
            if f"{name}_stderr" in start:
                self.stderr[name][computed] = start[f"{name}_stderr"].transpose(*order).values[computed]
        self.refiner.tell(np.argwhere(computed), self.values[self.driver.name][computed])

    def ask(self) -> NDArray[np.int64]:
        """Indices of the nodes to compute next: those of coarse grids first, while a draft fills in the others."""
        nodes = self.refiner.ask()
        if self.draft is None or self.refiner.is_whole:
            return nodes
        order = np.bitwise_or.reduce(nodes, axis=1)  # its lowest bit is that of the finest index
        return nodes[np.argsort(-(order & -order), kind="stable")] if len(nodes) else nodes

    def tell(self, nodes: NDArray[np.int64], found: Sequence[dict[str, Estimate]]) -> None:
        """Take what was evaluated at nodes, (n, dimensions)."""
        for node, estimates in zip(nodes, found, strict=True):
            for name, estimate in estimates.items():
                self.values[name][tuple(node)], self.stderr[name][tuple(node)] = estimate
        self.evaluations += len(nodes)
        self.refiner.tell(nodes, self.values[self.driver.name][tuple(nodes.T)])

    def landscape(self, seconds: float, finished: bool = False) -> xr.Dataset:
        """What is known so far, whole: computed values, predictions elsewhere, errors, provenance."""
        refiner, name, computed = self.refiner, self.driver.name, self.refiner.computed
        draft = None if finished or self.draft is None or not self.draft.tells_more else self.draft
        analysis = refiner.analysis if draft is None else draft.analysis
        surface = np.where(computed, refiner.values, inverse(analysis.prediction, refiner.scale))
        surface = np.where(computed, surface, self._bounded(surface, draft))
        variables: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
            m.name: (surface if m.name == name else self._other(m, draft), {}) for m in self.pipeline.metrics
        }
        cut = {} if refiner.vmax is None else {"vmax": refiner.vmax}
        variables[f"{name}_error"] = (analysis.error, {"scale": refiner.scale, "range": analysis.span, **cut})
        variables |= {f"{k}_stderr": (v.copy(), {}) for k, v in self.stderr.items() if np.isfinite(v).any()}
        variables["evaluated"] = (computed.copy(), {"long_name": "computed, not predicted"})
        if draft is not None:
            variables["drafted"] = (draft.refiner.computed.copy(), {"long_name": f"computed on {draft.label}"})
        choices = {"drive": name, "scale": refiner.scale, "tolerance": refiner.tolerance, **cut}
        choices |= {"density": refiner.density} if refiner.density else {}
        choices |= {} if draft is None else {"draft": draft.label}
        story = self._story | choices | self._drafted(draft is not None)
        story |= {"strategy": self.evaluator.strategy, "evaluations": int(computed.sum())}
        attributes = choices | {"provenance": json.dumps(story | {"seconds": round(seconds, 3)})}
        return build(self.subspace, self.axes, self.pipeline.metrics, variables, attributes)

    def _bounded(self, surface: Array, draft: Draft | None) -> Array:
        """Predictions within what is possible: an accuracy is 1 at most.

        Where a metric is not smooth, nothing says that it has an extreme between two nodes: what an interpolant
        overshoots there is its own. Not so in a draft, which knows more than these nodes.
        """
        known = self.refiner.values[self.refiner.computed]
        known = known[np.isfinite(known)]
        if draft is None and not self.driver.smooth and known.size:
            surface = np.clip(surface, known.min(), known.max())
        return bounded(surface, self.driver)

    def _other(self, metric: Metric, draft: Draft | None) -> Array:
        """Values of a metric that does not drive."""
        values = self.values[metric.name]
        return values.copy() if draft is None else draft.others(metric, values)

    def _drafted(self, shown: bool) -> dict[str, Any]:
        """What the provenance says of drafts."""
        if self.draft is not None:
            state = "part of this landscape" if shown else "replaced"
            return {"draft": {**self.drafting, "state": state, **self.draft.facts}}
        return {"draft": self.drafting} if self.drafting else {}
