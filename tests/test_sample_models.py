"""The sample models are what their cards say, and can be made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import landscape_engine as le
import sample_models
from landscape_engine import ChoiceError, LandscapeError
from landscape_engine.metrics import MetricPipeline
from sample_models.__main__ import main
from sample_models.registry import folder

NAMES = sample_models.names()
SUPERVISED = ("digits_mlp", "digits_cnn", "spirals_mlp", "two_seeds", "sorting_gpt")


def card_of(place: Path) -> dict:
    return json.loads((place / "card.json").read_text(encoding="utf-8"))


@pytest.fixture
def copied(tmp_path):
    """A copy of the digits' checkpoints and card."""
    for file in ("trajectory.safetensors", "card.json", "card.md"):
        shutil.copy(folder("digits_mlp") / file, tmp_path)
    return tmp_path


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("name", SUPERVISED)
def test_the_final_checkpoint_has_the_loss_and_accuracy_of_the_card(name, part):
    sample, numbers = sample_models.load(name), card_of(folder(name))["numbers"]
    inputs, targets = sample.train if part == "train" else sample.test
    with torch.no_grad():
        outputs = sample.model(inputs).flatten(0, -2)  # of sequences: all tokens, those that do not count are -100
    targets = targets.flatten()
    loss = F.cross_entropy(outputs.double(), targets).item()
    assert loss == pytest.approx(numbers[f"{part}_loss"], rel=1e-4)
    accuracy = (outputs.argmax(1) == targets)[targets >= 0].double().mean().item()
    assert accuracy == pytest.approx(numbers[f"{part}_accuracy"], rel=1e-4)
    assert sample.parameter_count == numbers["parameters"]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", NAMES)
def test_the_metrics_of_a_sample_are_those_of_its_card(name, split):
    sample, numbers = sample_models.load(name), card_of(folder(name))["numbers"]
    metrics = sample.metrics(split)
    found = MetricPipeline(metrics)(le.wrap_model(sample.model))
    assert list(found) == [key for key in numbers if key.startswith(f"{split}_")]
    for key, estimate in found.items():
        assert estimate.value == pytest.approx(numbers[key], rel=1e-4)


@pytest.fixture(scope="module")
def two_seeds():
    return sample_models.load("two_seeds"), card_of(folder("two_seeds"))["numbers"]


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_second_of_two_runs_has_the_loss_and_accuracy_of_the_card(two_seeds, part):
    sample, numbers = two_seeds
    inputs, targets = sample.train if part == "train" else sample.test
    with torch.no_grad():
        outputs = sample.second_model(inputs).double()
    assert F.cross_entropy(outputs, targets).item() == pytest.approx(numbers[f"second_{part}_loss"], rel=1e-4)
    accuracy = (outputs.argmax(1) == targets).double().mean().item()
    assert accuracy == pytest.approx(numbers[f"second_{part}_accuracy"], rel=1e-4)
    assert numbers[f"second_{part}_accuracy"] > 0.97


def test_between_two_runs_that_differ_by_their_seed_only_the_loss_rises_far_above_both(two_seeds):
    sample, numbers = two_seeds
    assert sample.second.steps == sample.trajectory.steps
    first, second = sample.model.state_dict(), sample.second_model.state_dict()
    (inputs, targets), heights = sample.train, []
    for k in range(41):
        t = k / 40
        mixed = {name: (1 - t) * first[name].double() + t * second[name].double() for name in first}
        with torch.no_grad():
            outputs = torch.func.functional_call(sample.model.double(), mixed, (inputs.double(),))
        chord = (1 - t) * numbers["train_loss"] + t * numbers["second_train_loss"]
        heights.append(F.cross_entropy(outputs, targets).item() - chord)
    assert max(heights) == pytest.approx(numbers["barrier"], rel=1e-4)
    assert max(heights) > 10 * max(numbers["train_loss"], numbers["second_train_loss"])


def test_the_transformer_says_six_unseen_digits_in_order():
    sample = sample_models.load("sorting_gpt")
    inputs, targets = sample.test
    assert torch.equal(inputs[:, :6].sort(dim=1).values, targets[:, 5:])
    tokens = inputs[:, :6]
    for _ in range(6):  # from what it has said itself
        with torch.no_grad():
            tokens = torch.cat([tokens, sample.model(tokens)[:, -1:].argmax(-1)], dim=1)
    right = (tokens[:, 6:] == targets[:, 5:]).all(dim=1).double().mean().item()
    assert right > 0.95


def test_a_sample_of_one_run_has_no_second():
    digits = sample_models.load("digits_mlp")
    assert digits.second is None and digits.second_model is None and digits.recipe.train_second() is None


def test_training_both_runs_again_gives_two_good_networks_and_a_barrier(tmp_path):
    assert main(["train", "two_seeds", "--folder", str(tmp_path)]) == 0
    assert main(["verify", "two_seeds", "--folder", str(tmp_path)]) == 0
    again = card_of(tmp_path)["numbers"]
    assert min(again["test_accuracy"], again["second_test_accuracy"]) > 0.95
    assert again["barrier"] > 0.5


def test_metrics_are_measured_on_the_first_few_of_a_split():
    digits, policy = sample_models.load("digits_mlp"), sample_models.load("cartpole_policy")
    assert (digits.splits, digits.unit) == ({"train": 1437, "test": 360}, "examples")
    assert (policy.splits, policy.unit) == ({"train": 10, "test": 10}, "episodes")
    loss, accuracy = digits.metrics("test", 50)
    with torch.no_grad():
        outputs = digits.model(digits.test.inputs[:50])
    wrapped = le.wrap_model(digits.model)
    assert loss(wrapped) == pytest.approx(F.cross_entropy(outputs, digits.test.targets[:50]).item(), rel=1e-6)
    assert accuracy(wrapped) == (outputs.argmax(1) == digits.test.targets[:50]).double().mean()
    (few,), (many,) = policy.metrics("test", 3), policy.metrics("train")
    assert (few.episodes, many.episodes) == (3, 10)
    trained_on = policy.recipe.updates * policy.recipe.episodes
    assert many.seed + many.episodes <= trained_on < few.seed


def test_what_a_sample_does_not_have_is_refused_in_a_sentence():
    policy = sample_models.load("cartpole_policy")
    with pytest.raises(LandscapeError, match=r"^cartpole_policy has no examples, only episodes\. Measure it by"):
        _ = policy.train
    for name in ("digits_mlp", "cartpole_policy"):
        with pytest.raises(ChoiceError, match=r"^split must be one of train, test, but it is 'training'\.$"):
            sample_models.load(name).metrics("training")


def test_the_return_of_the_policy_grows_along_its_checkpoints():
    sample = sample_models.load("cartpole_policy")
    path, (metric,) = le.Curve.along(sample.model, sample.trajectory), sample.metrics("test")
    found = le.evaluate(path, metric, [(0.0,), (len(sample.trajectory) - 1.0,)])["test_return"]
    assert found[0] < 100
    assert found[1] == metric(sample.model) >= 475


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_has_many_checkpoints_in_a_small_file(name):
    trajectory = sample_models.load(name).trajectory
    assert len(trajectory) >= 40
    assert trajectory.steps[0] == 0
    assert sum(file.stat().st_size for file in folder(name).glob("*.safetensors")) < 2_000_000


def test_each_load_gives_a_model_of_its_own_in_evaluation_mode():
    one, two = sample_models.load("digits_mlp").model, sample_models.load("digits_mlp").model
    assert not one.training
    with torch.no_grad():
        next(one.parameters()).zero_()
    assert next(two.parameters()).abs().sum() > 0
    assert next(sample_models.load("digits_mlp").model.parameters()).abs().sum() > 0


def test_verify_agrees_with_every_committed_card(capsys):
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ok"


@pytest.mark.parametrize(("key", "factor"), [("test_loss", 1.001), ("plane_share", 0.999), ("steps", 2)])
def test_verify_names_a_number_that_was_changed(copied, capsys, key, factor):
    card = card_of(copied)
    card["numbers"][key] *= factor
    (copied / "card.json").write_text(json.dumps(card), encoding="utf-8")
    assert main(["verify", "digits_mlp", "--folder", str(copied)]) == 1
    assert f"{key} is " in capsys.readouterr().out
    assert main(["verify", "digits_mlp", "--folder", str(copied), "--write"]) == 0
    assert (copied / "card.md").read_text() == (folder("digits_mlp") / "card.md").read_text()


def test_verify_notices_other_checkpoints(copied, capsys):
    trajectory = sample_models.load("digits_mlp").trajectory
    type(trajectory)({n: s * 1.01 for n, s in trajectory.states.items()}, trajectory.steps).save(
        copied / "trajectory.safetensors"
    )
    assert main(["verify", "digits_mlp", "--folder", str(copied)]) == 1
    assert "sha256 is " in capsys.readouterr().out


def test_training_again_reaches_the_same_loss_and_accuracy(tmp_path, capsys):
    assert main(["train", "digits_mlp", "--folder", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main(["verify", "digits_mlp", "--folder", str(tmp_path)]) == 0
    again, card = card_of(tmp_path)["numbers"], card_of(folder("digits_mlp"))["numbers"]
    for part in ("train", "test"):  # not equal: training amplifies rounding, which differs between processors
        assert 1 / 1.5 < again[f"{part}_loss"] / card[f"{part}_loss"] < 1.5
        assert abs(again[f"{part}_accuracy"] - card[f"{part}_accuracy"]) < 0.02


@pytest.mark.nightly
def test_training_again_balances_the_pole(tmp_path, capsys):
    assert main(["train", "cartpole_policy", "--folder", str(tmp_path)]) == 0
    assert "41 checkpoints, test return " in capsys.readouterr().out
    assert card_of(tmp_path)["numbers"]["test_return"] >= 475


def test_an_unknown_name_is_refused_in_one_sentence(capsys):
    with pytest.raises(
        ChoiceError, match=r"^sample model must be one of digits_mlp, .*, cartpole_policy, but it is 'letters'\.$"
    ):
        sample_models.load("letters")
    assert main(["verify", "letters"]) == 2
    assert main(["train", "letters"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("argv", [[], ["bake"], ["train"], ["verify", "--folder", "here"]])
def test_a_wrong_command_line_is_refused_in_one_line(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_missing_file_is_refused_in_one_line(tmp_path, capsys):
    assert main(["verify", "digits_mlp", "--folder", str(tmp_path)]) == 2
    assert "cannot be read" in capsys.readouterr().err
