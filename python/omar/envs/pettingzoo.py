"""PettingZoo's view of a task: a `ParallelEnv` of one world."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from .views import RENDER_MODES, Prey, Worlds, array

Values = dict[str, Any]  # by agent


class ParallelTaskEnv(ParallelEnv):  # type: ignore[misc] # of another library, without types
    """What `omar.envs.parallel_env` returns; see there."""

    def __init__(
        self, task: str, *, prey: Prey | None, render_mode: str | None, reward: str, num_agents: int | None
    ) -> None:
        self._worlds = Worlds(
            task, num_envs=1, prey=prey, reward=reward, num_agents=num_agents, render_mode=render_mode
        )
        self.render_mode = render_mode
        self.metadata = {
            "name": f"omar_{task}",
            "render_modes": list(RENDER_MODES),
            "is_parallelizable": True,
            "render_fps": self._worlds.fps,
        }
        env = self._worlds.env
        learner = "agent" if env.num_agents == env.num_learners else "adversary"  # names of MPE
        names = [f"{learner}_{i}" for i in range(env.num_learners)]
        names += [f"agent_{i}" for i in range(env.num_agents - env.num_learners)]
        self.possible_agents = names[: self._worlds.actors]
        self.agents: list[str] = []
        self._actions = {name: spaces.Box(-1.0, 1.0, (env.action_size,)) for name in self.possible_agents}
        self._observations = {
            name: spaces.Box(-np.inf, np.inf, (size,))
            for name, size in zip(self.possible_agents, env.obs_sizes, strict=False)
        }
        self.state_space = spaces.Box(-np.inf, np.inf, self.state().shape)

    def observation_space(self, agent: str) -> spaces.Box:
        """An agent's observation: `(O,)`, float32."""
        return self._observations[agent]

    def action_space(self, agent: str) -> spaces.Box:
        """An agent's action: `(A,)` in [-1, 1]; 2 numbers in particle tasks, 3 in HalfCheetah."""
        return self._actions[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Values, Values]:
        """Starts an episode; a seed starts the random numbers anew."""
        del options  # there are none
        self.agents = self.possible_agents[:]
        observations = self._worlds.reset(seed)
        return self._by_agent(observations), {name: {} for name in self.agents}

    def step(self, actions: Values) -> tuple[Values, Values, Values, Values, Values]:
        """One step of all agents. Episodes are truncated after the task's time and never terminated."""
        if not self.agents:
            return {}, {}, {}, {}, {}
        moves = np.stack([np.asarray(actions[name], np.float32) for name in self.agents])
        _, rewards, truncated, final = self._worlds.step(moves[None])
        names = self.agents
        observations = self._by_agent(final)
        if truncated[0]:
            self.agents = []
        return (
            observations,
            {name: float(r) for name, r in zip(names, rewards[0], strict=False)},
            dict.fromkeys(names, False),
            dict.fromkeys(names, bool(truncated[0])),
            {name: {} for name in names},
        )

    def state(self) -> Any:
        """Positions and velocities of all agents, the prey included, and positions of the landmarks.

        Of HalfCheetah `qpos` and `qvel`.
        """
        *parts, _ = self._worlds.env.state()
        return np.concatenate([array(part[0]).ravel() for part in parts])

    def render(self) -> Any:
        """The world as it is: an array `[400, 400, 3]`, HalfCheetah `[400, 600, 3]`, or a window."""
        return self._worlds.render()

    def close(self) -> None:
        """Closes the window."""
        self._worlds.close()

    def _by_agent(self, observations: Any) -> Values:
        sizes = self._worlds.env.obs_sizes
        return {name: observations[0, i, : sizes[i]].copy() for i, name in enumerate(self.possible_agents)}
