"""Directions kept as seeds: the numbers of stored ones, made again, and never whole in memory."""

import hashlib
import json
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

import landscape_engine as le
import odd_models
from landscape_engine.directions import Seeds
from landscape_engine.directions.seeds import draw
from landscape_engine.metrics import BetaSmoothness, Loss
from landscape_engine.models import wrap_model
from landscape_engine.normalization import NORMALIZATIONS
from landscape_engine.parameters import PIECE


class Parted(nn.Module):
    """Tensors of several pieces, of shapes that do not divide into them, and one whose rows are its second axis."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Linear(301, 503)
        self.transposed = nn.ConvTranspose2d(36, 70, (5, 7), groups=2)
        self.table = nn.Embedding(PIECE + 3, 1)
        self.long = nn.Parameter(torch.randn(PIECE * 2 + 7))
        self.token = nn.Parameter(torch.randn(1, 1, PIECE + 11))


MODELS = {
    **odd_models.MODULES,
    "in parts": Parted,
    "transposed in groups": lambda: nn.ConvTranspose2d(4, 6, 3, groups=2),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)),
    "channels last": lambda: nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last),
}


def built(name):
    torch.manual_seed(0)
    return MODELS[name]()


@pytest.mark.filterwarnings("ignore:.*leaves of parametrized weights")
@pytest.mark.parametrize("one_dimensional", [False, True])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("name", MODELS)
def test_seeds_give_the_numbers_of_stored_directions_bit_by_bit(name, normalization, one_dimensional):
    model = built(name)
    options = {"normalization": normalization, "seed": 3, "one_dimensional": one_dimensional}
    stored, made = (le.Plane.random(model, keep=keep, **options) for keep in ("tensors", "seeds"))
    for a, b in zip(stored.directions, made.directions, strict=True):
        assert list(a) == list(b)
        for n in a:
            assert torch.equal(a[n], b[n]) and a[n].dtype == b[n].dtype, n
    for where in [(0.0, 0.0), (0.7, 0.0), (0.0, -0.3), (0.7, -0.3)]:
        a, b = stored.state_at(where), made.state_at(where)
        assert list(a) == list(b)
        assert all(torch.equal(a[n], b[n]) and a[n].dtype == b[n].dtype for n in a)
    kept = {"kept": None}
    assert stored.facts | kept == made.facts | kept
    assert (stored.facts["kept"], made.facts["kept"]) == ("tensors", "seeds")


def normal(count):
    """A network in three parts, and a loss of it."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    return model, Loss(F.cross_entropy, torch.randn(count, 4), torch.randint(0, 3, (count,)))


@pytest.mark.parametrize("shape", [(), (7,), (0, 3), (PIECE + 1,), (PIECE + 16,), (401, 503), (3, PIECE // 2, 3)])
def test_pieces_are_filled_with_the_numbers_that_fill_the_tensor_at_once(shape):
    key = hashlib.sha256(b"5/1/a.name").digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)
    expected = torch.randn(shape, generator=generator)
    found = torch.cat([piece.reshape(-1) for piece in draw(shape, 5, 1, "a.name")])
    assert torch.equal(found, expected.reshape(-1))


@pytest.mark.parametrize("kind", [le.Line, le.Cube])
def test_lines_and_cubes_can_be_kept_as_seeds_too(kind):
    model, where = built("plain"), (0.3, -0.2, 0.9)
    stored, made = (kind.random(model, seed=4, one_dimensional=True, keep=keep) for keep in ("tensors", "seeds"))
    a, b = (subspace.state_at(where[: len(stored.dims)]) for subspace in (stored, made))
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert stored.facts["directions"] == made.facts["directions"]


@pytest.mark.parametrize("axes", [0, -1, (1, 2), (2, 0)])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_weights_whose_units_are_on_other_axes_can_be_kept_as_seeds(axes, normalization):
    arrays = {"w": np.random.default_rng(0).normal(size=(3, 4, 5)), "b": np.ones(5)}
    model = le.wrap_arrays(arrays, lambda tensors, x: x, unit_axis={"w": axes})
    stored, made = (le.Plane.random(model, normalization, keep=keep) for keep in ("tensors", "seeds"))
    for a, b in zip(stored.directions, made.directions, strict=True):
        assert all(torch.equal(a[n], b[n]) for n in arrays)


@pytest.mark.parametrize("strategy", ["auto", "first-layer reuse", "vmap"])
def test_a_landscape_is_the_same_whatever_is_kept(strategy):
    model, loss = normal(30)
    found = []
    for keep in ("tensors", "seeds"):
        plane = le.Plane.random(model, seed=2, keep=keep)
        *_, landscape = le.refine(loss, plane, resolution=17, tolerance=0, strategy=strategy)
        assert json.loads(landscape.attrs["provenance"])["subspace"]["kept"] == keep
        found.append(landscape["loss"].values)
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_pairs_of_neighbors_are_measured_on_a_line_kept_as_seeds():
    model, loss = normal(30)
    points = [(a,) for a in np.linspace(-1, 1, 5)]
    lines = [le.Line.random(model, seed=2, keep=keep) for keep in ("tensors", "seeds")]
    found = [le.evaluate(line, BetaSmoothness(loss), points)["beta_smoothness"] for line in lines]
    assert np.isfinite(found[0][1:]).all()
    np.testing.assert_array_equal(*found)


def test_several_threads_make_the_same_point():
    model = built("in parts")
    plane = le.Plane.random(model, keep="seeds")
    before = torch.get_num_threads()
    one = plane.state_at((0.3, 0.7))
    try:
        torch.set_num_threads(3)
        several, again = plane.state_at((0.3, 0.7)), le.Plane.random(model, keep="seeds")
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one[n], several[n]) for n in one)
    assert again.facts["directions"] == plane.facts["directions"]


def test_seeds_are_kept_where_the_tensors_would_take_much_memory(monkeypatch):
    model = nn.Linear(16, 16)  # 272 numbers
    assert le.Plane.random(model).facts["kept"] == "tensors"
    monkeypatch.setattr("landscape_engine.directions.random.KEPT", 2 * 4 * 272)
    assert le.Plane.random(model).facts["kept"] == "tensors"
    assert le.Cube.random(model).facts["kept"] == "seeds"
    assert le.Plane.random(model.double()).facts["kept"] == "seeds"
    assert le.Plane.random(model, keep="tensors").facts["kept"] == "tensors"
    with pytest.raises(le.ChoiceError, match="keep must be one of auto, tensors, seeds"):
        le.Plane.random(model, keep="both")


def test_no_tensor_of_a_direction_is_whole_while_points_are_evaluated(monkeypatch):
    model, loss = normal(30)
    plane = le.Plane.random(model, keep="seeds")
    assert all(p.data_ptr() == plane.origin[n].data_ptr() for n, p in model.named_parameters())

    def refuse(*_):
        raise AssertionError("a direction is made")

    monkeypatch.setattr(Seeds, "tensor", refuse)
    *_, landscape = le.refine(loss, plane.scaled(0.5), resolution=17, strategy="loop")
    assert np.isfinite(landscape["loss"]).all()


def test_one_point_is_held_at_a_time(monkeypatch):
    model, loss = normal(30)
    plane, alive, most = le.Plane.random(model, keep="seeds"), [], []

    def counted(self, origin, coordinates, make=Seeds.point):
        most.append(sum(reference() is not None for reference in alive))
        found = make(self, origin, coordinates)
        if any(coordinates):  # the origin is the model itself
            alive.append(weakref.ref(found["0.weight"]))
        return found

    monkeypatch.setattr(Seeds, "point", counted)
    *_, landscape = le.refine(loss, plane, resolution=33, tolerance=0)
    assert len(most) >= 33**2 and max(most) == 0
    assert json.loads(landscape.attrs["provenance"])["strategy"] in ("loop", "first-layer reuse")


def step(optimizer):
    def change(model):
        model(torch.ones(1, 4)).sum().backward()
        optimizer(model.parameters()).step()

    return change


CHANGES = {
    "SGD": step(lambda p: torch.optim.SGD(p, 0.1)),
    "fused Adam": step(lambda p: torch.optim.Adam(p, fused=True)),  # does not count its changes
    "data": lambda model: model[2].weight.data.mul_(2),
    "weights loaded": lambda model: model.load_state_dict({n: p + 1 for n, p in model.state_dict().items()}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_that_was_trained_meanwhile_is_refused_where_its_numbers_are_shared(change):
    model, loss = normal(30)
    other = wrap_model(normal(30)[0]).snapshot()
    copied, shared = (le.Plane.random(model, keep=keep) for keep in ("tensors", "seeds"))
    before = le.evaluate(copied, loss, [(0.1, 0.2)])["loss"]
    np.testing.assert_array_equal(le.evaluate(shared, loss, [(0.1, 0.2)])["loss"], before)
    CHANGES[change](model)
    np.testing.assert_array_equal(le.evaluate(copied, loss, [(0.1, 0.2)])["loss"], before)
    said = r"the model does not fit what was built from it: parameter '\d\.\w+' has changed since.*Build it again"
    for use in (
        lambda: le.evaluate(shared, loss, [(0.1, 0.2)]),
        lambda: shared.state_at((0.0, 0.0)),
        lambda: shared.project(other),
        lambda: shared.scaled(2.0).state_at((1.0, 1.0)),
    ):
        with pytest.raises(le.MismatchError, match=said):
            use()


def test_a_model_that_only_learns_whether_to_learn_is_still_the_same():
    model, loss = normal(30)
    plane = le.Plane.random(model, keep="seeds")
    model.train().requires_grad_(False).eval()
    le.evaluate(plane, loss, [(0.1, 0.2)])


def test_directions_kept_as_seeds_are_saved_and_cut_another_model_alike(tmp_path):
    torch.manual_seed(0)
    first, second = Parted(), Parted()
    planes = {keep: le.Plane.random(first, seed=5, keep=keep) for keep in ("tensors", "seeds")}
    for keep, plane in planes.items():
        plane.spanned_by.save(tmp_path / keep)
        for n, found in load_file(tmp_path / keep).items():
            assert torch.equal(found, torch.stack([d[n] for d in planes["tensors"].directions]))
    expected = le.Plane.from_directions(second, planes["tensors"].spanned_by).state_at((0.5, -2.0))
    loaded = [(le.Directions.load(tmp_path / keep), "tensors") for keep in planes]
    for spanned, kept in [(planes["seeds"].spanned_by, "seeds"), *loaded]:
        found = le.Plane.from_directions(second, spanned)
        assert found.facts["kept"] == kept
        state = found.state_at((0.5, -2.0))
        assert all(torch.equal(state[n], expected[n]) for n in expected)


def test_seeds_of_a_model_of_another_type_are_made_and_cast():
    model = built("plain")
    plane = le.Plane.random(model, keep="seeds")
    found = le.Plane.from_directions(built("plain").double(), plane.spanned_by)
    assert found.facts["kept"] == "tensors"
    assert all(torch.equal(found.directions[1][n], d.double()) for n, d in plane.directions[1].items())
    swapped = le.Plane.from_directions(model, plane.directions[::-1])
    a, b = plane.state_at((0.3, 0.7)), swapped.state_at((0.7, 0.3))
    assert all(torch.allclose(a[n], b[n], rtol=1e-6, atol=1e-7) for n in a)


@pytest.mark.parametrize("keep", ["tensors", "seeds"])
def test_what_has_no_direction_is_refused_whatever_is_kept(keep):
    scalar = nn.Module()
    scalar.only = nn.Parameter(torch.ones(()))
    with pytest.raises(le.DirectionError, match="span no plane"):
        le.Plane.random(scalar, "none", keep=keep)
    with pytest.raises(le.DirectionError, match="the direction moves nothing: under normalization 'filter'"):
        le.Line.random(scalar, "filter", keep=keep)
    with pytest.raises(le.ChoiceError, match="normalization must be one of"):
        le.Line.random(scalar, "Filter", keep=keep)


MEMORY = """
import torch, landscape_engine as le
from landscape_engine.metrics import Loss

torch.set_num_threads(1)

def plane(width, depth):
    model = torch.nn.Sequential(*[torch.nn.Linear(width, width) for _ in range(depth)])
    loss = Loss(torch.nn.functional.mse_loss, torch.randn(4, width), torch.randn(4, width))
    found = le.Plane.random(model, keep="seeds")
    le.evaluate(found, loss, [(0.3, 0.2), (0.1, -0.5), (0.0, 1.0)])
    list(le.refine(loss, found, resolution=2, tolerance=0))
    return sum(p.numel() for p in model.parameters()) * 4

def peak():
    with open("/proc/self/status") as lines:  # unlike what getrusage tells, without that of the parent
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

plane(4, 3)
before = peak()
size = plane(1300, 12)
print((peak() - before) / size)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="it is Linux that tells the largest memory")
def test_a_plane_takes_the_model_one_point_and_little_more():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEMORY]
    told = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert 1.5 < float(told) < 2.5


def test_a_point_of_a_half_precision_model_is_cast_tensor_by_tensor(monkeypatch):
    model = nn.Sequential(*[nn.Linear(6, 6) for _ in range(4)]).bfloat16()
    stored, made = (le.Plane.random(model, keep=keep) for keep in ("tensors", "seeds"))
    wrapper, alive, most = wrap_model(model), [], []

    def counted(self, *given, make=Seeds.moved):
        most.append(sum(reference() is not None for reference in alive))
        found = make(self, *given)
        alive.append(weakref.ref(found))
        return found

    monkeypatch.setattr(Seeds, "moved", counted)
    expected, found = (wrapper.at(plane.state_at((0.3, 0.7))).parameters for plane in (stored, made))
    assert all(torch.equal(found[n], expected[n]) and found[n].dtype == torch.bfloat16 for n in expected)
    assert len(most) == 8 and max(most) == 0
