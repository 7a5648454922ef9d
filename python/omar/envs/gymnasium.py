"""Gymnasium's views of a task: all learners as one agent, in one world or in many."""

from __future__ import annotations

from operator import index
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from .views import RENDER_MODES, Prey, Worlds

Array = np.ndarray[Any, np.dtype[Any]]


class JointEnv(gymnasium.Env[Array, Array]):
    """What `omar.envs.joint_env` returns; see there."""

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 10}  # noqa: RUF012 - as the base class has it

    def __init__(
        self, task: str, *, prey: Prey | None, render_mode: str | None, reward: str, num_agents: int | None
    ) -> None:
        self._worlds = Worlds(
            task, num_envs=1, prey=prey, reward=reward, num_agents=num_agents, render_mode=render_mode
        )
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": self._worlds.fps}
        self.observation_space, self.action_space = _spaces(self._worlds)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Starts an episode; a seed starts the random numbers anew."""
        seed = None if seed is None else index(seed)  # any integer, numpy's too
        super().reset(seed=seed)
        observations = self._worlds.reset(seed)
        return _joint(self._worlds, observations)[0], {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One step; the reward is the mean over the agents."""
        moves = np.asarray(action, np.float32).reshape(1, self._worlds.actors, -1)
        _, rewards, truncated, final = self._worlds.step(moves)
        reward = float(rewards[0, : self._worlds.actors].mean())
        return _joint(self._worlds, final)[0], reward, False, bool(truncated[0]), {}

    def render(self) -> Any:
        """The world as it is: an array `[400, 400, 3]`, HalfCheetah `[400, 600, 3]`, or a window."""
        return self._worlds.render()

    def close(self) -> None:
        """Closes the window."""
        self._worlds.close()


class JointVectorEnv(VectorEnv[Array, Array, Array]):
    """What `omar.envs.vector_env` returns; see there."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - as the base class has it

    def __init__(
        self, task: str, num_envs: int, *, prey: Prey | None, reward: str, num_agents: int | None
    ) -> None:
        self._worlds = Worlds(task, num_envs=num_envs, prey=prey, reward=reward, num_agents=num_agents)
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = _spaces(self._worlds)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Starts all worlds; one seed serves all of them, which start differently nevertheless."""
        if seed is not None:
            try:
                seed = index(seed)  # type: ignore[arg-type] # any integer, numpy's too
            except TypeError:
                kind = type(seed).__name__
                raise ValueError(f"`seed` must be one integer for all worlds, got {kind}") from None
        super().reset(seed=seed)
        return _joint(self._worlds, self._worlds.reset(seed)), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step of all worlds; where an episode ended, the next one has begun (see `final_obs`)."""
        moves = np.asarray(actions, np.float32).reshape(self.num_envs, self._worlds.actors, -1)
        observations, rewards, truncated, final = self._worlds.step(moves)
        infos: dict[str, Any] = {}
        if truncated.any():
            infos = {"final_obs": _joint(self._worlds, final), "_final_obs": truncated.copy()}
        reward = rewards[:, : self._worlds.actors].mean(axis=1, dtype=np.float64)
        return _joint(self._worlds, observations), reward, np.zeros_like(truncated), truncated, infos


def _spaces(worlds: Worlds) -> tuple[spaces.Box, spaces.Box]:
    env = worlds.env
    observation = sum(env.obs_sizes[: worlds.actors])
    return (
        spaces.Box(-np.inf, np.inf, (observation,)),
        spaces.Box(-1.0, 1.0, (worlds.actors * env.action_size,)),
    )


def _joint(worlds: Worlds, observations: Array) -> Array:
    """The agents' observations side by side, `[E, sum O]`."""
    sizes = worlds.env.obs_sizes[: worlds.actors]
    return np.concatenate([observations[:, i, :size] for i, size in enumerate(sizes)], axis=1)
