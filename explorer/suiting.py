"""What suits a model and a metric: choices that depend on other ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import landscape_engine as le
from explorer import sources
from explorer.measures import MEASURES
from explorer.sources import Source
from explorer.state import COARSE, RESOLUTIONS, State
from landscape_engine import ChoiceError


def suit(state: State) -> Source:
    """Make choices that suit the model, all at once, so that no run starts on half of them.

    The first, the middle and the final checkpoint; what can be measured of the model, on how many examples, and
    where. A checkpoint that every model has comes before: a picker whose choice ends chooses one itself.

    Returns:
        The model's source.
    """
    source = sources.load(state.model)
    usual = state.places[0]  # of the model before: whoever has not chosen another place gets the new one's
    last, offered, counts, places = len(source.steps) - 1, source.offered, source.counts, source.places
    splits = source.splits
    metric = state.metric if state.metric in offered else offered[0]
    state.param.update(first=0, second=0, third=0)
    state.steps = source.steps
    state.param.update(
        second=last // 2,
        third=last,
        measures={key: source.measure(key) for key in offered},
        splits=splits,
        split=state.split if state.split in splits else splits[0],
        counts=counts,
        places=places,
        has_statistics=le.wrap_model(source.sample.model).has_statistics,
        metric=metric,
        samples=state.samples if state.samples in counts else 0,
        subspace=state.subspace if state.subspace in places and state.subspace != usual else places[0],
        **_resolution(state, metric),
    )
    return source


def suit_metric(state: State, old: str, new: str) -> None:
    """Whoever has not chosen another tolerance gets the new metric's, and a resolution that it can be had at."""
    usual = state.tolerance == MEASURES[old].tolerance
    tolerance = MEASURES[new].tolerance if usual else state.tolerance
    state.param.update(tolerance=tolerance, **_resolution(state, new))


def keep(state: State, choices: Mapping[str, Any]) -> None:
    """Make choices again that were given, where others would suit; the tolerance is the metric's unless it was given.

    Raises:
        ChoiceError: If the model does not offer one.
    """
    offered = {"split": state.splits, "samples": state.counts, "metric": state.measures, "subspace": state.places}
    for name, values in {**offered, "resolution": RESOLUTIONS}.items():
        if name in choices and choices[name] not in values:
            model = sources.load(state.model).label
            raise ChoiceError(f"{name} of {model}", choices[name], f"one of {', '.join(map(str, values))}")
        setattr(state, name, choices.get(name, getattr(state, name)))
    if "tolerance" not in choices:
        state.tolerance = MEASURES[state.metric].tolerance


def _resolution(state: State, metric: str) -> dict[str, int]:
    """The coarsest for a metric that is computed at every node; the next one gets back what was chosen before."""
    before = max(state.resolution, state.lowered)
    return {"resolution": COARSE, "lowered": before} if MEASURES[metric].rough else {"resolution": before, "lowered": 0}
