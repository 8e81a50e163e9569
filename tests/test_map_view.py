"""The picture of a landscape against answers known beforehand, and the map's Bokeh models."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import landscape_engine as le
from explorer import sources
from explorer.measures import MEASURES
from explorer.numbers import format_error, format_number, said_error
from explorer.result import Result
from explorer.state import Marker, State
from explorer.theme import DARK, FATHOM
from explorer.tracks import Connection, TrainingPath
from explorer.views.contours import MapView
from explorer.views.inspector import Reading, inspector_html
from explorer.views.key import map_key
from explorer.views.labels import pixels
from explorer.views.layers import ARM, sign_columns
from explorer.views.lines import STYLES, Bracket, Drawn, ProfilePicture
from explorer.views.names import names
from explorer.views.picture import Mark, Picture, Stroke
from explorer.views.profile import ProfileView, _beside
from explorer.views.results import _marks, barrier_of, path_note, picture_of
from explorer.views.surface import Surface3D
from page import marked


def tilted(**changes: object) -> Picture:
    """z = x + 2 y on a grid of 5 columns and 4 rows, from 0 to 10."""
    x, y = np.linspace(0, 4, 5), np.linspace(0, 3, 4)
    values = x[None, :] + 2 * y[:, None]
    given = {
        "x": x,
        "y": y,
        "values": values,
        "error": np.zeros_like(values),
        "evaluated": np.ones(values.shape, dtype=bool),
        "scale": "linear",
    }
    return Picture(**{**given, **changes})  # type: ignore[arg-type]


def area(xs: list[np.ndarray], ys: list[np.ndarray]) -> float:
    """Area of a polygon, its holes taken off."""
    rings = [np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]) for x, y in zip(xs, ys, strict=True)]
    return sum(rings) / 2


@pytest.mark.parametrize("held", [0.99, 0.01])
def test_the_key_names_the_lowest_node_whatever_the_plane_holds_of_the_path(held: float) -> None:
    path = np.array([[0.0, 0.0], [1.0, 1.0]])
    picture = tilted(strokes=(Stroke("path", path, path),), marks=(Mark("best", 0.0, 0.0),))
    words = map_key(picture, held)
    assert ("training path: a dot (" in words) == (held < 0.5)
    assert "lowest, 0 at α 0, β 0, on the edge" in words
    assert ">computed</span>" in map_key(picture, held, nodes=True) and ">computed</span>" not in words


def test_a_sign_on_the_edge_is_drawn_inside_as_far_as_its_arms_reach() -> None:
    marks = Mark("best", 0.0, 0.0), Mark("saddle", 1.5, 0.5), Mark("final", -2.0, 1.0)
    picture = tilted(marks=marks)
    arm = ARM / pixels(picture)
    signs = sign_columns(picture)
    places = {kind: (x, y) for kind, x, y in zip(signs["kind"], signs["x"], signs["y"], strict=True)}
    assert places == {"best": pytest.approx((arm, arm)), "saddle": (1.5, 0.5), "final": (-2.0, 1.0)}
    assert 0 < arm < 0.1


def test_each_dot_of_a_path_tells_its_checkpoint_also_where_others_are_too_near_to_be_drawn() -> None:
    line = np.array([[0.5, 0.5], [0.501, 0.5], [1.0, 1.0], [1.5, 1.0]])
    signs = sign_columns(tilted(strokes=(Stroke("path", line, line, ["first", "near", "third", "last"]),)))
    assert signs["note"] == ["first", "third", "last"]
    assert list(zip(signs["x"], signs["y"], strict=True)) == [(0.5, 0.5), (1.0, 1.0), (1.5, 1.0)]


def test_lines_lie_where_the_plane_has_their_level() -> None:
    picture = tilted()
    assert picture.levels == tuple(range(1, 10))
    for line in picture.lines():
        assert np.allclose(line.x + 2 * line.y, line.level)
        assert line.major == (line.level % 2 == 0)
    three = next(line for line in picture.lines() if line.level == 3)
    ends = {(float(three.x[i]), float(three.y[i])) for i in (0, -1)}
    assert ends == {(0.0, 1.5), (3.0, 0.0)}


def test_bands_tile_the_plane() -> None:
    picture = tilted()
    bands = picture.bands()
    areas = [sum(area(*polygon) for polygon in zip(*row, strict=True)) for row in zip(bands.xs, bands.ys, strict=True)]
    assert len(areas) == len(bands.colors) == 10
    assert sum(areas) == pytest.approx(12)
    assert areas[0] == pytest.approx(0.25)  # the triangle x + 2 y < 1
    assert bands.colors[0] == FATHOM[round(0.05 * 255)]


def test_log_levels_and_majors() -> None:
    x, y = np.linspace(0, 1, 3), np.linspace(0, 1, 2)
    values = np.array([[0.009, 0.1, 2.87], [0.01, 1.0, 2.5]])
    picture = tilted(x=x, y=y, values=values, error=0 * values, evaluated=values > 0, scale="log")
    assert picture.levels[:4] == (0.01, 0.014, 0.02, 0.03)
    assert picture.levels[-1] == 2.0
    assert [level for level in picture.levels if picture.is_major(level)] == [
        0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0,
    ]  # fmt: skip


def test_narrow_log_range_falls_back_to_round_steps() -> None:
    picture = tilted(values=2.30 + tilted().values / 1000, scale="log")
    assert picture.levels[:2] == (2.301, 2.302)
    assert not picture.is_major(2.301) and picture.is_major(2.302)


def test_values_that_have_no_log_are_drawn_at_a_tenth_of_the_smallest() -> None:
    values = tilted().values.copy()  # the corner is 0
    values[3, 4] = np.inf
    picture = tilted(values=values, scale="log")
    assert picture.low == pytest.approx(np.log(0.1))
    assert picture.high == pytest.approx(np.log(9))
    assert np.isnan(picture.z[3, 4])
    assert picture.best() == (0.0, 0.0, 0.0)


def test_the_best_is_told_by_x_then_y() -> None:
    values = tilted().values.copy()
    values[2, 1] = -5
    values[0, 0] = np.nan
    assert tilted(values=values).best() == (1.0, 2.0, -5.0)
    assert tilted(values=-values, high_is_better=True).best() == (1.0, 2.0, 5.0)


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_value_at_is_exact_at_nodes(scale: str) -> None:
    values = np.exp(np.random.default_rng(0).normal(size=(4, 5)))
    error = np.arange(20.0).reshape(4, 5)
    picture = tilted(values=values, error=error, scale=scale)
    columns, rows = np.meshgrid(picture.x, picture.y)
    found, errors = picture.value_at(np.column_stack([columns.ravel(), rows.ravel()]))
    assert np.array_equal(found, values.ravel())
    assert np.array_equal(errors, error.ravel())


def test_value_at_interpolates_and_stays_inside() -> None:
    picture = tilted()
    found, _ = picture.value_at(np.array([[0.5, 1.25], [3.9, 2.9], [4.1, 1.0], [1.0, -0.1], [np.nan, 1]]))
    assert found[:2] == pytest.approx([3.0, 9.7])
    assert np.isnan(found[2:]).all()
    log = tilted(values=np.exp(tilted().values), scale="log")
    assert log.value_at(np.array([[0.5, 0.0]]))[0] == pytest.approx(np.exp(0.5))


def test_a_hole_spoils_only_its_own_cells() -> None:
    values = tilted().values.copy()
    values[1, 1] = np.nan
    picture = tilted(values=values)
    found, _ = picture.value_at(np.array([[1.0, 1.0], [0.5, 0.5], [2.0, 1.0], [2.5, 0.5]]))
    assert np.isnan(found[:2]).all()
    assert found[2:] == pytest.approx([4.0, 3.5])


def test_lines_are_dashed_where_the_error_reaches_half_a_band() -> None:
    error = np.zeros((4, 5))
    error[:, 3:] = 0.6  # half a band is 0.5
    lines = [line for line in tilted(error=error).lines() if line.level == 5]
    dashed = [line for line in lines if line.dashed]
    assert len(lines) == 2 and len(dashed) == 1
    assert dashed[0].x.max() == 4 and dashed[0].x.min() > 2
    solid = next(line for line in lines if not line.dashed)
    assert solid.x.min() == 0 and solid.x.max() == dashed[0].x.min()


def test_segments_carry_level_and_rank() -> None:
    segments = tilted().segments()
    assert segments.dtype == np.float32 and segments.shape[1] == 6
    assert np.allclose(segments[:, 0] + 2 * segments[:, 1], segments[:, 4], atol=1e-6)
    assert np.array_equal(segments[:, 5], (segments[:, 4] % 2 == 0).astype(np.float32))


@pytest.mark.parametrize("value", [3.0, np.nan])
def test_flat_and_empty_pictures_have_bands_and_no_lines(value: float) -> None:
    picture = tilted(values=np.full((4, 5), value), scale="log")
    assert picture.low < picture.high
    assert picture.lines() == [] and picture.segments().shape == (0, 6)
    assert len(picture.bands().xs) == len(picture.band_colors)


def crossing() -> Picture:
    """Two networks, a third one near the first, and a barrier on the line between them."""
    line = np.column_stack([np.linspace(1, 3, 41), np.full(41, 1.5)])
    marks = [("final", 1.0, 1.5, "network A"), ("final", 3.0, 1.5, "network B"), ("shadow", 1.3, 1.4, "B aligned")]
    marks += [("barrier", 2.0, 1.5, "barrier 1.31"), ("saddle", 2.0, 2.0, "")]
    return tilted(strokes=(Stroke("straight", line),), marks=tuple(Mark(*mark) for mark in marks))


def test_names_cover_neither_each_other_nor_a_mark_nor_the_frame() -> None:
    picture = crossing()
    scale = pixels(picture) * 2 / 3  # as on a phone
    found = names(picture)
    assert {name.text for name in found} == {"network A", "network B", "B aligned", "barrier 1.31"}
    boxes = []
    for name in found:
        width, share = 7 * len(name.text), {"left": 0.0, "center": 0.5, "right": 1.0}[name.align]
        left, middle = name.x * scale + name.right - share * width, name.y * scale - name.down
        boxes.append((left, left + width, middle - 7.5, middle + 7.5))
        assert left >= 0 and left + width <= 4 * scale and middle >= 7.5 and middle <= 3 * scale - 7.5
        for mark in picture.marks:
            x, y = mark.x * scale, mark.y * scale
            assert not (left - 6 < x < left + width + 6 and abs(y - middle) < 13.5)
    for k, (left, right, bottom, top) in enumerate(boxes):
        for other in boxes[k + 1 :]:
            assert right <= other[0] or other[1] <= left or top <= other[2] or other[3] <= bottom


def test_each_line_and_mark_is_drawn_in_its_own_way() -> None:
    view, surface = MapView(), Surface3D()
    view.show(crossing())
    surface.show(crossing(), "")
    assert set(view._strokes.data["style"]) == {"straight", ""}
    assert marked(view, "final") == {(1.0, 1.5), (3.0, 1.5)} and marked(view, "saddle") == {(2.0, 2.0)}
    assert [stroke["style"] for stroke in surface.strokes] == ["straight"]
    assert [mark["kind"] for mark in surface.marks] == ["final", "final", "shadow", "barrier", "saddle"]
    view.show(tilted())
    assert set(view._strokes.data["style"]) == set(view._signs.data["kind"]) == {""}


def test_a_barrier_is_the_largest_height_above_the_straight_line_between_the_ends() -> None:
    t = np.arange(41) / 40
    values = 1 + 2 * t + 5 * t * (1 - t)  # 1.25 above the chord in the middle
    track = Connection({}, tuple(k / 10 for k in range(11)))
    found = SimpleNamespace(
        request=State(metric="loss").request,
        measure=MEASURES["loss"],
        track=track,
        profiles={"straight": {"train_loss": values, "evaluated": t > -1}},
    )
    assert barrier_of(found) == Bracket(5.0, pytest.approx(2.0), pytest.approx(3.25), "barrier 1.25")
    found.request, found.measure = State(metric="accuracy").request, MEASURES["accuracy"]
    found.profiles = {"straight": {"train_accuracy": 0.9 - values / 10, "evaluated": t > -1}}
    assert barrier_of(found).text == "drop 0.125"
    found.paths = {"straight": np.column_stack([t, 0 * t]), "aligned": np.zeros((41, 2))}
    found.subspace = SimpleNamespace(bounds=((-1, 2), (-1, 1)))
    *_, dip = _marks(found)
    assert (dip.kind, dip.x, dip.y, dip.text) == ("drop", 0.5, 0.0, "drop 0.125")
    found.profiles = {"straight": {"train_accuracy": 0.9 - values / 10, "evaluated": t != 0.5}}
    assert barrier_of(found) is None, "what is not known everywhere may be higher"
    found.profiles = {"straight": {"train_accuracy": values, "evaluated": t > -1}}
    assert barrier_of(found) is None
    assert [mark.text for mark in _marks(found)] == ["network A", "network B", "B aligned"]
    found.subspace = SimpleNamespace(bounds=((-40, 40), (-1, 1)))
    assert [mark.text for mark in _marks(found)] == ["network A, network B", "B aligned"], "of a dot the ends are one"


def test_the_key_says_of_a_path_that_collapses_that_it_is_a_dot_though_its_share_is_not_known() -> None:
    path = np.array([[0.0, 0.0], [0.01, 0.01]])
    for points, is_so in ((path, True), (50 * path, False)):
        words = map_key(tilted(strokes=(Stroke("path", points, points),)), math.nan)
        assert (">training path: a dot<" in words.replace("</svg>training", ">training")) == is_so


def test_between_two_checkpoints_it_is_told_how_the_value_changes() -> None:
    along = {"train_loss": np.array([1.0, 2.0, 1.5, 0.25, 0.5, 0.6, 0.7, 0.8, 1.0])}
    found = SimpleNamespace(
        request=State(metric="loss").request,
        measure=MEASURES["loss"],
        track=TrainingPath({}, (0, 10, 20)),
        known=(9, 9),
        profile=along,
    )

    def note(t: float, picked: tuple[float, float] | None = None) -> str:
        return re.sub("<.*?>", "", path_note(found, Marker(t, picked)))

    assert note(0.3) == "checkpoints 1 to 2: 1.00 falls to 0.500, up to 2.00 and down to 0.250 in between"
    assert note(1.75) == "checkpoints 2 to 3: 0.500 rises to 1.00, always within that range"
    assert note(1.0) == note(0.3, (0.0, 0.0)) == "checkpoints evenly spaced"
    found.measure = MEASURES["lambda_max"]  # known at the checkpoints only
    assert note(0.3) == "checkpoints evenly spaced"
    found.known = 4, 9
    assert note(0.3) == "exact at 4 of 9 places"


def test_the_text_beside_a_bracket_keeps_away_from_a_line_that_passes_between_two_values() -> None:
    t = np.arange(41) / 4
    steep = np.where(t <= 5.25, 0.0, 1.0)  # from 0 to 1 in a quarter of a stop
    track = ProfilePicture(
        t=t, lines={"straight": Drawn(steep, "", "")}, hollow=frozenset(), places=[""] * 41, residual=0 * t, off="",
        apart="", exact=t >= 0, ticks=[], unit="", title="", bracket=Bracket(5.0, 1.2, 0.0, "drop 1.20"),
    )  # fmt: skip
    ((place, y, text, _),) = _beside(track, {"straight": steep}, 0.1)
    assert (place, text) == (5.0, "drop 1.20")
    assert y > 1.0 - 1e-9 or abs(y - 1.0) >= 0.075  # what runs from 0 to 1 leaves room above it only


def test_what_is_not_known_yet_along_a_path_is_faint_and_without_a_gap() -> None:
    t = np.arange(5.0)
    view = ProfileView()
    lines = {"train": Drawn(t + 2, "", ""), "on_map": Drawn(t + 1, "", "")}
    said = {"t": t / 4, "lines": lines, "hollow": frozenset(), "residual": t, "off": "", "ticks": ["0", "1"]}
    said |= {"places": [f"step {k}" for k in range(5)], "apart": "{} off"}
    exact = np.array([True, False, True, False, True])
    for whole, edge in ((False, t + 2), (True, t + 1)):
        view.show(ProfilePicture(**said, unit="", title="", gap=("train", "on_map"), exact=exact, is_whole=whole))
        assert (view._lines["train"].glyph.line_alpha == 1.0) is whole
        assert view._lines["on_map"].glyph.line_alpha == 1.0
        assert view.table.data["edge"] == pytest.approx(edge)


def test_the_tooltip_of_a_profile_tells_values_with_their_errors_and_what_lies_between_them() -> None:
    t, nan, view = np.arange(5) / 4, np.nan, ProfileView()
    lines = {
        "train": Drawn(np.array([500.0, 250.0, nan, nan, 1.5]), "true <return>", ""),
        "on_map": Drawn(np.array([2.0, 3.0, nan, 4.0, nan]), "return on the map", ""),
    }
    stderr = {"train": np.array([0.0, nan, nan, nan, 0.25])}
    exact = np.array([True, False, True, False, True])
    said = {"places": [f"step {k}" for k in range(5)], "residual": t, "off": "", "apart": "{} off the plane"}
    view.show(
        ProfilePicture(t, lines, frozenset(), **said, exact=exact, ticks=["0", "1"], unit="", title="", stderr=stderr)
    )
    assert [told.split("<br>") for told in view._told.data["said"]] == [
        ["<b>500</b> error &lt; 1 true &lt;return&gt;", "<b>2.00</b> return on the map", "step 0, 0 off the plane"],
        ["<b>250</b> true &lt;return&gt;", "<b>3.00</b> return on the map", "step 1, 0.25 off the plane",
         "between exact values: interpolated"],
        ["<b>not finite</b> true &lt;return&gt;", "step 2, 0.50 off the plane"],
        ["<b>4.00</b> return on the map", "step 3, 0.75 off the plane", "between exact values: interpolated"],
        ["<b>1.50</b> ± 0.25 true &lt;return&gt;", "step 4, 1.0 off the plane"],
    ]  # fmt: skip


@pytest.mark.parametrize("track", [Connection, TrainingPath])
def test_a_narrow_profile_has_a_key_of_all_its_lines_as_they_are_drawn(track: type) -> None:
    t, view = np.arange(5) / 4, ProfileView()
    drawn = ["curve", "straight", "aligned"] if track is Connection else ["train", "test", "on_map"]
    lines = {name: Drawn(t + k, name, f"{name} line") for k, name in enumerate(drawn)}
    view.show(ProfilePicture(t, lines, frozenset(), [""] * 5, 0 * t, "", "", t >= 0, ["0", "1"], "", ""))
    key = view._key.object
    assert key.count("<svg") == 3 and all(f">{name} line</span>" in key for name in drawn)
    for name in drawn:
        style = STYLES[name]
        assert f'stroke-width="{style.width}"\nstroke-dasharray="{" ".join(map(str, style.dash))}"' in key


def test_wrong_orientation_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        tilted(values=tilted().values.T)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.6661, "0.666"),
        (0.01394, "0.0139"),
        (-13.62, "−13.6"),
        (9.999, "10.0"),
        (1234, "1234"),
        (12345, "12,345"),
        (99999.7, "1.00 × 10⁵"),
        (0.00041, "4.10 × 10⁻⁴"),
        (0, "0"),
        (float("inf"), "not finite"),
    ],
)
def test_format_number(value: float, text: str) -> None:
    assert format_number(value) == text


def test_format_error() -> None:
    assert format_error(0.0152, 0.666) == "0.015"
    assert format_error(0.0002, 0.666) == "< 0.001"
    assert format_error(1.1e-5, 4.1e-4) == "0.11 × 10⁻⁴"
    assert format_error(float("nan"), 1.0) == "unknown"


@pytest.mark.parametrize(
    ("scale", "error", "words"),
    [
        ("linear", 0.05, "0.5 % of the range"),  # which is 10
        ("log", math.log(1.02), "2.0 % of the value"),
        ("log", math.log(12), "a factor of 12"),
        ("log", 0.0, "0"),
        ("log", math.nan, "unknown"),
    ],
)
def test_an_error_is_told_as_what_it_is_a_share_of(scale: str, error: float, words: str) -> None:
    assert said_error(error, error / 10, scale) == words


def test_the_verdict_tells_of_other_places_while_the_picture_may_be_far_off_there() -> None:
    reading = Reading(
        where="step 1", metric="loss", units="nats", names=("training loss",), true=1.0, stderr=math.nan, others=(),
        accuracy={}, on_map=1.0, map_error=0.0, residual=0.0, share=0.0,
    )  # fmt: skip
    assert 'class="verdict ok">The map can be trusted here' in inspector_html(reading)
    assert "whose loss is 50 % higher" in inspector_html(reading._replace(on_map=1.5))
    assert "whose loss is 41 times as high" in inspector_html(reading._replace(on_map=41.3))
    steep = reading._replace(gradient_norm=0.5, gradient_share=0.031)
    assert "0.500 <small>3.1 % along the map</small>" in inspector_html(steep)
    assert "0.500 <small></small>" in inspector_html(steep._replace(gradient_share=np.nan))
    words = inspector_html(reading._replace(elsewhere="37.0 % of the range"))
    assert 'class="verdict warn">' in words
    assert "Elsewhere it may still be off by 37.0 % of the range." in words


def test_the_title_of_a_bar_and_of_a_row_are_whole() -> None:
    positive = tilted(values=tilted().values + 1, scale="log")
    titles = {"‖∇L‖": "‖∇L‖, log", "β-smooth.": "β-smooth."}  # beside which there is no room for more
    for z_title, expected in titles.items():
        bar = MapView().bar
        bar.show(replace(positive, z_title=z_title))
        assert bar.figure.title.text == expected
    reading = Reading(
        where="step 1", metric="index of the Hessian", units="", names=("training loss",), true=1.0, stderr=math.nan,
        others=(), accuracy={}, on_map=1.0, map_error=0.0, residual=0.0, share=0.0,
    )  # fmt: skip
    assert "Index of the Hessian on the map" in inspector_html(reading)


def test_zoom_survives_refinement_but_not_another_plane() -> None:
    view = MapView()
    view.show(tilted())
    view.figure.x_range.update(start=1, end=2)
    view.show(tilted(values=tilted().values + 1))
    assert (view.figure.x_range.start, view.figure.x_range.end) == (1, 2)
    view.show(tilted(x=np.linspace(-1, 1, 5)))
    assert (view.figure.x_range.start, view.figure.x_range.end) == (-1, 1)


def test_marker_survives_an_update() -> None:
    view = MapView()
    view.marker.data = {"x": [1.0], "y": [2.0]}
    view.show(tilted())
    assert view.marker.data == {"x": [1.0], "y": [2.0]}


def test_bar_spans_the_range_and_labels_majors() -> None:
    view = MapView()
    view.show(tilted())
    assert (view.bar.figure.y_range.start, view.bar.figure.y_range.end) == (0, 10)
    assert view.bar.figure.yaxis[0].major_label_overrides == {2: "2", 4: "4", 6: "6", 8: "8"}


def test_paint_changes_the_theme_in_place() -> None:
    view = MapView()
    view.show(tilted())
    view.paint(True)
    assert view.figure.outline_line_color == DARK["edge"]
    assert view.figure.title.text_color == DARK["ink"]


def test_an_asymmetric_surface_has_its_corners_where_they_belong_in_map_and_surface() -> None:
    alpha, beta = np.array([-1.0, 0.5, 2.0]), np.array([0.0, 1.0, 2.0, 4.0])
    a, b = np.meshgrid(alpha, beta, indexing="ij")
    values = {"train_loss": (("alpha", "beta"), a + 10 * b + 3 * a * b + 5)}
    extra = {"train_loss_error": (("alpha", "beta"), 0 * a), "evaluated": (("alpha", "beta"), a > -9)}
    landscape = xr.Dataset({**values, **extra}, {"alpha": alpha, "beta": beta})
    corners = {(-1, 0): 4, (2, 0): 7, (-1, 4): 32, (2, 4): 71}
    request = State(metric="loss", scale="linear").request
    track = sources.load("digits_mlp").training(request)
    plane = SimpleNamespace(facts={"shares": (0.9, 0.1)}, bounds=((-1, 2), (0, 4)))
    nowhere = {"path": [le.Projection((0.0, 0.0), 0.0, 0.0)]}
    picture = picture_of(Result(request, track, plane, landscape, nowhere, {}, le.Progress(1, 1, 1.0)))
    view, surface = MapView(), Surface3D()
    view.show(picture)
    surface.show(picture, "")
    image = view._image.data
    for (x, y), value in corners.items():
        assert picture.value_at([[x, y]])[0] == value
        row, column = (0 if y == 0 else -1), (0 if x == -1 else -1)  # Bokeh's first row is at the bottom
        assert image["value"][0][row, column] == value
        assert surface.z[row, column] == value  # row i is the i-th beta
    assert surface.x_bounds == (-1, 2) and surface.y_bounds == (0, 4)


def test_sampling_is_told_of_the_nearest_node_where_it_is_known() -> None:
    stderr = np.full((4, 5), np.nan)
    stderr[0, 0], stderr[3, 4] = 0.5, 0.25
    sampling = tilted(stderr=stderr).sampling
    assert sampling[0].tolist() == [0.5, 0.5, 0.5, 0.5, 0.25] and sampling[3].tolist() == [0.5, 0.25, 0.25, 0.25, 0.25]
    assert np.isnan(tilted().sampling).all()
