"""Checkpoints: recorded, kept in files, read again, averaged, and the path between them."""

import os
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import landscape_engine as le
import odd_models


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def recorded(count=4):
    """A network that moves, with batch-norm statistics and a batch counter."""
    model = network()
    recorder = le.TrajectoryRecorder(model)
    copies = []
    for k in range(count):
        model(torch.randn(8, 3) + k)
        with torch.no_grad():
            for p in model.parameters():
                p += 0.1 * torch.randn_like(p)
        recorder.record(10 * k)
        copies.append({n: t.clone() for n, t in model.state_dict().items()})
    return model, recorder.trajectory(), copies


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]), name


def test_the_recorder_copies_what_the_model_was_at_each_step():
    _, trajectory, copies = recorded()
    assert len(trajectory) == 4 and list(trajectory.steps) == [0, 10, 20, 30]
    for k, state in enumerate(copies):
        assert_equal(trajectory[k], state)
    assert_equal(trajectory[-1], copies[-1])
    assert trajectory.states["1.num_batches_tracked"].tolist() == [1, 2, 3, 4]


def test_a_trajectory_is_read_bit_by_bit_as_it_was_written(tmp_path):
    _, trajectory, _ = recorded()
    states = {**trajectory.states, "half": torch.randn(4, 2, 3).half(), "strided": torch.randn(3, 4).T}
    trajectory = le.Trajectory(states, trajectory.steps)
    trajectory.save(tmp_path / "run.safetensors")
    again = le.Trajectory.load(tmp_path / "run.safetensors")
    assert_equal(dict(trajectory.states), dict(again.states))
    assert again.states["1.num_batches_tracked"].dtype == torch.int64
    assert list(again.steps) == list(trajectory.steps)


def test_the_final_checkpoint_loads_into_the_network(tmp_path):
    model, trajectory, _ = recorded()
    trajectory.save(str(tmp_path / "run.safetensors"))
    other = network(1)
    other.load_state_dict(le.Trajectory.load(str(tmp_path / "run.safetensors"))[-1])
    assert_equal(model.state_dict(), other.state_dict())


def test_the_path_is_exact_at_checkpoints_and_linear_between_them():
    _, trajectory, copies = recorded()
    for k, state in enumerate(copies):
        assert_equal(trajectory.at(k), state)
        assert_equal(trajectory.at(float(k)), state)
    for t, k, w in [(0.25, 0, 0.25), (1.5, 1, 0.5), (2.875, 2, 0.875)]:
        found = trajectory.at(t)
        for n in copies[0]:
            a, b = copies[k][n].double().numpy(), copies[k + 1][n].double().numpy()
            expected = a if n.endswith("num_batches_tracked") else (1 - w) * a + w * b
            np.testing.assert_allclose(found[n].double().numpy(), expected, rtol=1e-5, atol=1e-6)
            assert found[n].dtype == copies[k][n].dtype
        assert trajectory.step_at(t) == pytest.approx(10 * t)


@pytest.mark.parametrize("t", [-0.1, 3.1, float("nan")])
def test_there_is_no_path_beyond_its_ends(t):
    trajectory = recorded()[1]
    for ask in (trajectory.at, trajectory.step_at):
        with pytest.raises(le.ChoiceError, match="t must be between 0 and 3"):
            ask(t)


def with_metadata(**metadata):
    return lambda path: save_file({"w": torch.zeros(2)}, path, metadata=metadata or None)


def write_half(path):
    recorded()[1].save(path)
    path.write_bytes(path.read_bytes()[:-100])


FORMAT = "landscape-trajectory-1"
DAMAGED = {
    "garbage": lambda path: path.write_bytes(b"no tensors here, only text that is long enough"),
    "half": write_half,
    "nothing": lambda path: path.write_bytes(b""),
    "foreign": with_metadata(),
    "no steps": with_metadata(format=FORMAT),
    "steps cut off": with_metadata(format=FORMAT, steps="[0, 1"),
    "steps that are no list": with_metadata(format=FORMAT, steps="7"),
    "more steps than checkpoints": with_metadata(format=FORMAT, steps="[0, 1, 2]"),
    "missing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("write", DAMAGED.values(), ids=DAMAGED)
def test_a_file_that_is_no_trajectory_is_refused_by_name(tmp_path, write):
    path = tmp_path / "run.safetensors"
    write(path)
    with pytest.raises(le.FileFormatError) as caught:
        le.Trajectory.load(path)
    message = str(caught.value)
    assert str(path) in message and message.endswith("with Trajectory.save.") and "\n" not in message
    assert caught.value.path == path


@pytest.mark.parametrize("use", [le.Curve.along, le.Plane.trajectory])
def test_checkpoints_of_another_model_are_refused_with_the_parameter_and_both_shapes(use):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 5))
    with pytest.raises(le.MismatchError) as caught:
        use(model, recorded()[1])
    message = str(caught.value)
    assert "'2.weight'" in message and "(2, 4)" in message and "(5, 4)" in message
    assert (caught.value.parameter, caught.value.expected, caught.value.found) == ("2.weight", (5, 4), (2, 4))


def test_a_missing_and_a_surplus_parameter_are_named():
    _, trajectory, _ = recorded()
    fewer = le.Trajectory({n: s for n, s in trajectory.states.items() if n != "2.bias"}, trajectory.steps)
    with pytest.raises(le.MismatchError, match="parameter '2.bias' is missing"):
        le.Curve.along(network(), fewer)
    more = le.Trajectory({**trajectory.states, "3.weight": torch.zeros(4, 2)}, trajectory.steps)
    with pytest.raises(le.MismatchError, match="parameter '3.weight' is not in the model"):
        le.Curve.along(network(), more)


def test_tied_weights_and_scalars_are_recorded_and_read(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    model.register_parameter("scale", nn.Parameter(torch.tensor(2.0)))
    recorder = le.TrajectoryRecorder(model)
    for step in range(4):
        with torch.no_grad():
            model[0].weight += torch.randn(3, 3)
            model.scale += 1
        recorder.record(step)
    recorder.trajectory().save(tmp_path / "tied.safetensors")
    plane = le.Plane.trajectory(model, le.Trajectory.load(tmp_path / "tied.safetensors"))
    assert set(plane.directions[0]) == {"scale", "0.weight"}


def test_a_stack_that_does_not_fit_its_steps_is_refused():
    with pytest.raises(le.MismatchError, match=r"'w' has shape \(3, 2\), but there are 4 steps") as caught:
        le.Trajectory({"w": torch.zeros(3, 2)}, (0, 1, 2, 3))
    assert caught.value.parameter == "w"


@pytest.mark.parametrize("steps", [(0, 2, 1), (0, 1, 1)])
def test_steps_must_increase(steps):
    with pytest.raises(le.ChoiceError, match="steps must be increasing"):
        le.Trajectory({"w": torch.zeros(3, 2)}, steps)
    recorder = le.TrajectoryRecorder(network())
    recorder.record(steps[0])
    recorder.record(steps[1])
    with pytest.raises(le.ChoiceError, match=f"step must be greater than {steps[1]}"):
        recorder.record(steps[2])


@pytest.mark.parametrize("count", [0, 1])
def test_a_trajectory_needs_two_checkpoints(count):
    recorder = le.TrajectoryRecorder(network())
    for step in range(count):
        recorder.record(step)
    with pytest.raises(le.ChoiceError, match="two checkpoints or more"):
        recorder.trajectory()


def test_an_agent_of_two_networks_is_recorded_under_the_names_of_its_wrapper():
    wrapper, _ = odd_models.build("agent")
    recorder = le.TrajectoryRecorder(wrapper)
    recorder.record(0)
    with torch.no_grad():
        for parameter in wrapper.get_model().head.parameters():
            parameter.add_(1)
    recorder.record(5)
    trajectory = recorder.trajectory()
    assert set(trajectory.states) == set(wrapper.parameters)
    moved = trajectory[1]["head.weight"] - trajectory[0]["head.weight"]
    torch.testing.assert_close(moved, torch.ones_like(moved))
    assert torch.equal(trajectory[1]["body.weight"], trajectory[0]["body.weight"])
    assert le.Curve.along(wrapper, trajectory).bounds == ((0.0, 1.0),)


def drift(model, k):
    """Training step k of a network: the same numbers whoever makes it."""
    generator = torch.Generator().manual_seed(k)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator)


def run_of(recorder, model, steps):
    for k in steps:
        drift(model, k)
        recorder.record(k)
    return recorder


@pytest.mark.parametrize("kind", [int, np.int64, torch.tensor])
@pytest.mark.parametrize("on_disk", [False, True])
def test_steps_may_be_numbers_of_any_library(tmp_path, kind, on_disk):
    model = network()
    recorder = le.TrajectoryRecorder(model, path=tmp_path / "run" if on_disk else None)
    for k in (3, 5):
        recorder.record(kind(k))
    recorder.trajectory().save(tmp_path / "run.safetensors")
    assert le.Trajectory.load(tmp_path / "run.safetensors").steps == recorder.steps == (3, 5)
    le.Trajectory({"w": torch.zeros(2, 2)}, np.arange(2)).save(tmp_path / "run.safetensors")
    with pytest.raises(le.ChoiceError, match="step must be a whole number"):
        recorder.record(7.5)


def test_every_so_many_steps_are_kept_and_the_final_one_on_request():
    model = network()
    recorder = le.TrajectoryRecorder(model, every=10)
    kept = [step for step in range(35) if recorder.record(step)]
    assert kept == [0, 10, 20, 30]
    assert recorder.record(34, always=True)
    assert recorder.steps == recorder.trajectory().steps == (0, 10, 20, 30, 34)
    with pytest.raises(le.ChoiceError, match="every must be 1 or greater"):
        le.TrajectoryRecorder(model, every=0)


def test_a_recorder_that_goes_on_in_its_folder_ends_where_an_uninterrupted_one_ends(tmp_path):
    model = network()
    whole = run_of(le.TrajectoryRecorder(model, every=2), model, range(9)).trajectory()
    model = network()
    run_of(le.TrajectoryRecorder(model, every=2, path=tmp_path / "run"), model, range(5))
    (tmp_path / "run" / "step_000000006.safetensors.part").write_bytes(b"what was being written")
    recorder = le.TrajectoryRecorder(model, every=2, path=tmp_path / "run")
    assert recorder.steps == (0, 2, 4)
    run_of(recorder, model, range(5, 9))
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        f"step_{k:09d}.safetensors" for k in (0, 2, 4, 6, 8)
    ]
    for found in (recorder.trajectory(), le.Trajectory.from_folder(tmp_path / "run")):
        assert tuple(found.steps) == whole.steps
        assert_equal(dict(found.states), dict(whole.states))
        assert_equal(found.at(2.5), whole.at(2.5))


def test_training_that_resumes_from_an_earlier_step_forgets_what_came_after(tmp_path):
    for path in (None, tmp_path / "run"):
        model = network()
        recorder = run_of(le.TrajectoryRecorder(model, path=path), model, range(5))
        with pytest.raises(le.ChoiceError, match="step must be greater than 4, the step recorded before it"):
            recorder.record(3)
        recorder.rewind(2)
        assert recorder.steps == (0, 1, 2)
        recorder.record(3)
        assert_equal(recorder.trajectory()[-1], {n: t for n, t in model.state_dict().items()})


KILLED = """
import sys, torch, landscape_engine as le
model = torch.nn.Linear(200, 200)
recorder = le.TrajectoryRecorder(model, path=sys.argv[1])
for step in range(10**6):
    torch.nn.init.constant_(model.weight, step)
    recorder.record(step)
    print(step, flush=True)
"""


def test_a_killed_run_keeps_every_checkpoint_it_has_recorded(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        told = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
    assert told[-1] == "19\n"
    trajectory = le.Trajectory.from_folder(tmp_path / "run")
    assert list(trajectory.steps) == list(range(len(trajectory))) and len(trajectory) >= 20
    for k, step in enumerate(trajectory.steps):
        assert bool((trajectory[k]["weight"] == step).all())


def test_a_folder_of_another_network_is_not_recorded_into(tmp_path):
    le.TrajectoryRecorder(nn.Linear(3, 2), path=tmp_path).record(0)
    with pytest.raises(le.MismatchError, match=r"parameter 'weight' has shape \(2, 4\) in .*step_000000001"):
        le.TrajectoryRecorder(nn.Linear(4, 2), path=tmp_path).record(1)
    assert [p.name for p in tmp_path.iterdir()] == ["step_000000000.safetensors"]


@pytest.mark.parametrize("name", ["run.safetensors", "a file"])
def test_a_recorder_streams_into_a_folder_only(tmp_path, name):
    (tmp_path / "a file").write_text("in the way")
    with pytest.raises(le.ChoiceError, match="path must be a folder"):
        le.TrajectoryRecorder(network(), path=tmp_path / name)


@pytest.mark.parametrize("streamed", [False, True])
def test_half_precision_keeps_integers_and_what_is_too_large_for_it(tmp_path, streamed):
    model = network()
    recorder = le.TrajectoryRecorder(model, path=tmp_path / "run" if streamed else None, dtype=torch.float16)
    copies = []
    for k in range(3):
        drift(model, k)
        with torch.no_grad():
            model[1].running_var[0] = (1.0, 1e5, float("inf"))[k]  # above 65504 no float16 is finite
            model[1].num_batches_tracked += 100_000
        recorder.record(k)
        copies.append({n: t.clone() for n, t in model.state_dict().items()})
    trajectory = recorder.trajectory()
    for k, state in enumerate(copies):
        for name, tensor in state.items():
            if name == "1.running_var" or not tensor.is_floating_point():
                continue
            assert torch.equal(trajectory[k][name], tensor.half())
        assert trajectory[k]["1.num_batches_tracked"] == state["1.num_batches_tracked"]
    assert trajectory.states["1.num_batches_tracked"].dtype == torch.int64
    variances = trajectory.states["1.running_var"]
    assert trajectory.entries["1.running_var"].dtype == variances.dtype == torch.float32
    assert variances[:, 0].tolist() == [1.0, 1e5, float("inf")]
    middle = trajectory.at(0.25)  # formed in float32: not rounded to float16 again
    expected = 0.75 * copies[0]["0.weight"].half().float() + 0.25 * copies[1]["0.weight"].half().float()
    torch.testing.assert_close(middle["0.weight"], expected)
    with pytest.raises(le.ChoiceError, match="dtype must be a floating-point type"):
        le.TrajectoryRecorder(model, dtype=torch.int8)


def test_half_precision_halves_the_files(tmp_path):
    model = nn.Linear(300, 300)
    for dtype in (None, torch.float16):
        le.TrajectoryRecorder(model, path=tmp_path / str(dtype), dtype=dtype).record(0)
    full, half = (next((tmp_path / str(d)).iterdir()).stat().st_size for d in (None, torch.float16))
    assert half < 0.51 * full


def checkpoints(count=3):
    model = network()
    states = []
    for k in range(count):
        drift(model, k)
        states.append({n: t.clone() for n, t in model.state_dict().items()})
    return states


WAYS = {
    "a state dict": lambda state: state,
    "under state_dict": lambda state: {"epoch": 3, "state_dict": state, "loss": torch.tensor(0.1)},
    "under model, beside an optimizer": lambda state: {"model": state, "optimizer": {"state": {}, "lr": 0.1}},
    "under model_state_dict": lambda state: {"model_state_dict": state},
    "of DataParallel": lambda state: {f"module.{n}": t for n, t in state.items()},
    "compiled, in parallel": lambda state: {"model": {f"module._orig_mod.{n}": t for n, t in state.items()}},
    "averaged": lambda state: {"n_averaged": torch.tensor(3), **{f"module.{n}": t for n, t in state.items()}},
    "with an extra state": lambda state: {**state, "_extra_state": {"a": 1}},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_folder_of_torch_checkpoints_is_read_however_the_state_lies_in_them(tmp_path, way, zipped):
    states = checkpoints()
    for k, state in enumerate(states):
        torch.save(way(state), tmp_path / f"epoch_{k}.pt", _use_new_zipfile_serialization=zipped)
    trajectory = le.Trajectory.from_folder(tmp_path)
    for k, state in enumerate(states):
        assert_equal(trajectory[k], state)
    assert torch.equal(trajectory.states["0.weight"], torch.stack([s["0.weight"] for s in states]))
    assert le.Curve.along(network(), trajectory).bounds == ((0.0, 2.0),)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_key_names_an_entry_or_a_prefix(tmp_path, suffix):
    states = checkpoints()
    for k, state in enumerate(states):
        flat = {f"net.{n}": t for n, t in state.items()} | {"head.bias": torch.zeros(2)}
        if suffix == "pt":
            torch.save({"state_dict": flat, "ema": {n: t + 1 for n, t in state.items()}}, tmp_path / f"{k}.pt")
        else:
            save_file(flat, tmp_path / f"{k}.safetensors")
    trajectory = le.Trajectory.from_folder(tmp_path, key="net")
    for k, state in enumerate(states):
        assert_equal(trajectory[k], state)
        assert_equal(trajectory.part(k, ["2.bias"]), {"2.bias": state["2.bias"]})
    if suffix == "pt":
        ema = le.Trajectory.from_folder(tmp_path, key="ema")
        assert_equal(ema[1], {n: t + 1 for n, t in states[1].items()})
    with pytest.raises(le.FileFormatError, match="holds no state dict under 'nothing'.*with key=") as caught:
        le.Trajectory.from_folder(tmp_path, key="nothing")
    assert str(tmp_path) in str(caught.value)


ORDERS = {
    "natural": (["epoch_10", "epoch_2", "epoch_1"], ["epoch_1", "epoch_2", "epoch_10"], [1, 2, 10]),
    "padded": (["e010", "e002", "e100"], ["e002", "e010", "e100"], [2, 10, 100]),
    "the number that varies": (
        ["resnet18-200-0.5", "resnet18-50-0.9", "resnet18-100-0.7"],
        ["resnet18-50-0.9", "resnet18-100-0.7", "resnet18-200-0.5"],
        [50, 100, 200],
    ),
    "two numbers": (
        ["epoch=1-step=30", "epoch=0-step=10", "epoch=0-step=20", "epoch=1-step=40"],
        ["epoch=0-step=10", "epoch=0-step=20", "epoch=1-step=30", "epoch=1-step=40"],
        [10, 20, 30, 40],
    ),
    "no number increases": (["e0b0", "e0b5", "e1b0"], ["e0b0", "e0b5", "e1b0"], [0, 1, 2]),
    "no number": (["b", "c", "a"], ["a", "b", "c"], [0, 1, 2]),
}


@pytest.mark.parametrize(("written", "order", "steps"), ORDERS.values(), ids=ORDERS)
def test_files_are_taken_in_natural_order_and_their_numbers_are_steps(tmp_path, written, order, steps):
    for name in written:
        save_file({"w": torch.tensor([float(order.index(name))])}, tmp_path / f"{name}.safetensors")
    (tmp_path / "notes.txt").write_text("no checkpoint")
    (tmp_path / ".hidden.pt").write_text("no checkpoint")
    (tmp_path / "logs").mkdir()
    trajectory = le.Trajectory.from_folder(str(tmp_path))
    assert list(trajectory.steps) == steps
    assert trajectory.states["w"].reshape(-1).tolist() == list(range(len(order)))


def test_decimals_that_say_another_order_than_whole_numbers_are_asked_about(tmp_path):
    for k, name in enumerate(["loss0.9-epoch0", "loss0.5-epoch1", "loss0.3-epoch2"]):
        save_file({"w": torch.tensor([float(k)])}, tmp_path / f"{name}.safetensors")
    with pytest.raises(le.MismatchError, match=r"begins with 'loss0\.3-epoch2.*' or with 'loss0\.9-epoch0.*'"):
        le.Trajectory.from_folder(tmp_path)
    for path in tmp_path.iterdir():
        path.rename(tmp_path / f"{path.stem[-6:]}-{path.stem[:7]}.safetensors")
    assert le.Trajectory.from_folder(tmp_path).states["w"].reshape(-1).tolist() == [0, 1, 2]


def test_a_file_named_otherwise_is_left_out_by_a_pattern_only(tmp_path):
    for k, name in enumerate(["epoch_1", "epoch_2", "best"]):
        torch.save({"w": torch.tensor([float(k)])}, tmp_path / f"{name}.pt")
    with pytest.raises(le.MismatchError, match="'best.pt' is not named like 'epoch_1.pt'.*pattern="):
        le.Trajectory.from_folder(tmp_path)
    assert list(le.Trajectory.from_folder(tmp_path, pattern="epoch_*.pt").steps) == [1, 2]
    files = [tmp_path / "best.pt", tmp_path / "epoch_1.pt"]
    assert le.Trajectory.from_files(files, [5, 9]).states["w"].tolist() == [[2.0], [0.0]]
    with pytest.raises(le.ChoiceError, match="pattern must be relative to the folder"):
        le.Trajectory.from_folder(tmp_path, pattern=str(tmp_path / "epoch_*.pt"))
    with pytest.raises(le.ChoiceError, match="steps must be one for each of the 2 checkpoints"):
        le.Trajectory.from_files(files, [5])


def test_checkpoints_in_folders_of_their_own_are_found_by_a_pattern(tmp_path):
    for k in (500, 1000):
        (tmp_path / f"checkpoint-{k}").mkdir()
        save_file({"w": torch.tensor([float(k)])}, tmp_path / f"checkpoint-{k}" / "model.safetensors")
    trajectory = le.Trajectory.from_folder(tmp_path, pattern="checkpoint-*/model.safetensors")
    assert list(trajectory.steps) == [500, 1000] and trajectory.states["w"].tolist() == [[500.0], [1000.0]]


def test_checkpoints_that_do_not_fit_each_other_are_named_with_the_parameter(tmp_path):
    first = {"a": torch.zeros(2), "b": torch.zeros(3)}
    save_file(first, tmp_path / "e1.safetensors")
    others = {
        "'b' has shape (4,) in": {**first, "b": torch.zeros(4)},
        "'b' is in": {"a": torch.zeros(2)},
        "'c' is in": {**first, "c": torch.zeros(1)},
    }
    for text, other in others.items():
        save_file(other, tmp_path / "e2.safetensors")
        with pytest.raises(le.MismatchError) as caught:
            le.Trajectory.from_folder(tmp_path)
        message = str(caught.value)
        assert text in message and "e2.safetensors" in message and caught.value.parameter == text[1]


def test_a_file_that_changed_since_the_folder_was_opened_is_noticed(tmp_path):
    for k in range(2):
        save_file({"w": torch.zeros(2)}, tmp_path / f"{k}.safetensors")
    trajectory = le.Trajectory.from_folder(tmp_path)
    (tmp_path / "1.safetensors").unlink()
    with pytest.raises(le.FileFormatError, match="1.safetensors cannot be read"):
        trajectory.at(0.5)
    save_file({"w": torch.zeros(5)}, tmp_path / "1.safetensors")
    with pytest.raises(le.MismatchError, match="'w' has shape"):
        _ = trajectory.states["w"]


def compressed(path):
    torch.save({"w": torch.zeros(1000)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def cut_off(path):
    torch.save({"w": torch.randn(1000)}, path)
    path.write_bytes(path.read_bytes()[:-500])


UNREADABLE = {
    "garbage": lambda path: path.write_bytes(b"no tensors here, only text"),
    "nothing": lambda path: path.write_bytes(b""),
    "cut off": cut_off,
    "compressed": compressed,
    "a whole module": lambda path: torch.save(nn.Linear(2, 2), path),
    "numpy numbers": lambda path: torch.save({"w": torch.zeros(2), "loss": np.float64(0.1)}, path),
    "no state": lambda path: torch.save({"epoch": 3}, path),
    "a list": lambda path: torch.save([torch.zeros(2)], path),
    "an expanded tensor": lambda path: torch.save({"w": torch.zeros(1).expand(1000, 1000)}, path),
    "a sparse tensor": lambda path: torch.save({"w": torch.eye(3).to_sparse()}, path),
}


@pytest.mark.parametrize("write", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_a_file_that_is_no_checkpoint_is_refused_by_name_in_one_sentence(tmp_path, write):
    torch.save({"w": torch.zeros(2)}, tmp_path / "e1.pt")
    write(tmp_path / "e2.pt")
    with pytest.raises(le.FileFormatError) as caught:
        le.Trajectory.from_folder(tmp_path)
    message = str(caught.value)
    assert "e2.pt" in message and "\n" not in message and "weights_only" not in message


def test_headers_too_large_and_tensors_too_many_are_refused(tmp_path):
    (tmp_path / "0.safetensors").write_bytes((10**8).to_bytes(8, "little") + b"{" * 100)
    (tmp_path / "1.safetensors").write_bytes(b"")
    with pytest.raises(le.FileFormatError, match="its header is too large"):
        le.Trajectory.from_folder(tmp_path)
    save_file({f"{k}": torch.zeros(0) for k in range(20_001)}, tmp_path / "0.safetensors")
    with pytest.raises(le.FileFormatError, match="holds 20001 tensors, more than 20000"):
        le.Trajectory.from_folder(tmp_path)


def test_folders_without_checkpoints_say_what_was_expected(tmp_path):
    with pytest.raises(le.FileFormatError, match=r"holds no checkpoints: expected files that end in .safetensors, .pt"):
        le.Trajectory.from_folder(tmp_path)
    with pytest.raises(le.FileFormatError, match=r"holds no checkpoints: expected files like 'e\*'"):
        le.Trajectory.from_folder(tmp_path, pattern="e*")
    with pytest.raises(le.FileFormatError, match="is no folder"):
        le.Trajectory.from_folder(tmp_path / "missing")
    torch.save({"w": torch.zeros(2)}, tmp_path / "e1.pt")
    with pytest.raises(le.ChoiceError, match="two checkpoints or more"):
        le.Trajectory.from_folder(tmp_path)


def test_a_trajectory_can_be_saved_over_the_file_it_was_loaded_from(tmp_path):
    _, trajectory, _ = recorded()
    trajectory.save(tmp_path / "run.safetensors")
    loaded = le.Trajectory.load(tmp_path / "run.safetensors")
    loaded.save(tmp_path / "run.safetensors")
    assert_equal(dict(loaded.states), dict(trajectory.states))
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]


def mean_of(states, weights):
    """Plain sums in float64."""
    total = sum(weights)
    return {
        n: sum(w * s[n].double().numpy() for w, s in zip(weights, states, strict=True)) / total
        for n in states[0]
        if states[0][n].is_floating_point()
    }


AVERAGES = {
    "all": ({}, [1, 1, 1, 1, 1, 1]),
    "the last ones": ({"last": 2}, [0, 0, 0, 0, 1, 1]),
    "from a step on": ({"start": 25}, [0, 0, 0, 1, 1, 1]),
    "weighted": ({"last": 3, "weights": [1, 0, 3]}, [0, 0, 0, 1, 0, 3]),
    "moving": ({"decay": 0.9}, [0.9**5] + [0.1 * 0.9**k for k in (4, 3, 2, 1, 0)]),
}


@pytest.mark.parametrize(("choice", "weights"), AVERAGES.values(), ids=AVERAGES)
@pytest.mark.parametrize("streamed", [False, True])
def test_an_average_of_checkpoints_is_their_weighted_mean(tmp_path, choice, weights, streamed):
    model = network()
    recorder = le.TrajectoryRecorder(model, path=tmp_path / "run" if streamed else None)
    states = []
    for k in range(6):
        model(torch.randn(8, 3))
        drift(model, k)
        recorder.record(10 * k)
        states.append({n: t.clone() for n, t in model.state_dict().items()})
    found = recorder.trajectory().average(**choice)
    for name, values in mean_of(states, weights).items():
        np.testing.assert_allclose(found[name].numpy(), values, rtol=1e-6)
        assert found[name].dtype == torch.float32
    assert found["1.num_batches_tracked"] == 6
    network(1).load_state_dict(found)


def test_an_average_equals_that_of_torchs_own_averaged_model():
    model = network()
    averaged = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    recorder = le.TrajectoryRecorder(model)
    for k in range(5):
        drift(model, k)
        recorder.record(k)
        averaged.update_parameters(model)
    found = recorder.trajectory().average()
    for name, tensor in averaged.module.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(found[name], tensor)


def test_the_statistics_of_an_averaged_network_can_be_measured_anew():
    torch.manual_seed(0)
    model, trajectory, _ = recorded()
    batches = [torch.randn(16, 3) for _ in range(3)]
    wrapper = le.wrap_model(model, batch_norm="re-estimated", batch_norm_data=batches)
    settled = wrapper.at(trajectory.average(last=2)).settled()
    averaged = network()
    averaged.load_state_dict(trajectory.average(last=2))
    hidden = [averaged[0](x) for x in batches]
    expected = torch.stack([h.mean(0) for h in hidden]).mean(0)
    torch.testing.assert_close(settled.buffers["1.running_mean"], expected.detach())


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"last": 0}, "last must be between 1 and 4"),
        ({"last": 5}, "last must be between 1 and 4"),
        ({"last": 2, "start": 3}, "start must be None where last is given"),
        ({"start": 31}, "start must be at most 30"),
        ({"weights": [1.0]}, "weights must be 4 finite numbers"),
        ({"last": 2, "weights": [0.0, 0.0]}, "weights must be 2 finite numbers"),
        ({"weights": [1, 1, 1, -1]}, "weights must be 4 finite numbers"),
        ({"decay": 1.5}, "decay must be between 0 and 1"),
        ({"decay": 0.5, "weights": [1, 1, 1, 1]}, "decay must be None where weights are given"),
    ],
)
def test_averages_of_nothing_are_refused(choice, text):
    with pytest.raises(le.ChoiceError, match=text):
        recorded()[1].average(**choice)
