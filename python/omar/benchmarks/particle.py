"""Environment steps per second of each scenario: random actions, all outputs written, auto-reset."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from .. import _bounds, envs
from .measure import Record, Setup, rate

WORLDS = (64, 1024, 16384)


def run(setup: Setup) -> Iterator[Record]:
    """Yields a record for each scenario, number of worlds and number of threads."""
    for scenario in envs.scenario_names():
        for worlds in WORLDS:
            env = envs.ParticleEnv(scenario, num_envs=worlds, seed=0, device=setup.device)
            generator = torch.Generator().manual_seed(0)
            shape = (worlds, env.num_agents, env.action_size)
            actions = (torch.rand(shape, generator=generator) * 2 - 1).to(setup.device)
            env.reset()
            out = env.make_step()
            for threads in setup.threads:
                torch.set_num_threads(threads)
                spread = rate(partial(env.step_into, actions, out), worlds, setup)
                outputs = env.num_agents * (max(env.obs_sizes) + 1)
                bound = _bounds.particle_steps(worlds, env.num_agents, outputs, setup.seconds / 4)
                yield Record.of(
                    f"particle/{scenario}",
                    f"{worlds} worlds, float32, {setup.device}",
                    spread,
                    "env-steps/s",
                    bound if setup.device == "cpu" else None,
                    "plain vector loop, no contacts, no transposition",
                )
