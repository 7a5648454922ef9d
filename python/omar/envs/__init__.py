"""Batched environments: E worlds are stepped together."""

from omar.envs.particle import ParticleEnv, State, Step, scenario_names
from omar.envs.rollout import Transitions, make_transitions, rollout, rollout_into

__all__ = [
    "ParticleEnv",
    "State",
    "Step",
    "Transitions",
    "make_transitions",
    "rollout",
    "rollout_into",
    "scenario_names",
]
