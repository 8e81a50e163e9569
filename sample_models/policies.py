"""Policies of reinforcement learning, trained by their own plain policy gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from landscape_engine import GeneralModelWrapper, Trajectory, TrajectoryRecorder
from landscape_engine.metrics import ExpectedReturn, Metric

from .data import Environment
from .training import Recipe, recorded_steps


@final
@dataclass(frozen=True, eq=False)
class Agent:
    """Who acts in an environment.

    Args:
        policy: Observations (episodes, n) to the logits of the actions (episodes, m).
    """

    policy: nn.Module

    def logits(self, observations: Tensor) -> Tensor:
        """Of the actions; the agent takes the one of the largest, and draws one while it learns."""
        return self.policy(observations)

    def wrapped(self) -> GeneralModelWrapper:
        """The agent as a function of the parameters of its policy."""
        return GeneralModelWrapper(self, {"policy": self.policy}, Agent.logits)


@final
@dataclass(frozen=True)
class PolicyGradient(Recipe):
    r"""A policy trained by REINFORCE, :math:`\nabla J = \mathbb{E}[\sum_t \nabla \log \pi(a_t | s_t) (G_t - b_t)]`.

    The baseline :math:`b_t` is the mean of the discounted returns-to-go :math:`G_t` of the episodes of an update that
    still run at :math:`t`; their differences are divided by their standard deviation.

    Args:
        title: Name and shape of the network.
        description: What it is, in a sentence.
        build: Makes the untrained policy.
        data: The environment.
        seed: Of initialization and actions.
        updates: Gradient steps (Adam).
        learning_rate: Of the first one; it falls linearly to a hundredth.
        episodes: Played for one update, each from a new seed.
        discount: Of the return that is maximized.
        checkpoints: How many are recorded at most.

    References:
        Williams 1992, Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning.
    """

    title: str
    description: str
    build: Callable[[], nn.Module]
    data: Environment
    seed: int
    updates: int
    learning_rate: float
    episodes: int = 16
    discount: float = 0.99
    checkpoints: int = 48

    def described(self) -> dict[str, Any]:
        """What the card says of the training."""
        return {
            "optimizer": f"REINFORCE with Adam, learning rate {self.learning_rate} falling linearly to a hundredth",
            "updates": self.updates,
            "episodes of an update": self.episodes,
            "discount": self.discount,
            "seed": self.seed,
        }

    def train(self) -> Trajectory:
        """Train from the seed; checkpoints at updates that grow geometrically, from initialization to the end."""
        torch.manual_seed(self.seed)
        agent, environments = Agent(self.build()), [self.data.make() for _ in range(self.episodes)]
        optimizer = torch.optim.Adam(agent.policy.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.01, self.updates)
        wanted, recorder = recorded_steps(self.updates, self.checkpoints), TrajectoryRecorder(agent.wrapped())
        recorder.record(0)
        for update in range(1, self.updates + 1):
            first = self.data.first_seed("train") + (update - 1) * self.episodes
            observations, actions, advantages = _play(agent, environments, first, self.discount)
            optimizer.zero_grad()
            likelihood = Categorical(logits=agent.logits(observations)).log_prob(actions)
            (-(likelihood * advantages / (advantages.std() + 1e-8)).mean()).backward()
            optimizer.step()
            schedule.step()
            if update in wanted:
                recorder.record(update)
        return recorder.trajectory()

    def at(self, state: Mapping[str, Tensor]) -> GeneralModelWrapper:
        """A new agent with the weights of a checkpoint, wrapped."""
        modules = nn.ModuleDict({"policy": self.build()})
        modules.load_state_dict(state)
        return Agent(modules["policy"]).wrapped()

    def metrics(self, split: str, count: int = 0) -> list[Metric]:
        """The return over the first ``count`` episodes of a split (0: as many as it has), named ``train_return``."""
        seed, name = self.data.first_seed(split), f"{split}_return"
        return [ExpectedReturn(self.data.name, count or self.data.splits[split], seed, name=name)]


def _play(agent: Agent, environments: Sequence[Any], seed: int, discount: float) -> tuple[Tensor, Tensor, Tensor]:
    """Observations, drawn actions and advantages of one episode of each environment, all steps one after the other."""
    seen = [e.reset(seed=seed + k)[0] for k, e in enumerate(environments)]
    running, steps = list(range(len(environments))), []
    while running:
        observations = torch.as_tensor(np.stack([seen[k] for k in running]))
        with torch.no_grad():
            actions = Categorical(logits=agent.logits(observations)).sample()
        now, rewards = running, []
        for k, action in zip(now, actions.tolist(), strict=True):
            seen[k], reward, terminated, truncated, _ = environments[k].step(action)
            rewards.append(float(reward))
            if terminated or truncated:
                running = [other for other in running if other != k]
        steps.append((now, observations, actions, torch.tensor(rewards)))
    to_go, advantages = torch.zeros(len(environments)), []
    for now, _, _, gained in reversed(steps):
        to_go[now] = gained + discount * to_go[now]
        advantages.append(to_go[now] - to_go[now].mean())
    return torch.cat([s[1] for s in steps]), torch.cat([s[2] for s in steps]), torch.cat(advantages[::-1])
