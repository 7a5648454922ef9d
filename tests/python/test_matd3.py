"""MATD3: a slow oracle that goes agent by agent, independence of stacked seeds, learning, errors."""

from dataclasses import replace

import pytest
import torch

from omar.algorithms.statistics import Statistics
from omar.online.matd3 import JointBatch, Matd3, Matd3Settings, Roles

WIDTH, U, B = 5, 2, 7
COOPERATIVE = Roles(agents=3, trained=3, cooperative=3)
WITH_PREY = Roles(agents=4, trained=4, cooperative=3)
FROZEN_PREY = Roles(agents=4, trained=3, cooperative=3)
ALL_ROLES = pytest.mark.parametrize(
    "roles", [COOPERATIVE, WITH_PREY, FROZEN_PREY], ids=["cn", "prey", "frozen"]
)
SETTINGS = Matd3Settings(hidden=8, batch_size=B, learning_rate=1e-3, final_learning_rate=1e-4)


def make(roles, seeds=(3,), settings=SETTINGS):
    algorithm = Matd3(settings, roles, seeds=list(seeds), obs_size=WIDTH, action_size=U)
    generator = torch.Generator().manual_seed(1)
    for stack in (
        algorithm.actor,
        algorithm.critic,
    ):  # targets that differ, policies that are not almost zero
        for parameter in (*stack.networks.parameters(), *stack.target.parameters()):
            parameter.data.add_(0.3 * torch.randn(parameter.shape[1:], generator=generator))
    return algorithm


def batch(roles, seeds=1, states=B):
    g = torch.Generator().manual_seed(2)
    shape = (seeds, states, roles.agents)
    return JointBatch(
        observations=torch.randn(*shape, WIDTH, generator=g),
        actions=torch.rand(*shape, U, generator=g) * 2 - 1,
        rewards=torch.randn(shape, generator=g),
        next_observations=torch.randn(*shape, WIDTH, generator=g),
        frozen_next_actions=torch.rand(seeds, states, roles.agents - roles.trained, U, generator=g) * 2 - 1,
    )


def mlp(networks, member, x):
    """One network on one input vector."""
    layers = list(zip(networks.weights, networks.biases, strict=True))
    for i, (weight, bias) in enumerate(layers):
        x = x @ weight[member] + bias[member]
        if i < len(layers) - 1:
            x = x.clamp(min=0)
    return x


def critic_value(algorithm, networks, member, twin, obs, actions):
    """Q of one member at one joint observation [A, WIDTH] and action [A, U]."""
    roles = algorithm.roles
    own = member % roles.trained
    if own >= roles.cooperative:
        others = [a for a in range(roles.agents) if a != own]
        obs, actions = obs.clone(), actions.clone()
        obs[others] = 0
        actions[others] = 0
    return mlp(networks, twin * algorithm.members + member, torch.cat([obs.flatten(), actions.flatten()]))[0]


def slow_losses(algorithm, data):
    """TD loss, value term and saturation term of every member, state by state."""
    s, roles = algorithm.settings, algorithm.roles
    td, value, saturation = [], [], []
    for member in range(algorithm.members):
        seed, own = divmod(member, roles.trained)
        sums = [0.0, 0.0, 0.0]
        for b in range(data.rewards.shape[1]):
            obs, acts, following = (
                data.observations[seed, b],
                data.actions[seed, b],
                data.next_observations[seed, b],
            )
            chosen = [
                torch.tanh(mlp(algorithm.actor.target, seed * roles.trained + t, following[t]))
                for t in range(roles.trained)
            ]
            next_actions = torch.stack([*chosen, *data.frozen_next_actions[seed, b]])
            next_value = min(
                critic_value(algorithm, algorithm.critic.target, member, twin, following, next_actions)
                for twin in (0, 1)
            )
            y = (s.reward_scale * data.rewards[seed, b, own] + s.gamma * next_value).detach()
            networks = algorithm.critic.networks
            sums[0] += sum(
                (critic_value(algorithm, networks, member, twin, obs, acts) - y) ** 2 for twin in (0, 1)
            )
            logits = mlp(algorithm.actor.networks, member, obs[own])
            replaced = torch.cat([acts[:own], torch.tanh(logits)[None], acts[own + 1 :]])
            sums[1] -= critic_value(algorithm, networks, member, 0, obs, replaced)
            sums[2] += s.saturation_penalty * (logits**2).mean()
        for terms, total in zip((td, value, saturation), sums, strict=True):
            terms.append(total / data.rewards.shape[1])
    return torch.stack(td), torch.stack(value), torch.stack(saturation)


@ALL_ROLES
def test_critic_step_is_the_oracle(roles):
    algorithm, data = make(roles, seeds=(3, 4)), batch(roles, seeds=2)
    td, _, _ = slow_losses(algorithm, data)
    wanted = torch.autograd.grad(td.sum(), list(algorithm.critic.networks.parameters()))
    got = {}
    algorithm.critic.step = lambda losses: got.update(  # looks at the loss instead of stepping
        losses=losses,
        gradients=torch.autograd.grad(losses.sum(), list(algorithm.critic.networks.parameters())),
    )
    terms = algorithm.update(data, 0.0)
    torch.testing.assert_close(terms["critic/td"], td.detach(), rtol=1e-5, atol=1e-6)
    for a, b in zip(got["gradients"], wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@ALL_ROLES
def test_actor_step_is_the_oracle(roles):
    algorithm, data = make(roles, seeds=(3, 4)), batch(roles, seeds=2)
    algorithm.critic.step = lambda _losses: None
    parameters = list(algorithm.actor.networks.parameters())
    _, value, saturation = slow_losses(algorithm, data)
    wanted = torch.autograd.grad((value + saturation).sum(), parameters)
    got = {}
    algorithm.actor.step = lambda losses: got.update(gradients=torch.autograd.grad(losses.sum(), parameters))
    terms = algorithm.update(data, 0.0)
    torch.testing.assert_close(terms["actor/value"], value.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(terms["actor/saturation"], saturation.detach(), rtol=1e-5, atol=1e-6)
    for a, b in zip(got["gradients"], wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_trained_preys_critic_sees_only_its_own():
    algorithm, data = make(WITH_PREY), batch(WITH_PREY)
    before = algorithm._values(data.observations, data.actions)
    others = data.observations.clone()
    others[:, :, :3] += 1.0
    after = algorithm._values(others, data.actions)
    assert torch.equal(before[:, 3], after[:, 3])
    assert not torch.isclose(before[:, :3], after[:, :3]).any()
    own = data.observations.clone()
    own[:, :, 3] += 1.0
    assert not torch.isclose(before, algorithm._values(own, data.actions)).any()


@ALL_ROLES
def test_stacked_seeds_do_not_mix(roles):
    together, data = make(roles, seeds=(3, 4)), batch(roles, seeds=2)
    alone = make(roles, seeds=(4,))
    second = JointBatch(*(getattr(data, name)[1:] for name in JointBatch.__slots__))
    for i in range(5):
        together.update(data, i / 5)
        alone.update(second, i / 5)
    trained = roles.trained
    for whole, part in zip(together.actor.networks.weights, alone.actor.networks.weights, strict=True):
        torch.testing.assert_close(whole[trained:], part, rtol=1e-5, atol=1e-6)
    for whole, part in zip(together.critic.networks.weights, alone.critic.networks.weights, strict=True):
        torch.testing.assert_close(
            whole.unflatten(0, (2, 2, trained))[:, 1].flatten(0, 1), part, rtol=1e-5, atol=1e-6
        )


@ALL_ROLES
def test_networks_that_normalise_learn_as_from_normalised_minibatches(roles):
    g = torch.Generator().manual_seed(5)
    seen = Statistics(
        torch.randn(roles.agents, WIDTH, generator=g), torch.rand(roles.agents, WIDTH, generator=g) + 0.5
    )
    sizes = {"seeds": [3, 4], "obs_size": WIDTH, "action_size": U}
    raw = Matd3(SETTINGS, roles, **sizes, statistics=seen)
    normalised = Matd3(SETTINGS, roles, **sizes)
    data = batch(roles, seeds=2)
    scaled = replace(
        data,
        observations=(data.observations - seen.mean) / seen.std,
        next_observations=(data.next_observations - seen.mean) / seen.std,
    )
    for i in range(5):
        first, second = raw.update(data, i / 5), normalised.update(scaled, i / 5)
        for name in first:
            torch.testing.assert_close(first[name], second[name], rtol=1e-4, atol=1e-5)
    for a, b in zip(raw.actor.networks.weights, normalised.actor.networks.weights, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_learning_rate_falls_linearly():
    algorithm, data = make(COOPERATIVE), batch(COOPERATIVE)
    for progress, rate in ((0.0, 1e-3), (0.5, 5.5e-4), (1.0, 1e-4)):
        algorithm.update(data, progress)
        assert algorithm.actor._adam.param_groups[0]["lr"] == pytest.approx(rate)
        assert algorithm.critic._adam.param_groups[0]["lr"] == pytest.approx(rate)


def test_learns_a_known_best_action():
    """One-step problem: every agent is paid for the first two numbers of its own observation, halved."""
    settings = Matd3Settings(
        hidden=32, batch_size=128, gamma=0.0, reward_scale=1.0, saturation_penalty=0.0, learning_rate=5e-3
    )
    algorithm = Matd3(settings, COOPERATIVE, seeds=[0], obs_size=WIDTH, action_size=U)
    g = torch.Generator().manual_seed(0)

    def draw(states):
        obs = torch.rand(1, states, 3, WIDTH, generator=g) * 2 - 1
        acts = torch.rand(1, states, 3, U, generator=g) * 2 - 1
        rewards = -(acts - 0.5 * obs[..., :U]).square().sum(-1)
        return JointBatch(obs, acts, rewards, obs, acts[:, :, :0])

    def error():
        obs = draw(500).observations
        actions = torch.tanh(algorithm.logits(algorithm.actor.networks, obs)).transpose(1, 2).detach()
        return float((actions - 0.5 * obs[..., :U]).square().mean())

    before = error()
    for i in range(400):
        algorithm.update(draw(128), i / 400)
    assert error() < 0.15 * before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": 1.0}, r"gamma must be in \[0, 1\), got 1.0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"reward_scale": 0.0}, "reward_scale must be greater than 0"),
        ({"polyak_rate": 0.0}, r"polyak_rate must be in \(0, 1\], got 0.0"),
        ({"saturation_penalty": -1.0}, "saturation_penalty must be at least 0, got -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number, got NaN"),
    ],
)
def test_settings_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        Matd3Settings(**change)


def test_policies_see_the_first_numbers_of_an_observation_and_critics_all():
    mean, std = torch.arange(3.0 * WIDTH).view(3, WIDTH), torch.full((3, WIDTH), 2.0)
    algorithm = Matd3(
        SETTINGS,
        COOPERATIVE,
        seeds=[3],
        obs_size=WIDTH,
        action_size=U,
        statistics=Statistics.of(mean, std),
        seen=3,
    )
    rows = batch(COOPERATIVE)
    changed = replace(rows, observations=rows.observations.clone())
    changed.observations[..., 3:] += 1.0
    before, after = (algorithm.logits(algorithm.actor.networks, r.observations) for r in (rows, changed))
    assert algorithm.actor.networks.weights[0].shape[1] == 3
    assert torch.equal(before, after)
    values = [algorithm.update(r, 0.0)["critic/td"] for r in (rows, changed)]
    assert not torch.equal(*values)
