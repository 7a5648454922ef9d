"""Environment steps per second of HalfCheetah: random actions, observations, rewards, auto-reset."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from ..envs.half_cheetah import SUBSTEPS, HalfCheetahEnv
from .measure import Record, Setup, rate

WORLDS = (64, 1024)


def run(setup: Setup) -> Iterator[Record]:
    """Yields a record for each number of worlds and of threads; the CPU only."""
    if setup.device != "cpu":
        return
    for worlds in WORLDS:
        generator = torch.Generator().manual_seed(0)
        actions = torch.rand((worlds, 2, 3), generator=generator) * 2 - 1
        for threads in setup.threads:
            torch.set_num_threads(threads)
            env = HalfCheetahEnv(worlds, num_threads=threads)
            env.reset()
            spread = rate(partial(env.step, actions), worlds, setup)
            bound = rate(env.physics, worlds, setup).median
            yield Record.of(
                "half_cheetah/step",
                f"{worlds} worlds",
                spread,
                "env-steps/s",
                bound,
                f"{SUBSTEPS} substeps of MuJoCo, nothing else",
            )
