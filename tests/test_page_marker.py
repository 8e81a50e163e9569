"""The network at the marker, on the track and where a person taps, in a real browser."""

import cmath
import re

import numpy as np
import pytest
import torch.nn.functional as F
from playwright.sync_api import expect

import sample_models
from explorer import sources
from explorer.numbers import format_number
from explorer.theme import FATHOM
from page import choose, drag, pixel, wait

SLIDER = "input[type=range][aria-label='Position on the training path']"


def test_a_point_that_is_tapped_is_a_network_one_sees_behave_until_the_slider_moves(visit):
    page, explorer = visit()
    mistakes = page.get_by_text("Most confident mistakes")
    mistakes.wait_for()
    page.mouse.click(*pixel(page, -5.0, -4.0))
    wait(page, lambda: explorer.state.insight is not None and explorer.state.insight.at.picked is not None)
    at = explorer.state.insight.at.picked
    np.testing.assert_allclose(at, (-5.0, -4.0), atol=0.1)
    page.get_by_text("At the point").wait_for()
    sample = sample_models.load("digits_mlp")
    sample.model.load_state_dict(explorer.state.result.subspace.state_at(at))
    inputs, targets = sample.train
    expect(page.locator(".big b").first).to_have_text(
        format_number(F.cross_entropy(sample.model(inputs), targets).item())
    )
    page.wait_for_function(
        f"deep('.surface3d')[0].dataset.marker.split(',').every((x, k) => Math.abs(x - {list(at)}[k]) < 0.01)"
    )
    inputs, targets = sample.test
    chances = sample.model(inputs).softmax(1)
    wrong = chances.argmax(1) != targets
    page.get_by_text(f"{int(wrong.sum())} of 360 test examples are wrong").wait_for()
    k = int((chances.max(1).values * wrong).argmax())
    first = page.locator(".thumbs figcaption").first
    expect(first).to_have_text(f"{int(targets[k])} as {int(chances[k].argmax())}")
    assert page.locator(".thumbs img").first.evaluate("e => [e.naturalWidth, e.naturalHeight]") == [8, 8]
    page.locator(SLIDER).focus()
    page.keyboard.press("Home")
    page.get_by_text("At the marker", exact=True).wait_for()
    page.get_by_text("checkpoint 1 of 43, step 0").first.wait_for()
    assert explorer.state.picked is None
    page.mouse.click(*pixel(page, *explorer.state.result.path[4 * 12]), delay=400)  # a slow tap on a stop of the path
    page.get_by_text("checkpoint 13 of 43").first.wait_for()
    assert (explorer.state.t, explorer.state.picked) == (12, None)
    assert page.locator(SLIDER).input_value() == "12"


def test_a_point_of_a_slow_model_is_told_while_its_path_is_computed_and_after_cancel(visit, monkeypatch):
    monkeypatch.setattr(sources, "_loaded", {})  # of which nothing is known
    page, explorer = visit()
    choose(page, "Model", "cartpole_policy")
    wait(page, lambda: explorer.state.result.request.model == "cartpole_policy")
    policy = sample_models.load("cartpole_policy")
    metric, where = policy.metrics("train")[0], page.locator(".where span").first

    def assert_told(alpha, beta):
        page.mouse.click(*pixel(page, alpha, beta))
        expect(where).to_have_text(re.compile("^at α "))
        wait(page, lambda: np.allclose(explorer.state.picked or (np.inf, np.inf), (alpha, beta), rtol=0, atol=0.1))
        wait(page, lambda: explorer.state.insight is not None)
        wait(page, lambda: explorer.state.insight.at.picked == explorer.state.picked)
        here = policy.model.at(explorer.state.result.subspace.state_at(explorer.state.picked))
        expect(page.locator(".big b").first).to_have_text(format_number(metric.estimate(here).value))

    assert_told(-1.0, -1.0)
    known, wanted = explorer.state.result.known
    assert explorer.state.phase == "running" and known < wanted == 161
    page.get_by_role("button", name="Cancel").first.click()
    page.get_by_text("Canceled").first.wait_for()
    assert_told(-2.5, 0.5)
    known, wanted = explorer.state.result.known
    assert known < wanted
    page.get_by_text(f"exact at {known} of {wanted} places").wait_for()
    page.locator(SLIDER).focus()
    page.keyboard.press("Home")
    page.get_by_text("checkpoint 1 of 41, step 0").first.wait_for()
    page.keyboard.press("ArrowRight")  # to a checkpoint of which the run has not come to know anything
    page.get_by_text("checkpoint 2 of 41").first.wait_for()
    wait(page, lambda: explorer.state.insight.at == explorer.state.marker)
    own = metric.estimate(policy.model.at(policy.trajectory[1])).value
    expect(page.locator(".big b").first).to_have_text(format_number(own))


def test_points_of_the_plane_are_seen_told_apart_and_a_line_has_its_points_too(visit):
    page, explorer = visit()
    choose(page, "Model", "spirals_mlp")
    page.get_by_text("What it tells apart").wait_for()
    wait(
        page, lambda: explorer.state.phase == "done" and explorer.state.insight.request == explorer.state.result.request
    )
    regions = explorer.state.insight.behavior.regions
    expect(page.locator(".regions circle")).to_have_count(len(sample_models.load("spirals_mlp").test.targets))
    expect(page.locator(".regions")).to_contain_text(re.compile(f"{regions.wrong.sum()} of 300 wrong, ringed"))
    choose(page, "Subspace", "Random line")
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.is_line)
    box = page.locator(".bk-curve .bk-Canvas, .bk-curve canvas").first.bounding_box()
    page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + box["height"] / 2)
    wait(page, lambda: explorer.state.picked is not None and explorer.state.insight.at.picked == explorer.state.picked)
    (alpha,) = explorer.state.picked
    assert 0 < alpha < 1
    shown = f"at α {format_number(alpha)}"
    page.get_by_text(shown).first.wait_for()


def test_contours_are_bands_or_lines_and_the_surface_is_as_high_as_wanted(visit):
    page, explorer = visit()
    lines = explorer.map._lines.data
    assert explorer.map._filled.glyph.fill_color == "color"
    page.get_by_role("button", name="Lines").click()
    wait(page, lambda: len(set(explorer.map._lines.data["color"])) > len(set(lines["color"])))  # of their levels
    assert explorer.map._filled.glyph.fill_color != "color"
    wait(page, lambda: explorer.surface.palette[::255] == [FATHOM[0], FATHOM[166]])  # as on the bar
    assert [len(x) for x in explorer.map._lines.data["xs"]] == [len(x) for x in lines["xs"]]  # the same lines
    camera = page.evaluate("deep('.surface3d')[0].dataset.camera")
    page.get_by_role("button", name="Bands").click()
    wait(page, lambda: explorer.surface.palette == FATHOM)
    page.get_by_role("button", name="2×").click()
    page.wait_for_function(f"deep('.surface3d')[0].dataset.camera !== '{camera}'")
    assert explorer.surface.exaggeration == 2.0
    page.get_by_role("button", name="1×").click()
    page.wait_for_function(f"deep('.surface3d')[0].dataset.camera === '{camera}'")
    page.locator(".surface3d canvas").first.focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(f"deep('.surface3d')[0].dataset.camera !== '{camera}'")
    page.wait_for_timeout(200)
    before = eye(page)
    page.get_by_role("button", name="2×").click()
    wait(page, lambda: abs(eye(page)) > 1.1 * abs(before))  # farther away, so that nothing is cut off
    assert cmath.phase(eye(page)) == pytest.approx(cmath.phase(before), abs=0.01), "and seen from the same side"


def eye(page):
    """Where the surface's camera stands over the plane, as a complex number."""
    x, y, _ = map(float, page.evaluate("deep('.surface3d')[0].dataset.camera").split(","))
    return complex(x, y)


def test_what_is_zoomed_into_is_refined_further_and_a_reset_shows_the_whole_again(visit):
    page, explorer = visit()
    wait(page, lambda: explorer.state.phase == "done")
    whole = explorer.state.result
    page.mouse.move(*pixel(page, 0, 0))
    drag(page, (-4, 3), (4, -3))
    wait(page, lambda: explorer.state.result.request.window is not None and explorer.state.phase == "done")
    part = explorer.state.result
    (left, right), (bottom, top) = part.request.window
    assert 7 < right - left < 9 and 5 < top - bottom < 7
    alpha, beta = part.landscape["alpha"].values, part.landscape["beta"].values
    assert len(alpha) == 129 and (alpha[0], alpha[-1], beta[0], beta[-1]) == (left, right, bottom, top)
    computed = part.landscape["evaluated"].values
    i, j = np.argwhere(computed)[len(np.argwhere(computed)) // 2]
    dims = part.landscape["evaluated"].dims
    at = {dim: float(part.landscape[dim][k]) for dim, k in zip(dims, (i, j), strict=True)}
    network = sample_models.load("digits_mlp")
    network.model.load_state_dict(whole.subspace.state_at((at["alpha"], at["beta"])))
    loss = F.cross_entropy(network.model(network.train[0]), network.train[1])
    np.testing.assert_allclose(part.landscape["train_loss"].values[i, j], loss.item(), rtol=1e-5)
    page.get_by_text("part of the trajectory plane").first.wait_for()
    page.mouse.move(*pixel(page, 0, 0))
    page.get_by_title("Reset", exact=False).first.click()
    wait(page, lambda: explorer.state.result.request == whole.request and explorer.state.phase == "done")
    corner = ((-12.0, -8.0), (4.0, 8.0))  # without the path: fewer names, which must not end in an error
    explorer.runner._document.add_next_tick_callback(lambda: setattr(explorer.state, "window", corner))
    wait(page, lambda: explorer.state.result.request.window == corner and explorer.state.phase == "done")
    page.get_by_role("button", name="Whole plane").click()
    wait(page, lambda: explorer.state.result.request == whole.request and explorer.state.phase == "done")
    expect(page.get_by_role("button", name="Whole plane")).to_be_hidden()
    assert (explorer.map.figure.x_range.start, explorer.map.figure.x_range.end) == whole.subspace.bounds[0]
    drag(page, (-4, 3), (4, -3), hold=400)
    wait(page, lambda: explorer.state.result.request.window is not None and explorer.state.phase == "done")
    window = explorer.state.window
    page.mouse.dblclick(*pixel(page, 1, 1))
    wait(page, lambda: explorer.state.picked is not None)
    page.wait_for_timeout(300)
    seen = explorer.map.figure.x_range, explorer.map.figure.y_range
    np.testing.assert_allclose([(r.start, r.end) for r in seen], window, err_msg="two taps are no way out of a zoom")
    assert explorer.state.window == window


def test_a_marker_off_the_path_is_shown_to_be_and_comes_back_and_each_direction_has_its_share(visit):
    page, explorer = visit()
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.insight is not None)
    for at in ((-8.0, 3.0), (-9.0, -5.0)):  # at once: the second tap counts, too
        page.mouse.click(*pixel(page, *at))
    wait(page, lambda: explorer.state.picked == pytest.approx((-9.0, -5.0), abs=0.1))
    page.keyboard.press("Escape")
    wait(page, lambda: explorer.state.picked is None)
    (span, _), slider = explorer.profile._spans, page.locator(SLIDER)
    back = page.get_by_role("button", name="Back to step 552")
    expect(back).to_be_hidden()
    for come_back in (lambda: back.click(), lambda: page.keyboard.press("Escape"), lambda: slider.press("End")):
        page.mouse.click(*pixel(page, -5.0, -4.0))
        wait(page, lambda: explorer.state.picked is not None)
        expect(back).to_be_visible()
        assert span.line_alpha < 0.5 and not explorer.profile._crossings.visible
        come_back()
        wait(page, lambda: explorer.state.picked is None)
        expect(back).to_be_hidden()
        page.get_by_text("At the marker", exact=True).wait_for()
        assert span.line_alpha == 1 and explorer.profile._crossings.visible and explorer.state.t == 42
        there = explorer.state.result.path[-1].tolist()
        page.wait_for_function(
            f"deep('.surface3d')[0].dataset.marker.split(',').every((x, k) => Math.abs(x - {there}[k]) < 1e-3)"
        )
    sample = sample_models.load("digits_mlp")
    rows = np.array(
        [
            np.concatenate([t.double().flatten() for t in state.values()])
            for state in map(sample.trajectory.__getitem__, range(len(sample.trajectory)))
        ]
    )
    variances = np.linalg.svd(rows[:-1] - rows[-1], compute_uv=False) ** 2
    shares = 100 * variances / variances.sum()
    card = page.locator(".bk-movement")
    expect(card).to_contain_text(f"The plane shows the first 2: {shares[:2].sum():.1f}")
    expect(card.locator("li").nth(2)).to_contain_text(f"PC 3{shares[2]:.1f} %")
    widths = card.locator("i").evaluate_all("bars => bars.map(bar => bar.getBoundingClientRect().width)")
    np.testing.assert_allclose(widths[1] / widths[0], shares[1] / shares[0], rtol=0.02)


def test_the_keyboard_moves_the_marker_over_the_map_and_stays_inside(visit):
    page, explorer = visit()
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.insight is not None)
    (left, right), (bottom, top) = explorer.state.result.subspace.bounds
    wide, high = (right - left) / 64, (top - bottom) / 64
    where = explorer.state.result.path[-1]
    over = page.get_by_label("The map: arrow keys move the marker")
    over.focus()
    for key in ("ArrowLeft", "ArrowLeft", "Shift+ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    wanted = where[0] - 2 * wide, where[1] + 7 * high
    wait(page, lambda: explorer.state.picked is not None and np.allclose(explorer.state.picked, wanted, atol=1e-6))
    for _ in range(12):
        page.keyboard.press("Shift+ArrowRight")
    wait(page, lambda: explorer.state.picked == (right, explorer.state.picked[1]))
    back = page.get_by_role("button", name="Back to step 552")
    there = f"deep('.surface3d')[0].dataset.marker.split(',').every((x, k) => Math.abs(x - {where.tolist()}[k]) < 1e-3)"
    wanted = where[0] - wide, where[1]
    for _ in range(2):  # the same move again is a move
        expect(back).to_be_visible()
        page.keyboard.press("Escape")
        wait(page, lambda: explorer.state.picked is None)
        page.wait_for_function(there)
        page.keyboard.press("ArrowLeft")
        wait(page, lambda: explorer.state.picked is not None and np.allclose(explorer.state.picked, wanted, atol=1e-6))


def test_what_the_pointer_is_told_does_not_cover_the_box_that_is_dragged(visit):
    page, explorer = visit()
    tips = "deep('.map-tip').filter(e => e.offsetParent).length"
    x, y = pixel(page, -5.0, -4.0)
    page.mouse.move(x, y)
    page.mouse.move(x + 2, y)
    page.wait_for_function(f"{tips} === 1")
    page.mouse.down()
    page.mouse.move(x + 20, y + 20, steps=5)
    page.wait_for_function(f"{tips} === 0")
    page.mouse.move(x + 60, y + 40, steps=5)
    assert page.evaluate(tips) == 0
    page.mouse.up()
    wait(page, lambda: explorer.state.window is not None)
    page.mouse.move(x + 5, y)
    page.mouse.move(x + 8, y)
    page.wait_for_function(f"{tips} === 1")


PROFILE = """([name, t]) => {
  const figure = Bokeh.documents[0].get_model_by_id(name), view = Bokeh.index.find_one(figure);
  const box = view.canvas_view.el.getBoundingClientRect(), {bbox, x_scale} = view.frame;
  return [box.x + x_scale.compute(t), box.y + (bbox.top + bbox.bottom) / 2];
}"""


def test_a_tap_anywhere_stops_what_plays_and_the_marker_is_where_it_was_tapped(visit):
    page, explorer = visit()
    wait(page, lambda: explorer.state.result.known[0] == explorer.state.result.known[1])
    curves, strip = explorer.profile.curves.ref["id"], explorer.profile.strip.ref["id"]
    on_map, on_curves, on_strip = (
        pixel(page, -5, -4),
        *(page.evaluate(PROFILE, at) for at in ([curves, 30], [strip, 4])),
    )
    page.emulate_media(reduced_motion="no-preference")  # on its way all the time
    for place, there in ((on_map, (-5, -4)), (on_curves, 30), (on_strip, 4)):
        page.get_by_role("button", name="Play").click()
        page.get_by_role("button", name="Pause").wait_for()
        page.mouse.click(*place)
        page.get_by_role("button", name="Play").wait_for()
        page.wait_for_timeout(700)  # in which it would go on to the next checkpoint
        assert page.get_by_role("button", name="Play").is_visible()
        assert np.allclose(explorer.state.picked or explorer.state.t, there, atol=0.3)
    page.get_by_role("button", name="Play").click()
    page.get_by_label("The map: arrow keys move the marker").press("ArrowLeft")
    page.get_by_role("button", name="Play").wait_for()
    wait(page, lambda: explorer.state.picked is not None)


def test_the_profile_tells_what_is_under_the_pointer_and_brings_the_marker_there(visit):
    page, explorer = visit()
    wait(page, lambda: explorer.state.result.known[0] == explorer.state.result.known[1])
    sample = sample_models.load("digits_mlp")
    sample.model.load_state_dict(sample.trajectory[12])
    train, test = (F.cross_entropy(sample.model(x), y).item() for x, y in (sample.train, sample.test))
    for plot, where in ((explorer.profile.curves, 12.0), (explorer.profile.strip, 11.9)):
        page.mouse.click(*pixel(page, -5.0, -4.0))  # off the path
        page.get_by_text("At the point").wait_for()
        x, y = page.evaluate(PROFILE, [plot.ref["id"], where])
        page.mouse.move(x, y)
        page.mouse.move(x + 1, y + 1)
        if plot is explorer.profile.curves:
            page.get_by_text(f"{format_number(train)} true loss, training").wait_for()
            page.get_by_text(f"{format_number(test)} true loss, test").wait_for()
            page.get_by_text(re.compile(r"step 14, 0\.\d+ off the plane")).wait_for()
        page.mouse.click(x, y, delay=400)
        page.get_by_text("checkpoint 13 of 43").first.wait_for()
        assert (explorer.state.t, explorer.state.picked) == (12, None)
        assert page.locator(SLIDER).input_value() == "12"
    for where in (20.0, 30.0, -1.5):  # one tap right after the other, and one beside the values, which is none
        page.mouse.click(*page.evaluate(PROFILE, [explorer.profile.curves.ref["id"], where]))
    page.get_by_text("checkpoint 31 of 43").first.wait_for()
    page.wait_for_timeout(500)
    assert explorer.state.t == 30
