"""What a run has found, as the views want it."""

from __future__ import annotations

import math

from explorer.jobs import Result
from explorer.sources import PER_INTERVAL
from explorer.state import METRICS
from explorer.views.inspector import Reading
from explorer.views.picture import Picture

UNITS = {"loss": "nats", "accuracy": ""}
TITLES = {"loss": "Loss", "accuracy": "Accuracy"}


def subtitle(result: Result) -> str:
    """What the pictures show, in words."""
    request = result.request
    return f"{request.model}, {request.subspace} plane, training {METRICS[request.metric].split()[-1].lower()}"


def picture_of(result: Result) -> Picture:
    """The map and the surface of a result."""
    landscape, request = result.landscape.transpose("beta", "alpha", ...), result.request
    alpha, beta = _axis_titles(result)
    return Picture(
        x=landscape["alpha"].values,
        y=landscape["beta"].values,
        values=landscape[request.metric].values,
        error=landscape[f"{request.metric}_error"].values,
        evaluated=landscape["evaluated"].values.astype(bool),
        scale="log" if request.scale == "log" else "linear",
        x_title=alpha,
        y_title=beta,
        z_title=TITLES[request.metric],
        units=UNITS[request.metric],
        path=result.path,
        checkpoints=result.path[::PER_INTERVAL],
    )


def _axis_titles(result: Result) -> tuple[str, str]:
    shares, normalization = result.plane.facts.get("shares"), result.request.normalization
    if shares:
        first, second = (f"along PC {i + 1}, {100 * share:.0f} % of the movement" for i, share in enumerate(shares))
        return f"α: {first}", f"β: {second}"
    how = "" if normalization == "none" else f", {normalization}-normalized"
    return f"α: random direction{how}", f"β: random direction{how}"


def reading_of(result: Result, picture: Picture, t: float) -> Reading | None:
    """What is known at a place of the training path; None until the exact values are."""
    known, metric, source = result.profile, result.request.metric, result.source
    if known is None:
        return None
    k = min(round(t * PER_INTERVAL), len(result.path) - 1)
    values, errors = picture.value_at(result.path[k : k + 1])
    value, error = float(values[0]), float(errors[0])
    trajectory = source.sample.trajectory
    return Reading(
        t=t,
        checkpoints=len(trajectory),
        step=trajectory.step_at(t),
        metric=metric,
        units=UNITS[metric],
        true=float(known[metric][k]),
        stderr=float(known[f"{metric}_stderr"][k]),
        test=float(known[f"test_{metric}"][k]),
        test_stderr=float(known[f"test_{metric}_stderr"][k]),
        accuracy=(float(known["accuracy"][k]), float(known["test_accuracy"][k])),
        on_map=value,
        map_error=math.expm1(error) * value if picture.scale == "log" else error,
        residual=float(result.residual[k]),
        share=float(result.relative[k]),
    )
