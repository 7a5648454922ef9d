"""The worlds of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .half_cheetah import HalfCheetahEnv
from .particle import ParticleEnv

if TYPE_CHECKING:
    from ..tasks import Task

Env: TypeAlias = ParticleEnv | HalfCheetahEnv
"""E worlds of A agents: `reset`, `step`, `observe`, `state` and the sizes are alike in both."""

SIZED = "simple_spread"  # the scenario whose number of agents can be chosen
HALF_CHEETAH = "half_cheetah"


def task_env(task: Task, *, num_envs: int, seed: int = 0, informed: bool = False) -> Env:
    """Worlds of a task, with as many agents as it has.

    Args:
        task: From the registry.
        num_envs: E.
        seed: Key of the start states.
        informed: Whether observations hold, behind what an agent sees, what critics may see besides: in
            HalfCheetah the torso's height, pitch and velocities. Particle tasks have nothing of the kind.

    Raises:
        OmarError: A library that the environment needs is missing.
    """
    if task.environment == HALF_CHEETAH:
        return HalfCheetahEnv(num_envs, seed, "mamujoco" if informed else "omar")
    return particle_env(task, num_envs=num_envs, seed=seed)


def particle_env(task: Task, *, num_envs: int, seed: int = 0) -> ParticleEnv:
    """Worlds of a particle task, with as many agents as it has.

    Args:
        task: From the registry.
        num_envs: E.
        seed: Key of the start states.
    """
    if task.environment == SIZED:
        return ParticleEnv(task.environment, num_envs=num_envs, seed=seed, num_agents=task.num_agents)
    return ParticleEnv(task.environment, num_envs=num_envs, seed=seed)


def restart_clock(env: Env) -> None:
    """Counts the steps of every world's episode from 0 again; the worlds stay as they are."""
    *everything, _ = env.state()
    env.set_state(*everything)
