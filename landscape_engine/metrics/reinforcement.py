"""Metrics of reinforcement learning: what a policy earns in an environment."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ..errors import ChoiceError, LandscapeError, MismatchError
from ..models import ModelWrapper
from .base import Estimate, EstimatedMetric, logits
from .data import tensors

NAN = float("nan")


@final
class ExpectedReturn(EstimatedMetric):
    r"""The expected return of a policy, :math:`J(\theta) = \mathbb{E}\left[\sum_t \gamma^t r_t\right]`.

    It is estimated by the mean over :math:`n` episodes; its standard error is their sample standard deviation over
    :math:`\sqrt{n}`, NaN for one episode. Episode :math:`k` starts from the seed ``seed + k`` at every point (common
    random numbers), so that two points differ by their policies and not by their luck. The return of a policy whose
    outputs are NaN is NaN.

    The model is called with the observations of all episodes that still run, (episodes, ...), in the type of its
    parameters; those that are not a Box are flattened first, a discrete one to one-hot.

    Args:
        environment: An id that gymnasium knows (``"CartPole-v1"``), or a function that makes an environment. Each
            thread makes its own, once; none is copied.
        episodes: How many are played at each point.
        seed: Of the first episode.
        discount: :math:`\gamma`, from 0 to 1.
        action: ``action(outputs, space)``, one action for each row of the outputs. By default the largest output of
            a Discrete space, the outputs clipped to the bounds of a Box.
        sample: Draw the actions of a Discrete space from the softmax of the outputs, with a generator of seed
            ``seed + k`` for episode k, instead of taking the largest.
        max_steps: Where an episode is cut off; by default at the time limit of the environment. One that has none
            needs it, since some policies would never end.
        name: Variable name in results.
        long_name: What an axis says.

    Raises:
        LandscapeError: If gymnasium is not installed.
        ChoiceError: If the environment cannot be made, or the other choices do not fit it.

    References:
        Sutton, Barto 2018, Reinforcement Learning, section 3.3 (return); Glasserman, Yao 1992, Some Guidelines and
        Guarantees for Common Random Numbers.
    """

    smooth = False

    def __init__(
        self,
        environment: str | Callable[[], Any],
        episodes: int = 10,
        seed: int = 0,
        *,
        discount: float = 1.0,
        action: Callable[[Any, Any], Sequence[Any]] | None = None,
        sample: bool = False,
        max_steps: int | None = None,
        name: str = "return",
        long_name: str = "Expected return",
    ) -> None:
        if not isinstance(episodes, int) or episodes < 1:
            raise ChoiceError("episodes", episodes, "a whole number, 1 or more")
        if not isinstance(seed, int) or seed < 0:
            raise ChoiceError("seed", seed, "a whole number, 0 or more")
        if not 0 <= discount <= 1:
            raise ChoiceError("discount", discount, "from 0 to 1")
        self.name, self.long_name = name, long_name
        self.environment = environment if isinstance(environment, str) else getattr(environment, "__qualname__", "")
        self.episodes, self.seed, self.discount, self.sample = episodes, seed, discount, sample
        self._environments = _Environments(_maker(environment))
        one = self._environments.first(1)[0]
        limit = getattr(one.spec, "max_episode_steps", None) if max_steps is None else max_steps
        if limit is None or limit < 1:
            raise ChoiceError("max_steps", max_steps, "1 or more where the environment has no time limit of its own")
        self.max_steps: int = limit
        self._action = action or _default_action(one.action_space)
        if sample and self._action is not _largest:
            raise ChoiceError("sample", sample, "False unless the action space is Discrete and no action is given")

    def estimate(self, model_wrapper: ModelWrapper) -> Estimate:
        """The mean return of the episodes and its standard error."""
        with torch.no_grad():
            returns = model_wrapper.call(self._play, model_wrapper)
        spread = float(np.std(returns, ddof=1)) if self.episodes > 1 else NAN
        return Estimate(float(np.mean(returns)), spread / self.episodes**0.5)

    def _play(self, subject: Any, model_wrapper: ModelWrapper) -> Any:
        """The return of each episode: one forward pass a step for all that still run."""
        environments = self._environments.first(self.episodes)
        seeds = range(self.seed, self.seed + self.episodes)
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        seen = [e.reset(seed=seed)[0] for e, seed in zip(environments, seeds, strict=True)]
        sees, acts = environments[0].observation_space, environments[0].action_space
        like = next(iter(model_wrapper.parameters.values()))
        returns, running = np.zeros(self.episodes), list(range(self.episodes))
        for step in range(self.max_steps):
            outputs = logits(model_wrapper.forward_fn(subject, _batch([seen[k] for k in running], sees).to(like)))
            if any(t.isnan().any() for t in tensors(outputs)):
                return np.full(self.episodes, NAN)
            actions = _drawn(outputs, acts, [draws[k] for k in running]) if self.sample else self._action(outputs, acts)
            ended = []
            for k, action in zip(running, _rows(actions), strict=True):
                seen[k], reward, terminated, truncated, _ = environments[k].step(action)
                returns[k] += self.discount**step * float(reward)
                ended += [k] if terminated or truncated else []
            running = [k for k in running if k not in ended]
            if not running:
                break
        return returns


@final
class _Environments(threading.local):
    """Environments of each thread's own. A copy, in another process for instance, makes new ones."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make, self.made = make, list[Any]()

    def __reduce__(self) -> Any:
        return _Environments, (self.make,)

    def first(self, count: int) -> list[Any]:
        self.made += [self.make() for _ in range(count - len(self.made))]
        return self.made[:count]


def _gymnasium() -> Any:
    try:
        import gymnasium
    except ImportError as error:
        raise LandscapeError(
            "the expected return needs gymnasium, which is not installed: pip install gymnasium."
        ) from error
    return gymnasium


def _maker(environment: str | Callable[[], Any]) -> Callable[[], Any]:
    _gymnasium()
    if isinstance(environment, str):
        return functools.partial(_make, environment)
    if not callable(environment):
        raise ChoiceError("environment", environment, "an id that gymnasium knows or a function that makes one")
    return environment


def _make(name: str) -> Any:
    gymnasium = _gymnasium()
    try:
        return gymnasium.make(name, disable_env_checker=True)
    except (gymnasium.error.Error, ImportError) as error:
        raise ChoiceError("environment", name, f"one that gymnasium can make ({error})") from error


def _batch(observations: Sequence[Any], space: Any) -> Tensor:
    """Observations as one tensor; those that are not of a Box flattened, a discrete one to one-hot."""
    spaces = _gymnasium().spaces
    if not isinstance(space, spaces.Box):
        observations = [spaces.flatten(space, one) for one in observations]
    return torch.as_tensor(np.stack(observations))


def _default_action(space: Any) -> Callable[[Any, Any], Any]:
    spaces = _gymnasium().spaces
    if isinstance(space, spaces.Discrete):
        return _largest
    if isinstance(space, spaces.Box):
        return _clipped
    raise ChoiceError("action", None, f"given for {space}, which is neither Discrete nor Box")


def _largest(outputs: Tensor, space: Any) -> list[int]:
    """The action of the largest output."""
    return (_checked(outputs, (int(space.n),)).argmax(1) + int(space.start)).tolist()


def _drawn(outputs: Tensor, space: Any, generators: Sequence[torch.Generator]) -> list[int]:
    """Actions drawn from the softmax of the outputs, each by a generator of its own."""
    shares = _checked(outputs, (int(space.n),)).double().nan_to_num().softmax(1).cpu()
    pairs = zip(shares, generators, strict=True)
    return [int(torch.multinomial(share, 1, generator=one)) + int(space.start) for share, one in pairs]


def _clipped(outputs: Tensor, space: Any) -> Any:
    """The outputs as actions, within the bounds."""
    return np.clip(_rows(_checked(outputs, space.shape).double()), space.low, space.high).astype(space.dtype)


def _checked(outputs: Tensor, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(outputs, Tensor):
        raise ChoiceError("outputs", type(outputs).__name__, "one tensor, or action= must take what is there")
    found = tuple(outputs.shape[1:])
    if found != shape:
        raise MismatchError(
            f"the outputs do not fit the actions: those of one episode have shape {found}, but the action space has "
            f"{shape}. Choose the policy of this environment, or pass action=.",
            what="outputs",
            expected=shape,
            found=found,
        )
    return outputs


def _rows(actions: Any) -> Any:
    """Actions as environments take them: arrays, not tensors."""
    return actions.cpu().numpy() if isinstance(actions, Tensor) else actions
