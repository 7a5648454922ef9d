"""Stacked agents against agents trained one at a time with torch's own modules and optimisers."""

import math
from dataclasses import fields, replace

import pytest
import torch
from torch import nn

from omar.algorithms import ALGORITHMS, Agents, Backbone, Batch, get_algorithm, update
from omar.algorithms.base import sum_terms
from omar.algorithms.cql import CqlSettings
from omar.algorithms.omar import OmarSettings
from omar.algorithms.optimizer import StackedOptimizer
from omar.algorithms.statistics import Statistics
from omar.cem import maximize
from omar.errors import OmarError
from omar.nets import StackedMlp, candidate_values, normal_candidates, uniform_candidates
from omar.random import Draw

N, B, O, A = 3, 16, 6, 2
# Those that learn from minibatches alone, each member by itself: the others have files of their own.
MEMBERWISE = sorted(name for name, kind in ALGORITHMS.items() if not kind.needs_facts)
SMALL = Backbone(batch_size=B, hidden=8, learning_rate=0.01, input_norm="dataset")


def make_batch(members, seed=0, dtype=torch.float64, terminated=False):
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(members, B, *shape, generator=g, dtype=dtype)

    flags = (draw() > 1).to(dtype) if terminated else None
    columns = draw(O), draw(A).clamp(-1, 1), draw(), draw(O)
    mask = (draw() > -1).to(dtype)
    return Batch(*columns, flags, draw(A).clamp(-1, 1) * mask[..., None], mask)


def first_members(batch, count):
    columns = {f.name: getattr(batch, f.name) for f in fields(Batch)}
    return Batch(**{name: None if c is None else c[:count] for name, c in columns.items()})


def make_agents(seeds=2, settings=SMALL, dtype=torch.float64, **more):
    keys = [s for s in range(seeds) for _ in range(N)]
    return Agents(settings, seeds=keys, obs_size=O, action_size=A, learners=N, dtype=dtype, **more)


def needs(name):
    """What the networks of an algorithm must have."""
    kind = get_algorithm(name)
    return {"has_critics": kind.has_critics, "learned_deviation": kind.learned_deviation}


def make_algorithm(name, agents, **settings):
    algorithm = get_algorithm(name)
    return algorithm(algorithm.Settings(**settings), agents)


def module(stack, index):
    """Network `index` of a stack as torch modules."""
    layers = []
    for weight, bias in zip(stack.weights, stack.biases, strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[2], dtype=weight.dtype)
        linear.weight.data = weight[index].detach().T.clone()
        linear.bias.data = bias[index].detach().clone()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def same_weights(stack, index, reference, tolerance=1e-9):
    linears = [layer for layer in reference if isinstance(layer, nn.Linear)]
    for weight, bias, linear in zip(stack.weights, stack.biases, linears, strict=True):
        torch.testing.assert_close(weight[index].detach().T, linear.weight.detach(), rtol=0, atol=tolerance)
        torch.testing.assert_close(bias[index].detach(), linear.bias.detach(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", MEMBERWISE)
def test_networks_that_normalise_learn_as_from_normalised_minibatches(name):
    members = 2 * N
    g = torch.Generator().manual_seed(3)
    mean, std = (torch.randn(members, O, generator=g, dtype=torch.float64) for _ in range(2))
    observed = Statistics(mean, std.abs() + 0.5)
    acted = Statistics(mean[:, :A] / 10, std[:, :A].abs() + 0.5)
    keys = [s for s in range(2) for _ in range(N)]
    sizes = {"seeds": keys, "obs_size": O, "action_size": A, "dtype": torch.float64, **needs(name)}
    raw = Agents(SMALL, **sizes, observation_statistics=observed, action_statistics=acted)
    normalised = Agents(SMALL, **sizes, action_statistics=acted)
    for step in range(20):
        batch = make_batch(members, seed=step)
        scaled = replace(
            batch,
            observations=(batch.observations - observed.mean[:, None]) / observed.std[:, None],
            next_observations=(batch.next_observations - observed.mean[:, None]) / observed.std[:, None],
        )
        for agents, data in ((raw, batch), (normalised, scaled)):
            update(make_algorithm(name, agents), agents, data, Draw(0, step))
    after = raw.tensors()
    for tensor_name, tensor in normalised.tensors().items():
        if "input" not in tensor_name:
            torch.testing.assert_close(after[tensor_name], tensor, rtol=0, atol=1e-9)


def test_a_checkpoint_restores_the_normalisation():
    g = torch.Generator().manual_seed(3)
    observed = Statistics(torch.randn(N, O, generator=g), torch.rand(N, O, generator=g) + 0.5)
    sizes = {"seeds": [0] * N, "obs_size": O, "action_size": A}
    trained = Agents(SMALL, **sizes, observation_statistics=observed)
    none = Statistics(torch.zeros(N, O), torch.ones(N, O))
    restored = Agents(SMALL, **sizes, observation_statistics=none)
    restored.load({name: tensor.clone() for name, tensor in trained.tensors().items()}, 0)
    batch = make_batch(N, dtype=torch.float32)
    assert torch.equal(restored.act(batch.observations), trained.act(batch.observations))
    assert torch.equal(restored.next_values(batch), trained.next_values(batch))


@pytest.mark.parametrize("clip_norm", [0.05, math.inf])
def test_optimizer_is_torch_adam_with_clipping_for_each_member(clip_norm):
    twins, members = 2, 3
    stack = StackedMlp(twins * members, (O, 8, 1), seeds=list(range(members)) * 2, dtype=torch.float64)
    references = [[module(stack, t * members + m) for t in range(twins)] for m in range(members)]
    targets = [module(stack, index) for index in range(twins * members)]
    optimizer = StackedOptimizer(
        stack, members=members, learning_rate=0.01, polyak_rate=0.1, clip_norm=clip_norm
    )
    parameters = [[p for network in pair for p in network.parameters()] for pair in references]
    adams = [torch.optim.Adam(p, lr=0.01) for p in parameters]
    g = torch.Generator().manual_seed(0)
    for _ in range(5):
        x = torch.randn(members, B, O, generator=g, dtype=torch.float64)
        weights = torch.tensor(
            [1.0, 10.0, 0.001], dtype=torch.float64
        )  # members whose gradients differ in size
        outputs = stack(x.repeat(twins, 1, 1)).view(twins, members, B)
        optimizer.step(outputs.square().mean(dim=2).sum(dim=0) * weights)
        optimizer.track()
        for m in range(members):
            adams[m].zero_grad()
            loss = sum(network(x[m]).square().mean() for network in references[m]) * weights[m]
            loss.backward()
            nn.utils.clip_grad_norm_(parameters[m], clip_norm)
            adams[m].step()
        for index, target in enumerate(targets):
            online = references[index % members][index // members]
            for p, q in zip(target.parameters(), online.parameters(), strict=True):
                p.data += 0.1 * (q.data - p.data)
    for index in range(twins * members):
        same_weights(stack, index, references[index % members][index // members])
        same_weights(optimizer.target, index, targets[index])


def reference_critic_loss(agents, batch, m, alpha, uniform):
    """The critics' loss of member m with torch modules, one state and action at a time."""
    members = agents.members
    critics = [module(agents.critic.networks, t * members + m) for t in range(2)]
    target_critics = [module(agents.critic.target, t * members + m) for t in range(2)]
    target_actor = module(agents.actor.target, m)
    o, a, o2 = batch.observations[m], batch.actions[m], batch.next_observations[m]
    a2 = torch.tanh(target_actor(o2))
    q2 = torch.stack([c(torch.cat([o2, a2], dim=1))[:, 0] for c in target_critics]).amin(dim=0)
    alive = 1.0 if batch.terminated is None else 1 - batch.terminated[m]
    y = batch.rewards[m] + agents.settings.gamma * alive * q2
    loss = 0.0
    for critic in critics:
        q = critic(torch.cat([o, a], dim=1))[:, 0]
        sampled = torch.stack(
            [critic(torch.cat([o, uniform[m, :, k]], dim=1))[:, 0] for k in range(uniform.shape[2])], dim=1
        )
        penalty = (torch.logsumexp(sampled + A * math.log(2.0), dim=1) - q).mean()
        loss = loss + (q - y).square().mean() + alpha * penalty
    return float(loss.detach())


@pytest.mark.parametrize("terminated", [False, True])
def test_critic_loss_is_that_of_single_networks(terminated):
    agents, batch, draw = make_agents(), make_batch(2 * N, terminated=terminated), Draw(7, 3)
    terms = make_algorithm("cql", agents, alpha=0.7, penalty_samples=5).critic_terms(batch, draw)
    uniform = uniform_candidates(2 * N, B, 5, A, seed=7, step=3, like=batch.actions).actions
    for m, loss in enumerate(sum_terms(terms)):
        expected = reference_critic_loss(agents, batch, m, 0.7, uniform)
        assert float(loss.detach()) == pytest.approx(expected, abs=1e-9)


def test_cql_actor_maximises_the_first_critic():
    agents, batch = make_agents(), make_batch(2 * N)
    terms = make_algorithm("cql", agents).actor_terms(batch, Draw(0, 0))
    for m in range(2 * N):
        pi = torch.tanh(module(agents.actor.networks, m)(batch.observations[m]))
        q = module(agents.critic.networks, m)(torch.cat([batch.observations[m], pi], dim=1))
        assert terms["value"][m].item() == pytest.approx(-q.mean().item(), abs=1e-9)
        assert terms["action"][m].item() == pytest.approx(1e-3 * pi.square().mean().item(), abs=1e-12)


def test_omar_actor_is_drawn_to_an_action_that_is_no_worse_than_its_own():
    agents, batch, draw = make_agents(), make_batch(2 * N), Draw(0, 0)
    omar = make_algorithm("omar", agents, tau=0.6)
    terms = omar.actor_terms(batch, draw)
    pi = agents.act(batch.observations)
    best, values = maximize(
        agents.critic.networks, batch.observations, pi.detach(), omar.search, seed=0, step=0
    )
    own = agents.values(batch.observations, pi)[0]
    assert bool((values >= own - 1e-6).all())
    expected = 0.6 * (pi - best).square().mean(dim=(1, 2))
    torch.testing.assert_close(terms["rectification"], expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(terms["value"], -0.4 * own.mean(dim=1), rtol=1e-9, atol=1e-12)


def test_omar_with_tau_zero_is_cql():
    batch, stacks = make_batch(2 * N), []
    for name, settings in (("cql", {}), ("omar", {"tau": 0.0})):
        agents = make_agents()
        algorithm = make_algorithm(name, agents, **settings)
        for step in range(3):
            update(algorithm, agents, batch, Draw(0, step))
        stacks.append(agents.tensors())
    for name, tensor in stacks[0].items():
        torch.testing.assert_close(stacks[1][name], tensor, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("norm", ["batch", "dataset"])
@pytest.mark.parametrize("critic", ["independent", "centralized"])
@pytest.mark.parametrize("name", MEMBERWISE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_seed_trains_the_same_alone_and_in_a_stack(name, dtype, critic, norm):
    settings = replace(SMALL, critic=critic, input_norm=norm)
    many, alone = (make_agents(seeds, settings, dtype, **needs(name)) for seeds in (3, 1))
    algorithms = make_algorithm(name, many), make_algorithm(name, alone)
    for step in range(5):
        batch = make_batch(3 * N, seed=step, dtype=dtype)
        update(algorithms[0], many, batch, Draw(0, step))
        update(algorithms[1], alone, first_members(batch, N), Draw(0, step))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    single = alone.tensors()
    for tensor_name, tensor in many.tensors().items():
        if ".adam." not in tensor_name:
            picked = tensor.unflatten(0, (-1, 3 * N))[:, :N].flatten(0, 1)
            torch.testing.assert_close(picked, single[tensor_name], rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "dtype", "same", "tolerance"),
    # The search chooses between near equals, so that rounding makes runs of OMAR part, in float32 at once.
    [
        ("cql", torch.float32, 50, 1e-3),
        ("cql", torch.float64, 50, 1e-9),
        ("omar", torch.float64, 20, 1e-6),
        ("omar", torch.float32, 0, 0.0),
    ],
)
def test_training_is_the_same_on_the_kernels_and_on_plain_ops(name, dtype, same, tolerance):
    losses = {}
    for kernels in ("fused", "plain"):
        agents = make_agents(settings=replace(SMALL, kernels=kernels), dtype=dtype)
        algorithm = make_algorithm(name, agents, policy_samples=4, **({"tau": 0.5} if name == "omar" else {}))
        terms = [
            update(algorithm, agents, make_batch(2 * N, seed=step, dtype=dtype), Draw(0, step))
            for step in range(50)
        ]
        losses[kernels] = {key: torch.stack([term[key] for term in terms]) for key in terms[0]}
    for key, fused in losses["fused"].items():
        plain = losses["plain"][key]
        assert fused.shape == (50, 2 * N)
        torch.testing.assert_close(fused[:same], plain[:same], rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(fused.mean(dim=0), plain.mean(dim=0), rtol=0.02, atol=0.01)


def test_penalty_takes_candidates_around_both_policies():
    agents, batch, draw = make_agents(), make_batch(2 * N), Draw(7, 3)
    settings = {"alpha": 0.7, "penalty_samples": 5, "policy_samples": 3, "policy_noise": 0.3}
    term = make_algorithm("cql", agents, **settings).critic_terms(batch, draw)["conservatism"]
    parts = [uniform_candidates(2 * N, B, 5, A, seed=7, step=3, like=batch.actions)]
    for which, observations in ((1, batch.observations), (2, batch.next_observations)):
        mean = agents.act(observations)
        parts.append(normal_candidates(mean, 0.3, 3, seed=7, step=3, draw_set=which))
    actions = torch.cat([part.actions for part in parts], dim=2)
    density = torch.cat([part.log_density for part in parts], dim=2)
    values = candidate_values(agents.critic.networks, batch.observations, actions, kernels="plain")
    penalty = torch.logsumexp(values - density, dim=-1) - agents.values(batch.observations, batch.actions)
    torch.testing.assert_close(term, 0.7 * penalty.mean(dim=-1).sum(dim=0), rtol=1e-9, atol=1e-12)


def by_hand(m, own, *, joint_actions, observations):
    """The input of member m's centralised critic for its own action, gathered one agent at a time."""
    seed, i = divmod(m, N)
    parts = [observations[seed * N + j] for j in range(N)]
    parts += [joint_actions[seed * N + j] for j in range(N) if j != i]
    return torch.cat([*parts, own], dim=1)


def test_centralized_losses_are_those_of_single_networks():
    """TD error, CQL penalty and actor's value of every member against torch modules on gathered inputs."""
    agents = make_agents(settings=replace(SMALL, critic="centralized"))
    batch, draw, members = make_batch(2 * N, terminated=True), Draw(7, 3), 2 * N
    cql = make_algorithm("cql", agents, alpha=0.7, penalty_samples=5)
    critic_terms, actor_terms = cql.critic_terms(batch, draw), cql.actor_terms(batch, draw)
    uniform = uniform_candidates(members, B, 5, A, seed=7, step=3, like=batch.actions).actions
    next_actions = [
        torch.tanh(module(agents.actor.target, m)(batch.next_observations[m])) for m in range(members)
    ]
    for m in range(members):
        here = {"joint_actions": batch.actions, "observations": batch.observations}
        there = {"joint_actions": next_actions, "observations": batch.next_observations}
        targets = [module(agents.critic.target, t * members + m) for t in range(2)]
        inputs = by_hand(m, next_actions[m], **there)
        q2 = torch.stack([target(inputs)[:, 0] for target in targets]).amin(dim=0)
        y = batch.rewards[m] + 0.95 * (1 - batch.terminated[m]) * q2
        td, penalty = 0.0, 0.0
        for t in range(2):
            critic = module(agents.critic.networks, t * members + m)
            q = critic(by_hand(m, batch.actions[m], **here))[:, 0]
            sampled = torch.stack(
                [critic(by_hand(m, uniform[m, :, k], **here))[:, 0] for k in range(5)], dim=1
            )
            td += (q - y).square().mean()
            penalty += (torch.logsumexp(sampled + A * math.log(2.0), dim=1) - q).mean()
        assert critic_terms["td"][m].item() == pytest.approx(td.item(), abs=1e-9)
        assert critic_terms["conservatism"][m].item() == pytest.approx(0.7 * penalty.item(), abs=1e-9)
        pi = torch.tanh(module(agents.actor.networks, m)(batch.observations[m]))
        q1 = module(agents.critic.networks, m)(by_hand(m, pi, **here))
        assert actor_terms["value"][m].item() == pytest.approx(-q1.mean().item(), abs=1e-9)


def test_centralized_search_scores_in_the_joint_context():
    agents = make_agents(settings=replace(SMALL, critic="centralized"))
    batch, members = make_batch(2 * N), 2 * N
    omar = make_algorithm("omar", agents, tau=1.0)
    distance = omar.actor_terms(batch, Draw(0, 0))["rectification"]

    def scorer(observations, actions):
        here = {"joint_actions": batch.actions, "observations": observations}
        return torch.stack(
            [
                torch.cat(
                    [
                        module(agents.critic.networks, m)(by_hand(m, actions[m, :, k], **here))
                        for k in range(actions.shape[2])
                    ],
                    dim=1,
                )
                for m in range(members)
            ]
        ).detach()

    pi = agents.act(batch.observations).detach()
    best, _ = maximize(scorer, batch.observations, pi, omar.search, seed=0, step=0)
    torch.testing.assert_close(distance, (pi - best).square().mean(dim=(1, 2)), rtol=1e-6, atol=1e-9)


def test_a_centralized_critic_standardizes_every_action_with_its_own_agents_statistics():
    mean = torch.arange(2 * N * A, dtype=torch.float64).view(2 * N, A)
    agents = make_agents(settings=replace(SMALL, critic="centralized"), action_statistics=(mean, mean + 1.0))
    for k in range(2):
        for m in range(2 * N):
            seed, i = divmod(m, N)
            others = [mean[seed * N + j] for j in range(N) if j != i]
            expected = torch.cat([torch.zeros(N * O, dtype=torch.float64), *others, mean[m]])
            assert torch.equal(agents.critic.networks.input_mean[k * 2 * N + m], expected)
    assert bool((agents.critic.networks.input_std[:, : N * O] == 1).all())


def test_behaviour_cloning_has_no_critic_and_imitates_each_agents_own_actions():
    agents = make_agents(has_critics=False)
    assert all(name.startswith("actor.") for name in agents.tensors())
    before = [tensor.clone() for tensor in agents.actor.target.parameters()]
    batch = make_batch(2 * N)
    terms = update(make_algorithm("bc", agents), agents, batch, Draw(0, 0))
    assert set(terms) == {"actor/imitation"}
    assert all(torch.equal(a, b) for a, b in zip(before, agents.actor.target.parameters(), strict=True))
    after = make_algorithm("bc", agents).actor_terms(batch, Draw(0, 1))["imitation"]
    for m in range(2 * N):
        pi = torch.tanh(module(agents.actor.networks, m)(batch.observations[m]))
        expected = (pi - batch.actions[m]).square().mean().item()
        assert after[m].item() == pytest.approx(expected, abs=1e-12)
    assert bool((after < terms["actor/imitation"]).all())


def test_first_values_are_those_of_the_first_critic():
    agents, batch = make_agents(), make_batch(2 * N)
    actions = batch.actions.clone().requires_grad_()
    both, first = (f(batch.observations, actions) for f in (agents.values, agents.first_values))
    torch.testing.assert_close(first, both[0], rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(first.sum(), actions, retain_graph=True)
    (expected,) = torch.autograd.grad(both[0].sum(), actions)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("field", ["penalty_precision", "search_precision"])
def test_bf16_changes_losses_a_little(field):
    terms = []
    for precision in ("float32", "bf16"):
        agents = make_agents(dtype=torch.float32)
        algorithm = make_algorithm("omar", agents, **{field: precision})
        terms.append(update(algorithm, agents, make_batch(2 * N, dtype=torch.float32), Draw(0, 0)))
    key = "critic/conservatism" if field == "penalty_precision" else "actor/rectification"
    assert not torch.equal(terms[0][key], terms[1][key])
    torch.testing.assert_close(terms[1][key], terms[0][key], rtol=0.2, atol=1e-2)


def test_seeds_and_members_differ():
    agents = make_agents(seeds=2)
    front = agents.actor.networks.weights[0].flatten(start_dim=1)
    assert len(torch.unique(front, dim=0)) == 2 * N
    critics = agents.critic.networks.weights[0].flatten(start_dim=1)
    assert len(torch.unique(critics, dim=0)) == 4 * N


def test_first_policies_are_near_zero():
    agents = make_agents()
    actions = agents.act(make_batch(2 * N).observations)
    assert float(actions.detach().abs().max()) < 0.05


@pytest.mark.parametrize("name", MEMBERWISE)
def test_policies_find_the_action_that_each_state_rewards(name):
    """With gamma 0 the value is the reward, highest at a corner that depends on the state."""
    # A critic that rescales the policy's actions tells it nothing of their size: these two get no further.
    norm = "dataset" if name in ("cql", "td3bc") else "batch"
    settings = Backbone(gamma=0.0, batch_size=128, hidden=16, input_norm=norm)
    kind = ALGORITHMS[name]
    agents = make_agents(seeds=1, settings=settings, dtype=torch.float32, **needs(name))
    own = {"cql": {"alpha": 0.1}, "omar": {"alpha": 0.1}, "icq": {"advantage": "policy", "beta": 0.15}}
    algorithm = make_algorithm(name, agents, **own.get(name, {}))
    g = torch.Generator().manual_seed(0)
    for step in range(150):
        o = torch.randn(N, 128, O, generator=g)
        a = torch.rand(N, 128, A, generator=g) * 2 - 1
        best = torch.sign(o[..., :A])
        if not kind.has_critics:  # imitation finds it where the data has it
            a = best * torch.rand(N, 128, A, generator=g)
        mask = torch.ones(N, 128)
        update(algorithm, agents, Batch(o, a, (a * best).sum(dim=-1), o, None, a, mask), Draw(0, step))
    actions = agents.act(o).detach()
    expected = best if kind.has_critics else best / 2
    assert float((actions - expected).abs().mean()) < 0.3


@pytest.mark.parametrize("norm", ["batch", "dataset"])
def test_state_round_trip_continues_bit_for_bit(norm):
    batch = make_batch(2 * N, dtype=torch.float32)
    settings = replace(SMALL, input_norm=norm)
    whole, first = (make_agents(settings=settings, dtype=torch.float32) for _ in range(2))
    for step in range(6):
        update(make_algorithm("omar", whole), whole, batch, Draw(0, step))
    for step in range(3):
        update(make_algorithm("omar", first), first, batch, Draw(0, step))
    second = make_agents(settings=settings, dtype=torch.float32)
    second.load({name: tensor.clone() for name, tensor in first.tensors().items()}, 3)
    for step in range(3, 6):
        update(make_algorithm("omar", second), second, batch, Draw(0, step))
    for name, tensor in whole.tensors().items():
        assert torch.equal(second.tensors()[name], tensor), name


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Backbone(gamma=1.0), r"gamma must be in \[0, 1\), got 1.0"),
        (lambda: Backbone(batch_size=1), r"batch_size must be in \[2, 16777216\], got 1"),
        (
            lambda: Backbone(batch_size=0, input_norm="none"),
            r"batch_size must be in \[1, 16777216\], got 0",
        ),
        (
            lambda: Backbone(input_norm="layer"),
            "input_norm must be 'batch', 'dataset' or 'none', got \"layer\"",
        ),
        (lambda: Backbone(learning_rate=math.nan), "learning_rate must be a finite number, got NaN"),
        (lambda: Backbone(polyak_rate=1.5), r"polyak_rate must be in \(0, 1\], got 1.5"),
        (lambda: Backbone(action_penalty=-1.0), "action_penalty must be at least 0, got -1"),
        (lambda: CqlSettings(alpha=-1.0), "alpha must be at least 0, got -1"),
        (lambda: CqlSettings(penalty_samples=0), r"penalty_samples must be in \[1, 1024\], got 0"),
        (lambda: CqlSettings(policy_samples=-1), r"policy_samples must be in \[0, 1024\], got -1"),
        (lambda: CqlSettings(policy_noise=0.0), "policy_noise must be greater than 0, got 0"),
        (
            lambda: CqlSettings(penalty_precision="fp8"),
            "penalty_precision must be 'float32' or 'bf16', got \"fp8\"",
        ),
        (
            lambda: OmarSettings(search_precision="fp8"),
            "search_precision must be 'float32' or 'bf16', got \"fp8\"",
        ),
        (lambda: OmarSettings(penalty_samples=0), r"penalty_samples must be in \[1, 1024\], got 0"),
        (lambda: Backbone(kernels="gpu"), "kernels must be 'auto', 'plain' or 'fused', got \"gpu\""),
        (lambda: OmarSettings(tau=1.2), r"tau must be in \[0, 1\], got 1.2"),
        (lambda: OmarSettings(elites=2**63), r"elites must be in \[2, 1024\], got 9223372036854775808"),
        (lambda: OmarSettings(refit="elite", elites=11), r"elites must be in \[2, 10\], got 11"),
        (lambda: OmarSettings(sigma=0.0), "sigma must be greater than 0, got 0"),
        (lambda: get_algorithm("ppo"), "unknown algorithm 'ppo': expected one of omar, cql"),
    ],
)
def test_messages(build, message):
    with pytest.raises(OmarError, match=message):
        build()


def test_numbers_that_never_change_are_only_shifted():
    statistics = Statistics.of(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 1e-7, 0.5]))
    assert statistics.mean.tolist() == [1.0, 2.0, 3.0]
    assert statistics.std.tolist() == [1.0, 1.0, 0.5]
