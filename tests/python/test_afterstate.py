"""Afterstate actor-critic: its states, its model, and its losses beside a slow version for one seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_cases import make_dataset
from omar import OmarError
from omar.algorithms import Agents, Backbone, Batch
from omar.algorithms.afterstate import FARTHEST, Afterstate, AfterstateSettings
from omar.algorithms.batch import by_row
from omar.algorithms.dynamics import Dynamics, LearnModel, States
from omar.algorithms.statistics import Facts
from omar.data import Dataset, ensure_dataset
from omar.offline.config import TrainConfig
from omar.offline.minibatches import Minibatches, facts
from omar.offline.runs import resume, train
from omar.random import Draw
from omar.tasks import get_task

N = 3
SETTINGS = AfterstateSettings(
    model_updates=20, model_batch_size=32, model_hidden=8, clone_updates=8, imagined=12
)
SHORT = {"model_updates": 4, "model_batch_size": 16, "model_hidden": 8, "clone_updates": 4, "imagined": 8}
SHORT |= {"batch_size": 8, "hidden": 8}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """1,000 rows of simple_spread by uniform actions."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMAR_HOME", str(home))
        return ensure_dataset("simple_spread", "random", 0, steps=1000, progress=False)


@pytest.fixture(scope="module")
def known(data):
    return facts([data, data], 0.1, torch.device("cpu"))


def make(known, **changes):
    backbone = replace(
        Afterstate.preset("simple_spread", "random", "released").backbone, hidden=8, batch_size=16
    )
    agents = Agents(
        backbone,
        seeds=[s for s in (5, 9) for _ in range(N)],
        obs_size=18,
        action_size=2,
        learners=N,
        has_critics=False,
    )
    return Afterstate(replace(SETTINGS, **changes), agents, known)


def sample(data, rows, step=0):
    return Minibatches([data, data], torch.device("cpu"), joint=True).sample(rows, seed=3, step=step)


def test_states_hold_what_joint_observations_hold(known):
    """54 numbers of three agents are 18: positions, velocities and targets of two numbers each."""
    states = States(known, fovea=0.03)
    assert states.size == 18
    members = known.observations.transpose(1, 2).flatten(0, 1)
    z = states.of(members)
    torch.testing.assert_close(states.observations(z), known.observations, rtol=0, atol=1e-4)
    covariance = z.transpose(1, 2) @ z / z.shape[1]
    torch.testing.assert_close(covariance, torch.eye(18).expand(2, -1, -1), rtol=0, atol=1e-3)
    assert states.varying.tolist() == list(range(14))  # the silent agents' messages are zeros


def test_what_is_seen_is_normalised_over_all_agents(known):
    states = States(known, fovea=0.03)
    seen = states.normalized(states.of(known.observations.transpose(1, 2).flatten(0, 1)))
    raw = known.observations[..., :14].flatten(1, 2)
    expected = (raw - raw.mean(dim=1, keepdim=True)) / raw.std(dim=1, keepdim=True, correction=0)
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-3)


def test_datasets_that_vary_differently_are_refused(known):
    frozen = known.observations.clone()
    frozen[1, :, :, :2] = 0.0
    with pytest.raises(OmarError, match="vary in a different number of directions"):
        States(replace(known, observations=frozen), fovea=0.03)


def test_the_linear_part_of_the_model_ignores_rare_shocks():
    """Steps that are linear but for one in twenty are found to 1e-4."""
    g = torch.Generator().manual_seed(0)
    observations = torch.randn(1, 2000, N, 4, generator=g)
    actions = torch.rand(1, 2000, N, 2, generator=g) * 2 - 1
    after = 0.9 * observations + 0.1 * torch.cat([actions, actions], dim=3)
    shocked = torch.rand(1, 2000, 1, 1, generator=g) < 0.05
    after = after + shocked * 3.0
    known = Facts(torch.zeros(1), torch.zeros(1), observations, actions, after)
    states = States(known, fovea=0.03)
    model = Dynamics(states, known, seeds=[0], hidden=4)
    for stack in (model.encoder, model.head):
        for parameter in stack.parameters():
            parameter.zero_()
    z = states.of(observations.transpose(1, 2).flatten(0, 1))
    calm = ~shocked[0, :, 0, 0]
    found = states.observations(model(z, actions))[0, calm]
    torch.testing.assert_close(found, after[0, calm], rtol=0, atol=1e-3)


def test_the_model_learns_what_its_linear_part_leaves(data, known):
    states = States(known, fovea=0.03)
    model = Dynamics(states, known, seeds=[0, 1], hidden=32)
    held_out = sample(data, 200, step=10**6)
    before = model.error(held_out).detach()
    stage = LearnModel(model, updates=200, batch_size=128, learning_rate=4e-3)
    for step in range(stage.updates):
        stage.update(sample(data, stage.batch_size, step), step)
    stage.finish()
    after = model.error(held_out)
    assert bool((after < 0.95 * before).all())
    assert not after.requires_grad  # it is frozen


def reference(algorithm, batch, seed):
    """Losses of the data's rows of one seed, agent by agent and row by row of networks."""
    agents, states, model = algorithm.agents, algorithm.states, algorithm.model
    members = range(seed * N, (seed + 1) * N)

    def net(stack, index, x, norm=False):
        weights, biases = stack.layers()
        for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
            x = x @ w[index] + b[index]
            if layer < len(weights) - 1:
                if norm:
                    x = torch.nn.functional.layer_norm(
                        x, x.shape[-1:], stack.norm_scales[layer][index], stack.norm_shifts[layer][index]
                    )
                x = x.relu()
        return x

    def worth(stack, critic, observations):
        """Sum over the agents of observations [B, N, O]."""
        total = 0.0
        for agent in range(N):
            o = observations[:, agent, states.varying]
            mean, std = states.center[seed, 0], states.std[seed, 0]
            seen = [(o - mean) / std]
            lengths, directions = [], []
            for pair in range(7):
                x, y = o[:, 2 * pair], o[:, 2 * pair + 1]
                usual = (std[2 * pair : 2 * pair + 2] ** 2 + mean[2 * pair : 2 * pair + 2] ** 2).sum().sqrt()
                length = (x * x + y * y + 1e-8).sqrt() + 0.03 * usual
                lengths.append(length.log())
                directions += [x / length, y / length]
            who = torch.zeros(len(o), N)
            who[:, agent] = 1.0
            features = torch.cat([*seen, torch.stack(lengths + directions, dim=1), who], dim=1)
            total = total + net(stack, critic * 2 + seed, features, norm=True)
        return total

    def after(observations, actions):
        """Observations [B, N, O] of the model's next state."""
        z = states.of(
            torch.zeros(2 * N, len(observations), 18).index_copy(
                0, torch.tensor(list(members)), observations.transpose(0, 1)
            )
        )
        both = torch.zeros(2, *actions.shape).index_copy(0, torch.tensor([seed]), actions[None])
        return states.observations(model(z, both))[seed]

    o, o2, a = (
        x[list(members)].transpose(0, 1) for x in (batch.observations, batch.next_observations, batch.actions)
    )
    target_actions = torch.stack(
        [net(agents.actor.target, m, o2[:, i]).tanh() for i, m in enumerate(members)], 1
    )
    led_to = after(o2, target_actions)
    following = torch.stack([worth(algorithm.critic.target, k, led_to)[:, 0] for k in range(2)]).amin(dim=0)
    reward = batch.rewards[list(members)].mean(dim=0)
    y = (reward + 0.95 * following.clamp(max=float(algorithm.largest[seed]))).detach()
    said = [worth(algorithm.critic.networks, k, o2) for k in range(2)]
    td = sum((s[:, 0] - y).square().mean() for s in said)
    rewards = sum((s[:, 1] - reward).square().mean() for s in said)
    logits = torch.stack([net(agents.actor.networks, m, o[:, i]) for i, m in enumerate(members)], 1)
    values = worth(algorithm.critic.networks, 0, after(o, logits.tanh()))[:, 0]
    value = -values.mean() / values.std().detach()
    anchor = [
        float(algorithm.anchor.weight[seed]) * (logits[:, i].tanh() - a[:, i]).square().mean() / N
        for i in range(N)
    ]
    return td, rewards, value, anchor, [0.01 * logits[:, i].square().mean() / N for i in range(N)]


def test_losses_are_those_of_a_slow_version(data, known):
    algorithm = make(known)
    with torch.no_grad():
        algorithm.anchor.weight.copy_(torch.tensor([0.3, 0.7]))
        algorithm.critic.networks.norm_scales[0].uniform_(
            0.5, 2.0, generator=torch.Generator().manual_seed(0)
        )
        for stack in (algorithm.critic, algorithm.agents.actor):  # targets of their own
            for parameter in stack.target.parameters():
                parameter.mul_(1.3)
    batch = sample(data, 16).scaled(0.1)
    z, led_to = algorithm.states.of(batch.observations), algorithm.states.of(batch.next_observations)
    rewards = by_row(batch.rewards, N).mean(dim=2)
    critic = algorithm._critic_terms(led_to, rewards, torch.zeros(2, 16), 16)
    actor = algorithm._actor_terms(z, batch)
    for seed in range(2):
        td, reward, value, anchor, logits = reference(algorithm, batch, seed)
        torch.testing.assert_close(critic["td"][seed], td, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(critic["reward"][seed], reward, rtol=1e-4, atol=1e-5)
        for agent in range(N):
            member = seed * N + agent
            torch.testing.assert_close(actor["value"][member], value, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(actor["anchor"][member], anchor[agent], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(actor["logits"][member], logits[agent], rtol=1e-4, atol=1e-6)


def test_the_bound_cuts_targets(data, known):
    algorithm = make(replace(known, largest_returns=torch.tensor([-50.0, 50.0])))
    batch = sample(data, 16).scaled(0.1)
    led_to = algorithm.states.of(batch.next_observations)
    rewards, ends = by_row(batch.rewards, N).mean(dim=2), torch.ones(2, 16)
    td = algorithm._critic_terms(led_to, rewards, 0 * ends, 16)["td"].detach()
    assert float(td[0]) > 10 * float(td[1])  # targets of about 0.95 x -50
    ended = algorithm._critic_terms(led_to, rewards, ends, 16)["td"].detach()
    assert float(ended[0]) < 0.1 * float(td[0])  # nothing follows where the episode was terminated


def test_imagined_states_follow_the_policies_and_start_anew_from_the_data(data, known):
    algorithm = make(known, restart=0.0, imagined_noise=0.0)
    z = algorithm.states.of(sample(data, 16).observations)
    states, led_to, rewards = algorithm._imagine(z, Draw(0, 0))
    assert torch.equal(states, z[:, :12])
    actions = by_row(algorithm.agents.act(algorithm._seen(states)), N)
    torch.testing.assert_close(led_to, algorithm.model(states, actions))
    assert rewards.shape == (2, 12)
    assert torch.equal(algorithm.pool, led_to)
    algorithm.pool[0, 3] = FARTHEST * 10  # a state that no data is near to
    _, far, _ = algorithm._imagine(z, Draw(0, 1))
    assert far[0, 3].abs().max() > FARTHEST
    assert torch.equal(algorithm.pool[0, 3], z[0, 3])
    fresh = make(known, restart=1.0)
    fresh._imagine(z, Draw(0, 5))
    assert torch.equal(fresh.pool, z[:, :12])


def test_the_rates_of_stages_fall_on_a_line(data, known):
    algorithm = make(known)
    learning, cloning = algorithm.stages()
    for stage, adam, first, last in (
        (learning, learning._adam, 4e-3, 8e-5),
        (cloning, algorithm.agents.actor._adam, 2e-3, 2e-4),
    ):
        rates = []
        for step in (0, stage.updates // 2):
            stage.update(sample(data, stage.batch_size), step)
            rates.append(adam.param_groups[0]["lr"])
        assert rates == pytest.approx([first, (first + last) / 2])


def test_cloning_weighs_the_anchor_by_the_behaviours_variance(known):
    """Actions that the observations decide but for noise: its variance is what cloning leaves."""
    algorithm = make(known, clone_updates=400)
    clone = algorithm.stages()[1]
    g = torch.Generator().manual_seed(0)
    noise = torch.tensor([0.1, 0.3]).repeat_interleave(N)[:, None, None]
    rows = known.observations.transpose(1, 2).flatten(0, 1)
    for step in range(clone.updates):
        o = rows[:, torch.randint(rows.shape[1], (64,), generator=g)]
        a = torch.tanh(o[..., :2]) + noise * torch.randn(2 * N, 64, 2, generator=g)
        clone.update(Batch(o, a, a[..., 0], o), step)
    clone.finish()
    precision = algorithm.anchor.weight / 0.003 + 3.0
    assert precision.rsqrt().tolist() == pytest.approx([0.1, 0.3], rel=0.35)
    target, actor = algorithm.agents.actor.target, algorithm.agents.actor.networks
    assert all(torch.equal(t, p) for t, p in zip(target.parameters(), actor.parameters(), strict=True))
    assert not algorithm.agents.tensors()["actor.adam.first"].any()


def test_uniform_actions_hold_nobody(data, known):
    algorithm = make(known)
    clone = algorithm.stages()[1]
    for step in range(clone.updates):
        clone.update(sample(data, 64, step), step)
    clone.finish()
    assert algorithm.anchor.weight.max() < 0.003  # a precision of 3, and what 8 minibatches say of it


def config(folder, data, **changes):
    lengths = {"updates": 6, "eval_every": 3, "eval_episodes": 2, "checkpoint_every": 2}
    options = {"algorithm": "afterstate", "seeds": 2, "out": folder, "settings": SHORT} | lengths | changes
    return TrainConfig(dataset=str(data.path), **options)


def outcome(result):
    return [(e.update, e.returns, e.losses) for e in result.evaluations], [p.sha256 for p in result.policies]


@pytest.mark.parametrize("decay", [0, 2000])
@pytest.mark.parametrize("when", [2, 6, 11])  # in the model, in cloning, in the agents' updates
def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path, data, when, decay):
    settings = SHORT | {"decay_updates": decay}
    whole = train(config(tmp_path / "whole", data, settings=settings))
    count = iter(range(1, 99))
    stopped = config(tmp_path / "part", data, settings=settings)
    assert not train(stopped, stop=lambda: next(count) == when).finished
    again = resume(tmp_path / "part")
    assert again.finished
    assert outcome(again) == outcome(whole)


def test_the_state_of_a_seed_does_not_depend_on_those_beside_it(tmp_path, data):
    two, one = (train(config(tmp_path / str(n), data, seeds=n)) for n in (2, 1))
    assert two.policies[0].sha256 == one.policies[0].sha256


def test_it_refuses_to_start_from_another_run(tmp_path, data):
    first = train(config(tmp_path / "first", data))
    with pytest.raises(
        OmarError, match="afterstate prepares its networks from its data and cannot start from"
    ):
        train(config(tmp_path / "second", data, init_from=first.path))


def test_evaluations_say_what_the_critic_thinks(tmp_path, data):
    result = train(config(tmp_path / "run", data))
    assert len(result.evaluations) == 3
    assert all(np.isfinite(e.values).all() and len(e.values) == 2 for e in result.evaluations)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_norm": "batch"}, "input-norm must be dataset: afterstate normalises by the data alone"),
        ({"action_penalty": 0.1}, "action-penalty must be 0: afterstate has --logit-penalty instead"),
        ({"batch_size": 1}, "batch-size must be at least 2, got 1"),
        ({"critic": "centralized"}, "critic must be independent"),
        ({"model_batch_size": 5000}, "the model takes minibatches of 5000, more than the dataset's 1000"),
        ({"imagined": 10**9}, "imagined must be in"),
    ],
)
def test_settings_that_would_mean_nothing_are_refused(tmp_path, data, settings, message):
    with pytest.raises(OmarError, match=message.replace("-", "[-_]")):
        train(config(tmp_path / "run", data, settings=SHORT | settings))


@pytest.mark.parametrize("updates", [1, 2, 3])
def test_a_clone_of_few_updates_has_a_variance(known, updates):
    algorithm = make(known, clone_updates=updates)
    clone = algorithm.stages()[1]
    o, a = (x.transpose(1, 2).flatten(0, 1)[:, :8] for x in (known.observations, known.actions))
    for step in range(clone.updates):
        clone.update(Batch(o, a, a[..., 0], o), step)
    clone.finish()


@pytest.mark.parametrize("option", Afterstate.sized_by)
def test_the_estimate_of_memory_grows_with_sizes(option):
    backbone, task = Backbone(), get_task("simple_spread")
    large = replace(AfterstateSettings(), **{option[2:].replace("-", "_"): 2**16})
    more = Afterstate.footprint(large, backbone, task)
    assert more > 2**16 + Afterstate.footprint(AfterstateSettings(), backbone, task)


def test_the_estimate_of_memory_is_a_lower_bound(known):
    algorithm = make(known, model_batch_size=1, imagined=1)
    model, critics = (
        sum(p.numel() for stack in stacks for p in stack.parameters())
        for stacks in ((algorithm.model.encoder, algorithm.model.head), (algorithm.critic.networks,))
    )
    kept = 4 * model + 5 * critics  # with gradients and moments; the critics have targets
    task = get_task("simple_spread")
    estimated = 2 * Afterstate.footprint(algorithm.settings, algorithm.agents.settings, task)
    assert kept / 10 < estimated < kept


def test_a_seed_does_not_depend_on_a_smaller_dataset_beside_it(tmp_path, data, monkeypatch):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    small = ensure_dataset("simple_spread", "random", 1, steps=500, progress=False)
    both = replace(config(tmp_path / "both", data), dataset=(str(data.path), str(small.path)))
    alone = config(tmp_path / "alone", data, seeds=1)
    assert train(both).policies[0].sha256 == train(alone).policies[0].sha256


def test_foreign_shapes_train_too(tmp_path):
    """simple_tag has 16 numbers an agent and a prey that is not among the learners."""
    dataset: Dataset = make_dataset(tmp_path / "tag", "simple_tag", episodes=8)
    assert train(config(tmp_path / "run", dataset, task="simple_tag")).finished
