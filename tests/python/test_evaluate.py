"""Evaluation: known returns, shares of worlds, messages."""

import json

import pytest
import torch

from omar.behaviors.find import check_prey, choose_prey
from omar.envs import ParticleEnv
from omar.evaluate import main
from omar.evaluation.policies import StackedPolicy, UniformPolicy
from omar.evaluation.returns import episode_returns
from omar.nets import StackedMlp
from omar.offline.minibatches import Normalizer
from omar.tasks import get_task

SPREAD = get_task("simple_spread")


def test_uniform_actions_on_simple_spread_return_what_the_paper_says():
    returns = episode_returns(UniformPolicy(2), SPREAD, seeds=1, episodes=8000, seed=1)
    assert returns.shape == (1, 8000)
    assert float(returns.mean()) == pytest.approx(159.7, abs=1.5)
    assert float(returns.std()) == pytest.approx(60.0, abs=3.0)


@pytest.mark.parametrize("name", ["simple_tag", "simple_world"])
def test_prey_tasks_return_the_mean_reward_of_the_predators(name):
    """Against a loop over the environment: the prey acts on what it sees, its reward is left out."""

    def approach(observations):  # the position of the first landmark, relative to the agent
        return (10 * observations[..., 4:6]).clamp(-1, 1)

    task = get_task(name)
    prey = choose_prey(task, None)
    assert prey is not None
    returns = episode_returns(approach, task, seeds=2, episodes=50, seed=3, prey=prey)
    env = ParticleEnv(name, num_envs=100, seed=3)
    observations, expected = env.reset(), torch.zeros(100, dtype=torch.float64)
    for _ in range(25):
        predators = approach(observations[:, :3])
        fleeing = prey.act(observations[:, 3, : task.obs_sizes[3]])
        step = env.step(torch.cat([predators, fleeing[:, None]], dim=1))
        expected += step.rewards[:, :3].double().mean(dim=1)
        observations = step.observations
    assert float(expected.std()) > 1
    torch.testing.assert_close(returns.flatten(), expected, rtol=1e-6, atol=1e-4)


def test_returns_are_sums_of_the_mean_reward_over_one_episode():
    def still(observations):
        return torch.zeros(*observations.shape[:-1], 2)

    env = ParticleEnv("simple_spread", num_envs=4, seed=3)
    env.reset()
    rewards = [env.step(torch.zeros(4, 3, 2)).rewards.mean(dim=1) for _ in range(25)]
    expected = torch.stack(rewards).double().sum(dim=0)
    returns = episode_returns(still, SPREAD, seeds=2, episodes=2, seed=3)
    torch.testing.assert_close(returns.flatten(), expected, rtol=1e-6, atol=1e-4)


def test_each_seed_acts_with_its_own_members():
    seeds, learners, worlds, size = 2, 3, 4, 18
    actor = StackedMlp(seeds * learners, (size, 8, 2), seeds=[0, 0, 0, 1, 1, 1])
    g = torch.Generator().manual_seed(0)
    mean = torch.randn(seeds * learners, size, generator=g)
    std = torch.rand(seeds * learners, size, generator=g) + 0.5
    policy = StackedPolicy(actor, Normalizer(mean, std), learners)
    observations = torch.randn(seeds, worlds, learners, size, generator=g)
    actions = policy(observations)
    assert actions.shape == (seeds, worlds, learners, 2)
    for s in range(seeds):
        for i in range(learners):
            m = s * learners + i
            x = (observations[s, :, i] - mean[m]) / std[m]
            hidden = torch.relu(x @ actor.weights[0][m] + actor.biases[0][m])
            expected = torch.tanh(hidden @ actor.weights[1][m] + actor.biases[1][m])
            torch.testing.assert_close(actions[s, :, i], expected.detach(), rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_returns():
    first, second, other = (
        episode_returns(UniformPolicy(2), SPREAD, seeds=1, episodes=10, seed=s) for s in (5, 5, 6)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_uniform_actions_differ_by_step_and_seed_and_stay_in_range():
    observations = torch.zeros(2, 500, 3, 18)
    policies = UniformPolicy(2, seed=0), UniformPolicy(2, seed=0), UniformPolicy(2, seed=1)
    first, again, other = (policy(observations) for policy in policies)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, policies[0](observations))
    assert -1 <= float(first.min()) < -0.99
    assert 0.99 < float(first.max()) <= 1
    assert float(first.mean()) == pytest.approx(0, abs=0.05)


def test_an_action_that_is_not_finite_names_its_seed():
    def broken(observations):
        actions = torch.zeros(*observations.shape[:-1], 2)
        actions[1] = torch.nan
        return actions

    with pytest.raises(ValueError, match="the policy of seed 1 gives actions that are not finite"):
        episode_returns(broken, SPREAD, seeds=2, episodes=2, seed=0)


def test_command_with_a_task(capsys):
    assert main(["--task", "simple_spread", "--episodes", "20"]) == 0
    assert "standard error" in capsys.readouterr().out
    assert main(["--task", "simple_spread", "--episodes", "20", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["episodes"] == 20
    assert len(printed["returns"]) == 1


def test_command_with_a_run(capsys, tmp_path, monkeypatch):
    from omar.data import ensure_dataset
    from omar.train import main as train

    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    dataset = ensure_dataset("simple_spread", "random", steps=500, progress=False).path
    small = ["--batch-size", "16", "--hidden", "8", "--eval-episodes", "2", "--seeds", "2", "--updates", "2"]
    assert train(["--dataset", str(dataset), "--out", str(tmp_path / "run"), *small]) == 0
    capsys.readouterr()
    assert main(["--run", str(tmp_path / "run"), "--episodes", "30", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["scores"]) == 2


def test_a_dataset_of_another_prey_is_refused(tmp_path, monkeypatch):
    from omar.behaviors.prey import Prey
    from omar.data import ensure_dataset

    monkeypatch.setenv("OMAR_HOME", str(tmp_path))
    uniform = Prey("uniform")
    still = Prey("still", (torch.zeros(1, 14, 2),), (torch.zeros(1, 2),))
    dataset = ensure_dataset("simple_tag", "random", steps=25, prey=uniform, progress=False)
    check_prey(dataset, uniform)
    with pytest.raises(ValueError, match="was made with another prey: give the file of that one with --prey"):
        check_prey(dataset, still)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --run DIR or --task NAME"),
        (["--task", "simple_spread", "--episodes", "0"], "--episodes must be at least 1, got 0"),
        (["--task", "simple_spread", "--seed", "-1"], "--seed must be in [0, 18446744073709551615], got -1"),
        (["--run", "nowhere"], "nowhere is not the folder of a run"),
        (["--run", "nowhere", "--prey", "file"], "--prey goes with --task"),
        (["--task", "simple_tag", "--prey", "nowhere.pt"], "no prey at nowhere.pt: there is no such file"),
        (["--task", "simple_spread", "--prey", "a.pt"], "simple_spread has no prey, but a.pt was given"),
    ],
)
def test_messages(capsys, arguments, message):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_task_with_a_prey_needs_one() -> None:
    with pytest.raises(ValueError, match="simple_tag has a prey: say which one moves it"):
        episode_returns(UniformPolicy(2), get_task("simple_tag"), seeds=1, episodes=2, seed=0)
