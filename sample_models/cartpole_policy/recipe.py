"""A policy that balances a pole on a cart."""

from __future__ import annotations

from torch import nn

from ..data import CARTPOLE
from ..policies import PolicyGradient


def build() -> nn.Module:
    """The untrained policy."""
    return nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))


RECIPE = PolicyGradient(
    title="cartpole_policy: 4-32-32-2",
    description="A policy of two hidden layers of 32 tanh units that balances a pole on a cart by pushing the cart "
    "left or right.",
    build=build,
    data=CARTPOLE,
    seed=1,
    updates=240,
    learning_rate=0.004,
)
