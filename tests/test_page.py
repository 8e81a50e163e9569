"""The page as a person meets it, in a real browser."""

import re
import threading
import time

import numpy as np
import pytest
from playwright.sync_api import expect
from scipy.interpolate import RegularGridInterpolator

from explorer.numbers import format_number
from explorer.theme import DARK
from page import DEEP, assert_fits, choose, marked, pixel, wait


def surface(page, what):
    return page.evaluate(f"deep('.surface3d')[0].dataset.{what}")


def marker(page):
    return np.array([float(x) for x in surface(page, "marker").split(",")])


def test_the_surface_sharpens_to_the_end_and_has_the_profile_s_last_value_at_the_final_checkpoint(visit):
    page, explorer = visit()
    result = explorer.state.result
    assert result.landscape["evaluated"].sum() <= 129 * 129 / 25
    page.get_by_text("Along the training path").first.wait_for()
    assert explorer.state.message == ""
    on_map, error = explorer.picture.value_at(result.path[-1:])
    assert error[0] == 0
    np.testing.assert_allclose(on_map[0], result.profile["train_loss"][-1], rtol=1e-5)


def tooltip(page, alpha, beta):
    """What the map says under the pointer, which has been elsewhere."""
    tip = "deep('.map-tip').find(e => e.offsetParent)?.innerText"
    before = page.evaluate(tip)
    page.mouse.move(*pixel(page, alpha, beta))
    page.wait_for_function(f"before => {tip} && {tip} !== before", arg=before)
    return page.evaluate(tip).split("\n")


def test_hovering_tells_value_place_and_whether_it_was_computed(visit):
    page, explorer = visit()
    result, picture = explorer.state.result, explorer.picture
    alpha, beta = (float(c) for c in result.path[-1])
    value, at, origin, sampling, place = tooltip(page, alpha, beta)
    assert value == f"{result.profile['train_loss'][-1]:.4f} nats"
    assert (at, origin) == ("checkpoint 43 of 43, step 552, projected", "computed here")
    assert place == "α 0, β 0"
    stderr = float(result.profile["train_loss_stderr"][-1])
    assert sampling == f"± {float(f'{stderr:.2g}')} from sampling"
    row, column = np.argwhere(~picture.evaluated & (picture.values > 0.2))[len(picture.x) * 3 + 5]
    value, origin, _, place = tooltip(page, float(picture.x[column]), float(picture.y[row]))
    np.testing.assert_allclose(float(value.split()[0]), picture.values[row, column], rtol=5e-3)
    assert origin.startswith("predicted, error ")
    shown = [float(part.replace("−", "-").split()[1]) for part in place.split(",")]
    np.testing.assert_allclose(shown, [picture.x[column], picture.y[row]], atol=0.1)
    signs = explorer.map._signs.data  # beside a dot of the path stand others: the nearest one tells of itself
    k = signs["kind"].index("knot") + 10
    _, at, *_ = tooltip(page, signs["x"][k], signs["y"][k])
    assert at == signs["note"][k] and at.startswith("checkpoint 2")


def test_hovering_between_nodes_tells_what_is_drawn_there(visit):
    page, explorer = visit()
    wait(page, lambda: explorer.state.phase == "done")
    picture = explorer.picture
    steep = np.abs(np.diff(np.log(picture.values), axis=1)) * (np.abs(picture.x[:-1]) < 9)  # whose place is told finely
    row, column = np.unravel_index(np.argmax(steep), steep.shape)
    cell = picture.x[1] - picture.x[0]
    value, *_, place = tooltip(page, picture.x[column] + 0.45 * cell, picture.y[row])
    told = [float(part.replace("−", "-").split()[1]) for part in place.split(",")]  # a pointer stands on whole pixels
    ((between,), _), nearest = picture.value_at([told]), picture.values[row, round((told[0] - picture.x[0]) / cell)]
    assert float(value.split()[0]) == pytest.approx(between, rel=8e-3)
    assert abs(nearest / between - 1) > 1.2e-2


def test_critical_points_are_marked_when_asked_for_and_say_what_they_are(visit):
    page, explorer = visit()
    page.get_by_role("button", name="Critical points").first.click()
    wait(page, lambda: explorer.state.basins is not None)
    page.get_by_text("of this plane", exact=False).first.wait_for()
    found = explorer.state.basins.points
    assert found
    for kind in ("minimum", "saddle"):
        wait(page, lambda kind=kind: len(marked(explorer.map, kind)) == sum(p.kind == kind for p in found))
    point = found[0]
    _, kind, gradient, *_ = tooltip(page, point.x, point.y)
    assert kind.startswith(f"{point.kind} of this plane, ")
    assert gradient.startswith("not of the network: gradient norm 0.")
    page.get_by_role("button", name="Critical points").first.click()
    wait(page, lambda: not marked(explorer.map, point.kind))


def test_critical_points_wait_while_a_line_is_drawn(visit):
    page, explorer = visit()
    page.get_by_role("button", name="Critical points").first.click()
    choose(page, "Subspace", "Random line")
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.is_line)
    page.get_by_text("Along the line").first.wait_for()
    wait(page, lambda: explorer.shown is explorer.state.result)
    choose(page, "Subspace", "Random plane")
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.subspace == "random")
    wait(page, lambda: explorer.state.basins.request == explorer.state.result.request)
    wait(page, lambda: explorer.shown is explorer.state.result)


def test_zoom_and_camera_survive_refinement(visit):
    page, explorer = visit()
    page.mouse.move(*pixel(page, -5, 0))
    page.mouse.move(*pixel(page, -10, 3))
    page.mouse.down()
    page.mouse.move(*pixel(page, -2, -3), steps=5)
    page.mouse.up()
    box = page.locator(".surface3d canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 80, box["y"] + box["height"] / 2 + 10, steps=5)
    page.mouse.up()
    zoom = explorer.map.figure.x_range
    wait(page, lambda: zoom.end - zoom.start < 10)
    before, camera = (zoom.start, zoom.end, pixel(page, -5, 0)), surface(page, "camera")
    explorer.runner._document.add_next_tick_callback(lambda: setattr(explorer.state, "tolerance", 0.2))
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.tolerance == 0.2)
    assert (zoom.start, zoom.end, pixel(page, -5, 0)) == before
    assert surface(page, "camera") == camera


def test_a_surface_that_is_turned_gives_up_sharpness_for_pace_where_frames_come_late_and_only_there(visit):
    page, _ = visit()
    width = "deep('.surface3d canvas')[0].width"
    sharp = page.evaluate(width)
    box = page.locator(".surface3d canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.clock.install(time=0)
    page.clock.pause_at(1)  # time goes on by what a frame takes, and however busy the machine is

    def turn(drawing=0, screen=16):
        """The widths of the canvas, in frames that take so many milliseconds to draw all pixels, or to be shown."""
        page.mouse.move(x, y)
        page.mouse.down()
        seen = [sharp]
        for k in range(24):
            page.mouse.move(x + k, y)
            page.clock.fast_forward(max(screen, drawing * seen[-1] // sharp))
            seen.append(page.evaluate(width))
        page.mouse.up()
        page.clock.run_for(1000)
        assert page.evaluate(width) == sharp, "at rest it is as sharp as the screen"
        return seen

    assert set(turn()) == {sharp}
    assert turn(drawing=80)[-1] == sharp // 2
    assert max(turn(drawing=80)[3:]) < sharp, "it is known by now"
    turn(screen=33)  # thirty frames a second, whatever is drawn
    assert turn(screen=33)[-1] == sharp


def test_a_random_plane_says_how_little_of_the_path_it_holds(visit):
    page, explorer = visit()
    explorer.runner._document.add_next_tick_callback(lambda: setattr(explorer.state, "subspace", "random"))
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.subspace == "random")
    assert explorer.state.result.held < 0.01
    page.get_by_text("collapses to a dot").first.wait_for()
    page.get_by_text("training path: a dot").first.wait_for()


def test_another_model_is_drawn_with_its_own_checkpoints(visit):
    page, explorer = visit()
    choose(page, "Model", "spirals_mlp")
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.model == "spirals_mlp")
    steps = explorer.state.result.source.steps
    slider = page.locator("input[type=range][aria-label='Position on the training path']")
    page.wait_for_function(f"deep('input[type=range]')[0].max === '{len(steps) - 1}'")
    assert slider.get_attribute("aria-valuetext") == f"step {steps[-1]:,}, checkpoint {len(steps)} of {len(steps)}"
    page.get_by_text("spirals_mlp, trajectory plane, training loss").first.wait_for()


def test_a_line_between_checkpoints_is_one_curve_at_full_width(visit):
    page, explorer = visit()
    choose(page, "Subspace", "Line between two checkpoints")
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.subspace == "between")
    page.wait_for_function("deep('.bk-curve')[0].offsetWidth > 1000 && deep('.bk-map')[0].offsetWidth === 0")
    landscape, profile = explorer.state.result.landscape["train_loss"], explorer.state.result.profile["train_loss"]
    for alpha, k in ((0, 0), (1, -1)):
        np.testing.assert_allclose(landscape.sel(alpha=alpha), profile[k], rtol=1e-5)
    choose(page, "From step", "42 (no.")  # there is a 42nd checkpoint, too
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.checkpoints[0] > 0)
    start = explorer.state.result.request.checkpoints[0]
    assert explorer.state.steps[start] == 42
    found = explorer.state.result.landscape["train_loss"].sel(alpha=0)
    np.testing.assert_allclose(found, profile[4 * start], rtol=1e-5)
    choose(page, "Subspace", "Trajectory plane")
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.subspace == "trajectory")
    page.wait_for_function("deep('.bk-map')[0].offsetWidth > 300 && deep('.bk-curve')[0].offsetWidth === 0")


def test_a_random_line_has_the_trained_network_in_its_middle(visit):
    page, explorer = visit()
    choose(page, "Subspace", "Random line")
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.subspace == "random_line")
    result = explorer.state.result
    middle = result.landscape["train_loss"].sel(alpha=0)
    np.testing.assert_allclose(middle, result.profile["train_loss"][-1], rtol=1e-5)
    page.get_by_text("collapses to a dot").first.wait_for()
    page.wait_for_function("deep('.bk-surface')[0].offsetWidth === 0")


def test_other_random_directions_are_a_band_around_the_line_when_asked_for(visit):
    page, explorer = visit()
    expect(page.get_by_role("button", name="Other directions")).to_be_hidden()
    choose(page, "Subspace", "Random line")
    page.get_by_role("button", name="Other directions").click()
    page.get_by_text("at 16 distances").first.wait_for()
    low, _, high = explorer.state.spread.quantiles
    box = page.locator(".bk-curve canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 26, box["y"] + box["height"] / 2)  # near the end of the line
    page.get_by_text(re.compile("80 % of 20 directions")).first.wait_for()
    *_, told, place = page.evaluate("deep('.map-tip').find(e => e.offsetParent).innerText").split("\n")
    assert place == "α 1.00"
    assert told.startswith(f"{format_number(low[-1])} to {format_number(high[-1])}, median ")
    page.get_by_role("button", name="Other directions").click()
    expect(page.get_by_text("at 16 distances").first).to_be_hidden()


def test_a_plane_through_three_checkpoints_of_fewer_test_examples(visit):
    page, explorer = visit()
    choose(page, "Data", "Test set")
    choose(page, "How many", "100")
    choose(page, "Subspace", "Plane through three")
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.subspace == "through")
    result = explorer.state.result
    assert (result.request.split, result.request.samples) == ("test", 100)
    chosen = [4 * k for k in result.request.checkpoints]
    assert np.abs(result.residual[chosen]).max() < 1e-4
    wait(page, lambda: explorer.shown is result)
    on_map, _ = explorer.picture.value_at(result.path[chosen])
    np.testing.assert_allclose(on_map, result.profile["test_loss"][chosen], rtol=0.02)


def test_a_saved_plane_cuts_the_network_again_and_another_one_is_refused(visit, tmp_path):
    page, explorer = visit()
    page.get_by_text("Advanced").first.click()
    with page.expect_download() as download:
        page.get_by_text("Save this plane").first.click()
    download.value.save_as(tmp_path / "plane.safetensors")
    before = explorer.state.result
    choose(page, "Subspace", "Saved plane")
    page.get_by_text("No saved plane is open").first.wait_for()
    assert (explorer.state.phase, explorer.state.message, explorer.state.result) == ("idle", "", before)
    page.locator("input[type=file]").first.set_input_files(tmp_path / "plane.safetensors")
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.saved is not None)
    after = explorer.state.result
    assert after.subspace.bounds == before.subspace.bounds
    assert abs(after.landscape["train_loss"] - before.landscape["train_loss"]).max() < 0.02
    choose(page, "Model", "spirals_mlp")
    page.get_by_text("the direction does not fit the model", exact=False).first.wait_for()


LISTEN = """() => { window.said = []; const slider = deep('input[type=range]')[0];
  const listen = () => { const t = slider.getAttribute('aria-valuetext'); if (said.at(-1) !== t) said.push(t); };
  new MutationObserver(listen).observe(slider, {attributes: true, attributeFilter: ['aria-valuetext']}); }"""


def test_play_moves_the_marker_along_the_path_to_its_end(visit):
    page, explorer = visit()
    steps = explorer.state.steps
    stops = [f"step {step:,}, checkpoint {k} of {len(steps)}" for k, step in enumerate(steps, 1)]
    page.evaluate(LISTEN)
    page.get_by_role("button", name="Play").click()  # from the end, where the marker is, it begins anew
    page.wait_for_function("said.length > 2")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Play").wait_for()
    said = page.evaluate("said")
    assert said == stops[: len(said)]  # stop by stop, since motion is unwanted in this browser
    page.wait_for_timeout(700)
    assert page.evaluate("said") == said
    page.emulate_media(reduced_motion="no-preference")
    page.locator("input[type=range][aria-label='Position on the training path']").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    at_the_end = "deep('.surface3d')[0].dataset.marker === '0,0'"
    page.wait_for_function(f"!({at_the_end})")
    page.evaluate("said.length = 0")
    page.keyboard.press("Space")
    page.wait_for_function(f"said.at(-1) === '{stops[-1]}'")
    page.get_by_role("button", name="Play").wait_for()
    assert len(page.evaluate("said")) == 4  # a quarter of the way to the next stop at a time
    page.wait_for_function(at_the_end)
    wait(page, lambda: explorer.state.t == len(steps) - 1)


def test_markers_follow_the_slider_while_the_server_is_blocked(visit, address):
    page, explorer = visit()
    slider = page.locator("input[type=range][aria-label='Position on the training path']")
    slider.focus()
    assert np.abs(marker(page)).max() == 0
    blocked, go = threading.Event(), threading.Event()

    def block():
        blocked.set()
        time.sleep(3)
        go.set()

    explorer.runner._loop.call_soon_threadsafe(block)
    blocked.wait(5)
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    count = len(explorer.source.sample.trajectory)
    goal = explorer.state.result.path[4 * (count - 6)]
    wait(page, lambda: np.abs(marker(page) - goal).max() < 0.02, 2.5)
    assert not go.is_set(), "the server was no longer blocked"
    wait(page, lambda: explorer.state.t == count - 6)


def test_changing_the_seed_ten_times_leaves_one_job_and_the_last_seed_s_picture(visit):
    page, explorer = visit()
    state = explorer.state
    explorer.runner._document.add_next_tick_callback(lambda: setattr(state, "subspace", "random"))
    page.get_by_text("Advanced").first.click()
    field = page.get_by_label("Seed").first
    for seed in range(1, 11):
        field.fill(str(seed))
        field.press("Enter")
        page.wait_for_timeout(150)
    wait(page, lambda: state.phase == "done" and state.result.request.seed == 10)
    assert len([thread for thread in threading.enumerate() if thread.name == "landscape"]) <= 1
    assert state.result.subspace.facts["seed"] == 10


def test_bad_input_is_one_sentence_and_the_picture_stays(visit):
    page, explorer = visit(width=1280, height=800)
    before = explorer.state.result
    page.get_by_text("Advanced").first.click()
    field, foot = page.get_by_label("Tolerance, %").first, page.get_by_role("button", name="Run again").first
    field.wait_for()
    page.wait_for_function(
        "([a, b]) => a.getBoundingClientRect().bottom < b.getBoundingClientRect().top",
        arg=[field.element_handle(), foot.element_handle()],
    )  # it comes into view by itself
    for text in ("-1", "small"):
        field.fill(text)
        field.press("Enter")
        page.get_by_text(f"but it is '{text}'").first.wait_for()
    assert explorer.state.result is before
    field.fill("1")
    field.press("Enter")
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.tolerance == 1)
    assert explorer.state.message == ""


# How what moves in the header goes on: what does so smoothly has the page painted sixty times a second, for which a
# machine without a GPU needs most of a core.
MOVING = """deep('.chip, .line').flatMap((e) => e.getAnimations({subtree: true}))
  .flatMap((a) => a.effect.getKeyframes().map((frame) => frame.easing))"""


def test_cancel_keeps_the_partial_surface_and_says_so(visit):
    page, explorer = visit()
    explorer.runner._document.add_next_tick_callback(lambda: setattr(explorer.state, "tolerance", 0))
    wait(page, lambda: explorer.state.result.request.tolerance == 0)
    page.emulate_media(reduced_motion="no-preference")
    page.wait_for_function("deep('.chip.running').length")
    moving = page.evaluate(MOVING)
    assert moving and all(easing.startswith("steps(") for easing in moving)
    page.get_by_role("button", name="Cancel").first.click()
    page.get_by_text("Canceled").first.wait_for()
    nodes = explorer.state.result.landscape["evaluated"]
    assert 81 < int(nodes.sum()) < nodes.size


def test_a_failing_run_is_one_sentence_and_the_page_lives_on(visit, monkeypatch):
    page, explorer = visit()
    source, before = explorer.source, explorer.state.result

    def broken(self, request):
        raise RuntimeError("no plane today")

    monkeypatch.setattr(type(source), "subspace", broken)
    explorer.runner._document.add_next_tick_callback(explorer.runner.start)
    page.get_by_text("no plane today").first.wait_for()
    assert explorer.state.message == "The run failed: RuntimeError: no plane today"
    assert explorer.state.result is before
    monkeypatch.undo()
    explorer.runner._document.add_next_tick_callback(explorer.runner.start)
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result is not before)
    assert explorer.state.message == ""


def test_dark_repaints_everything_without_a_reload(visit):
    page, explorer = visit()
    page.get_by_label("Toggle theme").click()
    wait(page, lambda: explorer.surface.dark)  # the last that is repainted
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    dark = "rgb(22, 26, 31)"  # --card of the dark theme
    page.wait_for_function(
        f"deep('.bk-map, .bk-inspector').every(e => getComputedStyle(e).backgroundColor === '{dark}')"
    )
    inks = [figure.title.text_color for figure in (explorer.map.figure, explorer.map.bar.figure, explorer.curve.figure)]
    assert inks == [DARK["ink"]] * 3
    assert explorer.profile.curves.yaxis[0].major_label_text_color == DARK["ink2"]
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
    page.get_by_label("Toggle theme").click()
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")


def test_the_page_opens_dark_where_the_system_is(visit):
    page, explorer = visit(width=390, height=844, color_scheme="dark")
    wait(page, lambda: explorer.surface.dark)
    expect(page.get_by_role("button", name="Run again")).to_be_hidden()  # in the drawer, which a phone opens when asked
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    page.get_by_label("Toggle theme").click()
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    wait(page, lambda: not explorer.surface.dark)


def test_two_tabs_are_independent_and_a_closed_one_ends_its_job(visit):
    first, one = visit()
    second, two = visit()
    one.runner._document.add_next_tick_callback(lambda: setattr(one.state, "tolerance", 0))
    wait(first, lambda: one.state.phase == "running" and one.runner._job is not None)
    assert two.state.tolerance == 0.5
    job = one.runner._job
    first.close()
    wait(second, lambda: not job.thread.is_alive())
    assert two.state.phase == "done"


def test_a_reload_shows_the_page_again(visit, explorers):
    page, first = visit()
    page.reload()
    page.evaluate(DEEP)
    page.wait_for_function("deep('.surface3d').some(e => e.dataset.size === '129 x 129')")
    second = explorers[-1]
    assert second is not first
    wait(page, lambda: second.state.phase == "done")
    surfaces = [e.state.result.landscape["train_loss"] for e in (second, first)]
    np.testing.assert_allclose(*surfaces, rtol=1e-5)  # each has chosen its own strategy, which rounds in its own way


def test_nothing_scrolls_sideways_nor_inside_a_card(visit):
    page, _ = visit()
    assert_fits(page, 1280, 820, 390)


def test_a_phone_shows_the_map_or_the_surface_and_hides_the_choices(visit):
    page, explorer = visit(width=390, height=844)
    assert_fits(page, 390)
    part = {"window": ((-4.0, 4.0), (-3.0, 3.0)), "show_nodes": True, "show_points": True}
    explorer.runner._document.add_next_tick_callback(lambda: explorer.state.param.update(**part))
    page.get_by_role("button", name="Whole plane").wait_for()
    page.get_by_text(re.compile("this part of the plane$|of this plane( only)?$")).first.wait_for()
    for width in (820, 390):
        assert_fits(page, width)
        assert page.evaluate(
            "deep('.fit span').every(e => e.getBoundingClientRect().bottom <= "
            "deep('.fit')[0].getBoundingClientRect().bottom + 1)"
        ), f"all of the key is seen in a window of {width} pixels"
    page.get_by_role("button", name="Whole plane").click()
    assert not page.get_by_text("Where to look").first.is_visible()
    assert not page.locator(".surface3d canvas").first.is_visible()
    page.get_by_role("button", name="Surface").first.click()
    page.wait_for_function("deep('.surface3d').some(e => e.dataset.size === '129 x 129')")
    assert page.evaluate("deep('.bk-map')[0].offsetWidth") == 0
    page.get_by_label("Open drawer").click()
    page.get_by_text("Where to look").first.wait_for()


def is_hidden(picture, point, azimuth):
    """Whether the surface hides a point of it from an eye far away in a direction: a ray in small steps."""
    (x0, x1), (y0, y1) = picture.x_bounds, picture.y_bounds
    size = min(x1 - x0, y1 - y0)
    relief = max(
        0.62, 0.3 * max(x1 - x0, y1 - y0) / size
    )  # as high as the surface is drawn, the plane's short side is 1
    low, high = picture.low, picture.high
    height = RegularGridInterpolator((picture.y, picture.x), relief * (picture.z - low) / (high - low), "linear")
    ray = np.arange(1, 4000)[:, None] / 1000
    across = np.array(point)[None] + size * ray * [np.cos(azimuth), np.sin(azimuth)]
    inside = (across >= [x0, y0]).all(1) & (across <= [x1, y1]).all(1)
    eye = float(height(point[::-1])[0]) + 0.02 * relief + ray[inside, 0] * np.tan(np.radians(33))
    return bool((height(across[inside][:, ::-1]) > eye).any())


def test_the_surface_opens_on_a_side_from_which_the_end_of_the_path_is_seen(visit):
    page, explorer = visit()
    usual = np.radians(-58)

    def side():
        x, y, _ = (float(c) for c in surface(page, "camera").split(","))
        return np.arctan2(y, x)

    end = explorer.state.result.path[-1]
    assert side() == pytest.approx(usual, abs=0.01) and not is_hidden(explorer.picture, end, side())
    choose(page, "Model", "spirals_mlp")
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.model == "spirals_mlp")
    wait(page, lambda: explorer.shown is explorer.state.result and abs(side() - usual) > 0.01)
    end = explorer.state.result.path[-1]
    assert is_hidden(explorer.picture, end, usual) and not is_hidden(explorer.picture, end, side())


def test_in_a_low_window_the_slider_is_in_sight_and_on_a_phone_the_model_has_its_name(visit):
    page, explorer = visit(width=1280, height=720)
    slider = "deep('input[type=range]')[0].getBoundingClientRect()"
    low = page.evaluate(slider)
    assert 0 < low["top"] and low["bottom"] < 720
    page.set_viewport_size({"width": 1280, "height": 1000})
    page.wait_for_function(f"innerHeight === 1000 && {slider}.top > {low['top']} + 100")
    page.set_viewport_size({"width": 390, "height": 720})
    expect(page.get_by_text("digits_mlp, trajectory plane").first).to_be_visible()
    wait(page, lambda: explorer.profile.slider.narrow)
    page.wait_for_function("!deep('.MuiModal-root').length")  # the drawer keeps the focus until it has closed
    page.locator("input[type=range]").first.press("Home")
    wait(page, lambda: explorer.state.marker.t == 0)
    page.get_by_text("checkpoints evenly spaced").wait_for()
    page.locator("input[type=range]").first.click(position={"x": 104, "y": 10})  # between two checkpoints
    wait(page, lambda: explorer.state.t % 1)
    k = int(explorer.state.t)
    values = explorer.state.result.profile["train_loss"][4 * k : 4 * k + 5 : 4]
    page.get_by_text("{} falls to {}".format(*map(format_number, values))).wait_for()
