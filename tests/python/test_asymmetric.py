"""Asymmetric actor-critic: what its critics see, its losses beside a slow version for one seed, its runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_cases import LENGTH, make_columns, make_spec
from omar import OmarError
from omar.algorithms import ALGORITHMS, Agents, Backbone
from omar.algorithms.asymmetric import Asymmetric, AsymmetricSettings
from omar.algorithms.divergence import refuse_divergence
from omar.data.writer import write_dataset
from omar.offline.config import TrainConfig
from omar.offline.minibatches import SAMPLE, Minibatches, facts
from omar.offline.runs import resume, train
from omar.random import Draw
from omar.tasks import get_task

N, A, G, B = 2, 3, 17, 24
CPU = torch.device("cpu")
SHORT = {"clone_updates": 4, "batch_size": 8, "hidden": 8}


def write(folder, *, states=True, seed=0, episodes=6):
    """Random episodes of HalfCheetah's shapes that all terminate, many after a step."""
    columns = make_columns("half_cheetah", episodes=episodes, seed=seed)
    ends = np.random.default_rng(seed + 9).random(episodes * LENGTH) < 0.3
    columns["terminated"] |= columns["truncated"] | ends
    columns["truncated"][:] = False
    if states:
        walk = np.random.default_rng(seed + 50).normal(size=(episodes, LENGTH + 1, G)).astype(np.float32)
        columns |= {"states": walk[:, :-1].reshape(-1, G), "next_states": walk[:, 1:].reshape(-1, G)}
    spec = make_spec("half_cheetah", episodes=episodes, state_size=G if states else 0)
    return write_dataset(folder, spec, columns)


@pytest.fixture(scope="module", params=[True, False], ids=["states", "no states"])
def data(request, tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "set", states=request.param)


def make(data, **changes):
    """Two seeds with numbers in their layer norms, anchors and critics' outputs."""
    preset = Asymmetric.preset("half_cheetah", "medium", "released")
    agents = Agents(
        replace(preset.backbone, hidden=8, batch_size=B, **changes),
        seeds=[s for s in (5, 9) for _ in range(N)],
        obs_size=6,
        action_size=A,
        learners=N,
        has_critics=False,
    )
    algorithm = Asymmetric(
        AsymmetricSettings(clone_updates=8), agents, facts([data, data], 0.1, CPU, states=True)
    )
    with torch.no_grad():
        algorithm.anchor.weight.copy_(torch.tensor([0.3, 0.7]))
        for number, networks in enumerate((algorithm.critic.networks, algorithm.critic.target)):
            networks.norm_scales[0].uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(number))
        for parameter in agents.actor.target.parameters():
            parameter.mul_(1.5)
    return algorithm


def sample(data, step=0, rows=B):
    both = Minibatches([data, data], CPU, joint=True, states=True, returns=True)
    return both.sample(rows, seed=3, step=step)


def net(stack, index, x, norm=False):
    weights, biases = stack.layers()
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
        x = x @ w[index] + b[index]
        if layer < len(weights) - 1:
            if norm:
                scale, shift = stack.norm_scales[layer][index], stack.norm_shifts[layer][index]
                x = torch.nn.functional.layer_norm(x, x.shape[-1:], scale, shift)
            x = x.relu()
    return x


def reference(algorithm, data, batch, seed):
    """All terms of one seed: TD error, value, anchors and logits of the agents."""
    agents, critic = algorithm.agents, algorithm.critic
    members = range(seed * N, (seed + 1) * N)
    o, o2, a = ([x[m] for m in members] for x in (batch.observations, batch.next_observations, batch.actions))
    if "states" in data.manifest.columns:
        s, s2 = batch.states[seed], batch.next_states[seed]
    else:
        s, s2 = torch.cat(o, dim=1), torch.cat(o2, dim=1)

    def q(stack, k, state, actions):
        return net(stack, 2 * k + seed, torch.cat([state, *actions], dim=1), norm=True)[:, 0]

    ahead = [net(agents.actor.target, m, x).tanh() for m, x in zip(members, o2, strict=True)]
    least = torch.stack([q(critic.target, k, s2, ahead) for k in (0, 1)]).amin(dim=0)
    assert 0 < batch.terminated[members[0]].sum() < B
    y = (
        torch.stack([batch.rewards[m] for m in members]).mean(dim=0)
        + 0.95 * (1 - batch.terminated[members[0]]) * least
    )
    td = sum((q(critic.networks, k, s, a) - y.detach()).square().mean() for k in (0, 1))
    logits = [net(agents.actor.networks, m, x) for m, x in zip(members, o, strict=True)]
    values = q(critic.networks, 0, s, [x.tanh() for x in logits])
    value = -values.mean() / values.abs().mean().detach()
    median = np.median(data.episode_returns())
    better = [b for b in range(B) if batch.returns[members[0], b] >= median]
    weight = (0.3, 0.7)[seed]
    anchors = [weight * (logits[i].tanh() - a[i])[better].square().mean() for i in range(N)]
    return td, value, anchors, [0.01 * x.square().mean() for x in logits]


def test_losses_are_those_of_a_slow_version(data):
    algorithm, batch = make(data), sample(data).scaled(0.1)
    critic = algorithm.critic_terms(batch, Draw(0, 0))
    actor = algorithm.actor_terms(batch, Draw(0, 0))
    for seed in (0, 1):
        td, value, anchors, logits = reference(algorithm, data, batch, seed)
        torch.testing.assert_close(critic["td"][seed], td, rtol=1e-4, atol=1e-6)
        members = slice(seed * N, (seed + 1) * N)
        torch.testing.assert_close(actor["value"][members], value.expand(N), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(actor["anchor"][members], torch.stack(anchors), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(actor["logits"][members], torch.stack(logits), rtol=1e-4, atol=1e-6)
        of_actors = list(algorithm.agents.actor.networks.parameters())
        slow = torch.autograd.grad(N * value + sum(anchors) + sum(logits), of_actors, retain_graph=True)
        fast = torch.autograd.grad(
            sum(term[members].sum() for term in actor.values()), of_actors, retain_graph=True
        )
        for x, y in zip(fast, slow, strict=True):
            torch.testing.assert_close(x[members], y[members], rtol=1e-3, atol=1e-6)


def test_minibatches_hold_states_and_returns_of_their_rows(data):
    batch = sample(data)
    observed = np.asarray(data.column("observations"))
    ends = data.episode_ends()
    episode = np.cumsum(ends) - ends
    for m in range(2 * N):
        seed, agent = divmod(m, N)
        for b in range(B):
            ((row,),) = np.nonzero((observed[:, agent] == batch.observations[m, b].numpy()).all(axis=1))
            assert batch.returns[m, b] == np.float32(data.episode_returns()[episode[row]])
            for name in ("states", "next_states"):
                found = getattr(batch, name)
                if name in data.manifest.columns:
                    np.testing.assert_array_equal(found[seed, b], data.column(name)[row])
                else:
                    assert found is None


def test_states_and_returns_come_where_they_are_asked_for(data):
    plain, joint = (
        Minibatches([data], CPU, joint=joint).sample(B, seed=3, step=0) for joint in (False, True)
    )
    assert {x for b in (plain, joint) for x in (b.states, b.next_states, b.returns)} == {None}
    asking = {name for name, kind in ALGORITHMS.items() if kind.needs_states or kind.needs_returns}
    assert asking == {"asymmetric"}


def test_critics_see_the_global_state_where_there_is_one(data):
    algorithm = make(data)
    seen = G if "states" in data.manifest.columns else N * 6
    assert algorithm.critic.networks.sizes[0] == seen + N * A
    assert algorithm.critics is algorithm.agents.shared is algorithm.critic
    mean, std = algorithm.critic.networks.input_mean, algorithm.critic.networks.input_std
    assert mean.shape == (4, seen + N * A)
    assert not mean[:, seen:].any()
    assert (std[:, seen:] == 1).all()
    name = "states" if "states" in data.manifest.columns else "observations"
    rows = np.linspace(0, len(data) - 1, SAMPLE).astype(np.int64)
    column = np.asarray(data.column(name)).reshape(len(data), -1)[rows]
    np.testing.assert_allclose(mean[0, :seen], column.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(std[0, :seen], column.std(axis=0), atol=1e-4)


def test_the_better_half_alone_is_imitated(tmp_path):
    """Bad episodes say the opposite of good ones: the clone does what the good ones do."""
    columns = make_columns("half_cheetah", episodes=4, seed=2)
    good = np.repeat([True, False, True, False], LENGTH)
    columns["rewards"][:] = good[:, None]
    columns["actions"][:] = np.where(good[:, None, None], 0.5, -0.5)
    data = write_dataset(tmp_path / "set", make_spec("half_cheetah", episodes=4), columns)
    algorithm = make(data)
    (clone,) = algorithm.stages()
    clone.updates = 400
    for step in range(clone.updates):
        clone.update(sample(data, step), step)
    clone.finish()
    batch = sample(data, 10**6)
    acted = algorithm.agents.act(batch.observations)
    assert (acted - 0.5).abs().mean() < 0.1
    assert algorithm.anchor.weight.min() > 0.03 * (1 / 0.1 - 3)  # such a behaviour hardly varies


def config(folder, data, **changes):
    lengths = {"updates": 6, "eval_every": 3, "eval_episodes": 1, "checkpoint_every": 2}
    options = {
        "algorithm": "asymmetric", "task": "half_cheetah", "seeds": 2, "out": folder, "settings": SHORT,
    } | lengths | changes  # fmt: skip
    return TrainConfig(dataset=str(data.path), **options)


def outcome(result):
    return [(e.update, e.returns, e.losses) for e in result.evaluations], [p.sha256 for p in result.policies]


@pytest.mark.parametrize("when", [2, 7])  # in cloning, in the agents' updates
def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path, data, when):
    whole = train(config(tmp_path / "whole", data))
    count = iter(range(1, 99))
    assert not train(config(tmp_path / "part", data), stop=lambda: next(count) == when).finished
    again = resume(tmp_path / "part")
    assert again.finished
    assert outcome(again) == outcome(whole)


def test_it_refuses_to_start_from_another_run(tmp_path, data):
    first = train(config(tmp_path / "first", data))
    with pytest.raises(
        OmarError, match="asymmetric prepares its networks from its data and cannot start from"
    ):
        train(config(tmp_path / "second", data, init_from=first.path))


def test_a_seed_does_not_depend_on_those_beside_it(tmp_path, data):
    two, one = (train(config(tmp_path / str(n), data, seeds=n)) for n in (2, 1))
    assert two.policies[0].sha256 == one.policies[0].sha256


def test_the_variance_of_a_clone_does_not_depend_on_the_seeds_beside_it(data):
    """A mean over 500 updates is the same number in columns of 2 members and of 6, in each of ten draws."""
    (clone,) = make(data).stages()
    for draw in range(10):
        losses = torch.rand(500, 6, generator=torch.Generator().manual_seed(draw))
        found = []
        for members in (2, 6):
            clone._losses, clone._cloned = list(losses[:, :members]), found.append
            clone.finish()
        assert torch.equal(found[0], found[1][:1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_norm": "batch"}, "input-norm must be dataset: asymmetric normalises by the data alone"),
        ({"action_penalty": 0.1}, "action-penalty must be 0: asymmetric has --logit-penalty instead"),
        ({"critic": "centralized"}, "critic must be independent: the critics of asymmetric see all agents"),
        ({"clone_updates": 0}, "clone-updates must be at least 1, got 0"),
        ({"anchor": -1.0}, "anchor must be at least 0"),
    ],
)
def test_settings_that_would_mean_nothing_are_refused(tmp_path, data, settings, message):
    with pytest.raises(OmarError, match=message.replace("-", "[-_]")):
        train(config(tmp_path / "run", data, settings=SHORT | settings))


def test_datasets_with_and_without_states_cannot_be_trained_on_together(tmp_path):
    one, other = (write(tmp_path / str(states), states=states) for states in (True, False))
    with pytest.raises(
        OmarError, match=r"datasets of one training must be alike: .*False differs from .*True"
    ):
        Minibatches([one, other], CPU, joint=True, states=True)


def test_states_of_any_size_will_do_but_of_one_size(tmp_path):
    columns = make_columns("half_cheetah", episodes=2)
    columns |= dict.fromkeys(("states", "next_states"), np.zeros((2 * LENGTH, 18), np.float32))
    spec = make_spec("half_cheetah", episodes=2, state_size=18)
    data = write_dataset(tmp_path / "set", spec, columns)
    assert make(data).critic.networks.sizes[0] == 18 + N * A
    assert train(config(tmp_path / "run", data)).finished
    both = [data, write(tmp_path / "other")]
    assert facts(both, 0.1, CPU, states=True).states is None
    with pytest.raises(OmarError, match="datasets of one training must be alike"):
        Minibatches(both, CPU, joint=True, states=True)


def test_states_are_for_joint_minibatches(data):
    with pytest.raises(
        ValueError, match=r"\[offline.Minibatches\] `states` are for `joint` minibatches only"
    ):
        Minibatches([data], CPU, states=True)


def test_a_loss_that_is_not_finite_names_its_seed():
    with pytest.raises(OmarError, match="the training of seed 2 diverged: at update 50 the loss critic/td"):
        refuse_divergence({"critic/td": torch.tensor([1.0, 1.0, torch.nan])}, 3, 50)
    with pytest.raises(OmarError, match="the training of seed 1 diverged"):
        refuse_divergence({"actor/value": torch.tensor([1.0, 1.0, torch.nan, 1.0, 1.0, 1.0])}, 3, 50)


def test_the_estimate_of_memory_is_a_lower_bound(data):
    algorithm, task = make(data), get_task("half_cheetah")
    kept = 5 * sum(p.numel() for p in algorithm.critic.networks.parameters())  # of both seeds
    estimated = 2 * Asymmetric.footprint(
        AsymmetricSettings(), replace(Backbone(), hidden=8, batch_size=2), task
    )
    assert kept / 10 < estimated < kept


def test_the_matrix_has_it_where_critics_can_see_more():
    suits = {name: ALGORITHMS["asymmetric"].suits(get_task(name)) for name in ("simple_tag", "half_cheetah")}
    assert suits == {"simple_tag": False, "half_cheetah": True}
    assert [ALGORITHMS["afterstate"].suits(get_task(name)) for name in suits] == [True, False]
