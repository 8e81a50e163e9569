"""What a run has found, as the views want it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from explorer.basins import Basins, Stationary
from explorer.insight import Insight
from explorer.numbers import format_level, format_number
from explorer.profiles import Profile
from explorer.result import Result
from explorer.spread import Spread
from explorer.state import DERIVED, SET_NAMES, SPLITS, SUBSPACES, Marker
from explorer.tracks import LINE_NAMES, PER_INTERVAL, said
from explorer.views.curve import CurvePicture
from explorer.views.inspector import TRUSTED, Reading
from explorer.views.lines import Bracket, Drawn, ProfilePicture
from explorer.views.picture import Array, Mark, Picture, Stroke, is_dot

FROM_THE_END = ("trajectory", "random", "random_line")  # subspaces that have the final network for their origin
ROUNDING = 1e-4  # of a distance from the picture, as a share of that from its origin
LONGEST = 6  # characters of a name that fits beside the curves, in wide fonts too


def subtitle(result: Result) -> str:
    """What the pictures show, in words."""
    request = result.request
    place = "part of the " * (request.window is not None) + SUBSPACES[request.subspace].split(" (")[0].lower()
    place += f" at γ {format_level(request.layer * request.extent)}" * (request.subspace == "cube")
    return f"{result.source.label}, {place}, {result.measure.of(SET_NAMES[request.split])}"


_STRAIGHT = "On the straight line between the weights of the two {}s, of which three points are evaluated"


def path_note(result: Result, at: Marker) -> str:
    """HTML: at how many places along the track values are exact while some are missing, then what is at the marker.

    Between two checkpoints that is how the value changes from one to the other; elsewhere, how the axis runs.
    """
    track, (known, wanted) = result.track, result.known
    if known < wanted:
        words = f"exact at {known} of {wanted} places"
    elif track.stop and at.picked is None and at.t % 1 and result.measure.each == 1:
        words = _between(result, int(at.t))
    else:
        words = f"{track.stop}s evenly spaced" if track.stop else ""
    return f"<span class='note'>{words}</span>"


def _between(result: Result, k: int) -> str:
    """How the value changes from a stop to the next one, as far as three places between them tell."""
    start, *inside, end = result.profile[_variable(result)][PER_INTERVAL * k : PER_INTERVAL * (k + 1) + 1].tolist()
    beyond = [f"up to {format_number(max(inside))}"] * (max(inside) > max(start, end))
    beyond += [f"down to {format_number(min(inside))}"] * (min(inside) < min(start, end))
    moves = f"{format_number(start)} {'falls' if end < start else 'rises'} to {format_number(end)}"
    between = f"{' and '.join(beyond)} in between" if beyond else "always within that range"
    words = f"<i>{result.track.stop}s</i> {k + 1} to {k + 2}: {moves}, {between}"
    return f"<span title='{_STRAIGHT.format(result.track.stop)}'>{words}</span>"


def _variable(result: Result) -> str:
    return f"{result.request.split}_{result.request.metric}"


def curve_of(result: Result, around: Spread | None = None) -> CurvePicture:
    """The curve of a result on a line, and what other random directions meet."""
    landscape, request, name = result.landscape, result.request, _variable(result)
    measure = result.measure
    return CurvePicture(
        x=landscape["alpha"].values,
        values=landscape[name].values,
        error=landscape[f"{name}_error"].values,
        evaluated=landscape["evaluated"].values.astype(bool),
        scale="log" if request.scale == "log" else "linear",
        x_title=_axis_titles(result)[0],
        z_title=measure.brief,
        title=", ".join(filter(None, [measure.title, measure.units])),
        units=measure.units,
        high_is_better=measure.high_is_better,
        around=around,
    )


def picture_of(result: Result, found: Basins | None = None) -> Picture:
    """The map and the surface of a result.

    Args:
        result: What a run has found.
        found: Minima and saddles to be marked.
    """
    landscape, request, name = result.landscape.transpose("beta", "alpha", ...), result.request, _variable(result)
    alpha, beta = _axis_titles(result)
    measure = result.measure
    picture = Picture(
        x=landscape["alpha"].values,
        y=landscape["beta"].values,
        values=landscape[name].values,
        error=landscape[f"{name}_error"].values,
        evaluated=landscape["evaluated"].values.astype(bool),
        scale="log" if request.scale == "log" else "linear",
        x_title=alpha,
        y_title=beta,
        z_title=measure.brief,
        units=measure.units,
        strokes=_strokes(result),
        marks=_marks(result),
        high_is_better=measure.high_is_better,
        stderr=landscape[f"{name}_stderr"].values if f"{name}_stderr" in landscape else None,
    )
    marks = [_mark(point, measure.units) for point in (found.points if found is not None else ())]
    x, y, value = picture.best()
    marked = any((mark.x, mark.y) == (x, y) for mark in marks)
    unnamed = found is not None and "straight" in result.track.lines  # the key has no room for both
    if math.isfinite(value) and not marked and not unnamed:
        marks.append(Mark("best", x, y))
    return replace(picture, marks=(*picture.marks, *marks))


def _mark(point: Stationary, units: str) -> Mark:
    """A minimum or saddle, and whether the whole space knows of it."""
    note, slope = f"{point.kind} of this plane, {format_number(point.value)} {units}".strip(), point.gradient_norm
    if math.isfinite(slope):
        note += f"\n{'not of the network: ' * point.of_plane_only}gradient norm {format_number(slope, 2)}"
    return Mark(point.kind, point.x, point.y, note=note)


def _strokes(result: Result) -> tuple[Stroke, ...]:
    """The lines of the track, the one that is followed on top."""
    track, paths = result.track, result.paths
    dots = slice(None, None, PER_INTERVAL) if track.stop else slice(0, 0)
    said = [f"{track.where(t)}, projected" for t in track.positions[dots]]
    return tuple(Stroke(line, paths[line], paths[line][dots], said) for line in [*paths][::-1] if len(paths[line]) > 1)


def _marks(result: Result) -> tuple[Mark, ...]:
    """Ends of the lines, and the top of the straight one, or its bottom where high is better.

    Where a line collapses to a dot, one mark names both of its ends.
    """
    places = dict[Any, tuple[str, Array, str]]()
    for line, end, kind, text in result.track.landmarks:
        ends = result.paths[line][[0, -1]]
        if end == -1 and (line, 0) in places and is_dot(result.paths[line], result.subspace.bounds):
            text = f"{places.pop((line, 0))[2]}, {text}"
        places[line, end] = kind, ends[end], text
    top = barrier_of(result)
    if top is not None:
        kind = "drop" if result.measure.high_is_better else "barrier"
        places["top"] = kind, result.paths["straight"][round(top.place * PER_INTERVAL)], top.text
    return tuple(Mark(kind, float(at[0]), float(at[1]), text) for kind, at, text in places.values())


def off_plane(result: Result) -> float:
    """Distance of the aligned network from the subspace; 0 if there is none."""
    return float(result.residuals["aligned"][-1]) if "aligned" in result.residuals else 0.0


def barrier_of(result: Result) -> Bracket | None:
    """How far the straight line between two networks rises above that between its ends, once all is known.

    Where high is better it is how far it drops below.
    """
    metric, split, places = result.request.metric, result.request.split, result.track.positions
    if (
        "straight" not in result.profiles
        or not result.measure.own
        or not result.profiles["straight"]["evaluated"].all()
    ):
        return None
    values = result.profiles["straight"][f"{split}_{metric}"]
    chord = values[0] + (values[-1] - values[0]) * places / places[-1]
    word, height = ("drop", chord - values) if result.measure.high_is_better else ("barrier", values - chord)
    k = int(np.argmax(np.where(np.isfinite(height), height, -np.inf)))
    if not 0 < height[k] < np.inf:
        return None
    return Bracket(float(places[k]), float(chord[k]), float(values[k]), f"{word} {format_number(float(height[k]))}")


def profile_of(result: Result, on_map: Array) -> ProfilePicture:
    """What is drawn along the track of a result, as far as exact values are known.

    Args:
        result: What a run has found.
        on_map: Values of its picture along the line that is followed, NaN outside it.
    """
    request, track = result.request, result.track
    place, (known, wanted) = "line" if request.is_line else "plane", result.known
    return ProfilePicture(
        t=track.positions,
        places=[track.said(place) for place in track.positions],
        ticks=[track.tick(value) for value in track.stops],
        unit=track.unit,
        scale="log" if request.scale == "log" else "linear",
        is_whole=known >= wanted,
        exact=np.all([values["evaluated"] for values in result.profiles.values()], axis=0),
        **(_ways(result, place) if "straight" in track.lines else _training(result, on_map, place)),
    )


def _ways(result: Result, place: str) -> dict[str, Any]:
    """The values on each way from one network to the other."""
    request, measure = result.request, result.measure
    name, what = f"{request.split}_{request.metric}", measure.of(SET_NAMES[request.split])
    followed = result.track.followed
    lines = {line: Drawn(known[name], LINE_NAMES[line], LINE_NAMES[line]) for line, known in result.profiles.items()}
    for split in set(result.source.splits) - {request.split}:
        if (other := result.profiles[followed].get(f"{split}_{request.metric}")) is not None:
            lines["other"] = Drawn(other, *[f"{LINE_NAMES[followed].split()[-1]}, {SET_NAMES[split]}"] * 2)
    noisy = {line: _doubted(known, name) for line, known in result.profiles.items()} if measure.noisy else {}
    return {
        "title": ", ".join(filter(None, [what[:1].upper() + what[1:], measure.units])),
        "lines": lines,
        "hollow": frozenset(result.profiles) - {followed},
        "residual": _apart(result, "aligned"),
        "off": f"Off the {place}: distance of the aligned line",
        "apart": f"the aligned line {{}} off the {place}",
        "stderr": noisy,
        "bracket": barrier_of(result),
    }


def _training(result: Result, on_map: Array, place: str) -> dict[str, Any]:
    """A training's values on both sets, and the picture's, which are those of another network."""
    metric, known = result.request.metric, result.profile
    measure, splits = result.measure, result.source.splits
    what = measure.noun
    what = what if len(what) <= LONGEST else "value"
    shown = "map" if place == "plane" else place
    sets = {
        s: Drawn(known[f"{s}_{metric}"], f"true {what}, {SET_NAMES[s]}".removesuffix(", "), SET_NAMES[s] or "true")
        for s in splits
    }
    return {
        "title": ", ".join(filter(None, [measure.title, measure.units])),
        "lines": {**sets, "on_map": Drawn(on_map, f"{what} on the {shown}", f"on the {shown}")},
        "hollow": frozenset({"on_map"}),
        "gap": (result.request.split, "on_map"),
        "residual": _apart(result, result.track.followed),
        "off": f"Off the {place}: {_farthest(result)}",
        "apart": f"{{}} off the {place}",
        "stderr": {s: _doubted(known, f"{s}_{metric}") for s in splits} if measure.noisy else {},
    }


def _apart(result: Result, line: str) -> Array:
    """Distances of a line from the picture, 0 where they are what rounding leaves of it."""
    found = result.residuals[line]
    return np.where(found > ROUNDING * max(float(p.distance) for p in result.projections[line]), found, 0.0)


def _farthest(result: Result) -> str:
    """How far the followed line leaves the picture, and where."""
    apart = _apart(result, result.track.followed)
    k = int(np.argmax(apart))
    if apart[k] == 0:
        return "distance from it, 0 to rounding"
    return f"at most {format_number(float(apart[k]), 2)}, at {result.track.said(result.track.positions[k])}"


def _doubted(known: Profile, name: str) -> Array:
    """The standard errors of exact values; NaN between them."""
    return np.where(known["evaluated"], known[f"{name}_stderr"], np.nan)


def _axis_titles(result: Result) -> tuple[str, str]:
    """Of alpha and beta; that of beta is short, since the map's tools stand beside it."""
    request, steps = result.request, result.source.steps
    shares, normalization = result.subspace.facts.get("shares"), request.normalization
    chosen = [f"step {steps[min(k, len(steps) - 1)]:,}" for k in request.checkpoints]
    if request.subspace == "between":
        return f"α: from {chosen[0]} (0) to {chosen[1]} (1)", ""
    if request.subspace == "networks":
        return "α: from network A (0) to network B (1)", ""
    if request.subspace == "connection":
        return "α: from network A toward network B", "β: toward the bend"
    if request.subspace == "through":
        return f"α: from {chosen[0]} to {chosen[1]}", f"β: toward {chosen[2]}"
    if request.subspace == "gradient":
        return f"α: along the gradient at {chosen[0]}, uphill to the right", ""
    if request.subspace in DERIVED:
        curved = [f"λ = {format_number(value)}" for value in result.subspace.facts["eigenvalues"]]
        first = f"α: largest curvature at {chosen[0]}, {curved[0]}"
        return first, f"β: smallest, {curved[1]}" if len(curved) > 1 else ""
    if shares:
        first, second = (f"PC {i + 1}, {100 * share:.0f} %" for i, share in enumerate(shares))
        return f"α: {first} of the movement", f"β: {second}"
    how = "" if normalization == "none" else f", {normalization}-normalized"
    return f"α: random direction{how}", "β: random"


def reading_of(
    result: Result, picture: Picture | CurvePicture, at: Marker, insight: Insight | None = None
) -> Reading | None:
    """What is known at the marker; None where no exact values are, yet.

    Args:
        result: What a run has found.
        picture: Of it.
        at: The marker.
        insight: The newest look at a network of this picture, if there was one.
    """
    here = insight if insight is not None and insight.at == at else None
    place = _on_track(result, at.t, here) if at.picked is None else _at_point(result, at, here)
    metric, split, measure, source = result.request.metric, result.request.split, result.measure, result.source
    if f"{split}_{metric}" not in place.values:
        return None
    coming = measure.own and here is not None and not here.whole
    sets = [s for s in source.splits if s != split and (coming or f"{s}_{metric}" in place.values)]
    (value,), (error,) = picture.value_at(place.point)
    true, stderr = (float(place.values[f"{split}_{metric}{more}"]) for more in ("", "_stderr"))
    others = [[place.values.get(f"{s}_{metric}{more}") for more in ("", "_stderr")] for s in sets]
    slope = None if "loss" in source.offered else math.nan
    return Reading(
        where=place.where,
        metric=measure.noun,
        names=tuple(measure.of(SET_NAMES[s]) for s in (split, *sets)),
        units=measure.units,
        true=true,
        stderr=stderr,
        others=tuple(None if value is None or error is None else (value, error) for value, error in others),
        accuracy={
            SET_NAMES[s]: place.values[f"{s}_accuracy"]
            for s in SPLITS
            if metric != "accuracy" and f"{s}_accuracy" in place.values
        },
        exact=place.exact,
        on_map=float(value),
        map_error=math.expm1(error) * float(value) if picture.scale == "log" else float(error),
        residual=place.residual,
        share=place.share,
        beside=place.beside,
        place="line" if result.request.is_line else "plane",
        gradient_norm=slope if here is None or not here.whole else here.gradient_norm,
        gradient_share=math.nan if here is None else here.gradient_share,
        nearest=place.nearest,
        picked=at.picked is not None,
        elsewhere=picture.said_error if _doubt(picture) > TRUSTED else "",
    )


def _doubt(picture: Picture | CurvePicture) -> float:
    """The largest estimated error, as a share of the value on a log scale, else of the range."""
    return math.expm1(min(float(picture.error.max()), 700.0)) if picture.scale == "log" else picture.error_share


class _Place(NamedTuple):
    """What is known of the network at a place, by the names of metrics, and where it is."""

    values: Mapping[str, float]
    point: Array
    where: str
    exact: bool = True
    residual: float = 0.0
    share: float = math.nan
    beside: tuple[tuple[str, float], ...] = ()
    nearest: tuple[str, float] | None = None


def _on_track(result: Result, t: float, here: Insight | None) -> _Place:
    track, name, k = result.track, _variable(result), result.track.nearest(t)
    known = {line: profile for line, profile in result.profiles.items() if not result.awaits(t, line)}
    beside = ((LINE_NAMES[line], profile) for line, profile in known.items() if line != track.followed)
    found, share = ({} if here is None else here.values), float(result.relative[k])
    exact = name in found or bool(result.profile["evaluated"][k])
    if track.followed in known and name not in found:
        found = {name: float(values[k]) for name, values in known[track.followed].items()}
    return _Place(
        found,
        result.path[k : k + 1],
        track.where(min(t, len(track.stops) - 1)),
        exact=exact,
        residual=0.0 if share < ROUNDING else float(result.residual[k]),
        share=share if result.request.subspace in FROM_THE_END else math.nan,
        beside=tuple((line, float(found[name][k])) for line, found in beside),
    )


def _at_point(result: Result, at: Marker, here: Insight | None) -> _Place:
    found = here or Insight(result.request, at)
    return _Place(found.values, np.array([at.picked]), said(at, result.track), nearest=found.nearest)
