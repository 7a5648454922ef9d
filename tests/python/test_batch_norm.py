"""Batch normalisation of the inputs, against torch.nn.BatchNorm1d in networks of one agent each."""

import copy
import math

import pytest
import torch
from torch import nn

from omar import cem
from omar.algorithms import Agents, Backbone, Batch, get_algorithm, update
from omar.errors import OmarError
from omar.nets import StackedMlp, candidate_values, cql_penalty, normal_candidates, uniform_candidates
from omar.random import Draw

N, B, K, O, A, HIDDEN, GAMMA = 3, 16, 5, 6, 2, 8, 0.95
BACKBONE = Backbone(batch_size=B, hidden=HIDDEN, input_norm="batch")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_batch(members, step):
    """Observations of different scales and offsets, whose statistics differ between minibatches and members."""
    offset = normal(members, 1, O, seed=1000 + step)
    scale = torch.logspace(-1, 1, O, dtype=torch.float64)
    columns = [normal(members, B, size, seed=10 * step + i) for i, size in enumerate((O, O, A, 1))]
    o, o2, a, r = columns
    return Batch((o + offset) * scale, a.clamp(-1, 1), r[..., 0], (o2 + offset) * scale)


def linears(stack, index):
    """Network `index` of a stack as torch modules, without its normalisation."""
    layers = []
    for weight, bias in zip(stack.weights, stack.biases, strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[2], dtype=weight.dtype)
        linear.weight.data = weight[index].detach().T.clone()
        linear.bias.data = bias[index].detach().clone()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Critics(nn.Module):
    """Twin critics behind one normalisation, as in the released code."""

    def __init__(self, stack, m, members):
        super().__init__()
        self.norm = nn.BatchNorm1d(stack.sizes[0], dtype=torch.float64)
        self.twins = nn.ModuleList([linears(stack, m), linears(stack, members + m)])

    def forward(self, context, actions):
        """Values of one action per state, `[2, B]`."""
        x = self.norm(torch.cat([context, actions], dim=1))
        return torch.stack([twin(x)[:, 0] for twin in self.twins])

    def candidates(self, context, actions):
        """Values `[2, B, K]` of actions `[B, K, A]`: one forward pass of B K rows."""
        samples = actions.shape[1]
        rows = context.repeat_interleave(samples, dim=0)
        return self(rows, actions.flatten(0, 1)).view(2, -1, samples)


class Single:
    """One agent with its own modules and optimisers; the modules stay in training mode."""

    def __init__(self, agents, m):
        norm = nn.BatchNorm1d(O, dtype=torch.float64)
        self.policy = nn.Sequential(norm, linears(agents.actor.networks, m), nn.Tanh())
        self.critic = Critics(agents.critic.networks, m, agents.members)
        self.target_policy, self.target_critic = copy.deepcopy(self.policy), copy.deepcopy(self.critic)
        self.adams = {
            net: torch.optim.Adam(net.parameters(), lr=agents.settings.learning_rate)
            for net in (self.policy, self.critic)
        }

    def step(self, net, loss):
        self.adams[net].zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), BACKBONE.clip_norm)
        self.adams[net].step()

    def track(self):
        pairs = ((self.target_policy, self.policy), (self.target_critic, self.critic))
        for target, online in pairs:
            for p, q in zip(target.parameters(), online.parameters(), strict=True):
                p.data += BACKBONE.polyak_rate * (q.data - p.data)


def contexts(kind, observations, actions):
    """What the critic of each of the N agents of a seed sees beside its own action."""
    if kind == "independent":
        return list(observations)
    return [
        torch.cat([*observations, *(actions[j] for j in range(N) if j != i)], dim=1) for i in range(N)
    ]


def reference_update(singles, kind, batch, settings, draw, *, rectify):
    """The released update of every agent: critic step, actor step, Polyak."""
    seeds = range(0, len(singles), N)
    uniform = uniform_candidates(
        len(singles), B, K, A, seed=draw.seed, step=draw.step, like=batch.actions
    ).actions
    data = [c for s in seeds for c in contexts(kind, batch.observations[s : s + N], batch.actions[s : s + N])]
    with torch.no_grad():
        next_actions = [one.target_policy(o2) for one, o2 in zip(singles, batch.next_observations, strict=True)]
        following = [
            c
            for s in seeds
            for c in contexts(kind, batch.next_observations[s : s + N], next_actions[s : s + N])
        ]
    for m, one in enumerate(singles):
        with torch.no_grad():
            y = batch.rewards[m] + GAMMA * one.target_critic(following[m], next_actions[m]).amin(dim=0)
        q = one.critic(data[m], batch.actions[m])
        sampled = one.critic.candidates(data[m], uniform[m]) + A * math.log(2.0)
        penalty = (sampled.logsumexp(dim=2) - q).mean(dim=1).sum()
        one.step(one.critic, (q - y).square().mean(dim=1).sum() + settings.alpha * penalty)
    policies = [one.policy(o) for one, o in zip(singles, batch.observations, strict=True)]
    aims = search(singles, data, torch.stack(policies).detach(), settings, draw) if rectify else policies
    tau = settings.tau if rectify else 0.0
    for one, context, pi, aim in zip(singles, data, policies, aims, strict=True):
        value = one.critic(context, pi)[0].mean()
        rectification = (pi - aim.detach()).square().mean()
        loss = tau * rectification - (1 - tau) * value + BACKBONE.action_penalty * pi.square().mean()
        one.step(one.policy, loss)
        one.track()


@torch.no_grad()
def search(singles, data, pi, settings, draw):
    """The action of highest value: of the last round's, or the policy's."""
    mu, sigma = torch.full_like(pi, settings.mu), torch.full_like(pi, settings.sigma)
    for j in range(settings.rounds):
        actions = cem.sample(mu, sigma, K, seed=draw.seed, step=draw.step, round=j)
        q = torch.stack(
            [one.critic.candidates(c, a)[0] for one, c, a in zip(singles, data, actions, strict=True)]
        )
        weights = torch.softmax(settings.beta * q, dim=2)[..., None]
        mu = (weights * actions).sum(dim=2)
        sigma = (actions - mu[:, :, None]).square().mean(dim=2).sqrt()
    best = q.argmax(dim=2, keepdim=True)
    found = actions.gather(2, best[..., None].expand(-1, -1, -1, A))[:, :, 0]
    own = torch.stack([one.critic(c, a)[0] for one, c, a in zip(singles, data, pi, strict=True)])
    return torch.where((q.gather(2, best)[..., 0] > own)[..., None], found, pi)


def check_same(agents, singles, tolerance):
    for m, one in enumerate(singles):
        for stack, policy, critic in (
            ("networks", one.policy, one.critic),
            ("target", one.target_policy, one.target_critic),
        ):
            check_network(getattr(agents.actor, stack), m, m, policy[1], policy[0], tolerance)
            for t, twin in enumerate(critic.twins):
                index = t * agents.members + m
                check_network(getattr(agents.critic, stack), index, m, twin, critic.norm, tolerance)
        norm = agents.actor.networks.batch_norm
        for ours, theirs in (
            (norm.running_mean, one.policy[0].running_mean),
            (norm.running_variance, one.policy[0].running_var),
        ):
            torch.testing.assert_close(ours[m], theirs, rtol=1e-12, atol=1e-12)


def check_network(stack, index, m, reference, norm, tolerance):
    layers = [layer for layer in reference if isinstance(layer, nn.Linear)]
    pairs = [(stack.batch_norm.scale[m], norm.weight), (stack.batch_norm.shift[m], norm.bias)]
    for weight, bias, layer in zip(stack.weights, stack.biases, layers, strict=True):
        pairs += [(weight[index].T, layer.weight), (bias[index], layer.bias)]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", ["independent", "centralized"])
@pytest.mark.parametrize(
    ("name", "own"), [("omar", {"tau": 0.7}), ("omar", {"tau": 1.0}), ("cql", {})], ids=["0.7", "1", "cql"]
)
def test_fifty_updates_are_those_of_torch_modules(name, own, kind):
    members = 2 * N
    backbone = Backbone(batch_size=B, hidden=HIDDEN, critic=kind)
    assert backbone.input_norm == "batch"
    agents = Agents(
        backbone,
        seeds=[s for s in range(2) for _ in range(N)],
        learners=N,
        obs_size=O,
        action_size=A,
        dtype=torch.float64,
    )
    singles = [Single(agents, m) for m in range(members)]
    more = {"samples": K} if name == "omar" else {}
    settings = get_algorithm(name).Settings(alpha=0.5, penalty_samples=K, **own, **more)
    algorithm = get_algorithm(name)(settings, agents)
    for step in range(50):
        batch, draw = make_batch(members, step), Draw(3, step)
        update(algorithm, agents, batch, draw)
        reference_update(singles, kind, batch, settings, draw, rectify=name == "omar")
    check_same(agents, singles, 1e-9)
    scale = agents.critic.networks.batch_norm.scale.detach()
    assert float((scale - 1).abs().amin(dim=1).amax()) > 1e-3  # it was learned
