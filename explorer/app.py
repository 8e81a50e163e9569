"""The explorer: state, job, controls and views put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cached_property
from html import escape
from typing import Any

import panel as pn
from bokeh.events import RangesUpdate
from panel.io.document import hold

from explorer import controls, notebook
from explorer.basins import Basins
from explorer.jobs import Runner
from explorer.own import Own
from explorer.result import Result
from explorer.spread import DISTANCES, Spread
from explorer.state import chosen_state
from explorer.status import status
from explorer.subjects import offer
from explorer.suiting import keep, suit, suit_metric
from explorer.theme import FATHOM
from explorer.tracks import Track, TrainingPath
from explorer.views.cards import (
    BANNER_CSS,
    GIVES_WAY,
    GIVES_WAY_ON_PHONE,
    SWITCH,
    WIDE_ONLY,
    board,
    card,
    dimmed,
    head,
    text,
    title,
    when,
)
from explorer.views.contours import MapView
from explorer.views.curve import CurvePicture, CurveView, curve_key
from explorer.views.header import Header
from explorer.views.host import Host
from explorer.views.key import map_key, points_key
from explorer.views.layers import COLORS_ALONE
from explorer.views.marker import MarkerView
from explorer.views.movement import MovementView
from explorer.views.picture import Picture
from explorer.views.profile import ProfileView
from explorer.views.results import barrier_of, curve_of, off_plane, path_note, picture_of, profile_of, subtitle
from explorer.views.spectrum import SpectrumView
from explorer.views.surface import Surface3D
from landscape_engine import ChoiceError, LandscapeError

RELIEFS = {"½×": 0.5, "1×": 1.0, "2×": 2.0}


class Explorer(pn.viewable.Viewer):
    """The explorer as an object: displays inline in a notebook, and is the body of the page.

    Args:
        model: A network or a wrapper of one (see ``own.Own``), or the name of a sample model.
        data: What it is measured on; this and the next four are of a model of your own.
        loss: Its loss; None is the one that fits.
        checkpoints: Of its training.
        forward: How it is called with a batch, if in another way than usual.
        name: What the page calls it.
        models: Keys of other models that can be chosen (see ``subjects.offer``); the first one is shown if no model is
            given.
        **choices: Of ``state.State``: ``metric="accuracy"``, ``resolution=65``, and so on.

    Raises:
        LandscapeError: If something given cannot be used.
    """

    def __init__(
        self,
        model: Any = None,
        data: Any = None,
        loss: Any = None,
        checkpoints: Any = None,
        *,
        forward: Any = None,
        name: str = "",
        models: Sequence[str] = (),
        **choices: Any,
    ) -> None:
        super().__init__()
        with notebook.plainly():
            if not (model is None or isinstance(model, str)):
                model = offer(Own(model, data, loss, checkpoints, forward, name))
                models = [model, *models]
            elif data is not None:
                raise ChoiceError("model", model, "a network, since data are given")
            self.state = chosen_state(model, models, choices)
            self.source = suit(self.state)
            keep(self.state, choices)
        self.runner = Runner(self.state)
        self.host = Host()
        early = self._open()  # it computes while what shows it is made
        self.shown: Result | None = None
        self.picture: Picture | CurvePicture | None = None
        self._drawn: Any = None  # what the map was made of, as far as it is drawn
        self.track: Track | None = None
        self.header = Header(styles={"flex": "1 1 auto", "min-width": "0"}, margin=0)
        self.map, self.curve, self.profile, self.spectrum = MapView(), CurveView(), ProfileView(), SpectrumView()
        self.surface = Surface3D(palette=FATHOM, sizing_mode="stretch_both", min_height=280, margin=0)
        self.banner = text("", BANNER_CSS, visible=False, css_classes=["bk-banner"], sizing_mode="stretch_width")
        self.map_key = text("", sizing_mode="stretch_width")
        self.profile_title, self.profile_note = title(TrainingPath.title), text("")
        self.surface_key = text("", sizing_mode="stretch_width")
        self.curve_key = text("", sizing_mode="stretch_width")
        self.movement = MovementView()
        self.marker = MarkerView(self.state, self.map, self.curve, self.surface, self.profile.slider)
        self.board = self._build_board()
        self._link()
        self._paint()
        self._status()
        self.runner.look() if early else self.runner.start()

    def _change_model(self) -> None:
        with self.runner.choosing():
            try:
                self.source = suit(self.state)
            except LandscapeError as error:  # a package that it needs is missing
                self.state.param.update(model=self.source.name, message=f"{str(error)[:1].upper()}{str(error)[1:]}")

    def _open(self) -> bool:
        """Begin to compute for a page or a notebook; elsewhere nobody waits."""
        document = pn.state.curdoc
        if document is not None and document.session_context is not None:
            pn.state.on_session_destroyed(lambda context: self.runner.close())
            self.runner.open(document, asyncio.get_running_loop())
            _connect_early(document, self.runner.tell)
            pn.state.onload(self.runner.proceed)
        elif notebook.ready():
            self.runner.open(None, asyncio.get_running_loop())
            self.host.param.watch(lambda event: self.runner.proceed(), "shown")
        return self.runner.held

    def _link(self) -> None:
        watch, slider = self.state.param.watch, self.profile.slider
        watch(lambda event: self._change_model(), "model")
        watch(lambda event: suit_metric(self.state, event.old, event.new), "metric")
        watch(lambda event: self._show(event.new), "result")
        watch(lambda event: setattr(self.state, "picked", None), "t")
        watch(lambda event: self.profile.leave(event.new is not None), "picked")
        watch(lambda event: self.marker.place(), "picked")
        watch(lambda *events: self._look_around(), ["t", "picked", "insight", "looking"])
        watch(lambda *events: self._show_spectrum(), ["spectrum", "t", "picked", "result"])
        watch(lambda *events: self._status(), ["phase", "message"])
        watch(lambda event: self._paint(), "dark")
        watch(lambda event: self._nodes(), "show_nodes")
        watch(lambda event: setattr(self.surface, "exaggeration", event.new), "relief")
        watch(lambda event: self.map.draw_lines_only(event.new == "Lines"), "contours")
        watch(lambda *events: self._color_surface(), ["contours", "dark"])
        watch(lambda *events: self._seek_points(), ["show_points", "phase"])
        watch(lambda *events: self._seek_spread(), ["show_spread", "phase"])
        watch(lambda *events: self._show(self.state.result), ["show_points", "marking", "basins"])
        watch(lambda *events: self._show_spread(), ["show_spread", "spreading", "spread"])
        self.map.figure.on_event(RangesUpdate, self._zoom)
        self.runner.on_progress = self._status
        self.header.param.watch(lambda event: self.runner.cancel(), "cancel")
        slider.param.watch(lambda event: setattr(self.state, "t", event.new), "t")
        slider.param.watch(lambda event: self.marker.come_back(), "back")

    def _build_board(self) -> pn.Column:
        nodes, also_nodes = (controls.toggle(self.state.param.show_nodes, "Nodes") for _ in range(2))
        contours = controls.choice(self.state.param.contours, margin=0)
        bands = pn.Row(contours, stylesheets=[GIVES_WAY, WIDE_ONLY], margin=0)
        dots = pn.Row(nodes, stylesheets=[GIVES_WAY_ON_PHONE], margin=0)
        back = controls.action("Whole plane", lambda event: self._zoom_out())
        whole = when(self.state.param.window.rx().rx.is_not(None), back, sizing_mode=None)
        relief = controls.choice(self.state.param.relief, options=RELIEFS, margin=0)
        points = controls.toggle(self.state.param.show_points, "Critical points")
        others = controls.toggle(self.state.param.show_spread, "Other directions")
        others = when(self.state.param.subspace.rx() == "random_line", others, sizing_mode=None)
        reset = controls.action("Reset view", lambda event: self.surface.param.update(reset=self.surface.reset + 1))
        over_map, over_curve = self.marker.keys
        switches = [controls.choice(self.state.param.on_phone, margin=0) for _ in range(2)]
        compute = controls.study(self.state, self.runner)
        differentiable = self.state.param.measures.rx().rx.pipe(lambda found: "loss" in found)
        cards = board(
            self.banner,
            card(
                "map",
                head("Map", whole, bands, points, dots, on_phone=switches[0]),
                self.map.view,
                self.map_key,
                over_map,
            ),
            card("surface", head("Surface", relief, reset, on_phone=switches[1]), self.surface, self.surface_key),
            card("curve", head("Along the line", others, also_nodes), self.curve.view, self.curve_key, over_curve),
            card("profile", head(self.profile_title, self.profile_note), self.profile.view),
            card("inspector", self.marker.card),
            card("spectrum", head("Curvature at the marker", compute), self.spectrum.view, visible=differentiable),
            card("movement", head("Where training moved"), self.movement.view),
        )
        for switch in switches:
            switch.jscallback(args={"board": cards}, value=SWITCH)
        return cards

    def _zoom(self, event: RangesUpdate) -> None:
        """Refine the part of the plane that is zoomed into; the whole of it once it is seen again."""
        if self.shown is not None and not self.shown.request.is_line:
            seen = (event.x0, event.x1), (event.y0, event.y1)
            self.state.window = None if self.map.is_whole(seen) else seen

    def _zoom_out(self) -> None:
        self.map.show_whole()
        self.state.window = None

    def _show(self, result: Result | None) -> None:
        if result is None:
            return
        with hold():
            self._follow(result)
            show = self._show_curve if result.request.is_line else self._show_plane
            self.shown, self.picture = result, (picture := show(result))
            self.movement.show(result.subspace.facts)
            self._dress()
            self.marker.show(result, picture)
            if len(result.track.stops) > 1:
                self.profile.slider.follow(result.track, self.state.t)
                self.profile.show(profile_of(result, picture.value_at(result.path)[0]))
            self.header.subtitle = subtitle(result)
            self._note()
        self.runner.look_around()

    def _dress(self) -> None:
        """Tell the board what it shows (see ``cards``)."""
        if self.shown is not None:
            track, is_line = self.shown.track, self.shown.request.is_line
            facts = {
                "alone": len(track.stops) < 2,
                "curved": "loss" in self.state.measures,
                "moves": self.movement.known,
                "part": self.state.window is not None,
            }
            names = [f"on-{self.state.on_phone.lower()}", "line" if is_line else "plane"]
            self.board.css_classes = names + [name for name, is_so in facts.items() if is_so]
            self.board.styles = dimmed(self.state.is_before)

    def _look_around(self) -> None:
        """Tell what is at the marker, now and when more is known."""
        self._note()
        self.marker.tell()
        self.runner.look_around()

    def _note(self) -> None:
        if self.shown is not None and len(self.shown.track.stops) > 1:
            self.profile_note.object = path_note(self.shown, self.state.marker)

    def _follow(self, result: Result) -> None:
        """Put the marker where another track begins to be of interest."""
        track = result.track
        if self.track is None or list(self.track.lines) != list(track.lines) or self.track.stops != track.stops:
            self.state.t = track.home
        if self.shown is not None and not result.request.same_plane(self.shown.request):
            self.state.picked = None
        self.track = track
        self.profile_title.object = f"<h2>{track.title}</h2>"

    def _show_plane(self, result: Result) -> Picture:
        """Draw map and surface, unless no more than values along the track have come to be known since."""
        found, barrier = self._points_of(result), barrier_of(result)
        parts, picture = (result.request, result.landscape, result.projections, found), self.picture
        known, top = self._drawn or ((), None)
        if not isinstance(picture, Picture) or [*map(id, parts)] != [*map(id, known)] or barrier != top:
            picture, self._drawn = picture_of(result, found), None
            self.map.show(picture, whole=result.request.window is None)
            self.surface.show(picture, f"{result.measure.title} over the plane, in three dimensions")
            self._drawn = parts, barrier
        self._write_key(result, picture)
        scale = "log " if picture.scale == "log" else ""
        self.surface_key.object = (
            "<div class='row'><span>Drag to turn, scroll to come closer</span>"
            f"<span>height and color: {scale}{picture.z_title[:1].lower()}{picture.z_title[1:]}</span></div>"
        )
        return picture

    def _write_key(self, result: Result, picture: Picture) -> None:
        found = self._points_of(result)
        extreme = "maximum" if picture.high_is_better else "minimum"
        wanted = self.state.show_points and (found is not None or self.state.marking)
        points = points_key(found, extreme) if wanted else ""
        self.map_key.object = map_key(picture, result.held, off_plane(result), points, self.state.show_nodes)

    def _show_curve(self, result: Result) -> CurvePicture:
        picture = curve_of(result, self._spread_of(result))
        self.curve.show(picture)
        self.curve_key.object = curve_key(picture, self.state.show_spread and self.state.spreading)
        return picture

    def _show_spectrum(self) -> None:
        """Show the curvature that was computed last, if it is one of this model and track."""
        found, shown = self.state.spectrum, self.state.result
        if shown is not None:
            mine = found if found is not None and found.is_of(shown.request, shown.track) else None
            self.spectrum.show(mine, mine is not None and mine.at != self.state.marker)

    def _status(self) -> None:
        self._dress()
        self.header.param.update(phase=self.state.phase, **status(self.state, self.runner)._asdict())
        self.banner.object = f"<p role='alert'>{escape(self.state.message)}</p>"
        self.banner.visible = bool(self.state.message)

    def _paint(self) -> None:
        for view in (self.map, self.curve, self.profile, self.spectrum):
            view.paint(self.state.dark)
        self.surface.dark = self.header.dark = self.state.dark

    def _color_surface(self) -> None:
        """Give the surface the colors of the map, whose lines alone have those that are seen on the page."""
        self.surface.palette = COLORS_ALONE[self.state.dark] if self.state.contours == "Lines" else FATHOM

    def _seek_points(self) -> None:
        """Look for minima and saddles once the run is done, if they are wanted and not known."""
        state = self.state
        on_plane = state.result is not None and not state.result.request.is_line
        if on_plane and state.show_points and state.phase == "done" and self._points_of(state.result) is None:
            self.runner.mark()

    def _points_of(self, result: Result) -> Basins | None:
        """What is known of the minima and saddles of a result, if they are wanted."""
        found: Basins | None = self.state.basins if self.state.show_points else None
        return found if found is not None and found.request == result.request else None

    def _seek_spread(self) -> None:
        """Evaluate other random directions once the run of a line is done, if they are wanted and not known."""
        state, shown = self.state, self.state.result
        if not state.show_spread:
            self.runner.beside.drop("spreading")
        elif shown is not None and shown.request.subspace == "random_line" and state.phase == "done":
            found = self._spread_of(shown)
            if not state.spreading and (found is None or found.distances < DISTANCES):
                self.runner.spread()

    def _show_spread(self) -> None:
        if self.shown is not None and self.shown.request.is_line:
            with hold():
                self._show_curve(self.shown)

    def _spread_of(self, result: Result) -> Spread | None:
        """What is known of other random directions, if they are wanted."""
        found: Spread | None = self.state.spread if self.state.show_spread else None
        return found if found is not None and found.is_of(result.request) else None

    def _nodes(self) -> None:
        self.map.show_nodes(self.state.show_nodes)
        self.curve.show_nodes(self.state.show_nodes)
        self.surface.show_nodes = self.state.show_nodes
        if self.shown is not None and isinstance(self.picture, Picture):
            self._write_key(self.shown, self.picture)

    def __panel__(self) -> pn.viewable.Viewable:
        """The body, without the page around it."""
        return self.board

    @cached_property
    def inline(self) -> pn.viewable.Viewable:
        """The whole explorer as one element of a notebook."""
        self.header.inline = True
        frame = notebook.framed(self.header, controls.inline_drawer(self.state, self.runner), self.board)
        view = notebook.themed(self.host, frame, lambda dark: self.state.param.update(dark=dark))
        self.state.param.watch(lambda *events: notebook.push(view), list(self.state.param), precedence=10)  # at last
        return view

    def show(self) -> None:
        """Display it in a notebook, at the place of this call and not as the value of a cell."""
        if not notebook.display(self.inline):
            raise LandscapeError(
                "This is no notebook. Run `landscape-explorer` for the page, or display it in Jupyter."
            )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return self.inline._repr_mimebundle_(include, exclude)


def _connect_early(document: Any, tell: Callable[[], None]) -> None:
    """Send what changes from the browser's first word on, beginning with what is known.

    Panel 1.9.4 takes a page as connected once all of it is drawn, and until then drops what changes
    (``panel.io.document.hold``): a dialog that was opened meanwhile would never be seen.
    """

    def connect(*events: Any) -> None:
        pn.state._connected[document] = pn.state._loaded[document] = True
        tell()

    pn.state.browser_info.param.watch(connect, ["language", "timezone", "webgl"])
