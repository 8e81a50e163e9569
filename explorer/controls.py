"""The drawer: what the user can choose, each choice with a line of help."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from explorer import cost, sources
from explorer.jobs import Runner
from explorer.measures import MEASURES
from explorer.numbers import format_level, percent
from explorer.result import Result
from explorer.state import (
    DERIVED,
    NORMALIZATIONS,
    NUMBERS,
    PAIRED,
    RANDOM,
    RESOLUTIONS,
    SPLITS,
    STATISTICS,
    SUBSPACES,
    WAYS,
    State,
)
from explorer.views.cards import Text, text, when
from explorer.views.field import TextField
from landscape_engine import LandscapeError

HELP = {
    "trajectory": "The plane that holds most of the training path",
    "random": "Two random directions through the trained network",
    "cube": "Two random directions through the trained network, shifted along a third one",
    "through": "The plane that three networks of the training span",
    "saved": "A plane from a file, through the trained network",
    "random_line": "One random direction through the trained network",
    "between": "The straight line from one network of the training to another, and beyond",
    "hessian": "Eigenvectors of the Hessian: across the valley, and where it curves down or least",
    "gradient": "The direction of steepest ascent, through one network of the training",
    "hessian_line": "The eigenvector of the largest curvature: straight across the valley",
    "connection": "Holds two networks and a curve between them along which the loss stays low. B aligned: the same "
    "network, its units in the order of A's",
    "networks": "The straight line from one network to another that was trained from another seed, and beyond. "
    "Aligned: with its units in the order of the first one's",
}
SCALED = "Scales random directions to the weights, so that networks can be compared."
UNSCALED = "For random directions only: here the axes are distances in parameter space."
ADVANCED = (
    "Seed of the random directions. Extent 1 is the usual view. Tolerance: wanted largest error, in percent of the "
    "range; 0 computes every node."
)
SAVED = "A saved plane keeps its directions. Opened, it goes through the trained network that is chosen then."
WIDE = {"sizing_mode": "stretch_width"}
WORDS_CSS = """
:host { font: 400 var(--fs-caption)/1.35 var(--font); color: var(--ink-2); }
h3 { margin: 0; font-size: var(--fs-small); font-weight: 600; color: var(--ink); }
"""
FULL = {"xs": "calc(100dvh - 1.5rem)", "sm": "calc(100dvh - 5rem)"}  # of the window, or of what is below the header
FOOT_CSS = """
:host { position: sticky; bottom: 0; z-index: 1; background: var(--card); border-top: 1px solid var(--hair);
  margin-top: auto; }
"""
INTO_VIEW = """
let left = source.active.length ? 15 : 0  // while what is in it arrives
const look = () => {
  if (left-- > 0) { Bokeh.index.find_one(fold)?.el.scrollIntoView({block: "start"}); setTimeout(look, 100) }
}
look()
"""
INLINE_CSS = """
:host { display: grid !important; grid-template-columns: repeat(auto-fit, minmax(216px, 1fr)); gap: 0 8px;
  padding: 0 6px 8px; align-content: start; box-sizing: border-box; }
"""


def _heading(words: str) -> Text:
    return text(f"<h3>{escape(words)}</h3>", WORDS_CSS, **{**WIDE, "margin": (14, 10, 2, 10)})


def _help(words: Any, **options: Any) -> Text:
    """A sentence of help, which may depend on choices."""
    return text(param.rx(words).rx.pipe(escape), WORDS_CSS, **{**WIDE, "margin": (0, 10, 4, 10), **options})


def _told(state: State, words: Callable[[State], str], *names: str) -> Text:
    """A sentence of help that depends on several choices, which may change at once."""
    told = _help(words(state))
    state.param.watch(lambda *events: told.param.update(object=escape(words(state))), list(names))
    return told


def _held(state: State) -> str:
    """What the subspace is, and how much of the training path's movement it holds."""
    if state.is_incomplete:
        return "No saved plane is open. Open a file that Save this plane has written: it is under Advanced."
    result, subspace = state.result, state.subspace
    asked = state.model, subspace
    known = (
        result is not None and (result.request.model, result.request.subspace) == asked and math.isfinite(result.held)
    )
    if result is None or not known or subspace in PAIRED:
        return f"{HELP[subspace]}."
    place = "line" if result.request.is_line else "plane"
    if subspace in RANDOM:
        collapsed = f"The training path collapses to a dot: {percent(result.held)} of its movement"
        return f"{HELP[subspace]}. {collapsed} lies in this {place}."
    if subspace == "trajectory":
        return f"{HELP[subspace]}: {percent(result.held)} of its movement lies in this {place}."
    return f"{HELP[subspace]}; it holds {percent(result.held)} of the training's movement."


def _nodes(state: State) -> str:
    """What a resolution means."""
    every = "Nodes on each axis. All of them are computed."
    return every if cost.is_whole(state.metric, state.tolerance) else state.param.resolution.doc


def _number(state: State, name: str, label: str) -> TextField:
    """A number as text, so that a wrong one is answered by a sentence and not swallowed."""
    field = TextField(label=label, value=f"{getattr(state, name):g}", size="small", width=82, margin=(6, 4))
    field.param.watch(lambda event: state.choose_number(name, event.new), "value")
    state.param.watch(lambda event: field.param.update(value=f"{event.new:g}"), name)
    return field


def toggle(parameter: Any, label: str) -> pmui.Toggle:
    """A button in a card's head that stays pressed."""
    return pmui.Toggle.from_param(
        parameter, label=label, description="", size="small", variant="outlined", margin=0, height=28
    )


def action(label: str, on_click: Any) -> pmui.Button:
    """A button in a card's head."""
    return pmui.Button(label=label, size="small", variant="outlined", margin=0, height=28, on_click=on_click)


def choice(parameter: Any, label: str = "", **options: Any) -> pmui.RadioButtonGroup:
    """A choice among few, all in sight."""
    style = {"size": "small", "variant": "outlined", "description": ""}
    return pmui.RadioButtonGroup.from_param(parameter, label=label, **{**style, **options})


def _select(parameter: Any, label: str, names: dict[Any, str], **options: Any) -> pmui.Select:
    style = {"size": "small", "sizing_mode": "stretch_width", "description": ""}
    swapped = {name: key for key, name in names.items()}
    return pmui.Select.from_param(parameter, label=label, options=swapped, **style, **options)


def _model(state: State) -> pmui.Select:
    """Which model; linked by hand, since a selector whose objects change would name them by their keys."""
    style = {"size": "small", "sizing_mode": "stretch_width"}
    titled = state.param.models.rx().rx.pipe(lambda keys: {sources.load(key).sample.title: key for key in keys})
    select = pmui.Select(label="Model", options=titled, value=state.model, **style)
    select.param.watch(lambda event: state.param.update(model=event.new), "value")
    state.param.watch(lambda event: select.param.update(value=event.new), "model")
    return select


def _set(state: State) -> pmui.Select:
    """Which of the model's sets of examples."""
    return _some(state.param.split, "Data", state.param.splits, SPLITS.__getitem__, margin=(6, 4, 6, 10))


def _measure(state: State) -> pmui.Select:
    """What can be measured of the model."""
    style = {"size": "small", "sizing_mode": "stretch_width", "description": ""}
    labels = state.param.measures.rx().rx.pipe(lambda found: {m.label: key for key, m in found.items()})
    return pmui.Select.from_param(state.param.metric, label="Metric", options=labels, **style)


def _count(count: int) -> str:
    return f"{count:,}" if count else "All"


def _some(parameter: Any, label: str, offered: Any, name: Any, **options: Any) -> pmui.Select:
    """A choice among what is offered at the moment."""
    style = {"size": "small", "sizing_mode": "stretch_width", "description": ""}
    chosen = offered.rx().rx.pipe(lambda keys: {name(key): key for key in keys})
    return pmui.Select.from_param(parameter, label=label, options=chosen, **style, **options)


def _checkpoints(steps: list[int]) -> dict[str, int]:
    """Checkpoints by their names, none of which is a number: the browser would take it for that of another one."""
    return {f"{step:,} (no. {k + 1})": k for k, step in enumerate(steps)}


def _pickers(state: State) -> pn.Column:
    """Which checkpoints a plane or a line goes through; in sight where they count."""
    subspace, between = state.param.subspace.rx(), ("through", "between")
    names = state.param.steps.rx().rx.pipe(_checkpoints)
    style = {"size": "small", "description": "", "sizing_mode": "stretch_width", "margin": (6, 3), "options": names}
    parts = [
        pmui.Select.from_param(state.param.first, label="From step", visible=subspace.rx.in_(between), **style),
        pmui.Select.from_param(state.param.second, label="Through step", visible=subspace == "through", **style),
        pmui.Select.from_param(
            state.param.third, label=subspace.rx.in_(DERIVED).rx.where("At step", "To step"), **style
        ),
    ]
    return when(subspace.rx.in_((*between, *DERIVED)), pn.Row(*parts, margin=(0, 7), **WIDE))


def _layer(state: State) -> pn.Column:
    """How far along the third direction of a cube; in sight where it counts."""
    told = pn.bind(
        lambda *shares: f"Layer at γ = {format_level(math.prod(shares))}", state.param.layer, state.param.extent
    )
    style = {"description": "", "show_value": False, "tooltips": False, "size": "small", **WIDE}
    style |= {"margin": (6, 18, 0, 18), "sx": {"& .MuiTypography-root": {"fontSize": "0.75rem"}}}
    slider = pmui.FloatSlider.from_param(state.param.layer, label=told, start=-1, end=1, step=0.05, **style)
    return when(state.param.subspace.rx() == "cube", slider)


def _plane_file(state: State) -> pn.Column:
    """Opens a saved plane; in sight where it counts."""
    file = pmui.FileInput(
        label="Open a saved plane", accept=".safetensors", variant="outlined", sizing_mode="stretch_width"
    )

    def opened(event: Any) -> None:
        """Take the directions in the file, or say in a sentence why it holds none."""
        try:
            state.saved, state.message = sources.open_plane(event.new), ""
        except LandscapeError as error:
            state.message = f"{str(error)[:1].upper()}{str(error)[1:]}"

    file.param.watch(opened, "value")
    return when(state.param.subspace.rx() == "saved", file)


def _save_plane(state: State) -> pmui.FileDownload:
    """Saves the plane that is shown, so that another network can be cut by it."""
    return pmui.FileDownload(
        callback=lambda: sources.save_plane(_whole_plane(state.result)),
        filename="plane.safetensors",
        label="Save this plane",
        size="small",
        visible=state.param.result.rx().rx.pipe(_is_plane),
        sizing_mode="stretch_width",
    )


def _is_plane(result: Result | None) -> bool:
    return result is not None and not result.request.is_line


def _whole_plane(result: Result) -> Any:
    """What is drawn, or what a part of is."""
    return sources.load(result.request.model).subspace(result.request._replace(window=None))


def study(state: State, runner: Runner) -> pmui.Button:
    """Computes the curvature at the marker."""
    label = state.param.studying.rx.where("Computing …", "Compute")
    busy = state.param.studying.rx()
    style = {"size": "small", "variant": "outlined", "margin": 0, "height": 28}
    return pmui.Button(label=label, disabled=busy, on_click=lambda event: runner.study(), **style)


def drawer(state: State, runner: Runner, *beside_model: Any) -> pmui.Column:
    """The widgets of the drawer, from top to bottom.

    Args:
        state: What they choose.
        runner: What Run again and Cancel are about.
        *beside_model: Other ways to choose a model.
    """
    foot = pn.Column(
        _help(state.param.cost),
        _run_button(state, runner),
        stylesheets=[FOOT_CSS],
        margin=0,
        **WIDE,
    )
    return pmui.Column(*_sections(state, *beside_model), foot, sx={"minHeight": FULL}, margin=0, **WIDE)


def inline_drawer(state: State, runner: Runner) -> pn.Column:
    """The same in a notebook: in as many columns as there is room for."""
    run = pn.Column(_help(state.param.cost), _run_button(state, runner), margin=(6, 0))
    return pn.Column(*_sections(state), run, stylesheets=[INLINE_CSS], margin=0, sizing_mode="stretch_width")


def _sections(state: State, *beside_model: Any) -> list[pn.Column]:
    """What is chosen, group by group."""
    random = state.param.subspace.rx().rx.pipe(lambda chosen: chosen in RANDOM)
    log = state.param.metric.rx().rx.pipe(lambda key: MEASURES[key].log)
    numbers = [_number(state, name, label + "," * bool(unit) + unit) for name, (label, unit, _) in NUMBERS.items()]
    scales = {"Log": "log", "Linear": "linear"}
    normalized = state.param.has_statistics.rx()
    statistics = _select(state.param.statistics, "Batch normalization", STATISTICS)
    advanced = pn.Column(
        pn.Row(*numbers, margin=(0, 6)),
        _help(ADVANCED),
        when(normalized, statistics, _help(state.param.statistics.doc)),
        _save_plane(state),
        _help(SAVED, visible=state.param.result.rx().rx.pipe(_is_plane)),
        margin=(0, -8),  # as far in as what is above it
    )
    fold = pmui.Accordion(disable_gutters=True, margin=(10, 0, 0, 0), **WIDE)
    fold.append(("Advanced", when(fold.param.active.rx().rx.pipe(bool), advanced)))
    fold.jscallback(args={"fold": fold}, active=INTO_VIEW)
    groups = [
        [
            _heading("Model and data"),
            _model(state),
            _help(state.param.model.rx().rx.pipe(lambda name: sources.load(name).summary)),
            *beside_model,
            pn.Row(
                _set(state),
                _some(state.param.samples, "How many", state.param.counts, _count, margin=(6, 10, 6, 4)),
                margin=0,
                **WIDE,
            ),
            _help("What is averaged over; fewer are faster and less sure."),
        ],
        [
            _heading("What to measure"),
            _measure(state),
            _told(
                state, lambda now: f"{now.measures.get(now.metric, MEASURES[now.metric]).help}.", "metric", "measures"
            ),
            choice(state.param.scale, options=scales, visible=log, **WIDE),
            _help(log.rx.where("Color scale: log tells small values apart.", "It is drawn on a linear scale.")),
        ],
        [
            _heading("Where to look"),
            _some(state.param.subspace, "Subspace", state.param.places, SUBSPACES.__getitem__),
            _pickers(state),
            _layer(state),
            _plane_file(state),
            _told(state, _held, "result", "model", "subspace", "saved"),
            when(state.param.subspace.rx() == "connection", _select(state.param.way, "Connecting path", WAYS)),
            _select(state.param.normalization, "Normalization", NORMALIZATIONS, disabled=random.rx.not_()),
            _help(random.rx.where(SCALED, UNSCALED)),
        ],
        [
            _heading("Resolution"),
            choice(state.param.resolution, options=RESOLUTIONS, **WIDE),
            _told(state, _nodes, "metric", "tolerance"),
            fold,
        ],
    ]
    return [pn.Column(*parts, margin=0, **WIDE) for parts in groups]


def _run_button(state: State, runner: Runner) -> pn.Column:
    """Run again, or Cancel while a run is under way."""
    running = state.param.phase.rx() == "running"
    run = pmui.Button(label="Run again", variant="contained", visible=running.rx.not_(), **WIDE)
    run.on_click(lambda event: runner.start())
    cancel = pmui.Button(label="Cancel", variant="outlined", visible=running, **WIDE)
    cancel.on_click(lambda event: runner.cancel())
    return pn.Column(run, cancel, margin=0, **WIDE)
