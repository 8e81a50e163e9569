"""The expected return is what a plain loop over one environment after the other earns."""

from __future__ import annotations

import functools
import pickle
import sys
import threading

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

import landscape_engine as le
import sample_models
from landscape_engine import ChoiceError, EvaluationError, LandscapeError, MismatchError
from landscape_engine.metrics import ExpectedReturn, MetricPipeline

FRESH = 20  # seeds that the sample policy was not trained on


def returns(environment, act, seeds, discount=1.0, steps=10**6):
    """The return of each episode; ``act(observation, seed)`` chooses."""
    found = []
    for seed in seeds:
        made = gymnasium.make(environment) if isinstance(environment, str) else environment()
        observation, _ = made.reset(seed=seed)
        total, ended, t = 0.0, False, 0
        while not ended and t < steps:
            observation, reward, terminated, truncated, _ = made.step(act(observation, seed))
            total, ended, t = total + discount**t * reward, terminated or truncated, t + 1
        found.append(total)
    return found


@pytest.fixture(scope="module")
def policy():
    """The network of the sample policy, early in its training, so that its returns differ."""
    sample = sample_models.load("cartpole_policy")
    return sample.recipe.at(sample.trajectory[13]).get_model().policy


@pytest.fixture(scope="module")
def pusher():
    """A random policy of the pendulum, whose torques are within the bounds at first and clipped later."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()


def largest(policy):
    def act(observation, seed):
        with torch.no_grad():
            return int(policy(torch.as_tensor(observation)).argmax())

    return act


def clipped(policy, bound=2.0):
    def act(observation, seed):
        with torch.no_grad():
            return np.clip(policy(torch.as_tensor(observation).double()).numpy(), -bound, bound).astype(np.float32)

    return act


def test_a_discrete_policy_earns_what_a_plain_loop_earns(policy):
    found = ExpectedReturn("CartPole-v1", 7, seed=3).estimate(le.wrap_model(policy))
    expected = returns("CartPole-v1", largest(policy), range(3, 10))
    assert len(set(expected)) > 3
    assert found.value == np.mean(expected)
    assert found.stderr == pytest.approx(np.std(expected, ddof=1) / 7**0.5, rel=1e-12)


def test_a_continuous_policy_earns_what_a_plain_loop_earns(pusher):
    for scale in (1.0, 20.0):  # within the bounds, and beyond them
        with torch.no_grad():
            scaled = nn.Sequential(*pusher, nn.Linear(1, 1, bias=False)).double()
            scaled[-1].weight.fill_(scale)
        found = ExpectedReturn("Pendulum-v1", 3).estimate(le.wrap_model(scaled)).value
        assert found == np.mean(returns("Pendulum-v1", clipped(scaled), range(3)))


def test_rewards_are_discounted_and_cut_off(policy):
    found = ExpectedReturn("CartPole-v1", 4, discount=0.9)(le.wrap_model(policy))
    assert found == pytest.approx(np.mean(returns("CartPole-v1", largest(policy), range(4), 0.9)), rel=1e-14)
    assert found < 10
    assert ExpectedReturn("CartPole-v1", 4, discount=0.0)(le.wrap_model(policy)) == 1
    assert ExpectedReturn("CartPole-v1", 4, max_steps=6)(le.wrap_model(policy)) == 6


def test_one_episode_has_no_standard_error(policy):
    assert np.isnan(ExpectedReturn("CartPole-v1", 1).estimate(le.wrap_model(policy)).stderr)


def test_the_same_episodes_are_played_at_every_point_and_in_every_thread(policy):
    line = le.Line.random(policy, seed=1)
    metric = ExpectedReturn("CartPole-v1", 5, sample=True)
    found = {}

    def play(k):
        found[k] = le.evaluate(line, metric, [(0.0,), (0.4,), (0.0,)])["return"].tolist()

    threads = [threading.Thread(target=play, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    play(3)
    assert found[0] == found[1] == found[2] == found[3]
    assert found[0][0] == found[0][2] != found[0][1]


def test_actions_are_drawn_with_a_generator_an_episode(policy):
    metric = ExpectedReturn("CartPole-v1", 5, seed=2, sample=True)
    generators = {seed: torch.Generator().manual_seed(seed) for seed in range(2, 7)}

    def act(observation, seed):
        with torch.no_grad():
            shares = policy(torch.as_tensor(observation)).double().softmax(0)
        return int(torch.multinomial(shares, 1, generator=generators[seed]))

    drawn = metric(le.wrap_model(policy))
    assert drawn == pytest.approx(np.mean(returns("CartPole-v1", act, range(2, 7))), rel=1e-12)
    assert drawn != ExpectedReturn("CartPole-v1", 5, seed=2)(le.wrap_model(policy))


def test_actions_may_be_chosen_by_a_function(policy):
    metric = ExpectedReturn("CartPole-v1", 4, action=lambda outputs, space: outputs.argmin(1))
    opposite = returns("CartPole-v1", largest(lambda observation: -policy(observation)), range(4))
    assert metric(le.wrap_model(policy)) == np.mean(opposite)


def test_an_agent_of_two_modules_is_played_at_its_own_parameters(policy):
    class ActorCritic:
        def __init__(self):
            self.actor, self.critic = policy, nn.Linear(4, 1)

    agent = ActorCritic()
    both = le.GeneralModelWrapper(
        agent, {"actor": agent.actor, "critic": agent.critic}, lambda a, x: (a.actor(x), a.critic(x))
    )
    with pytest.raises(ChoiceError, match=r"^outputs must be one tensor, or action= must take what is there"):
        ExpectedReturn("CartPole-v1")(both)
    metric = ExpectedReturn("CartPole-v1", 4, action=lambda outputs, space: outputs[0].argmax(1))
    assert metric(both) == ExpectedReturn("CartPole-v1", 4)(le.wrap_model(policy))
    still = {n: torch.zeros_like(p) for n, p in both.parameters.items()}
    assert metric(both.at(still)) < 11  # always to the left


def test_observations_are_in_the_type_of_the_model_and_of_any_space(policy):
    assert ExpectedReturn("CartPole-v1", 2)(le.wrap_model(nn.Linear(4, 2).half())) > 0
    torch.manual_seed(1)
    walker = nn.Linear(16, 4, bias=False)  # one weight a state of the lake, which is one-hot
    found = ExpectedReturn(lambda: gymnasium.make("FrozenLake-v1"), 20)(le.wrap_model(walker))
    best = walker.weight.argmax(0).tolist()
    assert found == np.mean(returns("FrozenLake-v1", lambda state, seed: best[state], range(20)))


def test_a_policy_without_a_number_has_no_return(policy):
    wrapped = le.wrap_model(policy)
    broken = wrapped.at({n: torch.full_like(p, torch.nan) for n, p in wrapped.parameters.items()})
    assert np.isnan(ExpectedReturn("CartPole-v1")(broken))


def test_environments_are_made_once_a_thread_and_never_copied(policy):
    made = []

    def make():
        made.append(threading.get_ident())
        return gymnasium.make("CartPole-v1")

    metric, line = ExpectedReturn(make, 3), le.Line.random(policy)
    for _ in range(2):
        le.evaluate(line, metric, [(0.0,), (0.1,)])
    assert len(made) == 3
    thread = threading.Thread(target=le.evaluate, args=(line, metric, [(0.0,)]))
    thread.start()
    thread.join()
    assert len(made) == 6
    assert len(set(made)) == 2


def test_a_metric_can_go_to_another_process(policy):
    metric = ExpectedReturn("CartPole-v1", 3)
    assert pickle.loads(pickle.dumps(metric))(le.wrap_model(policy)) == metric(le.wrap_model(policy))


def test_a_plane_is_whole_and_its_center_is_the_policy(policy):
    before = [p.clone() for p in policy.parameters()]
    metric = ExpectedReturn("CartPole-v1", 3)
    *_, landscape = le.refine(metric, le.Plane.random(policy, "filter"), resolution=5)
    assert not landscape["return"].isnull().any()
    assert not landscape["return_stderr"].isnull().any()
    assert landscape["evaluated"].all()
    assert landscape["return"].attrs == {"long_name": "Expected return", "units": ""}
    center = metric.estimate(le.wrap_model(policy))
    assert float(landscape["return"].sel(alpha=0, beta=0)) == center.value
    assert float(landscape["return_stderr"].sel(alpha=0, beta=0)) == center.stderr
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))


def test_the_sample_policy_balances_from_seeds_it_never_saw():
    sample = sample_models.load("cartpole_policy")
    (metric,) = sample.metrics("test", FRESH)
    found = MetricPipeline([metric])(le.wrap_model(sample.model))["test_return"].value
    policy = sample.model.get_model().policy
    seeds = range(metric.seed, metric.seed + FRESH)
    assert found == np.mean(returns("CartPole-v1", largest(policy), seeds))
    assert found >= 475


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"environment": "CartPole-v1", "episodes": 0}, "episodes must be a whole number, 1 or more, but it is 0."),
        ({"environment": "CartPole-v1", "seed": -1}, "seed must be a whole number, 0 or more, but it is -1."),
        ({"environment": "CartPole-v1", "discount": 1.1}, "discount must be from 0 to 1, but it is 1.1."),
        ({"environment": "CartPole-v1", "max_steps": 0}, "max_steps must be 1 or more"),
        ({"environment": "CliffWalking-v1"}, "max_steps must be 1 or more where the environment has no time limit"),
        ({"environment": "Pole-v1"}, "environment must be one that gymnasium can make (Environment `Pole` doesn't"),
        ({"environment": 3}, "environment must be an id that gymnasium knows or a function"),
        ({"environment": "Pendulum-v1", "sample": True}, "sample must be False unless the action space is Discrete"),
        (
            {"environment": "CartPole-v1", "sample": True, "action": lambda outputs, space: outputs},
            "sample must be False unless the action space is Discrete and no action is given",
        ),
    ],
)
def test_a_choice_that_does_not_fit_is_refused_in_a_sentence(arguments, message):
    with pytest.raises(ChoiceError) as refused:
        ExpectedReturn(**arguments)
    assert str(refused.value).startswith(message)


def test_an_action_space_without_a_default_asks_for_a_function():
    class Several(gymnasium.Env):
        action_space = gymnasium.spaces.MultiBinary(2)
        observation_space = gymnasium.spaces.Box(-1, 1, (4,))

        def reset(self, *, seed=None, options=None):
            return np.zeros(4, dtype=np.float32), {}

        def step(self, action):
            return np.zeros(4, dtype=np.float32), float(action.sum()), False, False, {}

    with pytest.raises(ChoiceError, match=r"^action must be given for MultiBinary\(2\), which is neither Discrete nor"):
        ExpectedReturn(Several, max_steps=3)
    both = ExpectedReturn(Several, 2, max_steps=3, action=lambda outputs, space: outputs.ge(0).int())
    silent = nn.Linear(4, 2, bias=False)
    assert both(le.wrap_model(silent)) == 6


def test_a_policy_of_another_environment_is_refused_in_a_sentence(policy):
    with pytest.raises(MismatchError, match=r"those of one episode have shape \(3,\), but the action space has \(2,\)"):
        ExpectedReturn("CartPole-v1")(le.wrap_model(nn.Linear(4, 3)))
    with pytest.raises(EvaluationError, match=r"^the evaluation at alpha = 0 failed \(RuntimeError: mat1 and mat2"):
        le.evaluate(le.Line.random(policy), ExpectedReturn("Pendulum-v1"), [(0.0,)])


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    sentence = r"gymnasium, which is not installed: pip install gymnasium\.$"
    with pytest.raises(LandscapeError, match=f"^the expected return needs {sentence}"):
        ExpectedReturn("CartPole-v1")
    sample = sample_models.load("cartpole_policy")  # which needs it only to be played
    assert sample.parameter_count == 1282
    with pytest.raises(LandscapeError, match=sentence):
        sample.metrics("train")
    for use in (sample.recipe.train, functools.partial(getattr, sample, "train")):
        with pytest.raises(LandscapeError):
            use()
