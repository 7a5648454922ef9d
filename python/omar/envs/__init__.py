"""Batched environments: E worlds are stepped together."""

from .half_cheetah import HalfCheetahEnv
from .others import joint_env, parallel_env, vector_env
from .particle import ParticleEnv, State, Step, scenario_names
from .rollout import Transitions, make_transitions, rollout, rollout_into
from .worlds import HALF_CHEETAH, Env, particle_env, restart_clock, task_env

__all__ = [
    "HALF_CHEETAH",
    "Env",
    "HalfCheetahEnv",
    "ParticleEnv",
    "State",
    "Step",
    "Transitions",
    "joint_env",
    "make_transitions",
    "parallel_env",
    "particle_env",
    "restart_clock",
    "rollout",
    "rollout_into",
    "scenario_names",
    "task_env",
    "vector_env",
]
