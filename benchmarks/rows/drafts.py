"""How much sooner a draft on some of the examples is there than a picture on all, and what it costs in the end.

Both come from the same call, with and without ``subset``; other packages have nothing to compare it with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import xarray as xr

import landscape_engine as le
import sample_models
from landscape_engine.metrics import Loss

from ..measure import Row, ratio

SUBSET, RESOLUTION = 100, 65
PATIENT = 1e9  # seconds between two landscapes: the first and the last one only


def rows(device: str) -> Iterator[Row]:
    """The first landscape, and the last one."""
    sample = sample_models.load("digits_cnn")
    inputs, targets = (t.to(device) for t in sample.train)
    plane = le.Plane.random(sample.model.to(device), seed=0)
    loss = Loss(sample.loss_function, inputs, targets)

    def first(subset: int | None) -> xr.Dataset:
        return next(le.refine(loss, plane, resolution=RESOLUTION, subset=subset))

    def last(subset: int | None) -> xr.Dataset:
        *_, landscape = le.refine(loss, plane, resolution=RESOLUTION, subset=subset, interval=PATIENT)
        return landscape

    name, against = f"digits_cnn: the {{}} landscape of a run with subset={SUBSET}", "the same without a subset"
    draft = first(SUBSET)
    error = draft["loss_error"]
    told = json.loads(draft.attrs["provenance"])["draft"]
    share, both = float(error.max()) / error.attrs["range"], told["difference"]["nodes"]
    note = f"{len(inputs):,} examples, estimated error {share:.0%} of the range, {both} nodes both ways"
    note += f"; a GPU takes as long for {SUBSET} of them as for all" * (device != "cpu")
    found = ratio(lambda: first(None), lambda: first(SUBSET), device=device)
    yield Row(name.format("first"), against, found, 2.0, note=note)
    found = ratio(lambda: last(None), lambda: last(SUBSET), device=device)
    yield Row(name.format("last"), against, found, 0.8, note="the draft is computed besides")
