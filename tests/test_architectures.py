"""Known architectures: counts of the papers, what they compute, and which weights they are recognized from."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from landscape_engine import ChoiceError
from sample_models import architectures
from sample_models.architectures import ARCHITECTURES, build, recognize

SMALL = {
    "mlp": {"sizes": (6, 5, 4)},
    "lenet": {},
    "vgg": {"width": 2},
    "resnet": {"width": 2, "depth": 8},
    "vit": {"width": 12, "layers": 2},
    "gpt": {"width": 12, "layers": 2},
}
"""Options that make small networks."""
OTHERS = {
    "mlp": {"sizes": (7, 7, 7, 7)},
    "lenet": {"channels": 3, "classes": 7},
    "vgg": {"hidden": 9, "width": 3, "channels": 1, "classes": 7},
    "resnet": {"width": 3, "channels": 1, "classes": 7},
    "vit": {"image": 16, "width": 24, "layers": 3, "hidden": 7, "channels": 1, "classes": 7, "patch": 8},
    "gpt": {"vocabulary": 9, "context": 5, "width": 24, "layers": 3},
}
"""Numbers that are not the defaults; choices are all tried."""
OPEN = {
    "mlp": ("activation",),
    "lenet": ("image", "activation", "pooling"),
    "vgg": (),
    "resnet": ("shortcut",),
    "vit": ("heads",),
    "gpt": ("heads", "tied", "activation"),
}
"""What no shape tells."""


def shapes_of(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def shapes(name, **options):
    with torch.device("meta"):
        return shapes_of(build(name, **options))


def divides(name, option, choice):
    return option != "heads" or OTHERS[name]["width"] % choice == 0


def cases():
    """Each architecture at other numbers, then with each choice of each option."""
    for name, others in OTHERS.items():
        yield name, {}
        yield name, others
        for option, facts in ARCHITECTURES[name].options.items():
            yield from ((name, {**others, option: choice}) for choice in facts.choices if divides(name, option, choice))


def count(name, **options):
    with torch.device("meta"):
        return sum(p.numel() for p in build(name, **options).parameters())


# He et al. 2015, table 6, give 0.27, 0.46, 0.85 and 1.7 million; of VGG, ViT-B/16 and GPT-2 the numbers of torchvision
# and of the released models; the others are counted by hand.
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("mlp", {"sizes": (784, 300, 100, 10)}, 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10),
        ("lenet", {}, 61_706),
        ("resnet", {"depth": 20}, 269_722),
        ("resnet", {"depth": 32}, 464_154),
        ("resnet", {"depth": 56}, 853_018),
        ("resnet", {"depth": 110}, 1_727_962),
        ("resnet", {"depth": 20, "shortcut": "none"}, 269_722),
        ("resnet", {"depth": 20, "shortcut": "projection"}, 269_722 + 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64),
        ("vgg", {"depth": 11, "batch_norm": False, "hidden": 4096, "pool": 7, "classes": 1000}, 132_863_336),
        ("vgg", {"depth": 16, "batch_norm": False, "hidden": 4096, "pool": 7, "classes": 1000}, 138_357_544),
        ("vgg", {"depth": 19, "batch_norm": True, "hidden": 4096, "pool": 7, "classes": 1000}, 143_678_248),
        (
            "vit",
            {"image": 224, "patch": 16, "width": 768, "layers": 12, "heads": 12, "hidden": 3072, "classes": 1000},
            86_567_656,
        ),
        ("gpt", {"vocabulary": 50257, "context": 1024, "width": 768, "layers": 12, "heads": 12}, 124_439_808),
    ],
)
def test_networks_have_as_many_parameters_as_published(name, options, expected):
    assert count(name, **options) == expected


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_architecture_reads_its_example_and_can_be_trained(name):
    torch.manual_seed(0)
    known, options = ARCHITECTURES[name], SMALL[name]
    model = known.build(**options)
    outputs = model(known.example(3, **options))
    assert len(outputs) == 3 and outputs.isfinite().all()
    outputs.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(("name", "options"), list(cases()))
def test_what_was_built_is_recognized_with_all_that_shapes_tell(name, options):
    (match,) = recognize(shapes(name, **options))
    assert match.architecture is ARCHITECTURES[name]
    assert all(a == b for a, b in match.names.items())
    expected = ARCHITECTURES[name].complete(**options)
    assert {n for n in expected if match.options[n] != expected[n]} <= set(match.open)
    assert match.open == (OPEN[name] if options.get("shortcut") != "projection" else ())
    assert shapes_of(match.build()) == shapes(name, **options)
    assert ARCHITECTURES[name].recognized(shapes(name, **options)) == match.options


def test_what_is_open_can_be_chosen_when_the_network_is_built():
    (match,) = recognize(shapes("mlp", activation="tanh"))
    assert isinstance(match.build()[1], nn.ReLU) and isinstance(match.build(activation="tanh")[1], nn.Tanh)


def test_no_skips_is_the_same_network_without_what_is_added():
    torch.manual_seed(0)
    plain, residual = (build("resnet", depth=8, width=2, shortcut=s).eval() for s in ("none", "identity"))
    assert shapes_of(plain) == shapes_of(residual)
    residual.load_state_dict(plain.state_dict())
    block, inputs = residual.layer2[0], torch.randn(2, 2, 8, 8)
    before = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(inputs)))))
    added = torch.zeros_like(before)
    added[:, 1:3] = inputs[:, :, ::2, ::2]  # one new channel of zeros on each side
    assert torch.equal(block(inputs), F.relu(before + added))
    assert torch.equal(plain.layer2[0](inputs), F.relu(before))


def test_a_language_model_does_not_look_ahead():
    torch.manual_seed(0)
    model = build("gpt", vocabulary=7, context=6, width=8, layers=2, heads=2).eval()
    tokens = torch.randint(0, 7, (1, 6))
    changed = tokens.clone()
    changed[0, 4] = (tokens[0, 4] + 1) % 7
    a, b = model(tokens), model(changed)
    assert torch.equal(a[:, :4], b[:, :4]) and not torch.equal(a[:, 4:], b[:, 4:])


def test_attention_in_heads_is_that_of_torch():
    torch.manual_seed(0)
    ours = build("gpt", width=8, layers=1, heads=2, context=5).transformer["h"][0].attn
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.c_attn.weight)
        theirs.in_proj_bias.copy_(ours.c_attn.bias)
        theirs.out_proj.load_state_dict(ours.c_proj.state_dict())
    tokens, mask = torch.randn(2, 5, 8), torch.ones(5, 5, dtype=torch.bool).triu(1)
    expected = theirs(tokens, tokens, tokens, attn_mask=mask)[0]
    torch.testing.assert_close(ours(tokens), expected)


def chain(*layers, bias=True):
    """The shapes of layers of these names and sizes."""
    named = {}
    for name, inputs, outputs in layers:
        named[f"{name}.weight"] = (outputs, inputs)
        if bias:
            named[f"{name}.bias"] = (outputs,)
    return named


@pytest.mark.parametrize(
    ("layers", "order"),
    [
        ([("fc1", 4, 8), ("fc2", 8, 8), ("out", 8, 3)], "fc1 fc2 out"),
        ([("layers.0", 5, 5), ("layers.10", 5, 5), ("layers.2", 5, 5)], "layers.0 layers.2 layers.10"),
        ([("hidden", 8, 8), ("input", 4, 8), ("output", 8, 3)], "input hidden output"),
        ([("action.0", 8, 2), ("body.0", 4, 8), ("body.2", 8, 8)], "body.0 body.2 action.0"),
        ([("encode.0", 9, 3), ("encode.2", 3, 2), ("decode.0", 2, 3), ("decode.2", 3, 9)], None),
    ],
)
def test_a_chain_of_linear_layers_of_any_names_is_a_perceptron(layers, order):
    (match,) = recognize(chain(*layers))
    order = order.split() if order else [name for name, *_ in layers]
    sizes = {name: (a, b) for name, a, b in layers}
    assert match.options["sizes"] == (sizes[order[0]][0], *(sizes[name][1] for name in order))
    assert [match.names[f"{name}.weight"] for name in order] == [f"{2 * k}.weight" for k in range(len(order))]


def test_a_perceptron_with_names_of_its_own_computes_what_it_did():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.middle, self.last = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.last(torch.tanh(self.middle(torch.tanh(self.first(x)))))

    torch.manual_seed(0)
    own, inputs = Named(), torch.randn(5, 3)
    (match,) = recognize(shapes_of(own))
    model = match.build(activation="tanh")
    model.load_state_dict(match.renamed(own.state_dict()))
    assert match.open == ("activation",)
    assert torch.equal(model(inputs), own(inputs))


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"weight": (3,)},
        chain(("a", 4, 8), ("b", 7, 3)),
        chain(("a", 4, 8), ("b", 8, 3)) | {"c.weight": (4, 4, 3, 3)},
        chain(("a", 4, 8)) | chain(("b", 8, 3), bias=False),
        {"a.weight": (3, 4), "a.bias": (2,)},
        {"conv1.weight": (16, 3, 3, 3), "linear.weight": (10, 64)},
        {"features.0.weight": (64, 3, 3, 3), "classifier.weight": (10, 512)},
        {"conv_proj.weight": (8, 3, 4)},
        {"transformer.wte.weight": (5, 8), "transformer.wpe.weight": (4, 8)},
    ],
)
def test_weights_of_nothing_known_are_not_recognized(weights):
    assert recognize(weights) == []


@pytest.mark.parametrize("name", ["vgg", "resnet", "vit", "gpt", "lenet"])
def test_one_shape_that_differs_is_another_network(name):
    whole = shapes(name, **SMALL[name])
    for entry in list(whole)[1::7]:
        lacking = {n: s for n, s in whole.items() if n != entry}
        assert recognize(lacking) == [] or entry == "lm_head.weight" or entry.endswith("num_batches_tracked")
        assert recognize({**whole, entry: (*whole[entry], 2)}) == []


def test_two_names_for_one_weight_are_not_taken_for_one():
    whole = shapes("resnet", **SMALL["resnet"])
    assert len(recognize(whole)) == 1
    assert recognize({**whole, "fc.weight": whole["linear.weight"]}) == []


def test_a_tied_weight_that_a_file_keeps_once_is_not_missed():
    whole = shapes("gpt")
    for entry in ("lm_head.weight", "transformer.wte.weight"):
        (match,) = recognize({n: s for n, s in whole.items() if n != entry})
        assert match.options["tied"] and "tied" not in match.open


def test_counts_that_old_files_lack_are_not_missed():
    whole = shapes("resnet")
    old = {n: s for n, s in whole.items() if not n.endswith("num_batches_tracked")}
    assert len(old) < len(whole) and recognize(old)[0].options == recognize(whole)[0].options


def test_masks_among_the_weights_of_a_language_model_are_left_out():
    masked = shapes("gpt", layers=1) | {"transformer.h.0.attn.bias": (1, 1, 64, 64)}
    (match,) = recognize(masked)
    assert "transformer.h.0.attn.bias" not in match.names


TIMM = {
    "class_token": "cls_token",
    "encoder.pos_embedding": "pos_embed",
    "conv_proj": "patch_embed.proj",
    "encoder.layers.encoder_layer_": "blocks.",
    "self_attention.in_proj_": "attn.qkv.",
    "self_attention.out_proj": "attn.proj",
    "ln_1": "norm1",
    "ln_2": "norm2",
    "mlp.0": "mlp.fc1",
    "mlp.3": "mlp.fc2",
    "encoder.ln": "norm",
    "heads.head": "head",
}


@pytest.mark.parametrize(
    ("name", "words"), [("vit", TIMM), ("resnet", {"linear.": "fc.", ".shortcut.": ".downsample."}), ("lenet", {})]
)
def test_other_usual_names_are_known(name, words):
    options = {**SMALL[name], **({"shortcut": "projection"} if name == "resnet" else {})}
    words = words or {"conv1": "features.0", "conv2": "features.3", "fc1": "head.0", "fc2": "head.2", "fc3": "head.4"}
    theirs = {}
    for entry, shape in shapes(name, **options).items():
        other = entry
        for ours, word in words.items():
            other = other.replace(ours, word)
        theirs[other] = shape
    (match,) = recognize(theirs)
    assert match.architecture.name == name
    assert list(match.names.values()) == list(shapes(name, **options))
    assert match.names.keys() == theirs.keys() != shapes(name, **options).keys()


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("mlq", {}, "architecture must be one of mlp, lenet, vgg, resnet, vit, gpt, but it is 'mlq'."),
        ("mlp", {"size": (3, 2)}, "option of mlp must be one of sizes, activation, bias, but it is 'size'."),
        ("mlp", {"sizes": (3,)}, "sizes must be two numbers or more, those of inputs and outputs among them, but it"),
        ("mlp", {"sizes": (3, 0)}, "sizes must be a tuple of whole numbers between 1 and 10000000, but it is (3, 0)."),
        ("resnet", {"depth": 21}, "depth must be one of 8, 14, 20, 26, 32, 44, 56, 110, but it is 21."),
        ("vgg", {"width": 0}, "width must be a whole number between 1 and 1000000, but it is 0."),
        ("vit", {"patch": 5}, "patch must be a divisor of the 32 rows of an image, but it is 5."),
        ("vit", {"heads": 5}, "heads must be a divisor of the width 64, but it is 5."),
        ("gpt", {"heads": 3}, "heads must be a divisor of the width 64, but it is 3."),
    ],
)
def test_options_that_cannot_be_are_told_in_a_sentence(name, options, told):
    with pytest.raises(ChoiceError) as caught:
        build(name, **options)
    assert str(caught.value).startswith(told)


def test_every_option_says_what_it_is_and_has_a_default_that_can_be():
    for name, known in ARCHITECTURES.items():
        assert (known.name, known.title != "") == (name, True)
        assert all(option.help for option in known.options.values())
        assert known.complete(**known.complete()) == known.complete()
    assert set(architectures.__all__) == {"ARCHITECTURES", "Architecture", "Match", "Option", "build", "recognize"}
