"""Batch normalisation of the inputs, against torch.nn.BatchNorm1d in networks of one agent each."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from omar import cem
from omar.algorithms import Agents, Backbone, Batch, get_algorithm, update
from omar.algorithms.statistics import Statistics
from omar.behaviors.policy import Policy
from omar.nets import StackedMlp, candidate_values, cql_penalty, normal_candidates, uniform_candidates
from omar.nets.batch_norm import moments
from omar.random import Draw
from omar.tasks import get_task

N, B, K, O, A, HIDDEN, GAMMA = 3, 16, 5, 6, 2, 8, 0.95
BACKBONE = Backbone(batch_size=B, hidden=HIDDEN, input_norm="batch")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_batch(members, step):
    """Observations of several scales and offsets: statistics differ between minibatches and members."""
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
    return [torch.cat([*observations, *(actions[j] for j in range(N) if j != i)], dim=1) for i in range(N)]


def reference_update(singles, kind, batch, settings, draw, *, rectify):
    """The released update of every agent: critic step, actor step, Polyak."""
    seeds = range(0, len(singles), N)
    uniform = uniform_candidates(
        len(singles), B, K, A, seed=draw.seed, step=draw.step, like=batch.actions
    ).actions
    data = [c for s in seeds for c in contexts(kind, batch.observations[s : s + N], batch.actions[s : s + N])]
    with torch.no_grad():
        next_actions = [
            one.target_policy(o2) for one, o2 in zip(singles, batch.next_observations, strict=True)
        ]
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


def critics_of(stack, members):
    return [Critics(stack, m, members) for m in range(members)]


def make_critic(members, seed=0):
    stack = StackedMlp(2 * members, (O + A, HIDDEN, HIDDEN, 1), seed=seed, dtype=torch.float64)
    stack.normalize_batches(members)
    return stack


def test_each_kind_of_candidates_has_statistics_of_its_own():
    stack, obs, data = make_critic(N), normal(N, B, O), normal(N, B, A, seed=1)
    around = normal_candidates(data, 0.2, 4, seed=5, step=6)
    uniform = uniform_candidates(N, B, K, A, seed=5, step=6, like=obs)
    q_data = candidate_values(stack, obs, data[:, :, None])[..., 0]
    penalty = cql_penalty(stack, obs, q_data, seed=5, step=6, samples=K, others=[around])
    for m, critics in enumerate(critics_of(stack, N)):
        values = [critics.candidates(obs[m], c.actions[m]) - c.log_density[m] for c in (uniform, around)]
        expected = torch.cat(values, dim=2).logsumexp(dim=2) - critics(obs[m], data[m])
        torch.testing.assert_close(penalty[:, m], expected.mean(dim=1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kernels", "batch"), [("plain", B), ("fused", B), ("fused", 301)])  # 301: in parts
@pytest.mark.parametrize("reduction", ["first", "mean", "min"])
@pytest.mark.parametrize("refit", ["softmax", "elite"])
def test_the_search_normalises_every_round(refit, reduction, kernels, batch):
    stack, obs, pi = make_critic(N), normal(N, batch, O), normal(N, batch, A, seed=1).tanh()
    options = cem.CemOptions(rounds=3, samples=K, refit=refit, elites=2, reduction=reduction)
    found, values = cem.maximize(stack, obs, pi, options, seed=1, step=2, kernels=kernels)
    critics = critics_of(stack, N)
    reduce = {
        "first": lambda q: q[0],
        "mean": lambda q: q.mean(dim=0),
        "min": lambda q: q.amin(dim=0),
    }[reduction]

    def scorer(observations, actions):
        scores = [reduce(c.candidates(o, a)) for c, o, a in zip(critics, observations, actions, strict=True)]
        return torch.stack(scores).detach()

    plain = replace(options, reduction="first")
    expected, best = cem.maximize(scorer, obs, pi, plain, seed=1, step=2)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(values, best, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("refit", ["softmax", "elite"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_search_in_float32_is_that_of_torch_operations(layer_norm, refit, precision):
    stack = StackedMlp(2 * N, (O + A, HIDDEN, HIDDEN, 1), seed=0, layer_norm=layer_norm)
    stack.normalize_batches(N)
    obs, pi = normal(N, 301, O).float(), normal(N, 301, A, seed=1).tanh().float()
    options = cem.CemOptions(rounds=3, samples=K, refit=refit, elites=2, precision=precision)
    (found, values), (expected, best) = (
        cem.maximize(stack, obs, pi, options, seed=1, step=2, kernels=kernels)
        for kernels in ("fused", "plain")
    )
    # Rounded to bfloat16, sums at the edge between two numbers go either way, and another action wins.
    same = (values - best).abs() < (1e-4 if precision == "float32" else 1e-2)
    assert float(same.double().mean()) > 0.99
    if layer_norm and precision == "bf16":  # kernels centre weights, then round: scores differ
        return
    torch.testing.assert_close(
        found[same], expected[same], rtol=0, atol=1e-3 if precision == "float32" else 0.1
    )


@pytest.mark.parametrize("kernels", ["plain", "fused"])
@pytest.mark.parametrize("samples", [1, K])
def test_gradients_flow_through_the_statistics_of_the_inputs(samples, kernels):
    stack, obs = make_critic(N), normal(N, B, O).requires_grad_()
    actions = normal(N, B, samples, A, seed=1).requires_grad_()
    value = candidate_values(stack, obs, actions, kernels=kernels)
    weight = normal(2, N, B, samples, seed=2)
    norm = stack.batch_norm
    gradients = torch.autograd.grad((value * weight).sum(), [obs, actions, norm.scale, norm.shift])
    for m, critics in enumerate(critics_of(stack, N)):
        own = [x[m].detach().requires_grad_() for x in (obs, actions)]
        inputs = [*own, critics.norm.weight, critics.norm.bias]
        expected = torch.autograd.grad((critics.candidates(*own) * weight[:, m]).sum(), inputs)
        for ours, theirs in zip(gradients, expected, strict=True):
            torch.testing.assert_close(ours[m], theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kernels", ["plain", "auto"])
def test_second_derivatives_are_those_of_the_plain_kernels(kernels):
    stack, obs = make_critic(N), normal(N, B, O)
    actions = normal(N, B, 1, A, seed=1).requires_grad_()
    value = candidate_values(stack, obs, actions, kernels=kernels).square().sum()
    if kernels == "auto":
        with pytest.raises(RuntimeError, match="differentiable once"):
            torch.autograd.grad(value, actions, create_graph=True)
        return
    (first,) = torch.autograd.grad(value, actions, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), actions)
    assert bool(second.isfinite().all())


@pytest.mark.parametrize("columns", [1, 2, 18, 63, 64, 65, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_moments_are_exact_to_the_last_digits(columns, dtype):
    x = (normal(N, 37, columns) + 1000.0 * normal(N, 1, columns, seed=1)).to(dtype)
    mean, variance = moments(x)
    rows = x.double()
    tolerance = {"rtol": 4 * torch.finfo(dtype).eps, "atol": 0.0}
    torch.testing.assert_close(mean, rows.mean(dim=1).to(dtype), **tolerance)
    tolerance["rtol"] = max(tolerance["rtol"], 1e-12)  # the reference rounds its mean
    torch.testing.assert_close(variance, rows.var(dim=1, correction=0).to(dtype), **tolerance)


def test_batches_that_no_statistics_can_be_of_are_refused():
    stack, obs = make_critic(N), normal(N, B, O)
    with pytest.raises(ValueError, match="each size of x` must be at least 1, got 0"):
        candidate_values(stack, obs[:, :0], normal(N, 0, K, A))
    with pytest.raises(TypeError, match="`x` must be float32 or float64"):
        candidate_values(stack, obs.int(), normal(N, B, K, A))
    with pytest.raises(ValueError, match=r"`parts` have 7 columns, but the layer takes in = 8"):
        candidate_values(stack, obs[..., :5], normal(N, B, K, A))
    with pytest.raises(ValueError, match=r"`mean` must be \[M, columns\]"):
        candidate_values(stack, obs, normal(N - 1, B, K, A))
    with pytest.raises(ValueError, match=r"`x` must be \[M, ..., columns\]"):
        stack(normal(O + A))
    with pytest.raises(ValueError, match=r"`scale` must be \[M, in\]"):
        cem.maximize(make_critic(2 * N), obs, normal(N, B, A), cem.CemOptions(), seed=0, step=0)


def test_observations_that_change_are_looked_at_again():
    stack, obs, actions = make_critic(N), normal(N, B, O), normal(N, B, 1, A, seed=1)
    before = candidate_values(stack, obs, actions)
    obs[:, 0] += 100.0
    after = candidate_values(stack, obs, actions)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, candidate_values(stack, obs.clone(), actions), rtol=0, atol=0)


def test_a_policy_acts_with_the_running_statistics():
    task = get_task("simple_spread")
    stack = StackedMlp(2 * N, (task.obs_size, HIDDEN, HIDDEN, task.action_size), seed=3)
    stack.normalize_batches()
    norms = [nn.BatchNorm1d(task.obs_size) for _ in range(2 * N)]
    for step in range(30):
        x = (normal(2 * N, B, task.obs_size, seed=step) * 3 + 1).float()
        stack.batch_norm.follow(x)
        for norm, rows in zip(norms, x, strict=True):
            norm(rows)
    with torch.no_grad():
        stack.batch_norm.scale.copy_(normal(2 * N, task.obs_size, seed=40).float() + 1)
        stack.batch_norm.shift.copy_(normal(2 * N, task.obs_size, seed=41).float())
    obs = normal(7, N, task.obs_size, seed=50).float()
    acted = Policy.of_networks(stack, range(N, 2 * N), task)(obs)
    for n in range(N):
        norm = norms[N + n].eval()
        norm.weight.data, norm.bias.data = (
            p[N + n].detach() for p in (stack.batch_norm.scale, stack.batch_norm.shift)
        )
        expected = torch.tanh(linears(stack, N + n)(norm(obs[:, n])))
        torch.testing.assert_close(acted[:, n], expected.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("norm", "same"), [("none", True), ("dataset", False), ("batch", False)])
def test_networks_without_normalisation_see_inputs_as_they_are(norm, same):
    sizes = {"seeds": [0] * N, "obs_size": O, "action_size": A, "learners": N, "dtype": torch.float64}
    observed = Statistics(normal(N, O), normal(N, O, seed=1).abs() + 0.5)
    agents = Agents(replace(BACKBONE, input_norm=norm), **sizes, observation_statistics=observed)
    plain = Agents(replace(BACKBONE, input_norm="none"), **sizes)
    batch = make_batch(N, 0)
    pairs = [
        (f(agents), f(plain))
        for f in (
            lambda a: a.act(batch.observations),
            lambda a: a.values(batch.observations, batch.actions),
            lambda a: a.next_values(batch),
        )
    ]
    assert all(torch.equal(ours, theirs) == same for ours, theirs in pairs)
    assert ("actor.batch_norm.scale" in agents.tensors()) == (norm == "batch")
