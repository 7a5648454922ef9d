"""Batched environments: E worlds are stepped together."""

from .particle import ParticleEnv, State, Step, scenario_names
from .rollout import Transitions, make_transitions, rollout, rollout_into
from .worlds import task_env

__all__ = [
    "ParticleEnv",
    "State",
    "Step",
    "Transitions",
    "make_transitions",
    "rollout",
    "rollout_into",
    "scenario_names",
    "task_env",
]
