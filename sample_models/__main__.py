"""``python -m sample_models``: train a sample model, or check the numbers on its card."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, final

from safetensors import SafetensorError

from landscape_engine import LandscapeError, ModelWrapper, Plane, Trajectory, linear_interpolation, wrap_model
from landscape_engine.metrics import MetricPipeline

from .registry import SECOND, TRAJECTORY, folder, names, recipe
from .training import Recipe

TOLERANCE = 1e-4
CARD, PAGE = "card.json", "card.md"
POINTS = 41  # on the line between two runs
LABELS = {
    "parameters": "Parameters",
    "checkpoints": "Checkpoints",
    "steps": "Steps",
    "train_loss": "Training loss of the final checkpoint",
    "train_accuracy": "Training accuracy of the final checkpoint",
    "train_return": "Training return of the final checkpoint",
    "test_loss": "Test loss of the final checkpoint",
    "test_accuracy": "Test accuracy of the final checkpoint",
    "test_return": "Test return of the final checkpoint",
    "second_train_loss": "Training loss of the second run",
    "second_train_accuracy": "Training accuracy of the second run",
    "second_test_loss": "Test loss of the second run",
    "second_test_accuracy": "Test accuracy of the second run",
    "barrier": "Barrier of the training loss on the straight line between the two runs",
    "plane_share": "Share of the movement that the trajectory plane holds",
    "file_bytes": "Size of the trajectory file, bytes",
    "sha256": "SHA-256 of the trajectory file",
    "second_file_bytes": "Size of the second run's file, bytes",
    "second_sha256": "SHA-256 of the second run's file",
}


def measure(name: str, place: Path) -> dict[str, Any]:
    """The numbers of a card, computed from the checkpoints in ``place``."""
    made, file = recipe(name), place / TRAJECTORY
    trajectory = Trajectory.load(file)
    model, pipeline = _final(made, trajectory), MetricPipeline([*made.metrics("train"), *made.metrics("test")])
    plane = Plane.trajectory(model, trajectory)
    second = place / SECOND
    return {
        "parameters": sum(p.numel() for p in model.parameters.values()),
        "checkpoints": len(trajectory),
        "steps": int(trajectory.steps[-1]),
        **{metric: estimate.value for metric, estimate in pipeline(model).items()},
        "plane_share": float(sum(plane.facts["shares"])),
        **_file("", file),
        **(_compare(made, model, pipeline, second) if second.exists() else {}),
    }


def _final(made: Recipe, trajectory: Trajectory) -> ModelWrapper:
    return wrap_model(made.at(trajectory[-1])).private_copy()


def _file(prefix: str, file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    return {f"{prefix}file_bytes": len(content), f"{prefix}sha256": hashlib.sha256(content).hexdigest()}


def _compare(made: Recipe, first: ModelWrapper, pipeline: MetricPipeline, file: Path) -> dict[str, Any]:
    """The numbers of a second run, and how high the loss rises on the straight line to it above that of its ends."""
    second = _final(made, Trajectory.load(file))
    line = linear_interpolation(first, second, made.metrics("train")[0], steps=POINTS)
    t = line["alpha"]
    chord = (1 - t) * float(line[0]) + t * float(line[-1])
    return {
        **{f"second_{metric}": estimate.value for metric, estimate in pipeline(second).items()},
        "barrier": float((line - chord).max()),
        **_file("second_", file),
    }


def describe(name: str, numbers: dict[str, Any]) -> dict[str, Any]:
    """A whole card: what the model is, its data, its recipe and its numbers."""
    made = recipe(name)
    return {
        "name": name,
        "title": made.title,
        "description": made.description,
        "data": made.data.source,
        "data_license": made.data.license,
        "recipe": made.described(),
        "numbers": numbers,
    }


def render(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    rows = [f"| {LABELS[key]} | {_shown(value)} |" for key, value in card["numbers"].items()]
    steps = [f"- {key.capitalize()}: {value}" for key, value in card["recipe"].items()]
    return "\n".join(
        [
            f"# {card['title']}",
            "",
            card["description"],
            "",
            "## Data",
            "",
            card["data"],
            "",
            f"License of the data: {card['data_license']}.",
            "",
            "## Recipe",
            "",
            *steps,
            "",
            f"`python -m sample_models train {card['name']}` trains it again and writes the checkpoints and this card.",
            "",
            "## Numbers",
            "",
            "| | |",
            "| --- | --- |",
            *rows,
            "",
            f"`python -m sample_models verify {card['name']}` computes them from the checkpoints and compares;",
            "`--write` writes them.",
            "",
        ]
    )


def write(name: str, place: Path) -> dict[str, Any]:
    """Write both forms of a card and return its numbers."""
    card = describe(name, measure(name, place))
    (place / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    (place / PAGE).write_text(render(card), encoding="utf-8")
    return card["numbers"]


def differences(name: str, place: Path, found: dict[str, Any]) -> list[str]:
    """What a card says otherwise than the code and the checkpoints do, one sentence each."""
    text = (place / CARD).read_text(encoding="utf-8")
    try:
        card = json.loads(text)
        written = dict(card["numbers"])
    except (ValueError, KeyError, TypeError) as error:
        raise LandscapeError(f"{place / CARD} is no card ({error!r}); write it again with --write.") from error
    result = [
        f"{key} is {_shown(found.get(key))}, but the card says {_shown(written.get(key))}."
        for key in {**found, **written}
        if not _agree(found.get(key), written.get(key))
    ]
    fresh = describe(name, written)
    result += [f"{key} on the card is not that of the recipe." for key in fresh if card.get(key) != fresh[key]]
    page = place / PAGE
    if not result and (not page.exists() or page.read_text(encoding="utf-8") != render(card)):
        result.append(f"{PAGE} does not show what {CARD} says.")
    return result


def _agree(found: object, written: object) -> bool:
    if isinstance(found, float) and isinstance(written, int | float):
        return math.isclose(found, written, rel_tol=TOLERANCE)
    return type(found) is type(written) and found == written


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _train(name: str, place: Path) -> int:
    made = recipe(name)
    place.mkdir(parents=True, exist_ok=True)
    made.train().save(place / TRAJECTORY)
    second = made.train_second()
    if second is not None:
        second.save(place / SECOND)
    numbers = write(name, place)
    tested = ", ".join(f"{key.replace('_', ' ')} {numbers[key]:.4f}" for key in numbers if key.startswith("test_"))
    print(f"{place / TRAJECTORY}: {numbers['checkpoints']} checkpoints, {tested}; card written.")
    return 0


def _verify(name: str, place: Path, rewrite: bool) -> int:
    found = write(name, place) if rewrite else measure(name, place)
    print(name)
    for key, value in found.items():
        print(f"  {key:<22} {_shown(value)}")
    differing = differences(name, place, found)
    print("\n".join(differing) or "ok")
    return 1 if differing else 0


@final
class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}.\n")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="python -m sample_models", description="Train sample models, or check their cards.")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train from the seed; write the checkpoints and the card")
    train.add_argument("name", help=", ".join(names()))
    verify = commands.add_parser("verify", help="compute the numbers of the card again and compare")
    verify.add_argument("name", nargs="?", help="all of them when left out")
    verify.add_argument("--write", action="store_true", help="write the card anew")
    for command in (train, verify):
        command.add_argument("--folder", type=Path, help="of the checkpoints and the card, instead of the package's")
    arguments = parser.parse_args(argv)
    if arguments.folder and not arguments.name:
        parser.error("--folder needs the name of one sample model")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: 0 is well, 1 a card that differs, 2 a command that cannot be done."""
    arguments = _arguments(argv)
    try:
        chosen = [arguments.name] if arguments.name else list(names())
        places = [(name, arguments.folder or folder(name)) for name in chosen]
        if arguments.command == "train":
            return max(_train(name, place) for name, place in places)
        return max([_verify(name, place, arguments.write) for name, place in places])
    except (LandscapeError, OSError, SafetensorError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
