"""What a run will cost, in words."""

import pytest

import landscape_engine as le
from explorer import cost, sources
from explorer.jobs import Runner
from explorer.state import State
from explorer.status import status


@pytest.mark.parametrize(
    ("count", "pace", "text"),
    [
        (500, 0.0, "Some 500 evaluations"),
        (500, 0.08, "About 40 s, some 500 evaluations"),
        (16641, 1e-4, "About 2 s, some 16,641 evaluations"),
        (9, 1e-4, "About 1 s, some 9 evaluations"),
        (500, 0.4, "About 3 min, some 500 evaluations"),
        (500, 2.0, "About 17 min, some 500 evaluations. Fewer examples or a lower resolution are faster"),
        (16641, 2.0, "About 9 h, some 16,641 evaluations. Fewer examples or a lower resolution are faster"),
    ],
)
def test_a_cost_is_told_as_long_as_one_would_say_it(count, pace, text):
    assert cost.sentence(count, pace) == text


def test_what_is_left_is_told_in_minutes_where_it_is_long_and_slow_rates_are_not_zero():
    runner = Runner(State(phase="running"))
    runner.progress, runner.left, runner.share = le.Progress(5, 1089, 10.0), 545.0, 0.02
    assert status(runner.state, runner).more == "2 %, 9 min left, 0.50 evaluations/s"
    runner.progress, runner.left = le.Progress(500, 1000, 2.5), 2.5
    assert status(runner.state, runner).more == "2 %, 2 s left, 200 evaluations/s"


def test_every_node_is_counted_where_none_is_predicted():
    state = State(resolution=129)
    assert cost.evaluations(state.request) == 500
    state.tolerance = 0.0
    assert cost.evaluations(state.request) == 129**2
    state.param.update(tolerance=0.5, metric="return", resolution=33)
    assert cost.evaluations(state.request) == 33**2
    state.param.update(metric="loss", subspace="random_line")
    assert cost.evaluations(state.request) == 33


def test_another_measure_does_not_cost_the_same_and_another_plane_does():
    state = State()
    assert cost.kind(state.request) == cost.kind(State(subspace="random", seed=3, scale="linear").request)
    for other in (State(metric="lambda_max"), State(samples=300), State(model="digits_cnn"), State(split="test")):
        assert cost.kind(state.request) != cost.kind(other.request)
    assert cost.kind(State(metric="lambda_max").request) == cost.kind(State(metric="lambda_min").request)


def test_a_run_is_estimated_before_it_starts_from_one_like_it(monkeypatch):
    runner = Runner(State(metric="lambda_max"))
    request = runner.state.request
    monkeypatch.setitem(sources.load(request.model).pace, cost.kind(request), 0.08)
    runner.start(60.0)
    assert runner.state.cost == "About 40 s, some 500 evaluations"
    runner.close()


def test_a_run_costs_what_it_has_taken_and_what_its_rest_will_which_is_slower_than_a_draft():
    request = State().request
    assert not cost.learn(request, le.Progress(4, 300, 0.1, 9.0, 0.1), 500) and not cost.pace(request)
    drafting = le.Progress(100, 300, 1.0, 9.0, 0.1)  # 200 more that are planned, and true ones beyond them
    assert cost.left(drafting, 300) == 9.0 and cost.left(drafting, 500) == pytest.approx(29.0)
    assert cost.learn(request, drafting, 500)
    assert cost.sentence(500, cost.pace(request)) == "About 30 s, some 500 evaluations"
    assert cost.learn(request, le.Progress(300, 300, 18.0, 0.0, 0.1), 300)
    assert cost.sentence(300, cost.pace(request)) == "About 18 s, some 300 evaluations"
