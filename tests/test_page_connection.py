"""Two networks on the page: the ways between them, against the loss from plain loops."""

import re
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import sample_models
from explorer.sources import Source
from explorer.state import WAYS as WAYS_AROUND
from page import assert_fits, choose, wait

COUNT = 100  # examples
WAYS = ["curve", "straight", "aligned"]


def straight_losses():
    """The training loss at 41 points of the straight line, point by point in float64."""
    sample = sample_models.load("two_seeds")
    a, b = sample.model.double().state_dict(), sample.second_model.double().state_dict()
    inputs, targets = sample.train.inputs[:COUNT].double(), sample.train.targets[:COUNT]
    losses = []
    for t in np.arange(41) / 40:
        with torch.no_grad():
            outputs = torch.func.functional_call(sample.model, {n: (1 - t) * a[n] + t * b[n] for n in a}, (inputs,))
        losses.append(F.cross_entropy(outputs, targets).item())
    return np.array(losses)


def marker(page):
    return np.array([float(x) for x in page.evaluate("deep('.surface3d')[0].dataset.marker").split(",")])


def shown(explorer, subspace):
    """Whether the page shows a finished picture of few examples."""
    result = explorer.state.result
    asked = (result.request.subspace, result.request.samples) == (subspace, COUNT)
    return asked and explorer.state.phase == "done"


@pytest.fixture
def open_two(visit):
    """The page with two networks, few examples and a coarse picture."""

    def open_one(**size):
        page, explorer = visit(**size)
        document, easy = explorer.runner._document, {"resolution": 33, "tolerance": 20.0}
        document.add_next_tick_callback(lambda: explorer.state.param.update(**easy))
        wait(page, lambda: explorer.state.resolution == 33)
        two = {"model": "two_seeds"}
        document.add_next_tick_callback(lambda: explorer.state.param.update(**two))
        wait(page, lambda: explorer.state.subspace == "connection")
        document.add_next_tick_callback(lambda: setattr(explorer.state, "samples", COUNT))
        wait(page, lambda: shown(explorer, "connection"), 60)
        return page, explorer

    return open_one


def test_the_ways_between_two_networks_lie_in_one_plane_and_one_profile(open_two):
    page, explorer = open_two()
    page.get_by_text("Between the two networks").first.wait_for()
    page.get_by_text("two_seeds, plane of the connecting curve, training loss").first.wait_for()
    result, losses = explorer.state.result, straight_losses()
    np.testing.assert_allclose(result.profiles["straight"]["train_loss"], losses, rtol=1e-4)
    chord = np.linspace(losses[0], losses[-1], 41)
    height = f"barrier {max(losses - chord):.2f}"
    wait(page, lambda: len(explorer.profile._height.data["t"]) == 1)
    bracket = explorer.profile._height.data
    assert bracket["t"] == [np.argmax(losses - chord) / 4]
    top = np.exp(float(bracket["high"][0])) - np.exp(float(bracket["low"][0]))
    assert top == pytest.approx(max(losses - chord), rel=1e-4)
    strokes = explorer.map._strokes.data
    assert {way: len(x) for way, x in zip(strokes["style"], strokes["xs"], strict=True) if way} == dict.fromkeys(
        WAYS, 41
    )
    assert {*explorer.map._names.data["text"]} - {""} == {"network A", "network B", "B aligned", height}
    page.wait_for_function(f"deep('.surface3d')[0].dataset.names === 'network A,network B,B aligned,{height}'")
    drawn = explorer.profile.table.data
    assert [name for name in WAYS if np.isfinite(drawn[name]).all()] == WAYS
    np.testing.assert_allclose(np.exp(drawn["other"]), result.profiles["curve"]["test_loss"], rtol=1e-6)
    page.wait_for_function(  # the picture before was of a smaller plane
        """bounds => [...Bokeh.documents[0]._all_models.values()].filter(m => m.type === 'Range1d').filter(
          r => bounds.some(([a, b]) => Math.abs(r.start - a) + Math.abs(r.end - b) < 1e-6)).length >= 2""",
        arg=[list(pair) for pair in result.subspace.bounds],
    )
    off = result.residuals
    assert max(off["curve"].max(), off["straight"].max()) < 1e-3 < 1 < off["aligned"][-1]
    page.get_by_text(f"aligned, {off['aligned'][-1]:.0f} off the plane").first.wait_for()


def test_every_way_of_connecting_them_stays_far_below_the_barrier(open_two):
    page, explorer = open_two()
    barrier = straight_losses().max()
    for way, name in WAYS_AROUND.items():
        if way != explorer.state.way:
            choose(page, "Connecting path", name)
        wait(page, lambda way=way: explorer.shown.request.way == way and shown(explorer, "connection"))
        along = explorer.shown.profiles["curve"]["train_loss"]
        assert along.shape == (41,) and along.max() < 0.5 * barrier, way


def test_the_slider_moves_the_marker_along_the_curve_and_the_inspector_follows(open_two):
    page, explorer = open_two()
    slider = page.locator("input[type=range][aria-label='Position between the two networks']")
    slider.focus()
    page.keyboard.press("Home")
    wait(page, lambda: np.abs(marker(page)).max() < 1e-4)  # network A is the plane's origin
    assert slider.get_attribute("aria-valuetext") == "t = 0.000"
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    curve = explorer.state.result.subspace.facts["points"]
    bend = np.array(curve[0]) / 4 + np.array(curve[2]) / 2 + np.array(curve[1]) / 4
    wait(page, lambda: np.abs(marker(page) - bend).max() < 0.01)
    wait(page, lambda: explorer.state.t == 5)
    page.get_by_text("on the connecting curve, t = 0.500").first.wait_for()
    page.get_by_text("Loss on the straight line").first.wait_for()
    page.get_by_text(f"{straight_losses()[20]:.2f}", exact=True).first.wait_for()


def test_the_line_between_the_networks_is_a_curve_at_full_width_with_the_barrier_beside_the_aligned_line(open_two):
    page, explorer = open_two()
    choose(page, "Subspace", "Line between the two networks")
    wait(page, lambda: shown(explorer, "networks"))
    page.wait_for_function("deep('.bk-curve')[0].offsetWidth > 1000 && deep('.bk-map')[0].offsetWidth === 0")
    landscape, losses = explorer.state.result.landscape["train_loss"], straight_losses()
    for alpha, k in ((0, 0), (0.5, 20), (1, 40)):
        np.testing.assert_allclose(landscape.sel(alpha=alpha), losses[k], rtol=1e-4)
    assert list(explorer.state.result.profiles) == ["straight", "aligned"]
    page.get_by_text("on the straight line, t = 0.250").first.wait_for()
    choose(page, "Subspace", "Trajectory plane")
    wait(page, lambda: shown(explorer, "trajectory"))
    page.get_by_text("Along the training path").first.wait_for()
    wait(page, lambda: explorer.state.t == 42)


def test_the_search_of_the_curve_shows_its_steps_and_can_be_canceled_and_resumed(open_two, monkeypatch):
    page, explorer = open_two()
    search, seen, at_ease = Source.curve, [], threading.Event()

    def curve(self, samples, watch=None):
        def watched(step):
            seen.append(step.count)
            at_ease.wait(0.02)
            return watch(step)

        return search(self, samples, watched if watch else None)

    monkeypatch.setattr(Source, "curve", curve)
    explorer.runner._document.add_next_tick_callback(lambda: setattr(explorer.state, "samples", 50))
    page.get_by_text("Finding the curve").first.wait_for()
    wait(page, lambda: len(seen) > 10)
    page.get_by_role("button", name="Cancel").first.click()
    page.get_by_text("Canceled").first.wait_for()
    wait(page, lambda: explorer.runner._job is None)
    page.wait_for_timeout(200)
    stopped = seen[-1]
    at_ease.set()
    page.get_by_role("button", name="Run again").click()
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.samples == 50, 60)
    assert seen[seen.index(stopped) + 1] == stopped + 1


def test_critical_points_move_nothing_and_no_name_on_the_surface_covers_another(open_two):
    page, explorer = open_two()
    heights = "deep('.bk-map, .bk-surface, .bk-profile').map(e => e.getBoundingClientRect().bottom)"
    before = page.evaluate(heights)
    assert before[0] == before[1]
    page.get_by_role("button", name="Critical points").click()
    wait(page, lambda: explorer.state.basins is not None and not explorer.state.marking, 60)
    page.wait_for_function("deep('.below .fit')[0].textContent.includes('of this plane')")
    page.wait_for_timeout(300)
    assert page.evaluate(heights) == before
    slider = page.locator("input[type=range][aria-label='Position between the two networks']")
    slider.focus()
    for key in ("Home", "ArrowRight", "End"):
        page.keyboard.press(key)
        page.wait_for_timeout(300)
        boxes = page.evaluate("""deep('.s3-name').filter(e => e.style.display !== 'none' && e.offsetWidth).map(e => {
          const box = e.getBoundingClientRect(); return [box.left, box.right, box.top + 1, box.bottom - 1]; })""")
        assert len(boxes) >= 3
        for k, (left, right, top, bottom) in enumerate(boxes):
            for other in boxes[k + 1 :]:
                assert right <= other[0] + 1 or other[1] <= left + 1 or bottom <= other[2] + 1 or other[3] <= top + 1


def test_a_narrow_profile_names_its_lines_in_a_key_and_a_wide_one_does_not(open_two):
    page, explorer = open_two(width=390, height=844)
    shown = """deep('span').filter(e => e.querySelector('svg') && e.offsetWidth).map(e => e.textContent)"""
    lines = {"connecting curve", "straight line", "aligned line"}
    page.wait_for_function(f"{shown}.includes('aligned line')")
    assert lines <= set(page.evaluate(shown))
    page.set_viewport_size({"width": 1440, "height": 900})
    page.wait_for_function(f"!{shown}.includes('aligned line')")
    assert not lines & set(page.evaluate(shown))


def test_while_a_curve_is_sought_the_header_says_that_the_picture_is_the_one_before(open_two, monkeypatch):
    page, explorer = open_two()
    search, at_ease = Source.curve, threading.Event()

    def curve(self, samples, watch=None):
        return search(self, samples, (lambda step: (at_ease.wait(0.02), watch(step))[1]) if watch else None)

    monkeypatch.setattr(Source, "curve", curve)
    explorer.runner._document.add_next_tick_callback(lambda: setattr(explorer.state, "samples", 20))
    page.get_by_text("Finding the curve").first.wait_for()
    page.get_by_text(re.compile(r"step \d+ of \d+, the picture is the one before")).first.wait_for()
    dim = "getComputedStyle(deep('.bk-map')[0]).opacity"
    page.wait_for_function(f"{dim} < 0.5")
    at_ease.set()
    wait(page, lambda: explorer.state.phase == "done" and explorer.state.result.request.samples == 20, 60)
    page.wait_for_function(f"!deep('.more').some(e => e.textContent.includes('before')) && {dim} === '1'")


def test_nothing_scrolls_sideways_with_two_networks(open_two):
    page, _ = open_two()
    assert_fits(page, 1280, 820, 390)
