"""State and jobs, without a screen."""

import math
import re
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import landscape_engine as le
from explorer import jobs, sources
from explorer import profiles as profiles_module
from explorer.app import Explorer
from explorer.job import Along, Job
from explorer.jobs import Runner
from explorer.numbers import format_number
from explorer.profiles import _between, profiles
from explorer.state import State
from sample_models import names


@pytest.fixture
def runner():
    runner = Runner(State())
    yield runner
    runner.close()
    join()


def join():
    for thread in threading.enumerate():
        if thread.name == "landscape":
            thread.join(10)


def finish(runner, seconds=30.0):
    end = time.monotonic() + seconds
    while runner.state.phase == "running":
        assert time.monotonic() < end, "the run did not end in time"
        time.sleep(0.02)
    return runner.state


def test_a_page_opens_with_the_coarse_surface_and_the_profile_and_waits(runner):
    list(profiles(runner.state.request, sources.load("digits_mlp").training(runner.state.request)))
    runner.open(None, None)
    runner.look()
    first = runner.state.result
    assert int(first.landscape["evaluated"].sum()) == 81
    assert first.landscape["train_loss"].notnull().all()
    assert first.profile["evaluated"].all()
    time.sleep(0.3)
    assert runner.state.result is first
    runner.tell()
    time.sleep(0.3)
    assert runner.state.result.landscape is first.landscape, "what is known, and no more"
    runner.proceed()
    state = finish(runner)
    assert state.phase == "done"
    assert int(state.result.landscape["evaluated"].sum()) > 81


def test_the_first_picture_of_a_slow_model_is_a_draft_and_the_last_one_is_not(runner):
    landscapes = []
    runner.state.param.watch(lambda event: landscapes.append(event.new.landscape), "result")
    runner.state.param.update(model="sorting_gpt", resolution=33, tolerance=5.0)
    state = finish(runner, 120.0)
    assert "100 of 600 examples" in landscapes[0].attrs["draft"]
    assert int(landscapes[0]["evaluated"].sum()) == 17
    assert "draft" not in state.result.landscape.attrs
    assert int(state.result.landscape["evaluated"].sum()) >= 81


def test_a_metric_that_is_chosen_at_once_has_its_usual_tolerance_unless_another_is_given(monkeypatch):
    monkeypatch.setattr(Runner, "start", lambda *given: None)
    assert Explorer(metric="accuracy").state.tolerance == 2.0 and Explorer().state.tolerance == 0.5
    assert Explorer(metric="accuracy", tolerance=0.5).state.tolerance == 0.5


@pytest.mark.parametrize("model", names())
def test_the_first_surface_of_a_sample_model_is_whole_after_81_evaluations_at_most(model, monkeypatch):
    told, post = [], Runner.post
    monkeypatch.setattr(Runner, "post", lambda *given: (told.append(given[-1]), post(*given)))
    explorer = Explorer(model)
    end = time.monotonic() + 60
    try:
        while not any(told):
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        explorer.runner.close()
        join()
    first, request = next(filter(None, told)), explorer.state.request
    true = int(first.landscape["evaluated"].sum())
    rest = first.progress.evaluated - true  # of a draft, which takes some of the examples
    assert true >= 9 and rest in (0, 81)
    if rest:  # on how busy a machine is depends whether there is one
        some, every = re.search(r"(\d+) of ([\d,]+) examples", first.landscape.attrs["draft"]).groups()
        assert true + rest * int(some) / int(every.replace(",", "")) <= 81
    assert first.landscape.sizes == {"alpha": request.resolution, "beta": request.resolution}
    assert first.landscape[f"{request.split}_{request.metric}"].notnull().all()


def test_a_run_stands_still_while_the_page_changes_and_goes_on_after(runner):
    runner.held = True  # so that it does not wait to tell what it has found
    runner.state.param.update(resolution=65, tolerance=0.1)
    end = time.monotonic() + 30
    while runner._job is None or runner._job.progress.evaluated == 0:
        assert time.monotonic() < end
        time.sleep(0.01)
    with runner.choosing():
        time.sleep(0.5)  # what has begun is finished
        before = runner._job.progress
        time.sleep(0.5)
        assert runner._job.progress is before
    runner.tell()
    state = finish(runner, 120.0)
    assert state.phase == "done" and runner.progress.evaluated > before.evaluated


def test_pictures_come_ever_more_rarely_and_the_last_one_is_shown(runner, monkeypatch):
    monkeypatch.setattr("explorer.job.PICTURE", 1e9)
    monkeypatch.setattr("explorer.job.RAREST", 1e9)
    monkeypatch.setattr("explorer.job.Job._check", lambda job: time.sleep(0.01))  # so that there are many
    results = []
    post = Runner.post
    monkeypatch.setattr(Runner, "post", lambda *given: (results.append(given[4]), post(*given)))
    runner.state.param.update(model="spirals_mlp", resolution=65, tolerance=0.1)
    last = finish(runner, 60.0).result
    pictures = [result.landscape for result in results if result is not None]
    assert len({id(picture) for picture in pictures}) == 2 and pictures[-1] is last.landscape
    assert int(pictures[0]["evaluated"].sum()) == 81 < int(last.landscape["evaluated"].sum())
    assert last.profile["evaluated"].all()


def test_what_is_said_to_be_done_is_drawn(monkeypatch):
    explorer, phases = Explorer(resolution=33, tolerance=2.0), []
    state = finish(explorer.runner)
    monkeypatch.setattr(explorer.map, "show", lambda picture, whole: phases.append(state.phase))
    state.phase = "running"
    last = replace(state.result, landscape=state.result.landscape.copy())
    explorer.runner._write(explorer.runner._job, "done", "", last)
    assert phases == ["running"] and state.phase == "done" and explorer.shown is last
    explorer.runner.close()


def test_what_is_known_along_the_path_draws_no_map_anew(monkeypatch):
    drawn = []
    explorer = Explorer(resolution=33, tolerance=2.0)
    finish(explorer.runner)
    monkeypatch.setattr(explorer.map, "show", lambda picture, whole: drawn.append(picture))
    result = explorer.state.result
    stops = np.arange(len(result.profile["evaluated"])) % 4 == 0
    few = {**result.profile, "evaluated": result.profile["evaluated"] & stops}
    explorer.state.result = replace(result, profiles={"path": few})
    assert not drawn and explorer.shown is explorer.state.result
    explorer.state.result = replace(result, landscape=result.landscape.copy())
    assert len(drawn) == 1 and explorer.picture is drawn[0]
    explorer.runner.close()


def test_another_metric_goes_on_from_the_nodes_known(runner):
    runner.state.param.update(resolution=33, tolerance=2.0)
    state = finish(runner)
    known = state.result.landscape["evaluated"]
    state.metric = "accuracy"
    state = finish(runner)
    assert state.result.request.metric == "accuracy"
    assert not (known & ~state.result.landscape["evaluated"]).any()


def test_a_picture_is_remembered_whatever_was_drawn_since_and_whoever_draws_it(runner):
    easy = {"resolution": 33, "tolerance": 2.0}
    runner.state.param.update(**easy)
    first = finish(runner).result
    for model in ("spirals_mlp", "digits_mlp"):
        runner.state.model = model
        finish(runner)
    other = Runner(State(**easy))
    other.start()
    for one in (runner, other):
        again = finish(one).result
        assert again.request == first.request and one.progress.evaluated == 0
        xr.testing.assert_equal(again.landscape, first.landscape)
    other.look_around()
    join()
    assert math.isfinite(other.state.insight.gradient_norm), "though it has not seen how quick the network is"
    other.close()


def test_what_another_metric_has_computed_hides_nothing_of_what_is_known(runner):
    runner.state.param.update(resolution=33, tolerance=0.5)
    first = int(finish(runner).result.landscape["evaluated"].sum())
    source = sources.load("digits_mlp")
    runner.state.param.update(metric="gradient_norm", tolerance=20.0)
    other = int(finish(runner).result.landscape["evaluated"].sum())
    assert first > other
    runner.state.param.update(metric="loss", tolerance=0.5)
    assert int(finish(runner).result.landscape["evaluated"].sum()) == first
    assert runner.progress.evaluated == 0 and runner.state.cost == "Known from before"
    source.keep(runner.state.request, runner.state.result.landscape)
    assert [int(d["evaluated"].sum()) for _, d in source._seen] == [first, other]


def test_parts_that_were_zoomed_into_and_layers_are_forgotten_before_the_whole(runner):
    runner.state.param.update(resolution=33, tolerance=2.0)
    whole, source = finish(runner).result, sources.load("digits_mlp")
    part = whole.landscape.isel(alpha=slice(0, 17))
    for k in range(2 * sources.MOST_LANDSCAPES):
        source.keep(whole.request._replace(window=((0.0, 1.0 + k), (0.0, 1.0))), part)
        source.keep(whole.request._replace(subspace="cube", layer=0.01 * (k + 1)), part)
    assert len(source._seen) == sources.MOST_LANDSCAPES
    assert source.recall(whole.request, {"train_loss"}) is whole.landscape
    for k in range(sources.MOST_LANDSCAPES):
        source.keep(whole.request._replace(seed=k + 1, subspace="random"), part)
    assert source.recall(whole.request, {"train_loss"}) is None


def test_a_page_that_opens_on_a_saved_plane_without_its_file_waits_for_it(runner):
    runner.state.subspace = "saved"
    runner.open(None, None)
    assert not runner.held
    runner.start()
    assert (runner.state.phase, runner.state.message) == ("idle", "")


def test_minima_and_saddles_are_found_beside_the_run_and_belong_to_its_picture(runner):
    runner.state.param.update(resolution=33, tolerance=2.0)
    state = finish(runner)
    runner.mark()
    assert state.marking
    end = time.monotonic() + 20
    while state.marking:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert state.basins.request == state.result.request
    assert state.message == ""


def test_a_model_of_two_runs_is_opened_on_their_connection_unless_another_place_was_asked_for():
    from explorer.app import Explorer

    try:
        explorers = [Explorer(), Explorer(model="two_seeds"), Explorer(model="two_seeds", subspace="trajectory")]
        assert [e.state.subspace for e in explorers] == ["trajectory", "connection", "trajectory"]
        first, second, third = explorers
        third.state.model = "spirals_mlp"
        first.state.model = "two_seeds"
        assert first.state.subspace == "connection"
        second.state.model = "digits_mlp"
        assert second.state.subspace == "trajectory"
        first.state.subspace = "random"
        first.state.model = "digits_cnn"
        assert first.state.subspace == "random"
    finally:
        for explorer in explorers:
            explorer.runner.close()
        for thread in threading.enumerate():
            if thread.name == "landscape":
                thread.join(10)


def test_a_metric_brings_its_usual_tolerance_unless_another_was_chosen():
    from explorer.app import Explorer

    explorer = Explorer()
    explorer.runner.close()
    state, found = explorer.state, []
    for metric, chosen in (("accuracy", None), ("loss", 0.1), ("accuracy", None)):
        state.metric = metric
        found.append(state.tolerance)
        state.tolerance = chosen if chosen is not None else state.tolerance
    explorer.runner.close()
    assert found == [2.0, 0.5, 0.1]


def test_a_message_about_bad_input_outlives_the_progress_of_a_run(runner):
    runner.state.param.update(resolution=65, tolerance=0.0)
    runner.start()
    runner.state.choose_number("tolerance", "many")
    while runner.state.result is None:
        time.sleep(0.01)
    assert runner.state.message == (
        "Tolerance must be a percentage from 0 to below 100, but it is 'many'. The picture is unchanged."
    )
    runner.cancel()
    assert runner.state.phase == "canceled"


def test_a_notebook_that_is_not_shown_yet_is_told_nothing_of_a_point_and_then_at_once(runner):
    runner.open(None, None)
    runner._job.looked.wait(30)
    runner.look()
    runner.look_around()
    for thread in threading.enumerate():
        if thread.name == "landscape" and thread is not runner._job.thread:
            thread.join(30)
    assert runner.state.looking and runner.state.insight is None
    runner.proceed()
    assert runner.state.insight.whole and runner.state.insight.at == runner.state.marker


def test_a_failing_run_is_one_sentence_and_the_next_one_works(runner, monkeypatch):
    def broken(self, request):
        raise ValueError("no plane today")

    with monkeypatch.context() as patch:
        patch.setattr(sources.Source, "subspace", broken)
        runner.open(None, None)
        runner.look()
    assert runner.state.phase == "failed"
    assert runner.state.message == "The run failed: ValueError: no plane today"
    runner.proceed()
    runner.state.param.update(resolution=33, tolerance=5.0)
    assert finish(runner).phase == "done"
    assert runner.state.message == ""


def test_a_picture_that_cannot_be_drawn_is_one_sentence_and_the_next_one_works(runner):
    state = runner.state

    def draw(event):
        if event.new is not None:
            raise RuntimeError("no ink")

    watcher = state.param.watch(draw, "result")
    runner.start()
    assert finish(runner).phase == "failed"
    assert state.message == "The picture cannot be drawn: RuntimeError: no ink" and state.result is None
    state.param.unwatch(watcher)
    runner.start()
    assert finish(runner).phase == "done" and state.message == ""


def test_a_metric_that_is_no_smooth_function_is_computed_at_every_node(runner, monkeypatch):
    monkeypatch.setattr(le.metrics.HessianIndex, "__call__", lambda self, model: 1.0)  # which takes a second
    state = runner.state
    line = {"model": "spirals_mlp", "subspace": "random_line", "samples": 5, "resolution": 33, "tolerance": 50.0}
    state.param.update(metric="hessian_index", **line)
    runner.start()
    finish(runner)
    assert state.result.landscape["evaluated"].all()
    assert not state.result.landscape["train_hessian_index_error"].any()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("tolerance", "0.5 %", 0.5), ("tolerance", "0,2", 0.2), ("seed", "7", 7), ("extent", "2.5", 2.5)],
)
def test_numbers_are_read_as_people_type_them(name, text, value):
    state = State()
    state.choose_number(name, text)
    assert getattr(state, name) == value
    assert state.message == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [("tolerance", "-1"), ("tolerance", "100"), ("tolerance", "nan"), ("seed", "1.5"), ("seed", "-3"), ("extent", "0")],
)
def test_a_number_that_cannot_be_used_changes_nothing_and_says_what_can(name, text):
    state = State()
    before = getattr(state, name)
    state.choose_number(name, text)
    assert getattr(state, name) == before
    assert f"it is '{text}'" in state.message


def test_a_choice_is_answered_at_once_and_those_that_follow_it_closely_once_they_rest(runner, monkeypatch):
    begun = []
    monkeypatch.setattr(Runner, "_begin", lambda self, request: begun.append((request.tolerance, time.monotonic())))
    for tolerances in ((1,), (2, 3, 4, 5)):
        last, known = time.monotonic(), len(begun)
        for tolerance in tolerances:
            runner.state.tolerance = tolerance
        while len(begun) == known:
            assert time.monotonic() < last + 10
            time.sleep(0.001)
    assert [tolerance for tolerance, _ in begun] == [1, 5]
    assert begun[1][1] - last >= jobs.DEBOUNCE


def test_a_model_with_choices_of_its_own_is_one_choice(monkeypatch):
    from explorer.app import Explorer

    explorer, asked = Explorer(), []
    finish(explorer.runner)

    def start(self, delay):
        self._requested = self.state.request
        asked.append(self.state.request)

    monkeypatch.setattr(Runner, "start", start)
    for model in ("cartpole_policy", "two_seeds"):
        explorer.state.model = model
    explorer.state.resolution = 65
    for model in ("cartpole_policy", "digits_mlp"):
        explorer.state.model = model
    explorer.runner.close()
    assert [(r.model, r.metric, r.resolution, r.subspace) for r in asked] == [
        ("cartpole_policy", "return", 33, "trajectory"),  # coarse, since every node is computed
        ("two_seeds", "loss", 129, "connection"),
        ("two_seeds", "loss", 65, "connection"),
        ("cartpole_policy", "return", 33, "trajectory"),
        ("digits_mlp", "loss", 65, "trajectory"),
    ]


def test_what_the_drawer_says_of_a_metric_is_of_the_one_that_is_chosen(monkeypatch):
    from explorer.app import Explorer
    from explorer.controls import drawer

    explorer = Explorer()
    finish(explorer.runner)
    monkeypatch.setattr(Runner, "start", lambda self, delay: None)
    said = drawer(explorer.state, explorer.runner)
    for model in ("cartpole_policy", "spirals_mlp", "cartpole_policy"):
        explorer.state.model = model
        help_of = explorer.state.measures[explorer.state.metric].help
        assert f"{help_of}." in [pane.object for pane in said.select(lambda pane: hasattr(pane, "object"))]
    explorer.runner.close()


def test_the_share_that_is_done_never_falls_back_though_more_is_planned(runner):
    job = Job(runner, runner.state.request)
    runner._job = job
    shares = []
    for evaluated, planned in ((81, 90), (90, 200), (200, 400), (400, 400)):
        job.progress = le.Progress(evaluated, planned, evaluated / 100, (planned - evaluated) / 50, 0.02)
        runner.post(job, "running", "", None)
        shares.append(runner.share)
    assert shares == sorted(shares) and shares[-1] == 1


def test_a_run_stands_still_while_no_browser_has_its_page_and_ends_with_its_session(runner):
    session = SimpleNamespace(connection_count=1)
    runner._document = SimpleNamespace(session_context=SimpleNamespace(session=session))
    runner.state.param.update(resolution=33, tolerance=2.0)
    assert finish(runner).phase == "done"
    session.connection_count = 0
    runner.state.seed += 1
    runner.state.subspace = "random"
    time.sleep(1)
    assert runner.state.phase == "running" and not runner.progress.evaluated
    session.connection_count = 1
    assert finish(runner).phase == "done" and runner.progress.evaluated
    session.connection_count = 0
    runner.state.seed += 1
    time.sleep(0.5)
    job = runner._job
    assert job.thread.is_alive()
    runner.close()
    job.thread.join(10)
    assert not job.thread.is_alive()


def test_what_is_left_counts_the_values_along_the_lines_and_a_run_like_it_does_without_them(runner):
    job = runner._job = Job(runner, runner.state.request)
    job.progress, job.along = le.Progress(100, 200, 1.0, 2.0, 0.02), Along(2.0, 50, 0.1)
    runner.post(job, "running", "", None)
    assert runner.left == pytest.approx(7.0) and runner.share == pytest.approx(0.3)
    assert runner.state.cost == "About 10 s, some 200 evaluations"
    job.progress, job.along = le.Progress(200, 200, 3.0, 0.0, 0.02), Along(0.0, 50)  # of which none was computed yet
    runner.post(job, "running", "", None)
    assert runner.left == pytest.approx(1.0)
    job.along, job.refined = Along(7.0, 0, 0.1), True
    runner.post(job, "running", "", None)
    assert (runner.left, runner.share) == (0.0, 1.0)
    assert runner.state.cost == "About 3 s, some 200 evaluations"


def test_canceling_while_the_run_is_about_to_start_starts_nothing(runner, monkeypatch):
    fired, go = threading.Event(), threading.Event()
    begin = Runner._begin

    def late(self, request):
        fired.set()
        go.wait(5)
        begin(self, request)

    monkeypatch.setattr(Runner, "_begin", late)
    runner.start()
    timer = runner._timer
    assert fired.wait(5)
    runner.cancel()
    go.set()
    timer.join(5)
    assert runner._job is None and runner.state.phase == "canceled"


def test_a_changed_choice_ends_the_profile_of_the_model_before():
    class Enough(Exception):
        pass

    seen = []

    def check():
        seen.append(None)
        if len(seen) == 3:
            raise Enough

    request = State(model="digits_cnn", samples=100).request
    track = sources.load("digits_cnn").training(request)
    with pytest.raises(Enough):
        list(profiles(request, track, check))
    assert len(seen) == 3
    known = next(profiles(request, track))["path"]["evaluated"]
    last = len(track.positions) - 1
    assert np.flatnonzero(known).tolist() == [0, last], "what was computed until then stays"
    *_, found = profiles(request, track)
    assert found["path"]["evaluated"].all() and len(seen) == 3


def test_a_profile_becomes_finer_and_is_straight_between_what_is_known(monkeypatch):
    monkeypatch.setattr("explorer.profiles.SLICE", 0.0)
    monkeypatch.setattr(sources, "_loaded", {})  # of which nothing is known
    request = State(model="spirals_mlp", samples=50).request
    source = sources.load("spirals_mlp")
    track = source.training(request)
    stages = [found["path"] for found in profiles(request, track)]
    m = len(track.positions)
    assert [int(known["evaluated"].sum()) for known in stages] == list(range(m + 1))
    assert np.isnan(stages[0]["train_loss"]).all()
    first, last = source.sample.trajectory[0], source.sample.trajectory[-1]
    metric = source.metrics("train", 50)[0]
    ends = [metric.estimate(le.wrap_model(source.sample.model).at(state)).value for state in (first, last)]
    np.testing.assert_allclose(stages[2]["train_loss"], np.geomspace(*ends, m), rtol=1e-5)  # as a log scale draws it
    quarters = np.flatnonzero(stages[5]["evaluated"])
    assert np.diff(quarters).max() <= 2 * m / 5, "from coarse to fine"
    assert np.array_equal(stages[5]["train_loss"][quarters], stages[-1]["train_loss"][quarters])


def test_values_between_those_that_are_known_lie_on_a_line_that_is_straight_as_it_is_drawn():
    found = _between(5, [0, 4], np.array([1.0, 100.0]), True)
    assert found == pytest.approx([1, 10**0.5, 10, 10**1.5, 100]) and found[4] == 100.0
    assert _between(5, [0, 4], np.array([1.0, 101.0]), False) == pytest.approx([1, 26, 51, 76, 101])
    assert _between(3, [0, 2], np.array([0.0, 1.0]), True) == pytest.approx([0, 0.5, 1]), "a logarithm has no 0"


def test_a_profile_is_whole_at_last_though_another_page_has_computed_the_rest(monkeypatch):
    monkeypatch.setattr(sources, "_loaded", {})
    request = State(model="spirals_mlp", samples=20).request
    track = sources.load("spirals_mlp").training(request)
    mine = profiles(request, track)
    assert not next(mine)["path"]["evaluated"].any()
    list(profiles(request, track))
    *_, last = mine
    assert last["path"]["evaluated"].all()


def test_places_are_halved_stop_by_stop_before_what_lies_between():
    order = profiles_module._coarse_to_fine(9, 1)
    assert order[:9] == [32, 0, 16, 8, 24, 4, 12, 20, 28]
    assert sorted(order) == list(range(33)) and sorted(order[9:17]) == [4 * k + 2 for k in range(8)]
    assert profiles_module._coarse_to_fine(9, 4) == order[:9]
    assert profiles_module._coarse_to_fine(1, 1) == [0] and profiles_module._coarse_to_fine(2, 4) == [4, 0]


def test_many_points_picked_at_once_are_looked_at_one_at_a_time_and_the_last_is_told(runner, monkeypatch):
    runner.state.param.update(resolution=33, tolerance=2.0)
    finish(runner)
    insight, now, most = jobs.insight, [], []

    def counted(*args):
        now.append(None)
        most.append(len(now))
        time.sleep(0.05)
        found = insight(*args)
        now.pop()
        return found

    monkeypatch.setattr(jobs, "insight", counted)
    runner.state.param.watch(lambda *events: runner.look_around(), ["picked", "looking"])
    for k in range(20):
        runner.state.picked = (0.01 * k, 0.0)
        time.sleep(0.01)
    end = time.monotonic() + 30
    while runner.state.insight is None or runner.state.insight.at != runner.state.marker:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert max(most) == 1 and 1 < len(most) < 20


def test_a_point_is_looked_at_before_the_path_is_known_and_after_the_run_was_canceled(runner, monkeypatch):
    monkeypatch.setattr("explorer.job.profiles", lambda request, track, check: iter([next(profiles(request, track))]))
    monkeypatch.setattr(sources, "_loaded", {})  # of which nothing is known
    runner.state.param.update(samples=100, resolution=33, tolerance=2.0)
    result = finish(runner).result
    assert result.known[0] == 0
    metric = result.source.metrics("train", 100)[0]
    at = result.track.home
    for picked, here in [(None, result.track.model_at(at)), ((0.1, 0.2), None)]:
        here = here or result.subspace.model.at(result.subspace.state_at(picked))
        runner.state.param.update(t=at, picked=picked)
        runner.look_around()
        join()
        found = runner.state.insight
        assert found.at == runner.state.marker
        assert found.values["train_loss"] == pytest.approx(metric.estimate(here).value, rel=1e-5)


def test_a_point_is_looked_at_again_once_the_network_is_known_to_be_quick(runner, monkeypatch):
    runner.state.param.update(resolution=33, tolerance=2.0)
    finish(runner)
    runner.state.picked = (0.1, 0.2)
    seen = []
    runner.state.param.watch(lambda event: seen.append(event.new), "insight")
    for known, examples, slope in [(0.0, 64, False), (0.001, 360, True)]:
        monkeypatch.setattr("explorer.cost.pace", lambda request, known=known: known)
        runner.look_around()
        join()
        found = runner.state.insight
        assert found.behavior.count == examples and math.isfinite(found.gradient_norm) is slope
    assert [found.whole for found in seen] == [False, False, True, True], "what was told stands until there is more"
    runner.look_around()
    join()
    assert len(seen) == 4


def test_a_second_look_keeps_what_the_first_has_told(runner, monkeypatch):
    runner.state.param.update(resolution=33, tolerance=2.0)
    finish(runner)
    runner.state.picked = (0.1, 0.2)
    monkeypatch.setattr("explorer.cost.pace", lambda request: 0.0)
    runner.look_around()
    join()
    first = runner.state.insight
    monkeypatch.setattr("explorer.cost.pace", lambda request: 0.001)

    def refuse(*given):
        raise RuntimeError("this layer has no derivative")

    monkeypatch.setattr("landscape_engine.metrics.GradientNorm.estimate", refuse)
    runner.look_around()
    join()
    found = runner.state.insight
    assert found is not first and not found.failure
    assert (found.values, found.behavior) == (first.values, first.behavior)


def test_what_a_look_has_found_stays_when_a_later_step_of_it_fails(monkeypatch):
    def refuse(*given):
        raise RuntimeError("this layer has no derivative")

    monkeypatch.setattr("landscape_engine.metrics.GradientNorm.estimate", refuse)
    explorer = Explorer(resolution=33, tolerance=2.0)
    finish(explorer.runner)
    join()
    explorer.state.picked = (0.1, 0.2)
    join()
    found = explorer.state.insight
    explorer.runner.close()
    assert found.at.picked and found.whole and not explorer.state.looking
    assert {"train_loss", "test_loss"} <= found.values.keys() and found.nearest is not None
    for told in (format_number(found.values["train_loss"]), "this layer has no derivative"):
        assert told in explorer.marker.card.object


def test_a_run_stands_still_while_the_marker_is_looked_at(runner, monkeypatch):
    looking, go = threading.Event(), threading.Event()
    monkeypatch.setattr(jobs, "PATIENCE", 60.0)

    def slowly(*args):
        looking.set()
        assert go.wait(30)
        return insight(*args)

    insight = jobs.insight
    monkeypatch.setattr(jobs, "insight", slowly)
    seen = []
    runner.state.param.watch(lambda event: seen.append(event.new), "result")
    runner.state.param.update(resolution=65, tolerance=0.1)
    end = time.monotonic() + 30
    while not seen:
        assert time.monotonic() < end
        time.sleep(0.01)
    runner.state.picked = (0.1, 0.2)
    runner.look_around()
    assert looking.wait(30)
    time.sleep(0.5)  # what has begun is finished
    before = runner._job.progress
    time.sleep(0.5)
    assert runner._job.progress is before and runner.state.phase == "running"
    go.set()
    assert finish(runner, 120.0).phase == "done" and runner.progress.evaluated > before.evaluated


def test_a_model_whose_package_is_missing_is_a_sentence_and_the_model_before_stays(monkeypatch):
    from explorer.app import Explorer

    monkeypatch.setattr(sources, "_loaded", {})  # a policy that nobody has asked yet
    explorer = Explorer()
    try:
        finish(explorer.runner)
        monkeypatch.setitem(sys.modules, "gymnasium", None)
        explorer.state.model = "cartpole_policy"
        assert explorer.state.message == (
            "The expected return needs gymnasium, which is not installed: pip install gymnasium."
        )
        assert (explorer.state.model, explorer.state.metric) == ("digits_mlp", "loss")
    finally:
        explorer.runner.close()
        for thread in threading.enumerate():
            if thread.name == "landscape":
                thread.join(10)


def test_a_point_is_the_same_network_whatever_is_measured_there_but_not_on_another_plane():
    state = State()
    asked = state.request
    state.param.update(metric="accuracy", split="test", resolution=33, window=((0.0, 1.0), (0.0, 1.0)))
    assert state.request.same_plane(asked) and not state.request.same_nodes(asked)
    state.extent = 2.0
    assert not state.request.same_plane(asked) and state.window is None
