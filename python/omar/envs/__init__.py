"""Batched environments: E worlds are stepped together."""

from .half_cheetah import HalfCheetahEnv
from .make import Env, make_env
from .others import joint_env, parallel_env, vector_env
from .particle import ParticleEnv, State, Step, scenario_names
from .rollout import Transitions, make_transitions, rollout, rollout_into

__all__ = [
    "Env",
    "HalfCheetahEnv",
    "ParticleEnv",
    "State",
    "Step",
    "Transitions",
    "joint_env",
    "make_env",
    "make_transitions",
    "parallel_env",
    "rollout",
    "rollout_into",
    "scenario_names",
    "vector_env",
]
