"""What a run has found, as the views want it."""

from __future__ import annotations

import math
from typing import Any

from explorer.jobs import Result
from explorer.measures import MEASURES
from explorer.numbers import format_number
from explorer.state import DERIVED, SUBSPACES
from explorer.tracks import PER_INTERVAL
from explorer.views.curve import CurvePicture
from explorer.views.inspector import Reading
from explorer.views.lines import Drawn, ProfilePicture
from explorer.views.picture import Array, Picture

SET_NAMES = {"train": "training", "test": "test"}
LONGEST = 9  # characters of a name that fits beside the curves


def subtitle(result: Result) -> str:
    """What the pictures show, in words."""
    request = result.request
    place = SUBSPACES[request.subspace].split(" (")[0].lower()
    return f"{request.model}, {place}, {MEASURES[request.metric].of(SET_NAMES[request.split])}"


def _variable(result: Result) -> str:
    return f"{result.request.split}_{result.request.metric}"


def curve_of(result: Result) -> CurvePicture:
    """The curve of a result on a line."""
    landscape, request, name = result.landscape, result.request, _variable(result)
    measure = MEASURES[request.metric]
    return CurvePicture(
        x=landscape["alpha"].values,
        values=landscape[name].values,
        error=landscape[f"{name}_error"].values,
        evaluated=landscape["evaluated"].values.astype(bool),
        scale="log" if request.scale == "log" else "linear",
        x_title=_axis_titles(result)[0],
        z_title=MEASURES[request.metric].brief,
        title=", ".join(filter(None, [measure.title, measure.units])),
        units=measure.units,
        high_is_better=measure.high_is_better,
    )


def picture_of(result: Result) -> Picture:
    """The map and the surface of a result."""
    landscape, request, name = result.landscape.transpose("beta", "alpha", ...), result.request, _variable(result)
    alpha, beta = _axis_titles(result)
    return Picture(
        x=landscape["alpha"].values,
        y=landscape["beta"].values,
        values=landscape[name].values,
        error=landscape[f"{name}_error"].values,
        evaluated=landscape["evaluated"].values.astype(bool),
        scale="log" if request.scale == "log" else "linear",
        x_title=alpha,
        y_title=beta,
        z_title=MEASURES[request.metric].brief,
        units=MEASURES[request.metric].units,
        path=result.path,
        checkpoints=result.path[::PER_INTERVAL],
        high_is_better=MEASURES[request.metric].high_is_better,
    )


def profile_of(result: Result, on_map: Array) -> ProfilePicture:
    """What is drawn along the track of a result whose exact values are known.

    Args:
        result: What a run has found.
        on_map: Values of its picture along the line that is followed, NaN outside it.
    """
    request, track = result.request, result.track
    measure, place = MEASURES[request.metric], "line" if request.is_line else "plane"
    return ProfilePicture(
        t=track.positions,
        ticks=[track.tick(value) for value in track.stops],
        unit=track.unit,
        title=", ".join(filter(None, [measure.title, measure.units])),
        scale="log" if request.scale == "log" else "linear",
        **_training(result, on_map, place),
    )


def _training(result: Result, on_map: Array, place: str) -> dict[str, Any]:
    """A training's values on both sets, and the picture's, which are those of another network."""
    metric, known = result.request.metric, result.profile or {}
    what = MEASURES[metric].title.lower()
    what = what if len(what) <= LONGEST else "value"
    shown = "map" if place == "plane" else place
    sets = {s: Drawn(known[f"{s}_{metric}"], f"true {what}, {name}", name) for s, name in SET_NAMES.items()}
    noisy = MEASURES[metric].noisy
    return {
        "lines": {**sets, "on_map": Drawn(on_map, f"{what} on the {shown}", f"on the {shown}")},
        "hollow": frozenset({"on_map"}),
        "gap": (result.request.split, "on_map"),
        "residual": result.residual,
        "off": f"Off the {place}: distance from it",
        "stderr": {s: known[f"{s}_{metric}_stderr"] for s in SET_NAMES} if noisy else {},
    }


def _axis_titles(result: Result) -> tuple[str, str]:
    """Of alpha and beta; that of beta is short, since the map's tools stand beside it."""
    request, steps = result.request, result.source.steps
    shares, normalization = result.subspace.facts.get("shares"), request.normalization
    chosen = [f"step {steps[min(k, len(steps) - 1)]:,}" for k in request.checkpoints]
    if request.subspace == "between":
        return f"α: from {chosen[0]} (0) to {chosen[1]} (1)", ""
    if request.subspace == "through":
        return f"α: from {chosen[0]} to {chosen[1]}", f"β: toward {chosen[2]}"
    if request.subspace == "gradient":
        return f"α: along the gradient at {chosen[0]}, uphill to the right", ""
    if request.subspace in DERIVED:
        curved = [f"λ = {format_number(value)}" for value in result.subspace.facts["eigenvalues"]]
        first = f"α: largest curvature at {chosen[0]}, {curved[0]}"
        return first, f"β: smallest, {curved[1]}" if len(curved) > 1 else ""
    if shares:
        first, second = (f"along PC {i + 1}, {100 * share:.0f} %" for i, share in enumerate(shares))
        return f"α: {first} of the movement", f"β: {second}"
    how = "" if normalization == "none" else f", {normalization}-normalized"
    return f"α: random direction{how}", "β: random"


def reading_of(result: Result, picture: Picture | CurvePicture, t: float) -> Reading | None:
    """What is known at a place of the track; None until the exact values are."""
    known, metric, track, split = result.profile, result.request.metric, result.track, result.request.split
    other = "test" if split == "train" else "train"
    if known is None:
        return None
    k = min(round(t * PER_INTERVAL), len(result.path) - 1)
    values, errors = picture.value_at(result.path[k : k + 1])
    value, error = float(values[0]), float(errors[0])
    return Reading(
        where=track.where(min(t, len(track.stops) - 1)),
        metric=MEASURES[metric].noun,
        names=(MEASURES[metric].of(SET_NAMES[split]), MEASURES[metric].of(SET_NAMES[other])),
        units=MEASURES[metric].units,
        true=float(known[f"{split}_{metric}"][k]),
        stderr=float(known[f"{split}_{metric}_stderr"][k]),
        other=float(known[f"{other}_{metric}"][k]),
        other_stderr=float(known[f"{other}_{metric}_stderr"][k]),
        accuracy=(float(known["train_accuracy"][k]), float(known["test_accuracy"][k]))
        if "train_accuracy" in known
        else None,
        exact=k % MEASURES[metric].each == 0,
        on_map=value,
        map_error=math.expm1(error) * value if picture.scale == "log" else error,
        residual=float(result.residual[k]),
        share=float(result.relative[k]),
        place="line" if result.request.is_line else "plane",
    )
