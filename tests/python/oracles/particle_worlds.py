"""Slow, obvious particle worlds: one at a time, in numpy float64, from the tasks' description."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Entity:
    size: float
    gain: float = 0.0
    max_speed: float | None = None
    collides: bool = True
    prey: bool = False
    position: np.ndarray = field(default_factory=lambda: np.zeros(2))
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))


def distance(a: Entity, b: Entity) -> float:
    return float(np.sqrt(np.sum((a.position - b.position) ** 2)))


def touch(a: Entity, b: Entity) -> bool:
    return distance(a, b) < a.size + b.size


def contact_force(a: Entity, b: Entity) -> np.ndarray:
    """Force on a from its contact with b."""
    d = distance(a, b)
    if d == 0.0:
        return np.zeros(2)
    k = 1e-3
    penetration = k * np.logaddexp(0.0, -(d - (a.size + b.size)) / k)
    return 100.0 * (a.position - b.position) / d * penetration


def bound(x: float) -> float:
    if x < 0.9:
        return 0.0
    if x < 1.0:
        return 10.0 * (x - 0.9)
    return min(float(np.exp(min(2.0 * x - 2.0, 100.0))), 10.0)


class OracleWorld:
    """One world. Subclasses say what is in it, what is seen and what is rewarded."""

    max_obs: int

    def __init__(self, agents: list[Entity], landmarks: list[Entity]) -> None:
        self.agents = agents
        self.landmarks = landmarks

    def set(self, positions: np.ndarray, velocities: np.ndarray, landmarks: np.ndarray) -> None:
        for agent, p, v in zip(self.agents, positions, velocities, strict=True):
            agent.position = np.array(p, dtype=np.float64)
            agent.velocity = np.array(v, dtype=np.float64)
        for landmark, p in zip(self.landmarks, landmarks, strict=True):
            landmark.position = np.array(p, dtype=np.float64)

    def contact_forces(self) -> list[np.ndarray]:
        """Sum of the contact forces on every agent."""
        forces = [np.zeros(2) for _ in self.agents]
        for i, a in enumerate(self.agents):
            for j, b in enumerate(self.agents):
                if i != j:
                    forces[i] = forces[i] + contact_force(a, b)
            for landmark in self.landmarks:
                if landmark.collides:
                    forces[i] = forces[i] + contact_force(a, landmark)
        return forces

    def step(self, actions: np.ndarray) -> None:
        forces = self.contact_forces()
        for agent, u, contact in zip(self.agents, actions, forces, strict=True):
            agent.velocity = 0.75 * agent.velocity + (agent.gain * u + contact) * 0.1
            speed = float(np.sqrt(np.sum(agent.velocity**2)))
            if agent.max_speed is not None and speed > agent.max_speed:
                agent.velocity = agent.velocity / speed * agent.max_speed
        for agent in self.agents:
            agent.position = agent.position + agent.velocity * 0.1

    def observations(self) -> np.ndarray:
        """[A, max_obs], zero padded."""
        rows = np.zeros((len(self.agents), self.max_obs))
        for row, agent in zip(rows, self.agents, strict=True):
            o = self.observe(agent)
            row[: len(o)] = o
        return rows

    def common(self, agent: Entity) -> list[np.ndarray]:
        """Own velocity, own position, relative landmarks, relative other agents."""
        others = [other for other in self.agents if other is not agent]
        parts = [agent.velocity, agent.position]
        parts += [landmark.position - agent.position for landmark in self.landmarks]
        parts += [other.position - agent.position for other in others]
        return parts

    def prey_velocities(self, agent: Entity) -> list[np.ndarray]:
        return [other.velocity for other in self.agents if other is not agent and other.prey]

    def observe(self, agent: Entity) -> np.ndarray:
        raise NotImplementedError

    def rewards(self) -> np.ndarray:
        raise NotImplementedError


class SpreadWorld(OracleWorld):
    def __init__(self, n: int = 3, reward: str = "omar") -> None:
        super().__init__(
            [Entity(size=0.15, gain=5.0) for _ in range(n)],
            [Entity(size=0.05, collides=False) for _ in range(n)],
        )
        self.max_obs = 4 + 2 * n + 4 * (n - 1)
        self.reward = reward

    def observe(self, agent: Entity) -> np.ndarray:
        messages = [np.zeros(2) for _ in self.agents[1:]]
        return np.concatenate(self.common(agent) + messages)

    def rewards(self) -> np.ndarray:
        nearest = [min(distance(agent, target) for agent in self.agents) for target in self.landmarks]
        touches = [sum(touch(a, b) for b in self.agents if b is not a) for a in self.agents]
        if self.reward == "lowe":
            return np.array([-sum(nearest) - count for count in touches])
        team = sum(10.0 if d == 0.0 else min(1.0 / d, 10.0) for d in nearest)
        return np.array([team - 5.0 * count for count in touches])


class TagWorld(OracleWorld):
    max_obs = 16
    catch = 10.0
    bound_weight = 1.0

    def __init__(self) -> None:
        super().__init__(self.make_agents(0.05), [Entity(size=0.2) for _ in range(2)])

    @staticmethod
    def make_agents(prey_size: float) -> list[Entity]:
        predators = [Entity(size=0.075, gain=9.0, max_speed=1.0) for _ in range(3)]
        return [*predators, Entity(size=prey_size, gain=16.0, max_speed=1.3, prey=True)]

    def observe(self, agent: Entity) -> np.ndarray:
        return np.concatenate(self.common(agent) + self.prey_velocities(agent))

    def rewards(self) -> np.ndarray:
        *predators, prey = self.agents
        chase = sum(distance(p, prey) for p in predators)
        catches = sum(touch(p, prey) for p in predators)
        out = sum(bound(abs(float(x))) for x in prey.position)
        predator = -0.1 * chase + self.catch * catches
        return np.array([predator] * 3 + [0.1 * chase - self.catch * catches - self.bound_weight * out])


class ForestWorld(TagWorld):
    """simple_world."""

    max_obs = 24
    catch = 5.0
    bound_weight = 2.0

    def __init__(self) -> None:
        obstacle = [Entity(size=0.2)]
        food = [Entity(size=0.03, collides=False) for _ in range(2)]
        forests = [Entity(size=0.3, collides=False) for _ in range(2)]
        OracleWorld.__init__(self, self.make_agents(0.045), obstacle + food + forests)

    def observe(self, agent: Entity) -> np.ndarray:
        inside = [1.0 if touch(agent, forest) else -1.0 for forest in self.landmarks[3:]]
        return np.concatenate([*self.common(agent), *self.prey_velocities(agent), np.array(inside)])

    def rewards(self) -> np.ndarray:
        rewards = super().rewards()
        prey, food = self.agents[3], self.landmarks[1:3]
        rewards[3] += 2.0 * sum(touch(prey, f) for f in food) + 0.05 * min(distance(prey, f) for f in food)
        return rewards


def make_world(name: str, num_agents: int = 3, reward: str = "omar") -> OracleWorld:
    if name == "simple_spread":
        return SpreadWorld(num_agents, reward)
    return {"simple_tag": TagWorld, "simple_world": ForestWorld}[name]()
