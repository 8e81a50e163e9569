"""The page: state, job, controls and views put together."""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource
from panel.io.document import hold

from explorer import controls, sources
from explorer.jobs import Result, Runner
from explorer.state import METRICS, State
from explorer.theme import FATHOM, PAGE_SX, THEME_CONFIG, TOKENS_CSS
from explorer.views.contours import MapView
from explorer.views.inspector import CSS as INSPECTOR_CSS
from explorer.views.inspector import Reading, inspector_html
from explorer.views.picture import Picture, format_number
from explorer.views.profile import ProfileView
from explorer.views.surface import Surface3D

BOARD_CSS = """
:host { display: grid !important; grid-template-columns: repeat(12, minmax(0, 1fr)); gap: 16px; padding: 16px;
  align-items: start; align-content: start; grid-auto-rows: max-content; height: max-content !important;
  box-sizing: border-box; }
.bk-map, .bk-surface { grid-column: span 6; }
.bk-profile { grid-column: span 8; } .bk-inspector { grid-column: span 4; }
.bk-banner { grid-column: 1 / -1; }
@media (max-width: 1100px) { .bk-profile, .bk-inspector { grid-column: 1 / -1; } }
@media (max-width: 900px) { :host { gap: 12px; padding: 12px; } }
@media (max-width: 600px) { :host { gap: 8px; padding: 8px; }
  .bk-map, .bk-surface { grid-column: 1 / -1; } .off-phone { display: none !important; } }
"""
CARD_CSS = """
:host { background: var(--card); border: 1px solid var(--hair); border-radius: var(--r-card); min-width: 0;
  padding: 12px; box-sizing: border-box; }
"""
HEAD_CSS = """
:host { font: 400 var(--fs-caption)/1.4 var(--font); color: var(--ink-2); }
h2 { font-size: var(--fs-title); font-weight: 600; color: var(--ink); margin: 0; line-height: 1.9; }
.row { display: flex; flex-wrap: wrap; gap: 4px 16px; } .row span:last-child { margin-left: auto; }
"""
CHIP_CSS = """
:host { font: 400 var(--fs-small)/1 var(--font); color: var(--ink-2); }
.chip { display: flex; align-items: center; gap: 8px; height: 34px; padding: 0 12px; white-space: nowrap;
  border: 1px solid var(--hair); border-radius: 999px; background: var(--sunken); }
b { color: var(--ink); font-weight: 600; } i { width: 8px; height: 8px; border-radius: 50%; background: var(--ink-3); }
.done i { background: var(--ok); } .failed i { background: var(--error); } .running i { background: var(--ink); }
@media (max-width: 900px) { .more { display: none; } }
"""
BANNER_CSS = """
:host { font: 400 var(--fs-body)/1.45 var(--font); color: var(--ink); }
p { margin: 0; padding: 12px 16px; background: var(--error-soft); border: 1px solid var(--error);
  border-radius: var(--r-card); }
"""
POINTER = -0.33  # where the color bar's pointer stands, left of its bands from 0 to 1
MOVE_MARKER = """
const path = table.data.alpha, beta = table.data.beta;
if (path.length) {
  const t = Math.max(0, Math.min((path.length - 1) / 4, source.t)) * 4, k = Math.min(path.length - 2, Math.floor(t));
  const w = t - k, a = path[k] * (1 - w) + path[k + 1] * w, b = beta[k] * (1 - w) + beta[k + 1] * w;
  marker.data = {x: [a], y: [b]};
  pointer.data = {x: [POINTER], y: [table.data.z[k] * (1 - w) + table.data.z[k + 1] * w]};
  surface.data.marker = [a, b];
}
""".replace("POINTER", str(POINTER))


class Explorer(pn.viewable.Viewer):
    """The explorer as an object: displays inline in a notebook, and is the body of the page."""

    def __init__(self, **choices: Any) -> None:
        super().__init__()
        self.state = State(**choices)
        self.source = sources.load(self.state.model)
        self.state.t = float(len(self.source.sample.trajectory) - 1)
        self.runner = Runner(self.state)
        self.picture: Picture | None = None
        self.map, self.profile = MapView(), ProfileView()
        self.surface = Surface3D(palette=FATHOM, sizing_mode="stretch_width", height=384)
        self._build_texts()
        self._link_marker()
        self.board = self._build_board()
        watch = self.state.param.watch
        watch(lambda event: self._show(event.new), "result")
        watch(lambda event: self._inspect(), "t")
        watch(lambda *events: self._status(), ["phase", "message"])
        watch(lambda event: self._paint(), "dark")
        watch(lambda event: self._nodes(), "show_nodes")
        self.runner.on_progress = self._status
        self._paint()
        self._status()
        pn.state.onload(self._loaded)

    def _loaded(self) -> None:
        document = pn.state.curdoc
        if document is not None and document.session_context is not None:
            self.runner.attach(document, asyncio.get_running_loop())
            pn.state.on_session_destroyed(lambda context: self.runner.close())
        self.runner.start()

    def _build_texts(self) -> None:
        html = {"sizing_mode": "stretch_width", "margin": 0}
        self.banner = pn.pane.HTML("", visible=False, stylesheets=[BANNER_CSS], css_classes=["bk-banner"], **html)
        self.inspector = pn.pane.HTML(
            "<div class='where'><b>At the marker</b></div>", stylesheets=[INSPECTOR_CSS], **html
        )
        self.map_key = pn.pane.HTML("", stylesheets=[HEAD_CSS], **html)
        self.chip = pn.pane.HTML("", stylesheets=[CHIP_CSS], margin=0, align="center")

    def _link_marker(self) -> None:
        slider = self.profile.slider
        slider.param.watch(lambda event: setattr(self.state, "t", event.new), "t")
        self.path = ColumnDataSource({"alpha": [], "beta": [], "z": []})
        slider.jscallback(
            args={
                "table": self.path,
                "marker": self.map.marker,
                "pointer": self.map.pointer,
                "surface": self.surface,
            },
            t=MOVE_MARKER,
        )

    def _build_board(self) -> pn.Column:
        nodes = pmui.Checkbox.from_param(self.state.param.show_nodes, label="Nodes", size="small", margin=0)
        reset = pmui.Button(label="Reset view", size="small", variant="text", margin=0, on_click=lambda e: self._home())
        hint = pn.pane.HTML(
            "<div class='row'><span>Drag to turn, scroll to come closer</span></div>",
            stylesheets=[HEAD_CSS],
            margin=0,
        )
        return pn.Column(
            self.banner,
            self._card("map", self._head("Map", nodes), self.map.view, self.map_key),
            self._card("surface", self._head("Surface", reset), self.surface, hint),
            self._card("profile", self._head("Along the training path"), self.profile.view),
            self._card("inspector", self.inspector),
            stylesheets=[BOARD_CSS],
            sizing_mode="stretch_width",
            margin=0,
        )

    def _head(self, title: str, *tools: Any) -> pn.Row:
        heading = pn.pane.HTML(f"<h2>{title}</h2>", stylesheets=[HEAD_CSS], margin=0)
        return pn.Row(heading, pn.Spacer(sizing_mode="stretch_width"), *tools, sizing_mode="stretch_width", margin=0)

    def _card(self, name: str, *children: Any) -> pn.Column:
        return pn.Column(
            *children,
            stylesheets=[CARD_CSS],
            css_classes=[f"bk-{name}"],
            sizing_mode="stretch_width",
            margin=0,
        )

    def _home(self) -> None:
        self.surface.reset += 1

    def _show(self, result: Result | None) -> None:
        if result is None:
            return
        self.picture = picture = _picture(result, self.source)
        with hold():
            self.map.show(picture)
            self._show_surface(picture)
            on_map, _ = picture.value_at(result.path)
            heights = np.array([picture.transform(v) for v in on_map])
            self.path.data = {"alpha": result.path[:, 0], "beta": result.path[:, 1], "z": heights}
            self._show_profile(result, on_map)
            self._place_marker(result)
            x, y, value = picture.lowest()
            extreme = f"lowest {format_number(value)} at α {format_number(x, 2)}, β {format_number(y, 2)}"
            share = float(np.nanmax(picture.error)) / (picture.high - picture.low or 1) * 100
            self.map_key.object = (
                f"<div class='row'><span>{extreme}</span><span>{int(picture.evaluated.sum()):,} of "
                f"{picture.evaluated.size:,} nodes computed, estimated error {share:.1f} %</span></div>"
            )
            self._inspect()

    def _show_surface(self, picture: Picture) -> None:
        beta, alpha = np.nonzero(picture.evaluated)
        self.surface.param.update(
            z=picture.z.astype(np.float32),
            low=float(picture.low),
            high=float(picture.high),
            x_bounds=(float(picture.x[0]), float(picture.x[-1])),
            y_bounds=(float(picture.y[0]), float(picture.y[-1])),
            contours=picture.segments(),
            path=picture.path.astype(np.float32),
            checkpoints=picture.checkpoints.astype(np.float32),
            nodes=np.stack([picture.x[alpha], picture.y[beta]], axis=1).astype(np.float32),
            z_title=METRICS[self.state.metric].split()[-1].capitalize(),
            z_ticks=_ticks(picture),
            alt=f"{METRICS[self.state.metric]} over the plane, in three dimensions",
        )

    def _show_profile(self, result: Result, on_map: np.ndarray) -> None:
        if result.profile is None:
            return
        metric, trajectory = result.request.metric, self.source.sample.trajectory
        title = "Loss, nats" if metric == "loss" else "Accuracy"
        self.profile.show(
            self.source.positions,
            result.profile[metric],
            result.profile[f"test_{metric}"],
            on_map,
            result.residual,
            list(trajectory.steps),
            title,
            result.request.scale,
        )
        slider = self.profile.slider
        if slider.t != self.state.t or slider.count != len(trajectory):
            slider.param.update(count=len(trajectory), steps=list(trajectory.steps), t=self.state.t)

    def _place_marker(self, result: Result) -> None:
        k = min(round(self.state.t * sources.PER_INTERVAL), len(result.path) - 1)
        a, b = (float(c) for c in result.path[k])
        self.map.marker.data = {"x": [a], "y": [b]}
        self.map.pointer.data = {"x": [POINTER], "y": [self.path.data["z"][k]]}
        self.surface.marker = [a, b]

    def _inspect(self) -> None:
        result = self.state.result
        if result is None or result.profile is None or self.picture is None:
            return
        metric, trajectory = result.request.metric, self.source.sample.trajectory
        k = min(round(self.state.t * sources.PER_INTERVAL), len(result.path) - 1)
        values, errors = self.picture.value_at(result.path[k : k + 1])
        value, error = float(values[0]), float(errors[0])
        distance = float(np.hypot(np.linalg.norm(result.path[k] - result.path[-1]), result.residual[k]))
        known = result.profile
        reading = Reading(
            t=self.state.t,
            checkpoints=len(trajectory),
            step=trajectory.step_at(self.state.t),
            metric=metric,
            units="nats" if metric == "loss" else "",
            true=float(known[metric][k]),
            stderr=float(known[f"{metric}_stderr"][k]),
            test=float(known[f"test_{metric}"][k]),
            test_stderr=float(known[f"test_{metric}_stderr"][k]),
            on_map=value,
            map_error=error * value if self.picture.scale == "log" else error,
            residual=float(result.residual[k]),
            share=float(result.residual[k]) / distance
            if distance > 0 and result.request.subspace == "trajectory"
            else float("nan"),
        )
        self.inspector.object = inspector_html(reading)

    def _status(self) -> None:
        state, progress = self.state, self.runner.progress
        words = {
            "idle": "Ready",
            "running": "Refining",
            "done": "Done",
            "canceled": "Canceled",
            "failed": "Stopped",
        }
        more = ""
        if state.phase == "running" and progress.evaluated:
            rate = progress.evaluated / max(progress.seconds, 1e-3)
            left = max(0.0, (progress.planned - progress.evaluated) / rate)
            share = 100 * progress.evaluated / max(progress.planned, 1)
            more = f"{share:.0f} %, {left:.0f} s left, {rate:,.0f} evaluations/s"
        elif state.phase == "done" and state.result is not None:
            nodes = state.result.landscape["evaluated"]
            more = f"{int(nodes.sum()):,} of {nodes.size:,} nodes in {progress.seconds:.1f} s"
        elif state.phase == "canceled":
            more = "the picture is what was found until then"
        self.chip.object = (
            f"<div class='chip {state.phase}' role='status'><i></i><b>{words[state.phase]}</b>"
            f"<span class='more'>{more}</span></div>"
        )
        self.banner.object = f"<p role='alert'>{escape(state.message)}</p>"
        self.banner.visible = bool(state.message)

    def _paint(self) -> None:
        dark = self.state.dark
        self.map.paint(dark)
        self.profile.paint(dark)
        self.surface.dark = dark

    def _nodes(self) -> None:
        self.map.show_nodes(self.state.show_nodes)
        self.surface.show_nodes = self.state.show_nodes

    def __panel__(self) -> pn.viewable.Viewable:
        """The body, without the page around it."""
        return self.board


def _picture(result: Result, source: sources.Source) -> Picture:
    landscape, request = result.landscape, result.request
    metric = request.metric
    error = landscape[f"{metric}_error"].transpose("beta", "alpha").values
    shares = result.plane.facts.get("shares")
    ends = [f": along PC {i + 1}, {100 * s:.0f} % of the movement" for i, s in enumerate(shares)] if shares else None
    alpha, beta = ends or [f", {request.normalization}-normalized" if request.normalization != "none" else ""] * 2
    return Picture(
        x=landscape["alpha"].values,
        y=landscape["beta"].values,
        values=landscape[metric].transpose("beta", "alpha").values,
        error=error,
        evaluated=landscape["evaluated"].transpose("beta", "alpha").values.astype(bool),
        scale="log" if request.scale == "log" else "linear",
        x_title=f"α{alpha}",
        y_title=f"β{beta}",
        z_title="Loss" if metric == "loss" else "Accuracy",
        units="nats" if metric == "loss" else "",
        path=result.path,
        checkpoints=result.path[:: sources.PER_INTERVAL],
    )


def _ticks(picture: Picture) -> list[list[Any]]:
    levels = [level for level in picture.levels if picture.is_major(level)]
    levels = levels[:: -(-len(levels) // 5)] if levels else []
    return [[float(np.log(v)) if picture.scale == "log" else float(v), f"{v:g}"] for v in levels]


def page() -> pmui.Page:
    """The whole page: header, drawer and board."""
    pn.config.raw_css = [TOKENS_CSS]
    explorer = Explorer()
    sample = explorer.source.sample
    count = sum(p.numel() for p in sample.model.parameters())
    about = (
        f"{sample.title}. {count:,} parameters, {len(sample.trajectory)} checkpoints, {len(sample.train[0]):,} digits."
    )
    choices = pmui.Column(
        *controls.drawer(explorer.state, about),
        controls.run_button(explorer.state, explorer.runner.start, explorer.runner.cancel),
        sizing_mode="stretch_width",
    )
    frame = pmui.Page(
        title="Loss landscape",
        header=[pn.Spacer(sizing_mode="stretch_width"), explorer.chip],
        sidebar=[choices],
        main=[explorer],
        theme_config=THEME_CONFIG,
        sx=PAGE_SX,
        sidebar_width=304,
        theme_toggle=True,
    )
    frame.jscallback(dark_theme="document.documentElement.dataset.theme = cb_obj.dark_theme ? 'dark' : 'light'")
    frame.link(explorer.state, dark_theme="dark")
    return frame
