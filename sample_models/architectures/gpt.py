"""Small language models: a causal transformer over tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape_engine import ChoiceError

from .base import HEADS, Architecture, Option, Shapes, how_many, usual_heads

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, "tanh"),
    "relu": nn.ReLU,
}


class Attention(nn.Module):
    """Self-attention of each token to those before it.

    Args:
        width: Entries of a token.
        heads: How many.
        bias: Whether linear layers have one.
    """

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width, bias), nn.Linear(width, width, bias)
        self.heads = heads

    def forward(self, tokens: Tensor) -> Tensor:
        """What is added to tokens ``(n, count, width)``."""
        n, count, width = tokens.shape
        split = self.c_attn(tokens).view(n, count, 3, self.heads, width // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        outputs: Tensor = self.c_proj(found.transpose(1, 2).reshape(n, count, width))
        return outputs


class Perceptron(nn.Module):
    """Two linear layers, four times as wide between them.

    Args:
        width: Entries of a token.
        bias: Whether linear layers have one.
        activation: One of ``ACTIVATIONS``.
    """

    def __init__(self, width: int, bias: bool, activation: str) -> None:
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width, bias), nn.Linear(4 * width, width, bias)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, tokens: Tensor) -> Tensor:
        """What is added to tokens ``(n, count, width)``."""
        outputs: Tensor = self.c_proj(self.activation(self.c_fc(tokens)))
        return outputs


class Block(nn.Module):
    """Attention and a perceptron, each after a layer norm and added to what it has read.

    Args:
        width: Entries of a token.
        heads: Of the attention.
        bias: Whether linear layers and norms have one.
        activation: One of ``ACTIVATIONS``.
    """

    def __init__(self, width: int, heads: int, bias: bool, activation: str) -> None:
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width, bias=bias), Attention(width, heads, bias)
        self.ln_2, self.mlp = nn.LayerNorm(width, bias=bias), Perceptron(width, bias, activation)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(n, count, width)`` that have looked back."""
        tokens = tokens + self.attn(self.ln_1(tokens))
        outputs: Tensor = tokens + self.mlp(self.ln_2(tokens))
        return outputs


@final
class GPT(nn.Module):
    """A causal transformer that predicts the next token at each place.

    Args:
        vocabulary: How many tokens there are.
        context: How many can be read at once.
        width: Entries of a token.
        layers: How many.
        heads: Of the attention; they divide the width.
        bias: Whether linear layers and norms have one.
        tied: Whether outputs are compared with the embedding of the inputs, one weight for both.
        activation: One of ``ACTIVATIONS``.

    References:
        Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.3.
    """

    def __init__(
        self,
        vocabulary: int,
        context: int,
        width: int,
        layers: int,
        heads: int,
        bias: bool,
        tied: bool,
        activation: str,
    ) -> None:
        if width % heads:
            raise ChoiceError("heads", heads, f"a divisor of the width {width}")
        super().__init__()
        embedding = nn.Embedding(vocabulary, width)
        self.transformer = nn.ModuleDict(
            {
                "wte": embedding,
                "wpe": nn.Embedding(context, width),
                "h": nn.ModuleList(Block(width, heads, bias, activation) for _ in range(layers)),
                "ln_f": nn.LayerNorm(width, bias=bias),
            }
        )
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.apply(_start)
        if tied:
            self.lm_head.weight = embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of the token after each, ``(n, count, vocabulary)``, of whole numbers ``(n, count)``."""
        parts: Any = self.transformer
        places = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = parts["wte"](tokens) + parts["wpe"](places)
        for block in parts["h"]:
            hidden = block(hidden)
        outputs: Tensor = self.lm_head(parts["ln_f"](hidden))
        return outputs


def _start(module: nn.Module) -> None:
    """Small weights, as is usual for these networks, and biases of zero."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def names(shapes: Shapes) -> dict[str, str]:
    """The names themselves, without the masks that some implementations keep."""
    return {name: name for name in shapes if not re.search(r"\.attn\.(masked_)?bias$", name)}


def _read(shapes: Shapes) -> dict[str, Any]:
    head = "lm_head.weight"
    vocabulary, width = shapes[head if head in shapes else "transformer.wte.weight"]
    return {
        "vocabulary": vocabulary,
        "context": shapes["transformer.wpe.weight"][0],
        "width": width,
        "layers": how_many(r"transformer\.h\.(\d+)\.", shapes),
        "heads": usual_heads(width),
        "bias": "transformer.ln_f.bias" in shapes,
        "tied": True,
        "activation": "gelu",
    }


ARCHITECTURE = Architecture(
    name="gpt",
    title="Small GPT (Radford et al. 2019)",
    options={
        "vocabulary": Option(256, "how many tokens there are"),
        "context": Option(64, "how many tokens can be read at once"),
        "width": Option(64, "entries of a token"),
        "layers": Option(4, "how many", bounds=(1, 200)),
        "heads": Option(4, "of the attention; they divide the width", choices=HEADS),
        "bias": Option(True, "of linear layers and norms", choices=(True, False)),
        "tied": Option(True, "one weight for inputs and outputs", choices=(True, False)),
        "activation": Option("gelu", "in each layer's perceptron", choices=tuple(ACTIVATIONS)),
    },
    make=GPT,
    read=_read,
    input_of=lambda context, **_: (context,),
    renaming=names,
    tokens=True,
)
