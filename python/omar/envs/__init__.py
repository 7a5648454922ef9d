"""Batched environments: E worlds are stepped together."""

from omar.envs.particle import ParticleEnv, State, Step, scenario_names

__all__ = ["ParticleEnv", "State", "Step", "scenario_names"]
