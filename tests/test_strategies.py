"""Every strategy of evaluation gives the values of the plain loop, and the choice between them is an honest one."""

import json
import shutil
import threading
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import odd_models
from landscape_engine.evaluation import STRATEGIES, probe, strategies
from landscape_engine.metrics import Accuracy, Examples, GradientNorm, Loss

ELSEWHERE = ("streamed", "CUDA graph")  # what is streamed leaves no choice; what wants a GPU is in test_cuda.py
OTHERS = [name for name in STRATEGIES if name not in ("loop", *ELSEWHERE)]
POINTS = [(a, b) for a in (-0.7, 0.0, 0.4) for b in (-0.2, 0.0, 0.9)]


@pytest.fixture(autouse=True)
def circumstances(monkeypatch):
    """Two threads, and a compiler that is quick since it leaves the machine code to PyTorch."""
    monkeypatch.setattr(strategies.Compiled, "backend", "eager")
    count = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(count)
    torch._dynamo.reset()


def data(dtype=torch.float32, count=17):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 4, generator=generator).to(dtype), torch.arange(count) % 3


def found_by(name, subspace, metrics, points=POINTS):
    """Values and standard errors at points, all of them by the strategy of this name; None if it does not fit."""
    evaluator = le.Evaluator(subspace, metrics, "loop")
    kind = STRATEGIES[name]
    if not kind.fits(subspace, evaluator.pipeline, evaluator._model):
        return None
    made = kind(subspace, evaluator.pipeline, evaluator._model)
    with torch.no_grad():
        found = [made(points[k : k + 4]) for k in range(0, len(points), 4)]
    return [estimates for chunk in found for estimates in chunk]


def as_array(found):
    return np.array([[(e.value, e.stderr) for _, e in sorted(estimates.items())] for estimates in found], dtype=float)


@pytest.mark.parametrize("size", [5, 4096])
@pytest.mark.parametrize("name", odd_models.NAMES)
@pytest.mark.parametrize("strategy", [*OTHERS, "streamed"])
def test_values_and_standard_errors_are_those_of_the_loop(strategy, name, size):
    model, _ = odd_models.build(name)
    dtype = next(iter(model.parameters.values())).dtype
    inputs, targets = data(dtype)
    batches = list(zip(inputs.split(size), targets.split(size), strict=True))
    examples = Examples(batches, keep=False) if strategy == "streamed" else Examples((inputs, targets), size)
    metrics = [Loss(F.cross_entropy, data=examples), Accuracy(data=examples)]
    plane = le.Plane.random(model, normalization="none", extent=0.5)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some layers are vectorized badly
            found = found_by(strategy, plane, metrics)
    except RuntimeError:  # others not at all, which the probe notices
        assert strategy == "vmap"
        return
    if found is None:  # for models of other types, batches and statistics the loop stays
        assert strategy == "vmap" or dtype == torch.float16
        return
    wanted = as_array(found_by("loop", plane, metrics))
    tolerance = {torch.float16: 2e-2, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    np.testing.assert_allclose(as_array(found), wanted, rtol=tolerance, atol=tolerance)


class Shifted(nn.Module):
    """Looks at its inputs, at a view of them, and at something computed from them."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.a(x) + self.b(x.flatten(1)) * self.c(x * 2)


class Convolved(nn.Module):
    """A convolution with all its options, then a linear layer."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 3, stride=2, padding=1, dilation=1, groups=2), nn.Linear(16, 3)

    def forward(self, x):
        return self.last(F.relu(self.first(x)).flatten(1))


class Normalized(nn.Module):
    """A convolution, batch norm that is stored, and an activation in place of what went into it."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(16, 3)
        self.norm.running_mean.uniform_(-1, 1), self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.norm(self.first(x - 0.5))
        F.relu_(x)
        return self.last(x.flatten(1))


PREFIXES = {
    Shifted: {"a.weight", "a.bias", "b.weight", "b.bias", "c.weight", "c.bias"},
    Convolved: {"first.weight", "first.bias"},
    Normalized: {"first.weight", "first.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"},
}


def reused(model, metrics, points=((-0.5,), (0.0,), (0.3,)), **options):
    """The reuse strategy on a line, and its values, which are those of the loop."""
    line = le.Line.random(model, normalization="none", one_dimensional=True, **options)
    evaluator = le.Evaluator(line, metrics, "loop")
    made = STRATEGIES["first-layer reuse"](line, evaluator.pipeline, evaluator._model)
    with torch.no_grad():
        found = made(points)
    np.testing.assert_allclose(as_array(found), as_array(found_by("loop", line, metrics, points)), rtol=1e-11)
    return made


@pytest.mark.parametrize("module", PREFIXES)
def test_what_comes_before_the_point_matters_is_computed_once(module):
    torch.manual_seed(0)
    model = module().double()
    inputs = torch.randn(7, 4) if module is Shifted else torch.randn(7, 2, 4, 4)
    made = reused(model, Loss(F.cross_entropy, inputs.double(), torch.arange(7) % 3))
    still = {"norm.weight", "norm.bias"} if module is Normalized else set()  # they move, and so end the prefix
    assert made._prefix._used == PREFIXES[module] - still - {n for n in PREFIXES[module] if "running" in n}


def test_batch_norm_that_stays_is_part_of_what_is_affine():
    torch.manual_seed(0)
    wrapped = le.ModelWrapper(Normalized().double(), parameters=["first.*", "last.*"])
    inputs = torch.randn(7, 2, 4, 4).double()
    made = reused(wrapped, Loss(F.cross_entropy, inputs, torch.arange(7) % 3))
    assert made._prefix._used == PREFIXES[Normalized]


def test_layers_that_a_subspace_leaves_alone_are_computed_once():
    torch.manual_seed(0)
    wrapped = le.ModelWrapper(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double(), parameters="2.*")
    made = reused(wrapped, Loss(F.cross_entropy, *data(torch.float64)))
    assert made._prefix._used == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert not made._prefix._asked  # no parameter was formed at any point


def test_little_memory_keeps_nothing_and_changes_no_value(monkeypatch):
    monkeypatch.setattr("landscape_engine.evaluation.prefix.MEMORY", 100)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    assert not reused(model, Loss(F.cross_entropy, *data(torch.float64)))._prefix._used


def test_gradients_leave_the_loop():
    plane = le.Plane.random(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)))
    assert found_by("first-layer reuse", plane, GradientNorm(Loss(F.cross_entropy, *data()))) is None


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def recorded(landscape):
    return json.loads(landscape.attrs["provenance"])["strategy"]


@pytest.fixture
def clock(monkeypatch):
    """Makes time depend on the strategy alone: a point takes one second, by the one that is said to win a third."""
    state = {"wins": "loop"}

    def timed(self, strategy, points):
        with torch.no_grad():
            return strategy(points), 0.33 if strategy.name == state["wins"] else 1.0

    monkeypatch.setattr(probe._Trial, "_timed", timed)
    monkeypatch.setattr(probe, "MOST", 1e9)
    return state


def chosen(subspace, metrics, points):
    """What a probe takes for a run of many points, and all that has been found on the way."""
    evaluator = le.Evaluator(subspace, metrics)
    found = evaluator.many(points[:2], planned=10_000)
    best, more = probe.choose(evaluator._strategy, evaluator._known, 1.0, points[2:], planned=10_000)
    return best, found + more


@pytest.mark.parametrize("fastest", ["loop", *OTHERS, "loop, 256 examples at a time", "loop, channels last"])
def test_the_fastest_of_those_that_agree_is_taken_and_nothing_is_computed_twice(fastest, clock, monkeypatch):
    clock["wins"] = fastest
    monkeypatch.setattr(strategies.Compiled, "offered", True)
    torch.manual_seed(0)
    model, inputs = small(), torch.randn(300, 4)
    if "channels" in fastest:
        model, inputs = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(16, 3)), torch.randn(300, 2, 4, 4)
    plane, loss = le.Plane.random(model), Loss(F.cross_entropy, inputs, torch.arange(300) % 3)
    points = [(0.01 * k, 0.02 * k) for k in range(24)]
    best, found = chosen(plane, loss, points)
    assert best.name == fastest
    wanted = found_by("loop", plane, loss, points[: len(found)])
    np.testing.assert_allclose(as_array(found), as_array(wanted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrong", OTHERS)
def test_a_strategy_that_gives_other_values_is_overruled_however_fast_it_is(wrong, clock, monkeypatch):
    clock["wins"] = wrong
    right = STRATEGIES[wrong].__call__

    def off_by_little(self, points):
        return [{n: e._replace(value=e.value * 1.001) for n, e in found.items()} for found in right(self, points)]

    monkeypatch.setattr(STRATEGIES[wrong], "__call__", off_by_little)
    loss = Loss(F.cross_entropy, *data())
    for asked in ("auto", wrong):
        *_, landscape = le.refine(loss, le.Plane.random(small()), resolution=17, tolerance=0, strategy=asked)
        assert recorded(landscape) == "loop"


def test_a_strategy_that_fails_at_many_points_at_once_is_not_taken(monkeypatch):
    right = STRATEGIES["vmap"].__call__

    def few_only(self, points):
        if len(points) > 2:
            raise torch.OutOfMemoryError("no room for them")
        return right(self, points)

    monkeypatch.setattr(STRATEGIES["vmap"], "__call__", few_only)
    *_, landscape = le.refine(Loss(F.cross_entropy, *data()), le.Plane.random(small()), resolution=17, tolerance=0)
    assert not recorded(landscape).startswith("vmap") and np.isfinite(landscape["loss"].values).all()


def test_a_choice_of_options_is_forced_by_the_name_it_is_recorded_under():
    loss = Loss(F.cross_entropy, *data())
    for name in ("first-layer reuse, 5 examples at a time", "vmap, 6 examples at a time", "loop, channels last"):
        *_, landscape = le.refine(loss, le.Plane.random(small()), resolution=9, tolerance=0, strategy=name)
        assert recorded(landscape) == name


@pytest.mark.parametrize("rows", [1, 5, 16])
@pytest.mark.parametrize("kind", ["loop", "streamed", *OTHERS])
def test_few_examples_at_a_time_change_no_value(kind, rows):
    torch.manual_seed(0)
    model = small().double()
    metrics = [Loss(F.cross_entropy, *(xy := data(torch.float64))), Accuracy(*xy)]
    plane = le.Plane.random(model)
    evaluator = le.Evaluator(plane, metrics, "loop")
    made = STRATEGIES[kind](plane, evaluator.pipeline, evaluator._model, strategies.Options(rows))
    assert made.rows == rows
    with torch.no_grad():
        found = made(POINTS)
    np.testing.assert_allclose(as_array(found), as_array(found_by("loop", plane, metrics)), rtol=1e-12)


def test_channels_last_changes_no_value():
    torch.manual_seed(0)
    model = Normalized().double()
    plane = le.Plane.random(model)
    loss = Loss(F.cross_entropy, torch.randn(9, 2, 4, 4).double(), torch.arange(9) % 3)
    evaluator = le.Evaluator(plane, loss, "loop")
    made = evaluator._strategy.altered(channels_last=True, rows=4)
    batch, _ = next(iter(made.pipeline.data[0].batches()))
    assert batch.is_contiguous(memory_format=torch.channels_last) and len(batch) == 4
    with torch.no_grad():
        np.testing.assert_allclose(as_array(made(POINTS)), as_array(found_by("loop", plane, loss)), rtol=1e-12)


def test_a_loss_of_all_examples_and_statistics_of_a_batch_keep_their_batches():
    inputs, targets = data()
    whole = Loss(lambda outputs, y: (outputs[:, 0] - y).abs().max(), inputs, targets)
    batch = le.ModelWrapper(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), batch_norm="batch")
    for model, loss in ((small(), whole), (batch, Loss(F.cross_entropy, inputs, targets))):
        plane = le.Plane.random(model)
        assert le.Evaluator(plane, loss)._strategy.altered(rows=5) is None
    name = "loop, 5 examples at a time"
    *_, landscape = le.refine(Loss(F.cross_entropy, inputs, targets), plane, resolution=9, tolerance=0, strategy=name)
    assert recorded(landscape) == "loop"


def test_a_probe_costs_no_more_than_its_share_of_the_run(monkeypatch):
    spent = []

    def slow(self, strategy, points):
        spent.append((strategy.name, len(points)))
        return strategy(points), 1.0

    monkeypatch.setattr(probe._Trial, "_timed", torch.no_grad()(slow))
    best, _ = chosen(le.Plane.random(small()), Loss(F.cross_entropy, *data()), POINTS)
    assert best.name == "loop"  # a point takes more than the probe may
    assert spent == []


class Hungry(nn.Module):
    """Takes more memory than there is for more than five examples."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        if len(x) > 5:
            raise torch.OutOfMemoryError("no memory for so many examples")
        return self.layer(x)


def test_where_memory_ends_fewer_examples_are_taken_at_a_time():
    torch.manual_seed(0)
    model, (inputs, targets) = Hungry(), data()
    plane = le.Plane.random(model)
    evaluator = le.Evaluator(plane, Loss(F.cross_entropy, inputs, targets))
    found = evaluator.many(POINTS)
    assert evaluator.strategy == "loop, 4 examples at a time"
    wanted = found_by("loop", plane, Loss(F.cross_entropy, inputs, targets, batch_size=5))
    np.testing.assert_allclose(as_array(found), as_array(wanted), rtol=1e-5)


def test_where_batches_are_given_and_memory_ends_it_is_an_error():
    model = Hungry()
    loss = Loss(F.cross_entropy, data=[data()])  # a batch that was given stays as it is
    with pytest.raises(le.EvaluationError, match="no memory for so many examples"):
        le.Evaluator(le.Plane.random(model), loss).many(POINTS)


@pytest.mark.parametrize("name", ["loop", *OTHERS])
def test_a_landscape_by_any_strategy_is_the_same_and_says_which_it_was(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    metrics = [Loss(F.cross_entropy, *(xy := data())), Accuracy(*xy)]
    plane = le.Plane.random(model)
    *_, wanted = le.refine(metrics, plane, resolution=17, tolerance=0.01, strategy="loop")
    *_, found = le.refine(metrics, plane, resolution=17, tolerance=0.01, strategy=name)
    assert recorded(found) == name
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-5)
    assert (found["evaluated"] == wanted["evaluated"]).all()


def test_compiled_to_machine_code_the_values_are_the_same(monkeypatch):
    monkeypatch.setattr(strategies.Compiled, "backend", "inductor")
    plane, loss = le.Plane.random(small()), Loss(F.cross_entropy, *data())
    *_, wanted = le.refine(loss, plane, resolution=9, tolerance=0, strategy="loop")
    *_, found = le.refine(loss, plane, resolution=9, tolerance=0, strategy="compiled")
    assert recorded(found) == ("compiled" if shutil.which("g++") or shutil.which("clang++") else "loop")
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-5)


def test_each_of_many_models_is_compiled():
    loss = Loss(F.cross_entropy, *data())
    for width in range(8, 20):  # PyTorch gives up after eight
        model = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 3))
        before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        *_, landscape = le.refine(loss, le.Plane.random(model), resolution=5, tolerance=0, strategy="compiled")
        assert recorded(landscape) == "compiled"
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > before


def test_threads_leave_the_threads_of_others_alone():
    plane, loss = le.Plane.random(small()), Loss(F.cross_entropy, *data())
    *_, landscape = le.refine(loss, plane, resolution=9, tolerance=0, strategy="threads")
    assert recorded(landscape) == "threads"
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *seen] == [2, 2]


class Fragile(nn.Module):
    """Fails where its only weight is large."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 3))

    def forward(self, x):
        if self.weight.abs().max() > 3:
            raise RuntimeError("too large")
        return x @ self.weight


def test_of_points_evaluated_together_the_one_that_fails_is_named():
    line = le.Line.from_directions(Fragile(), [{"weight": torch.ones(4, 3)}], bounds=[(-1.0, 5.0)])
    evaluator = le.Evaluator(line, Loss(F.cross_entropy, *data()), "threads")
    evaluator.many([(0.0,), (0.5,)])
    assert evaluator.strategy == "threads"
    with pytest.raises(le.EvaluationError, match=r"the evaluation at alpha = 4 failed \(RuntimeError: too large\)"):
        evaluator.many([(1.0,), (4.0,)])


def test_models_that_cannot_be_vectorized_are_looped():
    torch.manual_seed(0)
    model, _ = odd_models.build("LSTM")
    *_, landscape = le.refine(Loss(F.cross_entropy, *data()), le.Plane.random(model), resolution=9, strategy="vmap")
    assert '"strategy": "loop"' in landscape.attrs["provenance"]


def test_a_strategy_that_does_not_exist_is_refused():
    line = le.Line.random(nn.Linear(4, 3))
    with pytest.raises(
        le.ChoiceError,
        match="strategy must be one of auto, loop, streamed, first-layer reuse, vmap, CUDA graph, threads, compiled",
    ):
        le.refine(Loss(F.cross_entropy, *data()), line, strategy="fastest").__next__()


class Read(torch.utils.data.Dataset):
    """Examples made when they are asked for, which are counted."""

    def __init__(self, inputs, targets):
        self.inputs, self.targets, self.reads = inputs, targets, 0

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, k):
        self.reads += 1
        return self.inputs[k], self.targets[k]


def test_streamed_data_are_read_once_for_a_whole_line_and_never_kept():
    model, (inputs, targets) = nn.Linear(4, 3).double(), data(torch.float64, 40)
    source = Read(inputs, targets)
    examples = Examples(source, batch_size=8, keep=False)
    *_, found = le.refine(Loss(F.cross_entropy, data=examples), le.Line.random(model), resolution=41, tolerance=0)
    # And the first batch: for the model's check, to know the data again, and to see that sharing gives the same values.
    assert source.reads == 40 + 3 * 8
    assert examples._kept is None
    assert json.loads(found.attrs["provenance"])["strategy"] == "streamed"
    line = le.Line.random(model)
    for k in (0, 17, 40):
        state = line.state_at((float(found["alpha"][k]),))
        expected = F.cross_entropy(inputs @ state["weight"].T + state["bias"], targets)
        assert float(found["loss"][k]) == pytest.approx(float(expected), rel=1e-12)


def streamed_by(model):
    """The strategy for streamed data on a line, after it was used."""
    examples = Examples(Read(*data(torch.float64, 40)), batch_size=8, keep=False)
    line, loss = le.Line.random(model, normalization="none"), Loss(F.cross_entropy, data=examples)
    evaluator = le.Evaluator(line, loss)
    found = evaluator.many([(-0.5,), (0.0,), (0.3,)])
    wanted = le.Evaluator(line, Loss(F.cross_entropy, *data(torch.float64, 40))).many([(-0.5,), (0.0,), (0.3,)])
    np.testing.assert_allclose(as_array(found), as_array(wanted), rtol=1e-12)
    return evaluator._strategy


def test_points_of_one_pass_share_the_products_of_the_first_layer():
    assert streamed_by(small().double())._prefix._used == {"0.weight", "0.bias"}


class Fickle(nn.Module):
    """Looks at the type of its parameters, which is not that of plain ones where they are shared."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x) if type(self.layer.weight) in (torch.Tensor, nn.Parameter) else 2 * self.layer(x)


def test_derivatives_are_taken_of_the_plain_model():
    examples = Examples(Read(*data(torch.float64, 40)), batch_size=8, keep=False)
    loss = Loss(F.cross_entropy, data=examples)
    evaluator = le.Evaluator(le.Line.random(small().double()), [loss, GradientNorm(loss, name="slope")])
    assert evaluator.strategy == "streamed"
    assert evaluator._strategy._prefix is None


def test_what_would_give_other_values_is_not_shared():
    assert streamed_by(Fickle().double())._prefix is None


def test_what_can_be_read_once_only_is_not_streamed():
    with pytest.raises(le.ChoiceError, match="data must be what can be read more than once, or keep=True"):
        Examples(iter([data()]), keep=False)


def test_derivatives_of_streamed_data_read_them_at_each_point():
    model, (inputs, targets) = nn.Linear(4, 3).double(), data(torch.float64)
    line, kept = le.Line.random(model), Loss(F.cross_entropy, inputs, targets)
    streamed = Loss(F.cross_entropy, data=Examples(Read(inputs, targets), batch_size=8, keep=False))
    values = [le.evaluate(line, GradientNorm(loss, name="slope"), [(0.2,), (0.5,)]) for loss in (kept, streamed)]
    np.testing.assert_allclose(values[1]["slope"], values[0]["slope"], rtol=1e-12)


def test_a_subset_of_streamed_data_is_kept():
    inputs, targets = data(torch.float64, 40)
    few = Examples(Read(inputs, targets), batch_size=8, keep=False).subset(10)
    own = Examples((inputs, targets)).subset(10)
    assert not few.streamed
    torch.testing.assert_close(torch.cat([b[0] for b in few.batches()]), next(own.batches())[0])
