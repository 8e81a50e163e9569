"""The drawer: what the user can choose, each choice with a line of help."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from explorer.state import METRICS, NORMALIZATIONS, NUMBERS, RESOLUTIONS, SUBSPACES, State

HELP = {
    "loss": "Low is better. Nats per example.",
    "accuracy": "High is better. Share of digits read correctly.",
    "trajectory": "The plane that holds most of the training path.",
    "random": "Two random directions through the trained network.",
}


def _swapped(labels: dict[str, str]) -> dict[str, str]:
    return {label: key for key, label in labels.items()}


def _heading(text: str) -> pmui.Typography:
    return pmui.Typography(text, variant="h3", margin=(14, 10, 2, 10))


def _help(text: Any) -> pmui.Typography:
    return pmui.Typography(text, variant="caption", sx={"color": "text.secondary"}, margin=(0, 10, 4, 10))


def _number(state: State, name: str, label: str) -> pmui.TextInput:
    """A number as text, so that a wrong one is answered by a sentence and not swallowed."""
    field = pmui.TextInput(label=label, value=f"{getattr(state, name):g}", size="small", width=82, margin=(6, 4))
    field.param.watch(lambda event: state.choose_number(name, event.new), "value")
    state.param.watch(lambda event: field.param.update(value=f"{event.new:g}"), name)
    return field


def drawer(state: State, description: str) -> list[Any]:
    """The widgets of the drawer, from top to bottom."""
    common = {"size": "small", "sizing_mode": "stretch_width"}
    random = state.param.subspace.rx() == "random"
    metric = pmui.Select.from_param(state.param.metric, label="Metric", options=_swapped(METRICS), **common)
    subspace = pmui.Select.from_param(state.param.subspace, label="Subspace", options=_swapped(SUBSPACES), **common)
    normalization = pmui.Select.from_param(
        state.param.normalization,
        label="Normalization",
        options=_swapped(NORMALIZATIONS),
        disabled=random.rx.not_(),
        **common,
    )
    scale = pmui.RadioButtonGroup.from_param(
        state.param.scale,
        label="Color scale",
        options={"Log": "log", "Linear": "linear"},
        variant="outlined",
        disabled=state.param.metric.rx() == "accuracy",
        **common,
    )
    resolution = pmui.RadioButtonGroup.from_param(
        state.param.resolution, label="Resolution", options=RESOLUTIONS, variant="outlined", **common
    )
    numbers = [_number(state, name, NUMBERS[name][0] + (", %" if name == "tolerance" else "")) for name in NUMBERS]
    return [
        _heading("Model"),
        _help(description),
        _heading("What to measure"),
        metric,
        _help(state.param.metric.rx().rx.pipe(HELP.get)),
        scale,
        _help("Log shows the floor of the valley; accuracy is always linear."),
        _heading("Where to look"),
        subspace,
        _help(state.param.subspace.rx().rx.pipe(HELP.get)),
        normalization,
        _help(
            random.rx.where(
                "Scales random directions to the weights, so that networks can be compared.",
                "For random directions only: here the axes are distances in parameter space.",
            )
        ),
        _heading("Resolution"),
        resolution,
        _help(state.param.resolution.doc),
        pmui.Accordion(
            (
                "Advanced",
                pmui.Column(
                    pmui.Row(*numbers),
                    _help(
                        "Seed of the random directions. Extent 1 is the usual "
                        "view. Tolerance: wanted largest error, in percent of the range; 0 computes every node."
                    ),
                ),
            ),
            sizing_mode="stretch_width",
            margin=(10, 0),
        ),
    ]


def run_button(state: State, run: Any, cancel: Any) -> pn.viewable.Viewable:
    """Run again, or Cancel while a run is under way."""
    running = state.param.phase.rx() == "running"
    again = pmui.Button(
        label="Run again",
        variant="contained",
        visible=running.rx.not_(),
        sizing_mode="stretch_width",
        on_click=lambda e: run(),
    )
    stop = pmui.Button(
        label="Cancel",
        variant="outlined",
        visible=running,
        sizing_mode="stretch_width",
        on_click=lambda e: cancel(),
    )
    return pmui.Column(again, stop, sizing_mode="stretch_width")
