"""What critics say beside what the policies' actions turn out to be worth."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from data_cases import make_dataset, some_policy
from omar.algorithms.cql import Cql
from omar.envs import ParticleEnv
from omar.errors import OmarError
from omar.evaluation.values import played_states
from omar.offline.config import TrainConfig
from omar.offline.runs import train
from omar.tasks import get_task

GAMMA = 0.5  # what is left after 7 steps counts for less than a hundredth


@pytest.mark.parametrize("name", ["simple_spread", "simple_tag"])
def test_a_state_is_worth_what_follows_it_past_the_time_limit(name):
    """Against one world whose clock is set back at every step."""
    task = get_task(name)
    policies = [some_policy(name, seed=seed) for seed in (0, 1)]
    states = played_states(policies, task, gamma=GAMMA, episodes=3, seed=5)
    assert states.observations.shape == (2, 75, 3, task.obs_size)
    assert states.actions.shape == (2, 75, 3, 2)
    env = ParticleEnv(name, num_envs=6, seed=5)
    observations, rewards, seen = env.reset(), [], []
    for _ in range(40):
        env.set_state(*env.state()[:3])
        team = torch.cat([policies[i // 3](observations[i : i + 1, :3, : task.obs_size]) for i in range(6)])
        actions = team
        if task.has_prey:
            views = observations[:, 3:, : task.obs_sizes[-1]]
            prey = [policies[i // 3].prey(views[i : i + 1]) for i in range(6)]
            actions = torch.cat([team, torch.cat(prey)], dim=1)
        seen.append(observations[:, :3, : task.obs_size])
        step = env.step(actions)
        rewards.append(step.rewards[:, :3].double())
        observations = step.observations
    worth = [sum(GAMMA**k * rewards[t + k] for k in range(15)) for t in range(25)]
    expected = torch.stack(worth, dim=1).view(2, 75, 3)
    torch.testing.assert_close(states.returns, expected, rtol=0, atol=0.02 * float(expected.abs().max()))
    torch.testing.assert_close(
        states.observations, torch.stack(seen[:25], dim=1).reshape(2, 75, 3, -1), rtol=1e-4, atol=1e-4
    )


def test_only_the_next_reward_counts_without_a_future():
    states = played_states([some_policy()], get_task("simple_spread"), gamma=0.0, episodes=2, seed=0)
    env = ParticleEnv("simple_spread", num_envs=2, seed=0)
    observations = env.reset()
    first = env.step(some_policy()(observations)).rewards.double()
    torch.testing.assert_close(states.returns.view(2, 25, 3)[:, 0], first)


@pytest.mark.parametrize("critic", ["independent", "centralized"])
def test_evaluations_log_what_critics_say_and_what_it_comes_to(tmp_path, critic):
    data = make_dataset(tmp_path / "data", episodes=2).path
    small = {"batch_size": 8, "hidden": 4, "critic": critic}
    lengths = {"updates": 2, "eval_every": 1, "eval_episodes": 3}
    config = TrainConfig(dataset=str(data), seeds=2, settings=small, **lengths)
    for algorithm in ("cql", "bc"):
        result = train(replace(config, algorithm=algorithm, out=tmp_path / algorithm))
        for evaluation in result.evaluations:
            assert evaluation.errors is not None
            assert len(evaluation.errors) == 2
            logged = [evaluation.values, evaluation.discounted]
            assert logged == [None, None] if algorithm == "bc" else all(len(each) == 2 for each in logged)


def test_a_critic_that_is_constant_is_off_by_what_it_says(tmp_path, monkeypatch):
    """An algorithm may learn scaled rewards; what it says of actions is in the data's units."""
    monkeypatch.setattr(Cql, "estimate", lambda self, o, a: torch.full(o.shape[:2], 7.0))
    data = make_dataset(tmp_path / "data", episodes=2).path
    small = {"batch_size": 8, "hidden": 4}
    run = {"dataset": str(data), "seeds": 2, "updates": 0, "out": tmp_path / "run"}
    result = train(TrainConfig(algorithm="cql", settings=small, **run))
    assert result.last.values == [7.0, 7.0]
    assert all(abs(value) < 200 for value in result.last.discounted)


def test_message_a_critic_whose_values_are_not_finite(tmp_path, monkeypatch):
    monkeypatch.setattr(Cql, "estimate", lambda self, o, a: torch.full(o.shape[:2], torch.inf))
    data = make_dataset(tmp_path / "data", episodes=2).path
    config = TrainConfig(
        dataset=str(data), algorithm="cql", settings={"batch_size": 8}, updates=0, out=tmp_path / "run"
    )
    with pytest.raises(OmarError, match="the critics of seed 0 give values that are not finite"):
        train(config)
