"""mpe2 as an outside check where its rules agree: contacts, damping, speed limits, observation order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omar.envs import ParticleEnv
from particle_cases import put, start_state

simple_tag_v3 = pytest.importorskip("mpe2.simple_tag_v3")
simple_spread_v3 = pytest.importorskip("mpe2.simple_spread_v3")


@pytest.mark.parametrize("kind", ["random", "crowded", "outside"])
def test_simple_tag_velocities_and_observations(kind: str) -> None:
    peer = simple_tag_v3.parallel_env().unwrapped
    peer.reset(seed=0)
    agents, landmarks, world = peer.world.agents, peer.world.landmarks, peer.world
    env = ParticleEnv("simple_tag", 16, dtype=torch.float64)
    start = start_state(env, kind, seed=6)
    put(env, start)
    rng = np.random.default_rng(9)
    actions = rng.uniform(-1.0, 1.0, (16, 4, 2))
    observations = env.step(torch.from_numpy(actions)).observations.numpy()
    positions, velocities, *_ = (x.numpy() for x in env.state())
    for i in range(16):
        for j, agent in enumerate(agents):
            agent.state.p_pos, agent.state.p_vel = start[0][i, j].copy(), start[1][i, j].copy()
            agent.action.u = actions[i, j] * (9.0 if agent.adversary else 16.0)
        for j, landmark in enumerate(landmarks):
            landmark.state.p_pos = start[2][i, j].copy()
        world.step()  # moves with the velocity before the step: only the velocity afterwards is comparable
        for j, agent in enumerate(agents):
            np.testing.assert_allclose(velocities[i, j], agent.state.p_vel, atol=1e-12)
            agent.state.p_pos, agent.state.p_vel = positions[i, j], velocities[i, j]
        for j, agent in enumerate(agents):
            seen = peer.scenario.observation(agent, world)
            assert len(seen) == env.obs_sizes[j]
            np.testing.assert_allclose(observations[i, j, : len(seen)], seen, atol=1e-12)


def test_simple_spread_observations() -> None:
    peer = simple_spread_v3.parallel_env(N=3).unwrapped
    peer.reset(seed=0)
    env = ParticleEnv("simple_spread", 8, dtype=torch.float64)
    start = start_state(env, "crowded", seed=1)
    put(env, start)
    observations = env.observe().numpy()
    for i in range(8):
        for j, agent in enumerate(peer.world.agents):
            agent.state.p_pos, agent.state.p_vel = start[0][i, j], start[1][i, j]
        for j, landmark in enumerate(peer.world.landmarks):
            landmark.state.p_pos = start[2][i, j]
        for j, agent in enumerate(peer.world.agents):
            np.testing.assert_allclose(
                observations[i, j], peer.scenario.observation(agent, peer.world), atol=1e-15
            )
