"""Evaluation: known returns, shares of worlds, messages."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from data_cases import some_policy, some_prey
from omar.behaviors.find import check_prey, choose_prey
from omar.behaviors.policy import Policy
from omar.behaviors.policy_file import load_policies, save_policies
from omar.envs import ParticleEnv
from omar.errors import OmarError
from omar.evaluate import main
from omar.evaluation import evaluate
from omar.evaluation.policies import UniformPolicy, stack
from omar.evaluation.returns import episode_returns
from omar.nets import StackedMlp
from omar.tasks import References, get_task
from omar.terminal import progress

SPREAD = get_task("simple_spread")


def test_uniform_actions_on_simple_spread_return_what_the_paper_says():
    returns = episode_returns(UniformPolicy(2), SPREAD, episodes=8000, seed=1)
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
        fleeing = prey(observations[:, 3:, : task.obs_sizes[3]])
        step = env.step(torch.cat([predators, fleeing], dim=1))
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
    plain = list(actor.weights), list(actor.biases)
    g = torch.Generator().manual_seed(0)
    mean = torch.randn(seeds * learners, size, generator=g)
    std = torch.rand(seeds * learners, size, generator=g) + 0.5
    actor.standardize(mean, std)
    policies = [Policy.of_networks(actor, range(3 * s, 3 * s + 3), SPREAD) for s in range(seeds)]
    observations = torch.randn(seeds, worlds, learners, size, generator=g)
    actions = stack(policies)(observations)
    assert actions.shape == (seeds, worlds, learners, 2)
    for s in range(seeds):
        for i in range(learners):
            m = s * learners + i
            x = (observations[s, :, i] - mean[m]) / std[m]
            hidden = torch.relu(x @ plain[0][0][m] + plain[1][0][m])
            expected = torch.tanh(hidden @ plain[0][1][m] + plain[1][1][m])
            torch.testing.assert_close(actions[s, :, i], expected.detach(), rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_returns():
    first, second, other = (episode_returns(UniformPolicy(2), SPREAD, episodes=10, seed=s) for s in (5, 5, 6))
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
    run = tmp_path / "moved"
    (tmp_path / "run").rename(run)
    shutil.rmtree(dataset)  # an evaluation needs the run alone
    assert main(["--run", str(run), "--episodes", "30", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["scores"]) == 2
    assert main(["--policy", str(run / "policy.safetensors"), "--episodes", "30", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == printed
    first, second = load_policies(run / "policy.safetensors")
    assert (first.source["seed"], second.source["seed"], first.source["update"]) == ("0", "1", "2")
    assert first.source["quality"] == "random"
    alone = evaluate([first], episodes=30)
    assert alone.means.tolist() == printed["returns"][:1]
    (run / "policy.safetensors").unlink()
    assert main(["--run", str(run)]) == 2
    assert (
        "has no policy yet: policy.safetensors comes with the run's first checkpoint"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(("task", "episodes"), [("simple_spread", 1000), ("half_cheetah", 50)])
def test_episodes_are_by_default_the_tasks_as_in_training(task, episodes, tmp_path, monkeypatch, capsys):
    asked = []

    def returns_of(policies, task, *, episodes, progress, **_):
        asked.append((episodes, progress))
        return torch.zeros(1, 2, dtype=torch.float64)

    for module in ("omar.evaluate", "omar.evaluation.scores"):
        monkeypatch.setattr(f"{module}.episode_returns", returns_of)
    save_policies(tmp_path / "file", [some_policy(task)])
    assert main(["--policy", str(tmp_path / "file")]) == 0
    assert main(["--task", task]) == 0
    evaluate([some_policy(task)])
    evaluate([some_policy(task)], episodes=7, progress=False)
    assert asked == [*[(episodes, True)] * 3, (7, False)]


def test_a_long_evaluation_shows_its_progress(monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    episode_returns(UniformPolicy(2), SPREAD, episodes=2, seed=0)
    assert capsys.readouterr().err == ""
    assert main(["--task", "simple_spread", "--episodes", "2"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("Evaluating in simple_spread: 4%, ")
    assert said[-1].startswith("Evaluating in simple_spread: done in ")


def test_files_of_policies_are_evaluated_side_by_side(tmp_path, capsys):
    one, two = tmp_path / "one", tmp_path / "two"
    save_policies(one, [some_policy("simple_tag", hidden=8)])
    save_policies(two, [some_policy("simple_tag", seed=s) for s in (1, 2)])
    assert main(["--policy", str(one), str(two), "--task", "simple_tag", "--episodes", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  return")[0] for line in lines] == [
        f"{one}  seed 0",
        f"{two}  seed 0",
        f"{two}  seed 1",
    ]
    assert main(["--policy", str(one), "--task", "simple_spread"]) == 2
    assert "--task is simple_spread, but the policies are of simple_tag" in capsys.readouterr().err
    save_policies(two, [some_policy()])
    assert main(["--policy", str(one), str(two)]) == 2
    assert "the policies must be of one task, got simple_spread, simple_tag" in capsys.readouterr().err


def test_one_episode_has_no_standard_error(capsys):
    assert main(["--task", "simple_spread", "--episodes", "1"]) == 0
    printed = capsys.readouterr().out
    assert "nan" not in printed
    assert "±" not in printed


@pytest.mark.parametrize("task", ["simple_spread", "simple_tag"])
def test_a_policy_returns_the_same_alone_and_beside_others(task):
    policies = [some_policy(task, seed=s) for s in range(3)]
    found = get_task(task)
    together = episode_returns(policies, found, episodes=20, seed=1)
    alone = episode_returns(policies[:1], found, episodes=20, seed=1)
    assert torch.equal(together[:1], alone)
    others = [policies[0], some_policy(task, seed=1, hidden=8)]  # other shapes: one pass for each
    torch.testing.assert_close(
        episode_returns(others, found, episodes=20, seed=1)[:1], alone, rtol=0, atol=0.1
    )


def test_every_policy_meets_its_own_prey_unless_another_is_given():
    task = get_task("simple_tag")
    still = replace(some_prey(), weights=(torch.zeros(1, 14, 2),), biases=(torch.zeros(1, 2),))
    own = [some_policy("simple_tag", prey=prey) for prey in (some_prey(), still)]
    first, second = episode_returns(own, task, episodes=50, seed=0)
    assert not torch.equal(first, second)
    given = episode_returns(own[:1], task, episodes=50, seed=0, prey=still)
    assert torch.equal(given, episode_returns(own[1:], task, episodes=50, seed=0))


def test_scores_are_of_the_policies_own_references():
    policy = some_policy("simple_spread", references=References(0.0, 200.0, "test"))
    evaluated = evaluate([policy, some_policy("simple_spread")], episodes=10)
    first, second = evaluated.means.tolist()
    expected = [first / 2, 100 * (second - 159.8) / (516.8 - 159.8)]
    assert evaluated.scores.tolist() == pytest.approx(expected)


def test_what_cannot_be_evaluated():
    with pytest.raises(OmarError, match="an evaluation needs at least one policy"):
        evaluate([])
    with pytest.raises(OmarError, match="an evaluation needs at least one policy"):
        episode_returns([], SPREAD, episodes=1, seed=0)
    with pytest.raises(OmarError, match="an evaluation needs at least 1 episode, got 0"):
        evaluate([some_policy()], episodes=0)
    with pytest.raises(
        OmarError, match="a policy of the learners of simple_tag cannot act for the learners of"
    ):
        episode_returns([some_policy("simple_tag")], SPREAD, episodes=1, seed=0)
    with pytest.raises(OmarError, match="a policy of the prey of simple_tag cannot act for the learners of"):
        evaluate([some_prey()], episodes=1)


def test_a_dataset_of_another_prey_is_refused(tmp_path, monkeypatch):
    from omar.data import ensure_dataset

    monkeypatch.setenv("OMAR_HOME", str(tmp_path))
    own, other = some_prey(seed=1), some_prey(seed=2)
    dataset = ensure_dataset("simple_tag", "random", steps=25, prey=own, progress=False)
    recipe = dataset.manifest.recipe
    assert check_prey(recipe, own, dataset.path) is None
    with pytest.raises(OmarError, match="was made with another prey: give the file of that one with --prey"):
        check_prey(recipe, other, dataset.path)
    silent = check_prey({"source": "import"}, own, dataset.path)
    assert silent.startswith(f"{dataset.path} does not say which prey moved in it")
    assert check_prey({}, None, dataset.path) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --run DIR, --policy FILE or --task NAME"),
        (["--task", "simple_spread", "--episodes", "0"], "--episodes must be at least 1, got 0"),
        (["--task", "simple_spread", "--seed", "-1"], "--seed must be in [0, 18446744073709551615], got -1"),
        (["--run", "nowhere"], "nowhere is not the folder of a run"),
        (["--run", "nowhere", "--task", "simple_spread"], "--run cannot be combined with the other two"),
        (["--run", "nowhere", "--policy", "file"], "--run cannot be combined with the other two"),
        (["--policy", "nowhere"], "no policy at nowhere: there is no such file"),
        (["--policy", "nowhere", "--prey", "file"], "--prey goes with --task alone"),
        (["--task", "simple_spread", "--seed", str(2**64)], "--seed must be in [0, 1844674407370955161"),
        (["--run", "nowhere", "--prey", "file"], "--prey goes with --task alone"),
        (["--task", "simple_tag", "--prey", "nowhere.pt"], "no prey at nowhere.pt: there is no such file"),
        (["--task", "simple_spread", "--prey", "a.pt"], "simple_spread has no prey, but a.pt was given"),
    ],
)
def test_messages(capsys, arguments, message):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_task_with_a_prey_needs_one() -> None:
    with pytest.raises(OmarError, match="simple_tag has a prey: say which one moves it"):
        episode_returns(UniformPolicy(2), get_task("simple_tag"), episodes=2, seed=0)
