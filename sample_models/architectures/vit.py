"""Vision transformers: patches of an image as tokens, with a class token before them."""

from __future__ import annotations

from collections import OrderedDict
from math import isqrt
from typing import Any, final

import torch
from torch import Tensor, nn

from landscape_engine import ChoiceError

from .base import HEADS, Architecture, Option, Shapes, how_many, spelled, usual_heads

LAYER = "encoder.layers.encoder_layer_"


class Layer(nn.Module):
    """Self-attention and a perceptron, each after a layer norm and added to what it has read.

    Args:
        width: Entries of a token.
        heads: Of the attention.
        hidden: Units of the perceptron.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(n, count, width)`` that have looked at each other."""
        normed = self.ln_1(tokens)
        tokens = tokens + self.self_attention(normed, normed, normed, need_weights=False)[0]
        outputs: Tensor = tokens + self.mlp(self.ln_2(tokens))
        return outputs


class Encoder(nn.Module):
    """Positions, layers and a last norm.

    Args:
        count: Tokens, the class token among them.
        layers: How many.
        width: Entries of a token.
        heads: Of the attention.
        hidden: Units of each perceptron.
    """

    def __init__(self, count: int, layers: int, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(0.02 * torch.randn(1, count, width))
        named = [(f"encoder_layer_{k}", Layer(width, heads, hidden)) for k in range(layers)]
        self.layers, self.ln = nn.Sequential(OrderedDict(named)), nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(n, count, width)`` after all layers."""
        outputs: Tensor = self.ln(self.layers(tokens + self.pos_embedding))
        return outputs


@final
class ViT(nn.Module):
    """A vision transformer that reads its answer off the class token.

    Args:
        image: Rows and columns of the images.
        patch: Rows and columns of a patch.
        width: Entries of a token.
        layers: How many.
        heads: Of the attention; they divide the width.
        hidden: Units of each layer's perceptron.
        channels: Of the images.
        classes: Number of outputs.

    References:
        Dosovitskiy et al. 2021, An Image is Worth 16x16 Words, section 3.1.
    """

    def __init__(
        self, image: int, patch: int, width: int, layers: int, heads: int, hidden: int, channels: int, classes: int
    ) -> None:
        if image % patch:
            raise ChoiceError("patch", patch, f"a divisor of the {image} rows of an image")
        if width % heads:
            raise ChoiceError("heads", heads, f"a divisor of the width {width}")
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.conv_proj = nn.Conv2d(channels, width, patch, patch)
        self.encoder = Encoder((image // patch) ** 2 + 1, layers, width, heads, hidden)
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(width, classes)))

    def forward(self, images: Tensor) -> Tensor:
        """Outputs of a batch of images, ``(n, channels, image, image)``."""
        patches = self.conv_proj(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), patches], dim=1)
        outputs: Tensor = self.heads(self.encoder(tokens)[:, 0])
        return outputs


def _read(shapes: Shapes) -> dict[str, Any]:
    width, channels, patch, _ = shapes["conv_proj.weight"]
    return {
        "image": patch * isqrt(shapes["encoder.pos_embedding"][1] - 1),
        "patch": patch,
        "width": width,
        "layers": how_many(rf"{LAYER}(\d+)\.", shapes),
        "heads": usual_heads(width),
        "hidden": shapes[f"{LAYER}0.mlp.0.weight"][0],
        "channels": channels,
        "classes": shapes["heads.head.weight"][0],
    }


ARCHITECTURE = Architecture(
    name="vit",
    title="Vision transformer (Dosovitskiy et al. 2021)",
    options={
        "image": Option(32, "rows and columns of the images"),
        "patch": Option(4, "rows and columns of a patch; they divide those of the images"),
        "width": Option(64, "entries of a token"),
        "layers": Option(4, "how many", bounds=(1, 200)),
        "heads": Option(4, "of the attention; they divide the width", choices=HEADS),
        "hidden": Option(128, "units of each layer's perceptron"),
        "channels": Option(3, "of the images"),
        "classes": Option(10, "number of outputs"),
    },
    make=ViT,
    read=_read,
    input_of=lambda channels, image, **_: (channels, image, image),
    renaming=spelled(  # those of timm and of torchvision before 0.13
        (r"^cls_token$", "class_token"),
        (r"^pos_embed$", "encoder.pos_embedding"),
        (r"^patch_embed\.proj\.", "conv_proj."),
        (r"^blocks\.(\d+)\.", rf"{LAYER}\1."),
        (r"\.norm(\d)\.", r".ln_\1."),
        (r"\.attn\.qkv\.", ".self_attention.in_proj_"),
        (r"\.attn\.proj\.", ".self_attention.out_proj."),
        (r"\.mlp\.(fc|linear_)1\.", ".mlp.0."),
        (r"\.mlp\.(fc|linear_)2\.", ".mlp.3."),
        (r"^norm\.", "encoder.ln."),
        (r"^head\.", "heads.head."),
    ),
)
