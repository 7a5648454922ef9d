"""Start states for the tests and benchmarks of the particle worlds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from omar.envs import ParticleEnv

SCENARIOS = ("simple_spread", "simple_tag", "simple_world")
STARTS = ("random", "crowded", "coincident", "outside", "far")


def start_state(env: ParticleEnv, kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions [E, A, 2], velocities [E, A, 2] and landmarks [E, L, 2] in float64, exact in float32 too."""
    rng = np.random.default_rng(seed)
    e, a, n = env.num_envs, env.num_agents, env.num_landmarks
    box = {"random": 1.0, "crowded": 0.25, "coincident": 0.3, "outside": 3.0, "far": 1.0}[kind]
    positions = rng.uniform(-box, box, (e, a, 2))
    landmarks = rng.uniform(-box, box, (e, n, 2))
    velocities = rng.uniform(-1.0, 1.0, (e, a, 2)) if kind != "random" else np.zeros((e, a, 2))
    if kind == "coincident":
        for world in range(e):
            i, j = world % a, (world + 1) % a
            positions[world, j] = positions[world, i]
            if world % 2:
                landmarks[world, 0] = positions[world, i]
    if kind == "far":
        positions[:, 0] += np.where(rng.uniform(size=(e, 2)) < 0.5, -1e6, 1e6)
    return tuple(np.float64(np.float32(x)) for x in (positions, velocities, landmarks))


def put(
    env: ParticleEnv, state: tuple[np.ndarray, np.ndarray, np.ndarray], steps: torch.Tensor | None = None
) -> None:
    env.set_state(*(torch.tensor(x, dtype=env.dtype) for x in state), steps)
