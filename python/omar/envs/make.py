"""The environment of a task, by name."""

from __future__ import annotations

from typing import TypeAlias

from .half_cheetah import HalfCheetahEnv
from .particle import ParticleEnv

Env: TypeAlias = ParticleEnv | HalfCheetahEnv
"""E worlds of A agents: `reset`, `step`, `observe` and sizes are alike in all of them."""

HALF_CHEETAH = "half_cheetah"


def make_env(name: str, num_envs: int = 1, seed: int = 0) -> Env:
    """E worlds as the paper has them, on the CPU in float32.

    Args:
        name: A particle scenario or "half_cheetah".
        num_envs: E.
        seed: Key of the start states.

    Raises:
        ValueError: An argument is out of range; the message names it.
        OmarError: A library that the environment needs is missing.
    """
    if name == HALF_CHEETAH:
        return HalfCheetahEnv(num_envs, seed)
    return ParticleEnv(name, num_envs, seed)
