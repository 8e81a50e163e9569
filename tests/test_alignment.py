"""Alignment: the same function in another order of units, the order that is known, and what is refused."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape_engine as le
import odd_models
from landscape_engine import Outcome, alignment
from landscape_engine.alignment.rules import ELEMENTWISE
from landscape_engine.errors import StructureError

SIZES = {torch.float32: 1e-4, torch.float64: 1e-11}


class Block(nn.Module):
    """A residual block of two 3x3 convolutions; where the shape changes, the shortcut is option A, B or none."""

    def __init__(self, inputs, outputs, stride, option):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.padding = (outputs - inputs) // 2 if option == "A" else 0
        self.shortcut = nn.Sequential()
        if inputs != outputs and option == "B":
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.padding:
            return F.relu(y + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding)))
        y += self.shortcut(x)
        return F.relu(y)


class ResNet20(nn.Module):
    """He et al. 2016, section 4.2: three stages of three blocks, of 16, 32 and 64 channels."""

    def __init__(self, option="B", head="mean"):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [16] * 4 + [32] * 3 + [64] * 3
        pairs = list(itertools.pairwise(widths))
        self.blocks = nn.Sequential(*(Block(i, o, 1 if i == o else 2, option) for i, o in pairs))
        self.fc, self.head = nn.Linear(64, 10), head

    def forward(self, x):
        x = self.blocks(F.relu(self.bn(self.conv(x))))
        if self.head == "mean":
            return self.fc(x.mean((2, 3)))
        if self.head == "pool":
            return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return self.fc(F.avg_pool2d(x, x.size(3) if self.head == "size" else 8).view(x.size(0), -1))


class ResidualMLP(nn.Module):
    """Pre-activation: x + W2 gelu(W1 norm(x)), with a class head."""

    def __init__(self, width=12, depth=3, scale=False):
        super().__init__()
        self.stem, self.head = nn.Linear(6, width), nn.Linear(width, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(depth))
        self.gamma = nn.Parameter(torch.ones(width)) if scale else None

    def forward(self, x):
        x = self.stem(x)
        for norm, up, down in zip(self.norms, self.up, self.down, strict=True):
            y = down(F.gelu(up(norm(x))))
            x = x + (y if self.gamma is None else self.gamma * y)
        return self.head(x)


def mlp(*widths, activation=nn.ReLU):
    layers = [[nn.Linear(i, o), activation()] for i, o in itertools.pairwise(widths)]
    return nn.Sequential(*sum(layers, [])[:-1])


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 7, 3, padding=1, bias=False),
        nn.BatchNorm2d(7),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(7 * 16, 9),
        nn.BatchNorm1d(9),
        nn.ReLU(),
        nn.Linear(9, 3),
    )


def trained_like(model, seed, dtype=torch.float64):
    """The model with every parameter and statistic of its own, none at its initial value."""
    generator = torch.Generator().manual_seed(seed)
    model = model.to(dtype).eval()
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
                scale = max(1, tensor[0].numel() if tensor.ndim > 1 else 4) ** -0.5
                tensor.copy_(1 + 0.4 * noise.abs() if tensor.ndim == 1 else scale * noise * 1.4)
    return model


def inputs(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7)).to(dtype)


def assert_same_function(model, state, x, tolerance):
    """The model computes at the state what it computes at its own."""
    with torch.no_grad():
        expected = model(*x) if isinstance(x, tuple) else model(x)
        found = torch.func.functional_call(model, dict(state), x if isinstance(x, tuple) else (x,))
    assert float(expected.std()) > 0
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max()))


def shuffled(found, seed):
    """The alignment with every group in a random order instead."""
    generator = np.random.default_rng(seed)
    return replace(found, permutations={g.name: generator.permutation(g.size) for g in found.groups})


def state_of(model):
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


NETS = {
    "MLP": (lambda: mlp(5, 16, 11, 3), (4, 5)),
    "CNN with batch norm": (cnn, (4, 1, 8, 8)),
    "ResNet-20": (ResNet20, (2, 3, 16, 16)),
    "residual MLP with layer norm": (ResidualMLP, (4, 6)),
}


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("name", NETS)
def test_the_aligned_model_computes_the_same_function_and_is_closer(name, dtype):
    build, shape = NETS[name]
    a, b = trained_like(build(), 1, dtype), trained_like(build(), 2, dtype)
    before = [{n: t.clone() for n, t in state_of(m).items()} for m in (a, b)]
    x = inputs(*shape, dtype=dtype)
    seen = []
    found = alignment.align(a, b, watch=lambda step: seen.append(step.value))
    assert found.outcome is Outcome.CONVERGED
    assert all(sorted(p) == list(range(len(p))) for p in found.permutations.values())
    assert any((p != np.arange(len(p))).any() for p in found.permutations.values())
    with torch.no_grad():
        torch.testing.assert_close(found.model.forward(x), b(x), rtol=SIZES[dtype], atol=SIZES[dtype])
    assert_same_function(b, found.apply(state_of(b)), x, SIZES[dtype])
    assert found.distance_after < found.distance_before
    assert len(seen) == found.passes
    assert all(after <= before for before, after in itertools.pairwise([found.distance_before, *seen]))
    own = [p.detach().double() for p in a.parameters()]
    moved = [found.model.parameters[n].double() for n, _ in a.named_parameters()]
    plain = sum(float(((p - q) ** 2).sum()) for p, q in zip(own, moved, strict=True)) ** 0.5
    assert found.distance_after == pytest.approx(plain)
    for model, state in zip((a, b), before, strict=True):
        assert all(torch.equal(t, state[n]) for n, t in state_of(model).items())
        assert not any("forward" in vars(module) for module in model.modules())


def permuted_by_hand(model, orders):
    """A state of the MLP or the ResNet whose units were put in another order, as a person would do it."""
    state = {n: t.clone() for n, t in state_of(model).items()}

    def out(layer, order):
        for part in ("weight", "bias", "running_mean", "running_var"):
            if f"{layer}.{part}" in state:
                state[f"{layer}.{part}"] = state[f"{layer}.{part}"][order]

    def into(layer, order):
        state[f"{layer}.weight"] = state[f"{layer}.weight"][:, order]

    for makers, readers, order in orders:
        for layer in makers:
            out(layer, order)
        for layer in readers:
            into(layer, order)
    return state


def resnet_orders(seed):
    """For each group its name, the layers that hold its units as outputs, those that read them, and an order."""
    generator = torch.Generator().manual_seed(seed)
    groups, stem = {}, (["conv", "bn"], [])
    for k in range(9):
        groups[f"blocks.{k}.conv1"] = [f"blocks.{k}.conv1", f"blocks.{k}.bn1"], [f"blocks.{k}.conv2"]
    for stage, (name, makers) in enumerate([("conv", stem[0]), ("blocks.3.conv2", []), ("blocks.6.conv2", [])]):
        own = [f"blocks.{k}" for k in range(3 * stage, 3 * stage + 3)]
        makers = [*makers, *(f"{b}.{part}" for b in own for part in ("conv2", "bn2"))]
        if stage:
            makers += [f"{own[0]}.shortcut.0", f"{own[0]}.shortcut.1"]
        readers = [f"{b}.conv1" for b in own[1:]] + ([f"{own[0]}.conv1"] if stage == 0 else [])
        after = [f"blocks.{3 * stage + 3}.conv1", f"blocks.{3 * stage + 3}.shortcut.0"] if stage < 2 else ["fc"]
        groups[name] = makers, readers + after
    widths = {n: 16 if n == "conv" or n < "blocks.3" else 32 if n < "blocks.6" else 64 for n in groups}
    return {n: (m, r, torch.randperm(widths[n], generator=generator)) for n, (m, r) in groups.items()}


def test_the_order_of_a_permuted_resnet_is_found_exactly():
    a = trained_like(ResNet20(), 3)
    orders = resnet_orders(4)
    b = ResNet20().double().eval()
    b.load_state_dict(permuted_by_hand(a, orders.values()))
    x = inputs(2, 3, 16, 16)
    torch.testing.assert_close(b(x), a(x), rtol=1e-10, atol=1e-10)  # the hand was right
    found = alignment.align(a, b)
    assert found.distance_before > 1
    assert found.distance_after == 0
    assert found.permutations.keys() == orders.keys()
    for name, (_, _, order) in orders.items():
        np.testing.assert_array_equal(found.permutations[name], np.argsort(order.numpy()))
    aligned = {**found.model.parameters, **found.model.buffers}
    assert all(torch.equal(t, aligned[n]) for n, t in state_of(a).items())


def test_the_order_of_a_permuted_mlp_is_found_exactly():
    a = trained_like(mlp(6, 30, 20, 10, 4), 5)
    generator = torch.Generator().manual_seed(6)
    orders = {
        str(2 * k): ([str(2 * k)], [str(2 * k + 2)], torch.randperm(n, generator=generator))
        for k, n in enumerate((30, 20, 10))
    }
    found = alignment.align(a, le.wrap_model(a).at(permuted_by_hand(a, orders.values())), seed=1)
    assert found.distance_after == 0
    for name, (_, _, order) in orders.items():
        np.testing.assert_array_equal(found.permutations[name], np.argsort(order.numpy()))


def distances_of_every_order(a, b, widths):
    """From all combinations of orders of the hidden layers of two MLPs to the distance, by plain NumPy."""
    theta, other = ({n: t.detach().numpy() for n, t in m.named_parameters()} for m in (a, b))
    layers = len(widths) + 1
    found = {}
    for orders in itertools.product(*(itertools.permutations(range(n)) for n in widths)):
        total = 0.0
        for k in range(layers):
            weight, bias = other[f"{2 * k}.weight"], other[f"{2 * k}.bias"]
            if k < layers - 1:
                weight, bias = weight[list(orders[k])], bias[list(orders[k])]
            if k > 0:
                weight = weight[:, list(orders[k - 1])]
            total += ((theta[f"{2 * k}.weight"] - weight) ** 2).sum() + ((theta[f"{2 * k}.bias"] - bias) ** 2).sum()
        found[orders] = total**0.5
    return found


@pytest.mark.parametrize("seed", range(6))
def test_one_hidden_layer_is_matched_as_well_as_any_order_can(seed):
    a, b = trained_like(mlp(3, 5, 2), seed), trained_like(mlp(3, 5, 2), seed + 100)
    found = alignment.align(a, b)
    every = distances_of_every_order(a, b, [5])
    assert found.distance_after == pytest.approx(min(every.values()), rel=1e-12)
    assert (tuple(found.permutations["0"].tolist()),) == min(every, key=every.get)


@pytest.mark.parametrize("seed", range(6))
def test_no_other_order_of_one_layer_alone_is_better(seed):
    a, b = trained_like(mlp(3, 4, 3, 4, 2), seed), trained_like(mlp(3, 4, 3, 4, 2), seed + 100)
    found = alignment.align(a, b, seed=seed)
    every = distances_of_every_order(a, b, [4, 3, 4])
    here = tuple(tuple(found.permutations[n].tolist()) for n in ("0", "2", "4"))
    assert found.distance_after == pytest.approx(every[here], rel=1e-12)
    assert found.distance_before == pytest.approx(every[tuple(tuple(range(n)) for n in (4, 3, 4))], rel=1e-12)
    neighbors = [d for orders, d in every.items() if sum(p != q for p, q in zip(orders, here, strict=True)) == 1]
    assert found.distance_after <= min(neighbors) + 1e-12


def test_a_search_that_was_stopped_and_resumed_ends_where_another_ends():
    a, b = trained_like(mlp(8, 40, 40, 40, 4), 1), trained_like(mlp(8, 40, 40, 40, 4), 2)
    whole = alignment.align(a, b, seed=5)
    assert whole.passes > 3
    part = alignment.align(a, b, seed=5, watch=lambda step: step.count < 2)
    assert (part.outcome, part.passes) == (Outcome.STOPPED, 2)
    resumed = alignment.align(a, b, start=part)
    limited = alignment.align(a, b, seed=5, passes=3)
    assert limited.outcome is Outcome.LIMIT
    for other in (resumed, alignment.align(a, b, start=limited)):
        assert (other.outcome, other.passes, other.seed) == (Outcome.CONVERGED, whole.passes, 5)
        assert other.distance_after == whole.distance_after
        for name, permutation in whole.permutations.items():
            np.testing.assert_array_equal(other.permutations[name], permutation)
    assert alignment.align(a, b, passes=whole.passes, start=whole).outcome is Outcome.CONVERGED
    with pytest.raises(le.SearchError, match="has not converged") as caught:
        alignment.align(a, b, passes=1, throw=True)
    assert caught.value.result.passes == 1


def test_values_that_are_not_finite_end_the_search_at_once():
    a, b = mlp(3, 4, 2), mlp(3, 4, 2)
    with torch.no_grad():
        b[0].weight[0, 0] = torch.nan
    found = alignment.align(a, b)
    assert (found.outcome, found.passes) == (Outcome.FAILED, 0)
    assert all((p == np.arange(4)).all() for p in found.permutations.values())


def test_each_checkpoint_of_a_training_run_is_put_in_the_same_order():
    a, b = trained_like(cnn(), 1), trained_like(cnn(), 2)
    recorder = le.TrajectoryRecorder(b)
    for step in range(3):
        recorder.record(step)
        trained_like(b, step + 10)
    recorder.record(3)
    trajectory = recorder.trajectory()
    found = alignment.align(a, b)
    x = inputs(3, 1, 8, 8)
    for k in range(len(trajectory)):
        state = trajectory[k]
        kept = {n: t.clone() for n, t in state.items()}
        moved = found.apply(state)
        assert moved.keys() == state.keys()
        with torch.no_grad():
            expected, got = (torch.func.functional_call(b, dict(s), x) for s in (state, moved))
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
        assert all(torch.equal(t, kept[n]) for n, t in state.items())
    with pytest.raises(le.MismatchError, match="has shape"):
        found.apply({"0.weight": torch.zeros(2, 2)})


NORMS_2D = {
    "batch": nn.BatchNorm2d,
    "group": lambda n: nn.GroupNorm(2 if n % 2 == 0 else 1, n),
    "one group": lambda n: nn.GroupNorm(1, n),
    "instance": lambda n: nn.InstanceNorm2d(n, affine=True, track_running_stats=True),
    "none": lambda n: nn.Identity(),
}
NORMS_1D = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "rms": nn.RMSNorm, "none": lambda n: nn.Identity()}
ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "tanh": torch.tanh, "silu": F.silu, "leaky": F.leaky_relu}


class RandomMLP(nn.Module):
    """A residual MLP of random depth, widths, norms, activations and skips."""

    def __init__(self, choose):
        super().__init__()
        widths = [int(choose.integers(2, 9)) for _ in range(int(choose.integers(1, 5)))]
        self.norms, self.layers, self.skips = nn.ModuleList(), nn.ModuleList(), []
        self.activation = ACTIVATIONS[choose.choice(list(ACTIVATIONS))]
        self.prelu = nn.PReLU(widths[0]) if choose.random() < 0.3 else None
        before = 4
        for k, width in enumerate(widths):
            skip = k > 0 and choose.random() < 0.5
            width = before if skip else width
            self.layers.append(nn.Linear(before, width, bias=bool(choose.random() < 0.7)))
            self.norms.append(NORMS_1D[choose.choice(list(NORMS_1D))](width))
            joined = not skip and k > 0 and choose.random() < 0.3
            self.skips.append("add" if skip else "join" if joined else "")
            before = width + before if joined else width
        self.head = nn.Linear(before, 3)

    def forward(self, x):
        for k, (layer, norm, skip) in enumerate(zip(self.layers, self.norms, self.skips, strict=True)):
            y = self.activation(norm(layer(x)))
            if k == 0 and self.prelu is not None:
                y = self.prelu(y)
            x = x + y if skip == "add" else torch.cat([x, y], dim=-1) if skip == "join" else y
        return self.head(x)


class RandomCNN(nn.Module):
    """A convolutional network of random depth, widths, norms, groups, skips and head."""

    def __init__(self, choose):
        super().__init__()
        self.layers, self.norms, self.skips = nn.ModuleList(), nn.ModuleList(), []
        self.activation = ACTIVATIONS[choose.choice(list(ACTIVATIONS))]
        before = 2
        for k in range(int(choose.integers(1, 5))):
            width, groups = 2 * int(choose.integers(1, 5)), 1
            skip = choose.choice(["", "add", "join", "gate", "depthwise", "groups"]) if k else ""
            if skip in ("add", "gate"):
                width = before
            if skip == "depthwise":
                width, groups = before * int(choose.integers(1, 3)), before
            if skip == "groups" and before % 2 == 0:
                groups = 2
            self.layers.append(nn.Conv2d(before, width, 3, 1, 1, groups=groups, bias=bool(choose.random() < 0.7)))
            self.norms.append(NORMS_2D[choose.choice(list(NORMS_2D))](width))
            self.skips.append(skip)
            before = before + width if skip == "join" else width
        self.tail = choose.choice(["mean", "flatten", "view", "pool"])
        self.head = nn.Linear(before * (16 if self.tail in ("flatten", "view") else 1), 3)

    def forward(self, x):
        for layer, norm, skip in zip(self.layers, self.norms, self.skips, strict=True):
            y = self.activation(norm(layer(x)))
            if skip == "gate":
                y = x * torch.sigmoid(y.mean((2, 3), keepdim=True))
            x = x + y if skip == "add" else torch.cat((x, y), 1) if skip == "join" else y
        if self.tail == "flatten":
            return self.head(x.flatten(1))
        if self.tail == "view":
            return self.head(x.view(x.size(0), -1))
        return self.head(x.mean((2, 3)) if self.tail == "mean" else F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0])


@pytest.mark.parametrize("kind", [RandomMLP, RandomCNN])
def test_any_order_of_the_units_of_random_networks_computes_the_same(kind):
    moved = 0
    for seed in range(40):
        choose = np.random.default_rng(seed)
        a = kind(choose)
        b = kind(np.random.default_rng(seed))
        a, b = trained_like(a, seed), trained_like(b, seed + 1000)
        x = inputs(3, 4) if kind is RandomMLP else inputs(3, 2, 4, 4)
        found = alignment.align(a, b)
        assert found.outcome is Outcome.CONVERGED
        assert found.distance_after <= found.distance_before
        for each in (found, shuffled(found, seed)):
            assert_same_function(b, each.apply(state_of(b)), x, 1e-9)
        assert_same_function(b, {**found.model.parameters, **found.model.buffers}, x, 1e-9)
        seen = alignment.permutation_groups(b, x)
        assert {(g.name, g.places) for g in seen} == {(g.name, g.places) for g in found.groups}
        moved += sum(g.size for g in found.groups)
    assert moved > 200


class Forward(nn.Module):
    """Modules by name, and a function of them and the inputs."""

    def __init__(self, function, **modules):
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)
        self.function = function

    def forward(self, *x):
        return self.function(self, *x)


def tokens(m, x):
    x = m.embed(x) + m.position
    q, k, v = (part.reshape(len(x), 5, 2, 4).transpose(1, 2) for part in m.qkv(m.norm(x)).chunk(3, -1))
    weights = torch.softmax(q @ k.transpose(-1, -2) / q.size(-1) ** 0.5, -1)
    mixed = weights @ v if m.written_out else F.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = x + m.out(mixed.transpose(1, 2).reshape(len(x), 5, 8))
    return m.head(x.mean(1))


def decoder(m, x):
    y = m.grow(torch.relu(m.fc(x)))
    return m.head(F.interpolate(y.view(-1, 3, 2, 2), scale_factor=2.0)).flatten(1)


# Network, its inputs, and the sizes of its groups, counted by hand.
UNUSUAL = {
    "gated units": (
        lambda: Forward(lambda m, x: m.b(F.glu(m.a(x))), a=nn.Linear(3, 8), b=nn.Linear(4, 2)),
        (4, 3),
        [4],
    ),
    "a tied weight": (lambda: odd_models.Tied(), (5, 4), []),
    "a layer scale": (lambda: ResidualMLP(scale=True), (4, 6), [12, 24, 24, 24]),
    "a class token beside a shared layer": (
        lambda: Forward(
            lambda m, x: m.head(torch.cat([m.token.expand(x.size(0), -1, -1), torch.relu(m.fc(x))], 1).amax(1)),
            token=nn.Parameter(torch.zeros(1, 1, 6)),
            fc=nn.Linear(3, 6),
            head=nn.Linear(6, 2),
        ),
        (4, 5, 3),
        [6],
    ),
    "zero-padded shortcuts": (
        lambda: ResNet20(option="A"),
        (2, 3, 16, 16),
        [16] * 4 + [8, 8] + [32] * 3 + [16, 16] + [64] * 3,
    ),
    "a decoder": (
        lambda: Forward(decoder, fc=nn.Linear(4, 5), grow=nn.Linear(5, 12), head=nn.Conv2d(3, 1, 3)),
        (4, 4),
        [5, 3],
    ),
    "a transposed convolution": (
        lambda: Forward(
            lambda m, x: m.b(torch.relu(m.n(m.a(x)))).flatten(1),
            a=nn.ConvTranspose2d(2, 6, 3, 2),
            n=nn.BatchNorm2d(6),
            b=nn.ConvTranspose2d(6, 1, 2),
        ),
        (3, 2, 3, 3),
        [6],
    ),
    "channels last": (
        lambda: Forward(
            lambda m, x: m.head(torch.relu(m.norm(m.conv(x).permute(0, 2, 3, 1))).flatten(1)),
            conv=nn.Conv2d(1, 6, 3),
            norm=nn.LayerNorm(6),
            head=nn.Linear(24, 2),
        ),
        (3, 1, 4, 4),
        [6],
    ),
    "one layer used twice": (
        lambda: Forward(
            lambda m, x: m.head(torch.tanh(m.body(torch.tanh(m.body(m.stem(x)))))),
            stem=nn.Linear(3, 6),
            body=nn.Linear(6, 6),
            head=nn.Linear(6, 2),
        ),
        (4, 3),
        [6],
    ),
    "a weight that is used by itself": (
        lambda: Forward(
            lambda m, x: F.linear(torch.relu(x @ m.w + m.c), m.v),
            w=nn.Parameter(torch.zeros(3, 7)),
            c=nn.Parameter(torch.zeros(7)),
            v=nn.Parameter(torch.zeros(2, 7)),
        ),
        (4, 3),
        [7],
    ),
    "unit vectors": (
        lambda: Forward(lambda m, x: m.b(F.normalize(m.a(x), dim=-1)), a=nn.Linear(3, 7), b=nn.Linear(7, 2)),
        (4, 3),
        [7],
    ),
    "parts of a hidden layer": (
        lambda: Forward(
            lambda m, x: (h := torch.relu(m.a(x)), m.b(h[..., :4]) + m.c(h[..., 4:]))[1],
            a=nn.Linear(3, 10),
            b=nn.Linear(4, 2),
            c=nn.Linear(6, 2),
        ),
        (4, 3),
        [4, 6],
    ),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_networks_are_aligned_exactly_or_left_alone(name):
    build, shape, sizes = UNUSUAL[name]
    a, b = trained_like(build(), 1), trained_like(build(), 2)
    x = inputs(*shape)
    found = alignment.align(a, b, example=[x])  # one argument of the forward
    assert sorted(g.size for g in found.groups) == sorted(sizes)
    assert found.distance_after <= found.distance_before
    for each in (found, shuffled(found, 3)):
        assert_same_function(b, each.apply(state_of(b)), x, 1e-9)


@pytest.mark.parametrize("written_out", [True, False])
def test_attention_of_products_keeps_its_heads_together(written_out):
    def build():
        return Forward(
            tokens,
            written_out=written_out,
            embed=nn.Embedding(11, 8),
            position=nn.Parameter(torch.zeros(1, 5, 8)),
            norm=nn.LayerNorm(8),
            qkv=nn.Linear(8, 24),
            out=nn.Linear(8, 8),
            head=nn.Linear(8, 3),
        )

    a, b = trained_like(build(), 1), trained_like(build(), 2)
    x = torch.randint(0, 11, (4, 5), generator=torch.Generator().manual_seed(0))
    found = alignment.align(a, b, example=x)
    assert {g.size for g in found.groups} == {8, 2}
    for each in (found, shuffled(found, 4), shuffled(found, 5)):
        assert_same_function(b, each.apply(state_of(b)), x, 1e-9)


@pytest.mark.parametrize("head", ["mean", "pool", "view"])
def test_groups_of_a_resnet_are_found_without_an_example(head):
    groups = alignment.permutation_groups(ResNet20(head=head))
    expected = resnet_orders(0)
    assert {g.name: g.size for g in groups} == {n: len(order) for n, (_, _, order) in expected.items()}
    for group in groups:
        makers, readers, _ = expected[group.name]
        dims = {(p.tensor.rpartition(".")[0], p.dim) for p in group.places}
        assert dims == {(layer, 0) for layer in makers} | {(layer, 1) for layer in readers}


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn", "cartpole_policy"])
def test_sample_models_and_agents_can_be_aligned(name):
    import sample_models

    sample = sample_models.load(name)
    model = le.wrap_model(sample.model)
    moved = model.at({n: t.flip(0) if t.ndim else t for n, t in model.parameters.items()})
    found = alignment.align(model, moved)
    x = {"digits_mlp": (3, 64), "digits_cnn": (3, 64), "cartpole_policy": (3, 4)}[name]
    x = inputs(*x, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(found.model.forward(x), moved.forward(x), rtol=1e-4, atol=1e-4)
    assert found.distance_after < found.distance_before


def test_the_barrier_between_two_trained_networks_falls():
    import sample_models

    sample = sample_models.load("two_seeds")
    other = sample.second_model
    found = alignment.align(sample.model, other)
    loss, _ = sample.metrics("test")
    as_given, aligned = (
        le.linear_interpolation(sample.model, end, loss, steps=9).values for end in (other, found.model)
    )
    assert aligned[-1] == pytest.approx(as_given[-1], rel=1e-5)
    barriers = [curve.max() - max(curve[0], curve[-1]) for curve in (as_given, aligned)]
    assert barriers[1] < 0.2 * barriers[0]


def test_what_does_not_span_the_space_stays():
    model = le.wrap_model(mlp(3, 6, 6, 2), parameters=["2.*", "4.*"])
    assert [g.name for g in alignment.permutation_groups(model)] == ["2"]
    constant = Forward(lambda m, x: m.b(torch.relu(m.a(x)) * m.mask), a=nn.Linear(3, 6), b=nn.Linear(6, 2))
    constant.register_buffer("mask", torch.ones(6))
    assert alignment.permutation_groups(constant) == ()


def branch(m, x):
    return m.head(m.fc(x) if x.sum() > 0 else -m.fc(x))


def caught(m, x):
    try:
        return m.head(branch(m, x))
    except Exception:
        return m.head(torch.relu(m.fc(x)))


REFUSED = {
    "LSTM": (
        lambda: odd_models.Recurrent(),
        r"^layer 'lstm' \(LSTM\) cannot be aligned: what it does to the order of its units is not known\. .*build",
    ),
    "attention": (lambda: odd_models.Attentive(), r"^layer 'attention' \(MultiheadAttention\) cannot be aligned: "),
    "control flow": (
        lambda: Forward(branch, fc=nn.Linear(4, 6), head=nn.Linear(6, 2)),
        r"^the model \(Forward\) cannot be aligned: its forward depends on the values of the data\. Write it",
    ),
    "a caught refusal": (
        lambda: Forward(caught, fc=nn.Linear(4, 6), head=nn.Linear(6, 2)),
        "depends on the values of the data",
    ),
    "a number read from a tensor": (
        lambda: Forward(lambda m, x: m.fc(x) * m.fc(x).mean().item(), fc=nn.Linear(4, 6)),
        "depends on the values of the data",
    ),
    "an unknown operation": (
        lambda: nn.Sequential(nn.Linear(4, 6), Forward(lambda m, x: torch.roll(x, 1, -1)), nn.Linear(6, 2)),
        r"^the operation 'roll' in layer '1' \(Forward\) cannot be aligned: what it does",
    ),
    "sorted units": (
        lambda: Forward(lambda m, x: m.head(m.fc(x).sort(-1)[0]), fc=nn.Linear(4, 6), head=nn.Linear(6, 2)),
        "^the operation 'sort' in the model",
    ),
    "an unknown function of a parameter": (
        lambda: Forward(lambda m, x: F.linear(x, torch.linalg.qr(m.fc.weight)[0]), fc=nn.Linear(4, 4)),
        "^the operation '[a-z_]*qr' in the model",
    ),
    "a parametrized weight": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.utils.parametrizations.weight_norm(nn.Linear(6, 2))),
        r"^layer '1' \(ParametrizedLinear\) cannot be aligned",
    ),
    "an output that hides tensors": (
        lambda: Forward(lambda m, x: {m.fc(x)}, fc=nn.Linear(4, 6)),
        "its output is a set",
    ),
    "a write to a part": (
        lambda: Forward(lambda m, x: torch.zeros(5, 6).index_copy_(0, torch.arange(5), m.fc(x)), fc=nn.Linear(4, 6)),
        "^the operation 'index_copy' in the model",
    ),
    "a local response norm": (
        lambda: nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 6, 1), nn.LocalResponseNorm(2)),
        r"^layer '2' \(LocalResponseNorm\) cannot be aligned",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_refused_by_a_sentence_that_names_it(name):
    build, sentence = REFUSED[name]
    with pytest.raises(StructureError, match=sentence) as caught:
        alignment.permutation_groups(build(), example=torch.randn(5, 4))
    assert isinstance(caught.value, le.LandscapeError)
    assert caught.value.kind


def test_a_forward_that_needs_shapes_asks_for_an_example():
    def build():
        return Forward(lambda m, x: m.b(m.a(x).reshape(len(x), 6)), a=nn.Linear(4, 6), b=nn.Linear(6, 2))

    with pytest.raises(StructureError, match=r"the shapes of its tensors are not known\. Pass example=, a batch of"):
        alignment.permutation_groups(build())
    assert [g.size for g in alignment.permutation_groups(build(), torch.randn(5, 4))] == [6]
    expands = Forward(
        lambda m, x: m.a.expand(x.shape[0], -1) + m.b(x), a=nn.Parameter(torch.ones(1, 2)), b=nn.Linear(4, 2)
    )
    with pytest.raises(StructureError, match="pass example=, a batch of inputs"):
        alignment.permutation_groups(expands)


def test_a_batch_that_is_doubled_inside_is_not_taken_for_the_batch():
    def siamese(m, x):
        return m.head(m.conv(torch.cat([x, x], 0)).view(x.size(0), -1))

    a, b = (
        trained_like(Forward(siamese, conv=nn.Conv2d(1, 4, 3), head=nn.Linear(2 * 4 * 4, 2)), seed) for seed in (1, 2)
    )
    with pytest.raises(StructureError, match="Pass example="):
        alignment.align(a, b)
    x = inputs(4, 1, 4, 4)
    found = alignment.align(a, b, example=x)
    assert_same_function(b, shuffled(found, 1).apply(state_of(b)), x, 1e-9)


def test_what_cannot_be_seen_is_noticed_on_the_example():
    def hidden(m, x):
        y = m.fc(x)
        return m.head(y.flip(-1) if type(y) is torch.Tensor else y)

    a, b = (trained_like(Forward(hidden, fc=nn.Linear(4, 6), head=nn.Linear(6, 2)), k) for k in range(2))
    with pytest.raises(StructureError, match="computes something else"):
        alignment.align(a, b, example=inputs(5, 4))


def test_models_of_two_architectures_are_refused():
    with pytest.raises(le.MismatchError, match=r"'0.weight' has shape \(5, 3\)"):
        alignment.align(mlp(3, 4, 2), mlp(3, 5, 2))
    with pytest.raises(le.ChoiceError, match="start must be an earlier alignment of these models"):
        alignment.align(mlp(3, 4, 2), mlp(3, 4, 2), start=alignment.align(mlp(3, 5, 2), mlp(3, 5, 2)))


def found_by_name(name):
    for place in (torch.Tensor, F, torch):
        if hasattr(place, name):
            return getattr(place, name)
    raise AssertionError(f"there is no function {name}")


OTHER_TYPE = "__and__ __or__ __xor__ __invert__".split()
ARGUMENTS = {
    "dropout": {"training": False},
    "dropout1d": {"training": False},
    "alpha_dropout": {"training": False},
    "feature_alpha_dropout": {"training": False},
    "type": {"dtype": torch.float32},
    "threshold": {"threshold": 0.1, "value": 20.0},
    "clamp": {"min": 0.3},
    "clip": {"min": 0.3},
}
UNTRIED = ["cuda", "dropout2d", "dropout3d"]  # the identity, but not on every machine or for every shape


@pytest.mark.parametrize("name", sorted({*ELEMENTWISE} - {*UNTRIED}))
def test_what_is_taken_to_be_entry_by_entry_is(name):
    function, order = found_by_name(name), torch.tensor([2, 0, 3, 1, 4])
    x, y, z = (0.1 + 0.8 * torch.rand(3, 2, 5, generator=torch.Generator().manual_seed(k)) for k in range(3))
    if name in OTHER_TYPE:
        x, y, z = (t > 0.5 for t in (x, y, z))
    for given in ([x], [x, y], [x, y > 0.5, 2.0], [x, y, z], [x, -1], [x, 0.5]):
        moved = [t[..., order] if isinstance(t, torch.Tensor) else t for t in given]
        given = [t.clone() if isinstance(t, torch.Tensor) else t for t in given]
        try:
            found = function(*given, **ARGUMENTS.get(name, {}))
        except (TypeError, RuntimeError, UserWarning):
            continue
        if found is NotImplemented:
            continue
        again = function(*moved, **ARGUMENTS.get(name, {}))
        torch.testing.assert_close(again, found[..., order], rtol=1e-6, atol=1e-6, equal_nan=True)
        return
    raise AssertionError(f"no arguments were found for {name}")


@pytest.mark.parametrize("name", odd_models.MODULES)
def test_odd_models_are_aligned_exactly_or_refused(name):
    torch.manual_seed(0)
    a, b = odd_models.MODULES[name]().eval(), odd_models.MODULES[name]().eval()
    x = torch.randn(5, 4).to(next(b.parameters()).dtype)
    try:
        found = alignment.align(a, b, example=x)
    except StructureError:
        assert name in ("LSTM", "attention")
        return
    tolerance = 1e-2 if x.dtype == torch.float16 else 1e-5
    with torch.no_grad():
        torch.testing.assert_close(found.model.forward(x), b(x), rtol=tolerance, atol=tolerance)
