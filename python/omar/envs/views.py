"""One particle world as the libraries of others see it: what PettingZoo's and Gymnasium's views share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from ..errors import OmarError
from ..pictures import Scene, draw_scene
from ..tasks import get_task
from .particle import ParticleEnv

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..pictures.canvas import Image

    Array = npt.NDArray[np.float32]

Prey: TypeAlias = Callable[["torch.Tensor"], "torch.Tensor"]
"""Observations [E, P, O] of P preys in E worlds -> actions [E, P, 2]: an `omar.Policy` of a prey, for one."""

RENDER_MODES = ("rgb_array", "human")


class Worlds:
    """E worlds of a task with an optional policy for the prey: arrays in, arrays out.

    Attributes:
        env: The worlds.
        actors: How many agents get their actions from outside, the first ones.
    """

    def __init__(
        self, task: str, *, num_envs: int, prey: Prey | None, reward: str, num_agents: int | None
    ) -> None:
        """Args as those of `parallel_env`."""
        spec = get_task(task)
        agents = spec.num_learners if num_agents is None else num_agents
        self.env = ParticleEnv(spec.environment, num_envs=num_envs, reward=reward, num_agents=agents)
        if prey is not None and not spec.has_prey:
            raise OmarError(f"{task} has no prey, but `prey` was given")
        self.prey = prey
        self.actors = self.env.num_learners if prey is not None else self.env.num_agents
        self.observations = self.env.observe()

    def reset(self, seed: int | None = None) -> Array:
        """Starts all worlds again; observations `[E, A, max O]`."""
        self.observations = self.env.reset(seed)
        return array(self.observations)

    def step(self, actions: npt.NDArray[Any]) -> tuple[Array, Array, npt.NDArray[np.bool_], Array]:
        """One step; `actions` `[E, actors, 2]`, clipped to [-1, 1].

        Returns:
            Observations after auto-reset `[E, A, max O]`, rewards `[E, A]`, truncated `[E]`, and the
            observations before auto-reset.
        """
        moves = torch.from_numpy(np.clip(np.asarray(actions, np.float32), -1.0, 1.0))
        if self.prey is not None:
            seen = self.observations[:, self.actors :, : self.env.obs_sizes[-1]]
            moves = torch.cat([moves, self.prey(seen).to(moves)], dim=1)
        step = self.env.step(moves)
        self.observations = step.observations
        ended = step.truncated[:, None, None]
        final = torch.where(ended, step.final_observations, step.observations)
        return array(step.observations), array(step.rewards), step.truncated.numpy().copy(), array(final)


class Film:
    """The pictures of one of the worlds: keeps its trail."""

    def __init__(self, worlds: Worlds, mode: str | None) -> None:
        """Args: whose first world, and a render mode or None for no pictures."""
        if mode is not None and mode not in RENDER_MODES:
            raise OmarError(f"`render_mode` must be one of {', '.join(RENDER_MODES)} or None, got {mode!r}")
        self.mode = mode
        self._worlds = worlds
        self._trail: list[Array] = []
        self._landmarks: Array = np.empty((0, 2), np.float32)
        self._window: Any = None
        self._reward = 0.0

    def begin(self) -> None:
        """A new episode."""
        state = self._worlds.env.state()
        self._trail, self._reward = [array(state.positions[0])], 0.0
        self._landmarks = array(state.landmarks[0])

    def go_on(self, reward: float, observations: Array) -> None:
        """One step further.

        Args:
            reward: Mean reward of the learners.
            observations: `[A, max O]`, before auto-reset; every scenario puts an agent's position at 2 and 3.
        """
        self._trail.append(observations[:, 2:4].copy())
        self._reward += reward

    def render(self) -> Image | None:
        """The picture in mode "rgb_array"; in mode "human" it goes to a window."""
        if self.mode is None or not self._trail:
            return None
        env = self._worlds.env
        bodies = env.bodies
        scene = Scene(
            np.stack(self._trail),
            self._landmarks,
            bodies.agents,
            bodies.landmarks,
            bodies.obstacles,
            env.num_learners,
            (f"step {len(self._trail) - 1}", f"return {self._reward:.1f}"),
        )
        image = draw_scene(scene)
        if self.mode == "rgb_array":
            return image
        self._show(image)
        return None

    def _show(self, image: Image) -> None:
        try:
            import pygame
        except ImportError:
            raise OmarError('render_mode="human" needs pygame: pip install "omar[pettingzoo]"') from None
        if self._window is None:
            pygame.display.init()
            self._window = pygame.display.set_mode(image.shape[:2])
            pygame.display.set_caption(f"omar: {self._worlds.env.name}")
        self._window.blit(pygame.surfarray.make_surface(image.swapaxes(0, 1)), (0, 0))
        pygame.display.flip()
        pygame.event.pump()

    def close(self) -> None:
        """Closes the window, where there is one."""
        if self._window is not None:
            import pygame

            pygame.display.quit()
            self._window = None


def array(tensor: torch.Tensor) -> Array:
    """A copy as a float32 array."""
    copy: Array = tensor.numpy().astype(np.float32, copy=True)
    return copy
