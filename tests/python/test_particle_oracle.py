"""The compiled worlds against slow ones in numpy, from the same start states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omar.envs import ParticleEnv
from oracles.particle_worlds import make_world
from particle_cases import SCENARIOS, STARTS, put, start_state

WORLDS = 19  # one more than a multiple of every vector width, and a half-filled block


def compare(env: ParticleEnv, kind: str, seed: int, tolerance: float, reward: str = "omar") -> None:
    """24 free steps, then the step that cuts the episode."""
    start = start_state(env, kind, seed)
    put(env, start)
    worlds = [make_world(env.name, env.num_learners, reward) for _ in range(env.num_envs)]
    for world, *parts in zip(worlds, *start, strict=True):
        world.set(*parts)
    rng = np.random.default_rng(seed + 1)
    scale = 1e6 if kind == "far" else 1.0

    def close(got: torch.Tensor, expected: list[np.ndarray], what: str) -> None:
        np.testing.assert_allclose(
            got.double().numpy(), np.stack(expected), rtol=tolerance, atol=tolerance * scale, err_msg=what
        )

    close(env.observe(), [w.observations() for w in worlds], "start")
    for t in range(25):
        actions = np.float64(np.float32(rng.uniform(-1.5, 1.5, (env.num_envs, env.num_agents, 2))))
        step = env.step(torch.tensor(actions, dtype=env.dtype))
        for world, u in zip(worlds, actions, strict=True):
            world.step(u)
        seen = step.observations if t < 24 else step.final_observations
        close(seen, [w.observations() for w in worlds], f"observations after step {t}")
        close(step.rewards, [w.rewards() for w in worlds], f"rewards after step {t}")
        assert step.truncated.tolist() == [t == 24] * env.num_envs


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_float64_follows_the_oracle(name: str, kind: str) -> None:
    compare(ParticleEnv(name, WORLDS, dtype=torch.float64), kind, seed=3, tolerance=1e-9)


@pytest.mark.parametrize("num_agents", range(1, 11))
def test_any_number_of_agents(num_agents: int) -> None:
    env = ParticleEnv("simple_spread", 5, dtype=torch.float64, num_agents=num_agents)
    compare(env, "random", seed=num_agents, tolerance=1e-9)
    assert env.obs_sizes == (4 + 2 * num_agents + 4 * (num_agents - 1),) * num_agents


@pytest.mark.parametrize("kind", ["random", "crowded"])
def test_lowe_reward(kind: str) -> None:
    compare(
        ParticleEnv("simple_spread", WORLDS, dtype=torch.float64, reward="lowe"), kind, 5, 1e-9, reward="lowe"
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_float32_follows_the_oracle_from_uncrowded_starts(name: str) -> None:
    """Contacts amplify rounding without bound, so agents and obstacles start apart and move little."""
    env = ParticleEnv(name, 64, dtype=torch.float32)
    rng = np.random.default_rng(8)
    a, n = env.num_agents, env.num_landmarks
    corners = np.array([[-3.0, -3.0], [3.0, -3.0], [-3.0, 3.0], [3.0, 3.0]])[:a]
    positions = np.float32(corners + rng.uniform(-0.5, 0.5, (64, a, 2)))
    start = (positions, np.zeros((64, a, 2)), np.float32(rng.uniform(-0.9, 0.9, (64, n, 2))))
    put(env, start)
    worlds = [make_world(name) for _ in range(64)]
    for world, *parts in zip(worlds, *start, strict=True):
        world.set(*parts)
    for t in range(25):
        actions = np.float32(rng.uniform(-1.0, 1.0, (64, a, 2)))
        step = env.step(torch.from_numpy(actions))
        for world, u in zip(worlds, actions, strict=True):
            world.step(u.astype(np.float64))
        seen = step.observations if t < 24 else step.final_observations
        np.testing.assert_allclose(seen.numpy(), [w.observations() for w in worlds], atol=1e-4, rtol=0)
        np.testing.assert_allclose(step.rewards.numpy(), [w.rewards() for w in worlds], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_one_float32_step_from_any_start(name: str, kind: str) -> None:
    env = ParticleEnv(name, 67)
    start = start_state(env, kind, seed=21)
    put(env, start)
    actions = np.float32(np.random.default_rng(4).uniform(-1.0, 1.0, (67, env.num_agents, 2)))
    step = env.step(torch.from_numpy(actions))
    assert bool(step.observations.isfinite().all())
    assert bool(step.rewards.isfinite().all())
    for i, parts in enumerate(zip(*start, strict=True)):
        world = make_world(name)
        world.set(*parts)
        world.step(actions[i].astype(np.float64))
        np.testing.assert_allclose(step.observations[i].numpy(), world.observations(), rtol=2e-6, atol=2e-5)
        np.testing.assert_allclose(step.rewards[i].numpy(), world.rewards(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_contact_force_across_the_margin(dtype: torch.dtype, tolerance: float) -> None:
    """Two agents at rest, from deep overlap to far apart: their velocity is the contact force times dt."""
    margin, sizes = 1e-3, 0.3
    gaps = np.concatenate([np.linspace(-60, 60, 4001) * margin, np.linspace(-0.299, 2.0, 500)])
    d = (sizes + gaps).astype(np.float32).astype(np.float64)
    env = ParticleEnv("simple_spread", len(d), dtype=dtype, num_agents=2)
    positions = torch.zeros(len(d), 2, 2, dtype=dtype)
    positions[:, 0, 0] = torch.tensor(d, dtype=dtype)
    zeros = torch.zeros(len(d), 2, 2, dtype=dtype)
    env.set_state(positions, zeros, zeros)
    env.step(zeros)
    velocities = env.state().velocities.double().numpy()
    expected = 0.1 * 100.0 * margin * np.logaddexp(0.0, (sizes - d) / margin)
    np.testing.assert_allclose(velocities[:, 0, 0], expected, atol=tolerance, rtol=0)
    np.testing.assert_array_equal(velocities[:, 1, 0], -velocities[:, 0, 0])
    np.testing.assert_array_equal(velocities[:, :, 1], 0.0)


def test_contact_forces_sum_to_zero() -> None:
    env = ParticleEnv("simple_spread", 40, dtype=torch.float64, num_agents=5)
    positions, _, landmarks = start_state(env, "crowded", seed=2)
    put(env, (positions, np.zeros_like(positions), landmarks))
    env.step(torch.zeros(40, 5, 2, dtype=torch.float64))
    velocities = env.state().velocities
    assert float(velocities.abs().max()) > 0.1
    torch.testing.assert_close(velocities.sum(1), torch.zeros(40, 2, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_entities_at_one_point_exert_no_force(dtype: torch.dtype) -> None:
    env = ParticleEnv("simple_tag", 3, dtype=dtype)
    a = torch.full((3, 4, 2), 0.25, dtype=dtype)
    env.set_state(a, torch.zeros_like(a), torch.full((3, 2, 2), 0.25, dtype=dtype))
    step = env.step(torch.zeros_like(a))
    assert bool((env.state().velocities == 0).all())
    assert step.rewards.tolist() == [[30.0, 30.0, 30.0, -30.0]] * 3


def test_an_agent_on_its_target_earns_the_cap() -> None:
    env = ParticleEnv("simple_spread", 1, num_agents=1)
    p = torch.full((1, 1, 2), 0.5)
    env.set_state(p, torch.zeros_like(p), p)
    assert env.step(torch.zeros_like(p)).rewards.item() == 10.0


def test_the_prey_pays_for_leaving_the_arena() -> None:
    """Values of the bound at 0.95, 1.5 and far out, on one axis; no predator near."""
    env = ParticleEnv("simple_tag", 4, dtype=torch.float64)
    x = torch.tensor([0.5, 0.95, -1.5, 40.0], dtype=torch.float64)
    positions = torch.zeros(4, 4, 2, dtype=torch.float64)
    positions[:, 3, 0] = x
    positions[:, :3, 1] = torch.tensor([5.0, 6.0, 7.0], dtype=torch.float64)
    env.set_state(positions, torch.zeros_like(positions), torch.full((4, 2, 2), -7.0, dtype=torch.float64))
    step = env.step(torch.zeros_like(positions))
    out = -step.rewards[:, 3] - step.rewards[:, 0]
    torch.testing.assert_close(
        out, torch.tensor([0.0, 0.5, np.e, 10.0], dtype=torch.float64), atol=1e-12, rtol=0
    )
