"""The task of cpp/examples/scenario in numpy, one world at a time."""

from __future__ import annotations

import numpy as np

from .particle_worlds import Entity, OracleWorld, distance, touch


class PursuitWorld(OracleWorld):
    """Two pursuers, two preys, a rock; the third number of an action brakes."""

    max_obs = 16

    def __init__(self) -> None:
        pursuers = [Entity(size=0.075, gain=6.0, max_speed=1.0) for _ in range(2)]
        preys = [Entity(size=0.05, gain=8.0, max_speed=1.3, prey=True) for _ in range(2)]
        super().__init__([*pursuers, *preys], [Entity(size=0.2)])

    def step(self, actions: np.ndarray) -> None:
        """Actions [4, 3]."""
        super().step(np.array([u[:2] * (1.0 - min(max(u[2], 0.0), 1.0)) for u in actions]))

    def observe(self, agent: Entity) -> np.ndarray:
        velocities = [] if agent.prey else self.prey_velocities(agent)
        return np.concatenate(self.common(agent) + velocities)

    def rewards(self) -> np.ndarray:
        pursuers, preys = self.agents[:2], self.agents[2:]
        far = 0.1 * sum(min(distance(pursuer, prey) for pursuer in pursuers) for prey in preys)
        own = [10.0 * sum(touch(pursuer, prey) for prey in preys) - far for pursuer in pursuers]
        lost = [-10.0 * sum(touch(pursuer, prey) for pursuer in pursuers) for prey in preys]
        return np.array([*own, *lost])
