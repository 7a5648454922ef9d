"""Rollouts in C++ against single steps from Python with torch policies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import torch

from omar.envs import ParticleEnv, Transitions, make_transitions, rollout, rollout_into
from omar.nets import StackedMlp
from particle_cases import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = ("observations", "actions", "rewards", "next_observations")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def policies(env: ParticleEnv, hidden: tuple[int, ...] = (64, 64)) -> tuple[StackedMlp, StackedMlp | None]:
    learners = StackedMlp(env.num_learners, (env.obs_sizes[0], *hidden, 2), seed=1)
    prey = env.num_agents - env.num_learners
    return learners, StackedMlp(prey, (env.obs_sizes[-1], *hidden, 2), seed=2) if prey else None


def act(env: ParticleEnv, net: StackedMlp, observations: torch.Tensor, first: int) -> torch.Tensor:
    """Actions [E, M, 2] of agents first.. for observations [E, A, O]."""
    size = env.obs_sizes[first]
    x = observations[:, first : first + len(net.weights[0]), :size].transpose(0, 1)
    for i, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        x = torch.baddbmm(b[:, None], x, w)
        x = x.relu() if i + 1 < len(list(net.weights)) else x.tanh()
    return x.detach().transpose(0, 1)


@pytest.mark.parametrize("hidden", [(64, 64), (33,), (), (7, 16, 5)])
@pytest.mark.parametrize("worlds", [1, 16, 21])
@pytest.mark.parametrize("name", SCENARIOS)
def test_each_step_is_what_the_environment_and_the_policy_give(
    name: str, worlds: int, hidden: tuple[int, ...]
) -> None:
    """Every action is the policy's, and the environment answers it as recorded, over two episodes."""
    env, other = ParticleEnv(name, worlds, seed=3), ParticleEnv(name, worlds, seed=3)
    observations = other.reset()
    env.reset()
    learners, prey = policies(env, hidden)
    got = rollout(env, 52, learners, prey)
    for t in range(52):
        torch.testing.assert_close(got.observations[:, t], observations, rtol=0, atol=0)
        expected = act(env, learners, observations, 0)
        if prey is not None:
            expected = torch.cat([expected, act(env, prey, observations, 3)], dim=1)
        torch.testing.assert_close(got.actions[:, t], expected, rtol=0, atol=1e-5)
        step = other.step(got.actions[:, t].contiguous())
        final = torch.where(step.truncated[:, None, None], step.final_observations, step.observations)
        torch.testing.assert_close(got.rewards[:, t], step.rewards, rtol=0, atol=0)
        torch.testing.assert_close(got.next_observations[:, t], final, rtol=0, atol=0)
        observations = step.observations
    for x, y in zip(env.state(), other.state(), strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("num_agents", [1, 2, 4, 7])
def test_any_number_of_agents(num_agents: int) -> None:
    env, other = (ParticleEnv("simple_spread", 18, num_agents=num_agents) for _ in range(2))
    learners, _ = policies(env)
    got = rollout(env, 5, learners)
    for t in range(5):
        torch.testing.assert_close(
            got.actions[:, t], act(env, learners, got.observations[:, t], 0), rtol=0, atol=1e-5
        )
        step = other.step(got.actions[:, t].contiguous())
        assert torch.equal(got.next_observations[:, t], step.observations)


def test_uniform_actions() -> None:
    env = ParticleEnv("simple_tag", 500)
    actions = rollout(env, 25, seed=4).actions
    assert bool(((actions >= -1) & (actions < 1)).all())
    assert float(actions.mean()) == pytest.approx(0, abs=0.01)
    assert float(actions.std()) == pytest.approx(3**-0.5, abs=0.005)
    flat = actions.reshape(-1, 8)
    assert float((torch.corrcoef(flat.T) - torch.eye(8)).abs().max()) < 0.04
    assert len(actions.unique()) > 0.98 * actions.numel()


def test_noise() -> None:
    """Zero weights: the action is the clipped noise; the prey has none."""
    env = ParticleEnv("simple_tag", 500)
    learners, prey = policies(env)
    with torch.no_grad():
        for p in [*learners.parameters(), *prey.parameters()]:
            p.zero_()
    actions = rollout(env, 25, learners, prey, noise=0.5, seed=4).actions
    assert bool((actions[:, :, 3] == 0).all())
    z = actions[:, :, :3]
    assert bool((z.abs() <= 1).all())
    inside = z.abs() < 1
    assert float((~inside).float().mean()) == pytest.approx(0.0455, abs=0.003)  # beyond two sigma
    assert float(z[inside].std()) == pytest.approx(0.44, abs=0.005)
    assert float(z.mean()) == pytest.approx(0, abs=0.01)


def test_tanh_is_accurate() -> None:
    env = ParticleEnv("simple_spread", 2000, num_agents=1)
    net = StackedMlp(1, (6, 2))
    with torch.no_grad():
        net.weights[0].zero_()
        net.weights[0][0, 2, 0] = 12.0  # own position: tanh(12 x)
        net.weights[0][0, 3, 1] = 0.01
    got = rollout(env, 1, net)
    expected = torch.tanh(
        got.observations[:, 0, 0, 2:4] * torch.tensor([12.0, 0.01]) + net.biases[0][0].detach()
    )
    torch.testing.assert_close(got.actions[:, 0, 0], expected, rtol=0, atol=5e-7)


@pytest.mark.parametrize("name", SCENARIOS)
def test_chunks_threads_and_batches_do_not_matter(name: str, threads: None) -> None:
    env = ParticleEnv(name, 70, seed=2)
    learners, prey = policies(env)
    torch.set_num_threads(1)
    whole = rollout(env, 30, learners, prey, noise=0.3, seed=9)
    torch.set_num_threads(2)
    env = ParticleEnv(name, 70, seed=2)
    chunks = [
        rollout(env, t, learners, prey, noise=0.3, seed=9, first_step=f) for f, t in ((0, 11), (11, 19))
    ]
    few = rollout(ParticleEnv(name, 13, seed=2), 30, learners, prey, noise=0.3, seed=9)
    for column in COLUMNS:
        joined = torch.cat([getattr(c, column) for c in chunks], dim=1)
        assert torch.equal(getattr(whole, column), joined)
        assert torch.equal(getattr(whole, column)[:13], getattr(few, column))


def test_only_the_columns_that_are_set_are_written() -> None:
    env, other = ParticleEnv("simple_world", 21), ParticleEnv("simple_world", 21)
    out = Transitions()
    guarded = torch.full((23, 25, 4), 9.0)
    out.rewards = guarded[1:-1]
    rollout_into(env, out, 25, seed=1)
    assert torch.equal(out.rewards, rollout(other, 25, seed=1).rewards)
    assert bool((guarded[[0, -1]] == 9.0).all())


@pytest.mark.parametrize("name", ["simple_tag", "simple_world"])
def test_the_prey_can_have_columns_of_its_own(name: str) -> None:
    env, other = ParticleEnv(name, 21), ParticleEnv(name, 21)
    learners, prey = policies(env)
    out, prey_out = (Transitions() for _ in range(2))
    size, own = env.obs_sizes[0], env.obs_sizes[-1]
    guarded = torch.full((23, 26, 1, own), 9.0)
    for columns, agents, width in ((out, 3, size), (prey_out, 1, own)):
        columns.observations = torch.empty(21, 26, agents, width)
        columns.actions = torch.empty(21, 26, agents, 2)
        columns.rewards = torch.empty(21, 26, agents)
        columns.next_observations = torch.empty(21, 26, agents, width)
    prey_out.observations = guarded[1:-1]
    rollout_into(env, out, 26, learners, prey, noise=0.1, prey_out=prey_out)
    both = rollout(other, 26, learners, prey, noise=0.1)
    for column in COLUMNS:
        whole, found = getattr(both, column), getattr(prey_out, column)
        assert torch.equal(getattr(out, column), whole[:, :, :3])
        last = whole[:, :, 3:]
        assert torch.equal(found, last[..., :own] if "observations" in column else last)
    assert bool((guarded[[0, -1]] == 9.0).all())
    assert all(torch.equal(x, y) for x, y in zip(env.state(), other.state(), strict=True))


def test_the_last_step_of_the_counter_is_a_step() -> None:
    env, other = ParticleEnv("simple_tag", 3), ParticleEnv("simple_tag", 3)
    last = rollout(env, 1, seed=4, first_step=2**32 - 1)
    assert not torch.equal(last.actions, rollout(other, 1, seed=4).actions)


def test_uniform_actions_return_what_the_paper_measured() -> None:
    rewards = rollout(ParticleEnv("simple_spread", 8000, seed=1), 25, seed=2).rewards
    assert float(rewards.mean(2).sum(1).mean()) == pytest.approx(159.7, abs=1.5)


def test_messages() -> None:
    env = ParticleEnv("simple_tag", 2)
    learners, prey = policies(env)
    bad = StackedMlp(3, (16, 8, 2))
    with torch.no_grad():
        bad.weights[0][0, 0, 0] = float("nan")

    def refuses(kind: type[Exception], message: str, *args: object, **kwargs: object) -> None:
        with pytest.raises(kind, match=re.escape(message)):
            rollout(*args, **kwargs)  # type: ignore[arg-type]

    refuses(ValueError, "`steps` must be at least 1, got 0", env, 0)
    refuses(TypeError, "`steps` must be an int, got float", env, 2.0)
    refuses(ValueError, "`noise` must be finite and at least 0, got -1", env, 5, learners, noise=-1.0)
    refuses(ValueError, "`noise` must be finite", env, 5, learners, noise=float("nan"))
    refuses(ValueError, "`policy` must have one member for each of its 3 agents, got 1", env, 5, prey)
    refuses(
        ValueError, "`prey` must have one member for each of its 1 agents, got 3", env, 5, learners, learners
    )
    refuses(ValueError, "`policy` must take observations of size 16, got 7", env, 5, StackedMlp(3, (7, 2)))
    refuses(ValueError, "`policy` must give actions of size 2, got 3", env, 5, StackedMlp(3, (16, 3)))
    refuses(ValueError, "`policy` must be finite", env, 5, bad)
    refuses(
        TypeError, "`policy` must be Float, got Double", env, 5, StackedMlp(3, (16, 2), dtype=torch.float64)
    )
    refuses(ValueError, "needs a float32 environment, got Double",
            ParticleEnv("simple_tag", 2, dtype=torch.float64), 5)  # fmt: skip
    refuses(ValueError, "simple_spread has no prey", ParticleEnv("simple_spread", 2), 5, None, prey)
    refuses(ValueError, "`seed` must be in 0..2^64-1", env, 5, seed=-1)
    for wrong in (-1, 2**32, 2**64):
        refuses(ValueError, f"`first_step` must be in 0..2^32-1, got {wrong}", env, 5, first_step=wrong)
    refuses(
        ValueError,
        "`first_step` and the steps after it must be in 0..2^32-1, got 4294967292 and 5 steps",
        env,
        5,
        first_step=2**32 - 4,
    )
    refuses(ValueError, "[rollout] transitions are more than a machine can address", env, 2**62)
    refuses(ValueError, "[rollout] no memory for transitions [2, 1099511627776, 4, 16]", env, 2**40)
    with pytest.raises(
        ValueError, match=re.escape("`first_step` and the steps after it must be in 0..2^32-1")
    ):
        rollout_into(env, Transitions(), 2**33)  # nothing to write, and no end
    out = make_transitions(env, 5)
    with pytest.raises(
        ValueError, match=re.escape("`observations` must be [E, T, agents, obs size] = [2, 6, 4, 16]")
    ):
        rollout_into(env, out, 6)
    with pytest.raises(ValueError, match=re.escape("= [2, 5, 3, 16], got [2, 5, 4, 16]")):
        rollout_into(env, out, 5, prey_out=Transitions())
    with pytest.raises(ValueError, match=re.escape("= [2, 5, 1, 14], got [2, 5, 4, 16]")):
        rollout_into(env, Transitions(), 5, prey_out=out)
    with pytest.raises(TypeError, match="`prey_out` must be a Transitions, got int"):
        rollout_into(env, out, 5, prey_out=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`prey_out` given, but simple_spread has no prey"):
        rollout_into(ParticleEnv("simple_spread", 2), Transitions(), 5, prey_out=Transitions())
    out.rewards = out.rewards.double()
    with pytest.raises(TypeError, match="`rewards` must be Float, got Double"):
        rollout_into(env, out, 5)
