"""Multilayer perceptrons: linear layers with one function between them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, final

from torch import Tensor, nn

from landscape_engine import ChoiceError

from .activations import ACTIVATIONS
from .base import Architecture, Option, Shapes


@final
class MLP(nn.Sequential):
    """Linear layers with one function between them.

    Args:
        sizes: Of inputs, hidden layers and outputs.
        activation: One of ``ACTIVATIONS``.
        bias: Whether each layer has one.
    """

    def __init__(self, sizes: tuple[int, ...], activation: str, bias: bool) -> None:
        if len(sizes) < 2:
            raise ChoiceError("sizes", sizes, "two numbers or more, those of inputs and outputs among them")
        super().__init__(*list(_layers(sizes, activation, bias))[:-1])

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of a batch, whose examples may have any shape of the right number of entries."""
        outputs: Tensor = super().forward(inputs.flatten(1))
        return outputs


def _layers(sizes: tuple[int, ...], activation: str, bias: bool) -> Iterator[nn.Module]:
    for inputs, outputs in pairwise(sizes):
        yield nn.Linear(inputs, outputs, bias)
        yield ACTIVATIONS[activation]()


def names(shapes: Shapes) -> dict[str, str]:
    """The names of any chain of linear layers, and those of the perceptron in its place.

    Layers are taken in the order of their names, but each must read what the one before gives; where names are alike
    but for a number, the number counts.
    """
    found: dict[str, str] = {}
    for k, layer in enumerate(_chain(_weights(shapes), shapes)):
        for kind in ("weight", "bias"):
            if f"{layer}{kind}" in shapes:
                found[f"{layer}{kind}"] = f"{2 * k}.{kind}"
    return found if len(found) == len(shapes) else {}


def _weights(shapes: Shapes) -> list[str]:
    """What stands before "weight" in the names of matrices, in order."""
    layers = [n.removesuffix("weight") for n, shape in shapes.items() if n.endswith("weight") and len(shape) == 2]
    first: dict[str, int] = {}
    for layer in layers:
        first.setdefault(re.sub(r"\d+", "#", layer), len(first))
    return sorted(layers, key=lambda n: (first[re.sub(r"\d+", "#", n)], [int(d) for d in re.findall(r"\d+", n)]))


def _chain(layers: list[str], shapes: Shapes) -> list[str]:
    """The layers one after another, from that whose inputs no other gives; each the first that fits."""
    given = {shapes[f"{n}weight"][0] for n in layers}
    wanted = {shapes[f"{n}weight"][1] for n in layers}
    left = sorted(layers, key=lambda n: shapes[f"{n}weight"][0] not in wanted)  # the last layer last
    chain: list[str] = []
    following = next((n for n in left if shapes[f"{n}weight"][1] not in given), left[0] if left else None)
    while following is not None:
        left.remove(following)
        chain.append(following)
        outputs = shapes[f"{following}weight"][0]
        following = next((n for n in left if shapes[f"{n}weight"][1] == outputs), None)
    return chain


def _read(shapes: Shapes) -> dict[str, Any] | None:
    weights = [shape for name, shape in shapes.items() if name.endswith("weight")]
    if not weights:
        return None
    ordered = [shapes[f"{2 * k}.weight"] for k in range(len(weights))]
    sizes = (ordered[0][1], *(shape[0] for shape in ordered))
    return {"sizes": sizes, "activation": "relu", "bias": "0.bias" in shapes}


ARCHITECTURE = Architecture(
    name="mlp",
    title="Multilayer perceptron",
    options={
        "sizes": Option((64, 128, 10), "inputs, units of each hidden layer, outputs", bounds=(1, 10_000_000)),
        "activation": Option("relu", "between the layers", choices=tuple(ACTIVATIONS)),
        "bias": Option(True, "whether each layer has one", choices=(True, False)),
    },
    make=MLP,
    read=_read,
    input_of=lambda sizes, **_: (sizes[0],),
    renaming=names,
)
