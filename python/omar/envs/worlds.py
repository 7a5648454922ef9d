"""The worlds of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .particle import ParticleEnv

if TYPE_CHECKING:
    from ..tasks import Task

SIZED = "simple_spread"  # the scenario whose number of agents can be chosen
HALF_CHEETAH = "half_cheetah"


def task_env(task: Task, *, num_envs: int, seed: int = 0) -> ParticleEnv:
    """Worlds of a task, with as many agents as it has.

    Args:
        task: From the registry.
        num_envs: E.
        seed: Key of the start states.
    """
    if task.environment == SIZED:
        return ParticleEnv(task.environment, num_envs=num_envs, seed=seed, num_agents=task.num_agents)
    return ParticleEnv(task.environment, num_envs=num_envs, seed=seed)
