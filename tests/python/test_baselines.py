"""MA-TD3+BC and MA-ICQ against plain torch agents, one at a time, as their papers write them."""

import copy
import importlib.util
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from omar.algorithms import Agents, Backbone, Batch, get_algorithm, update
from omar.algorithms.icq import Icq, IcqSettings
from omar.algorithms.td3bc import Td3Bc, Td3BcSettings
from omar.behaviors.policy import Policy
from omar.errors import OmarError
from omar.matrix.plan import PARTICLE_TASKS
from omar.random import Draw
from omar.runs.decode import encode
from omar.tasks import get_task
from test_batch_norm import GAMMA, HIDDEN, A, B, N, O, Single, check_same, contexts, make_batch, normal

MEMBERS = 2 * N
ROOT = Path(__file__).resolve().parents[2]


def make_agents(kind, algorithm, **settings):
    """Two seeds of three agents, and the same agents as torch modules."""
    backbone = Backbone(batch_size=B, hidden=HIDDEN, critic=kind, **settings)
    agents = Agents(
        backbone,
        seeds=[s for s in range(2) for _ in range(N)],
        learners=N,
        obs_size=O,
        action_size=A,
        dtype=torch.float64,
        has_critics=algorithm.has_critics,
        learned_deviation=algorithm.learned_deviation,
    )
    one = Gaussian if algorithm.learned_deviation else Single
    return agents, [one(agents, m) for m in range(MEMBERS)]


class Gaussian(Single):
    """An agent whose policy has a deviation of its own."""

    def __init__(self, agents, m):
        super().__init__(agents, m)
        self.policy.deviation = nn.Parameter(torch.zeros(A, dtype=torch.float64))
        self.target_policy = copy.deepcopy(self.policy)
        self.adams[self.policy] = torch.optim.Adam(self.policy.parameters(), lr=agents.settings.learning_rate)

    def normal(self, o):
        log_deviation = -6 + 6 * torch.sigmoid(self.policy.deviation)
        return torch.distributions.Normal(self.policy(o), log_deviation.exp())


def joint(kind, observations, actions):
    """What the critic of every member sees beside its own action."""
    seeds = range(0, MEMBERS, N)
    return [c for s in seeds for c in contexts(kind, observations[s : s + N], actions[s : s + N])]


def td3bc_update(singles, kind, batch, alpha):
    """One update of all agents; returns the critics' and the actor's loss of each."""
    logged = []
    with torch.no_grad():
        next_actions = [
            one.target_policy(o2) for one, o2 in zip(singles, batch.next_observations, strict=True)
        ]
    here = joint(kind, batch.observations, batch.actions)
    there = joint(kind, batch.next_observations, next_actions)
    for m, one in enumerate(singles):
        with torch.no_grad():
            y = batch.rewards[m] + GAMMA * one.target_critic(there[m], next_actions[m]).amin(dim=0)
        q = one.critic(here[m], batch.actions[m])
        td = (q - y).square().mean(dim=1).sum()
        one.step(one.critic, td)
        pi = one.policy(batch.observations[m])
        value = one.critic(here[m], pi)[0]
        weight = alpha / value.abs().mean().detach()
        imitation = (pi - batch.actions[m]).square().mean()
        loss = imitation - weight * value.mean() + 1e-3 * pi.square().mean()
        one.step(one.policy, loss)
        one.track()
        logged.append((td.item(), loss.item()))
    return logged


def icq_update(singles, kind, batch, settings):
    """As `td3bc_update`. Rows that are cut are taken out wherever a mean or a sum is formed."""
    logged = []
    here = joint(kind, batch.observations, batch.actions)
    there = joint(kind, batch.next_observations, batch.next_actions)
    for m, one in enumerate(singles):
        known = batch.next_mask[m] == 1
        ended = torch.zeros(B, dtype=torch.bool) if batch.terminated is None else batch.terminated[m] == 1
        rows = known | ended
        y = batch.rewards[m].clone()
        with torch.no_grad():
            v = one.target_critic(there[m], batch.next_actions[m]).amin(dim=0)[known]
        weights = (len(v) * torch.softmax(v / settings.beta_q, dim=0)).clamp(max=settings.largest_weight)
        y[known] += GAMMA * weights * v
        q = one.critic(here[m], batch.actions[m])
        td = (q - y)[:, rows].square().mean(dim=1).sum()
        one.step(one.critic, td)
        pi = one.normal(batch.observations[m])
        with torch.no_grad():
            q = one.critic(here[m], batch.actions[m])[0]
            if settings.advantage == "policy":
                advantage = q - one.critic(here[m], pi.mean)[0]
            else:
                advantage = batch.rewards[m] - q
                advantage[known] += GAMMA * one.critic(there[m], batch.next_actions[m])[0][known]
        weights = rows.sum() * torch.softmax(advantage[rows] / settings.beta, dim=0)
        log_density = pi.log_prob(batch.actions[m]).sum(dim=1)
        loss = -(weights * log_density[rows]).mean()
        one.step(one.policy, loss)
        one.track()
        logged.append((td.item(), loss.item()))
    return logged


def check_losses(terms, logged):
    for kind, column in (("critic", 0), ("actor", 1)):
        ours = sum(term for name, term in terms.items() if name.startswith(kind))
        assert ours.tolist() == pytest.approx([losses[column] for losses in logged], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", ["independent", "centralized"])
@pytest.mark.parametrize("alpha", [0.4, 2.5])
def test_td3bc_is_that_of_torch_modules(kind, alpha):
    agents, singles = make_agents(kind, Td3Bc)
    algorithm = Td3Bc(Td3BcSettings(alpha=alpha), agents)
    for step in range(30):
        batch = make_batch(MEMBERS, step)
        terms = update(algorithm, agents, batch, Draw(3, step))
        check_losses(terms, td3bc_update(singles, kind, batch, alpha))
    check_same(agents, singles, 1e-9)


def with_next_actions(batch, step, *, terminated):
    """Rows that are followed by one, rows that are cut, and rows that end."""
    cut = normal(MEMBERS, B, seed=500 + step) > 1
    ended = (normal(MEMBERS, B, seed=600 + step) > 1) & ~cut
    known = ~cut & ~ended if terminated else ~cut
    mask = known.to(torch.float64)
    actions = normal(MEMBERS, B, A, seed=700 + step).clamp(-1, 1) * mask[..., None]
    flags = ended.to(torch.float64) if terminated else None
    columns = batch.observations, batch.actions, batch.rewards, batch.next_observations
    return Batch(*columns, flags, actions, mask)


@pytest.mark.parametrize("kind", ["independent", "centralized"])
@pytest.mark.parametrize("terminated", [False, True])
@pytest.mark.parametrize("advantage", ["td", "policy"])
def test_icq_is_that_of_torch_modules(kind, advantage, terminated):
    agents, singles = make_agents(kind, Icq)
    settings = IcqSettings(beta=0.5, beta_q=0.7, advantage=advantage, largest_weight=1.3)
    algorithm = Icq(settings, agents)
    for step in range(30):
        batch = with_next_actions(make_batch(MEMBERS, step), step, terminated=terminated)
        terms = update(algorithm, agents, batch, Draw(3, step))
        check_losses(terms, icq_update(singles, kind, batch, settings))
    check_same(agents, singles, 1e-9)
    for m, one in enumerate(singles):
        ours = agents.deviation[m].detach()
        torch.testing.assert_close(ours, one.policy.deviation.detach(), rtol=0, atol=1e-9)
        assert float(ours.abs().min()) > 1e-3  # it was learned


def test_the_target_weights_of_icq_are_clamped():
    """With a low temperature a few rows would carry all the weight."""
    agents, _ = make_agents("independent", Icq)
    batch = with_next_actions(make_batch(MEMBERS, 0), 0, terminated=False)
    terms = [
        Icq(IcqSettings(beta_q=0.01, largest_weight=w), agents).critic_terms(batch, Draw(0, 0))["td"]
        for w in (1.0, 1e6)
    ]
    assert bool((terms[0] != terms[1]).all())


def test_the_first_deviation_is_the_authors():
    agents, _ = make_agents("independent", Icq)
    torch.testing.assert_close(
        Icq(IcqSettings(), agents).log_deviation(), torch.full((MEMBERS, A), -3.0, dtype=torch.float64)
    )


def test_icq_acts_with_its_mean():
    task = get_task("simple_spread")
    backbone = Backbone(batch_size=B, hidden=HIDDEN, input_norm="none")
    agents = Agents(
        backbone,
        seeds=[0] * N,
        learners=N,
        obs_size=task.obs_size,
        action_size=A,
        learned_deviation=True,
    )
    policy = Policy.of_networks(agents.actor.networks, range(N), task)
    o = normal(5, N, task.obs_size).float()
    mean = agents.act(o.transpose(0, 1)).detach().transpose(0, 1)
    torch.testing.assert_close(policy(o), mean, rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        agents.deviation.fill_(5.0)
    again = Policy.of_networks(agents.actor.networks, range(N), task)
    assert torch.equal(again(o), policy(o))


def test_an_algorithm_without_deviation_has_none_in_its_state():
    agents, _ = make_agents("independent", Td3Bc)
    assert not [name for name in agents.tensors() if "deviation" in name]


def test_cutting_rows_leaves_no_trace_of_what_they_hold():
    agents, _ = make_agents("independent", Icq, input_norm="none")
    algorithm = Icq(IcqSettings(beta=0.5, beta_q=0.7), agents)
    batch = with_next_actions(make_batch(MEMBERS, 0), 0, terminated=False)
    other = copy.copy(batch.rewards)
    other[batch.next_mask == 0] += 100.0
    changed = Batch(
        batch.observations,
        batch.actions,
        other,
        batch.next_observations,
        None,
        batch.next_actions,
        batch.next_mask,
    )
    for terms in (algorithm.critic_terms, algorithm.actor_terms):
        first, second = (terms(b, Draw(0, 0)) for b in (batch, changed))
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Td3BcSettings(alpha=-1.0), "alpha must be at least 0, got -1"),
        (lambda: Td3BcSettings(alpha=math.inf), "alpha must be a finite number, got Infinity"),
        (lambda: IcqSettings(beta=0.0), "beta must be greater than 0, got 0"),
        (lambda: IcqSettings(beta_q=-1.0), "beta_q must be greater than 0, got -1"),
        (lambda: IcqSettings(largest_weight=0.0), "largest_weight must be greater than 0, got 0"),
        (lambda: IcqSettings(advantage="mc"), "advantage must be 'policy' or 'td', got \"mc\""),
    ],
)
def test_messages(build, message):
    with pytest.raises(OmarError, match=message):
        build()


def test_icq_needs_next_actions():
    agents, _ = make_agents("independent", Icq)
    with pytest.raises(ValueError, match="has no next actions, which its algorithm needs"):
        update(Icq(IcqSettings(), agents), agents, make_batch(MEMBERS, 0), Draw(0, 0))


def tune():
    spec = importlib.util.spec_from_file_location("tune", ROOT / "benchmarks" / "tune.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_about_tuning_shows_every_try():
    page = tune().PAGE.read_text(encoding="utf-8")
    assert tune().filled(page) == page
    assert page.count("\n| simple_") == len(tune().tried()) > 0


SETS = [(task, quality) for task in PARTICLE_TASKS for quality in get_task(task).qualities]


@pytest.mark.parametrize("name", ["td3bc", "icq"])
@pytest.mark.parametrize(("task", "quality"), SETS)
def test_a_preset_was_tried_and_is_no_weaker_than_the_paper_by_more_than_five_points(name, task, quality):
    preset = get_algorithm(name).preset(task, quality, "released")
    ours = encode(preset.backbone) | encode(preset.settings)
    last = [
        list(one["scores"].values())[-1]
        for one in tune().tried()
        if (one["task"], one["quality"], one["algorithm"]) == (task, quality, name)
        and all(ours[setting] == value for setting, value in one["settings"].items())
    ]
    assert last
    assert last[-1] >= get_task(task).qualities[quality].scores[name].mean - 5
