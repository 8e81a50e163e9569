"""Models that people really have, each with data and, in float64 NumPy or plain torch, an independent forward."""

from __future__ import annotations

import torch
from torch import nn

import landscape_engine as le


class Scaled(nn.Module):
    """A linear layer times a 0-dim parameter."""

    def __init__(self):
        super().__init__()
        self.layer, self.scale = nn.Linear(4, 3), nn.Parameter(torch.tensor(0.7))

    def forward(self, x):
        return self.scale * self.layer(x)


class Tied(nn.Module):
    """A decoder that shares the weight of the encoder."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.decoder.weight, self.head = self.encoder.weight, nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.decoder(torch.tanh(self.encoder(x))))


class Empty(nn.Module):
    """Parameters without a single number."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.flat = nn.Parameter(torch.zeros(0))
        self.rows = nn.Parameter(torch.zeros(0, 3))
        self.columns = nn.Parameter(torch.zeros(3, 0))

    def forward(self, x):
        return self.layer(x) + self.flat.sum() + self.rows.sum() + self.columns.sum()


class Recurrent(nn.Module):
    """The last output of an LSTM."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.lstm(x.reshape(len(x), 2, 2))[0][:, -1])


class Attentive(nn.Module):
    """Self-attention over two tokens, a class token before them."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 2))
        self.attention, self.head = nn.MultiheadAttention(2, 2, batch_first=True), nn.Linear(2, 3)

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), 1, 2), x.reshape(len(x), 2, 2)], dim=1)
        return self.head(self.attention(x, x, x, need_weights=False)[0][:, 0])


class Agent:
    """Two networks that act together, and which is no module."""

    def __init__(self):
        self.body, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def act(self, x):
        return self.head(torch.relu(self.body(x)))


def plain():
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def frozen():
    return plain().requires_grad_(False)


def zero_bias():
    model = plain()
    nn.init.zeros_(model[0].bias)
    return model


def fresh_batch_norm():
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def convolution():
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)),
        nn.Conv2d(1, 3, 2, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(27, 3),
    )


def half():
    return fresh_batch_norm().half()


def double():
    return plain().double()


MODULES = {
    "plain": plain,
    "fresh batch norm": fresh_batch_norm,
    "convolution": convolution,
    "float16": half,
    "float64": double,
    "tied": Tied,
    "frozen": frozen,
    "zero bias": zero_bias,
    "0-dim": Scaled,
    "empty": Empty,
    "LSTM": Recurrent,
    "attention": Attentive,
}


def build(name, device="cpu"):
    """A wrapped model on a device, and a function (state, inputs) -> outputs of a copy in which it sets the state."""
    torch.manual_seed(0)
    if name == "agent":
        agent, twin = Agent(), Agent()
        parts = {"body": agent.body.to(device), "head": agent.head.to(device)}
        wrapper = le.GeneralModelWrapper(agent, parts, lambda model, x: model.act(x))
        copies, act = {"body": twin.body, "head": twin.head}, twin.act
    else:
        module, twin = MODULES[name](), MODULES[name]().eval()
        twin.load_state_dict(module.state_dict())
        wrapper, copies, act = le.wrap_model(module.to(device)), {"": twin}, twin

    def forward(state, x):
        with torch.no_grad():
            for prefix, module in copies.items():
                for n, p in module.named_parameters(prefix):
                    p.copy_(state[n])
            return act(x)

    return wrapper, forward


NAMES = [*MODULES, "agent"]
