"""Checkpoints: recorded, kept in a file, read again, and the path between them."""

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
    with pytest.raises(le.ChoiceError, match="t must be between 0 and 3"):
        recorded()[1].at(t)


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
