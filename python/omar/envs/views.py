"""Worlds of a task as the libraries of others see them: what PettingZoo's and Gymnasium's views share."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from ..errors import OmarError
from ..tasks import get_task
from .film import Film, usual_fps
from .particle import ParticleEnv
from .worlds import HALF_CHEETAH, task_env

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..pictures.canvas import Image
    from ..tasks import Task
    from .worlds import Env

    Array = npt.NDArray[np.float32]

Prey: TypeAlias = Callable[["torch.Tensor"], "torch.Tensor"]
"""Observations [E, P, O] of P preys in E worlds -> actions [E, P, 2]: an `omar.Policy` of a prey, for one."""

RENDER_MODES = ("rgb_array", "human")


class Worlds:
    """E worlds of a task with an optional policy for the prey: arrays in, arrays out.

    Attributes:
        env: The worlds.
        actors: How many agents get their actions from outside, the first ones.
        render_mode: "rgb_array", "human" or None: no pictures.
        fps: Pictures a second at which the first world runs as fast as time.
    """

    def __init__(
        self,
        task: str,
        *,
        num_envs: int,
        prey: Prey | None,
        reward: str,
        num_agents: int | None,
        render_mode: str | None = None,
    ) -> None:
        """Args as those of `parallel_env`."""
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise OmarError(
                f"`render_mode` must be one of {', '.join(RENDER_MODES)} or None, got {render_mode!r}"
            )
        spec = get_task(task)
        self.env = _make_env(spec, num_envs, reward, num_agents)
        if prey is not None and not spec.has_prey:
            raise OmarError(f"{task} has no prey, but `prey` was given")
        self.prey = prey
        self.render_mode = render_mode
        self.fps = usual_fps(spec.environment)
        self._film = None if render_mode is None else Film()
        self._window = Window(f"omar: {task}")
        self.actors = self.env.num_learners if prey is not None else self.env.num_agents
        self.observations = self.env.observe()

    def reset(self, seed: int | None = None) -> Array:
        """Starts all worlds again; observations `[E, A, max O]`."""
        self.observations = self.env.reset(None if seed is None else index(seed))  # also one of numpy
        if self._film is not None:
            self._film.begin(self.env)
            self._show()
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
        if self._film is not None:
            self._film.go_on(step)
            self._show()
        ended = step.truncated[:, None, None]
        final = torch.where(ended, step.final_observations, step.observations)
        return array(step.observations), array(step.rewards), step.truncated.numpy().copy(), array(final)

    def render(self) -> Image | None:
        """The first world in mode "rgb_array"; in mode "human" it goes to a window."""
        if self._film is None or not len(self._film):
            return None
        if self.render_mode == "human":
            self._show()
            return None
        return self._film.draw()

    def close(self) -> None:
        """Closes the window and ends drawing."""
        self._window.close()
        if self._film is not None:
            self._film.close()

    def _show(self) -> None:
        if self.render_mode == "human" and self._film is not None:
            self._window.show(self._film.draw())


class Window:
    """A window that shows pictures."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._surface: Any = None

    def show(self, image: Image) -> None:
        """Shows a picture, in the window's first size."""
        try:
            import pygame
        except ImportError:
            raise OmarError('render_mode="human" needs pygame: pip install "omar[pettingzoo]"') from None
        picture = pygame.surfarray.make_surface(image.swapaxes(0, 1))
        if self._surface is None:
            pygame.display.init()
            self._surface = pygame.display.set_mode(picture.get_size())
            pygame.display.set_caption(self._title)
        self._surface.blit(picture, (0, 0))
        pygame.display.flip()
        pygame.event.pump()

    def close(self) -> None:
        """Closes the window, where there is one."""
        if self._surface is not None:
            import pygame

            pygame.display.quit()
            self._surface = None


def _make_env(task: Task, num_envs: int, reward: str, num_agents: int | None) -> Env:
    if task.environment == HALF_CHEETAH:
        if reward != "omar" or num_agents not in (None, task.num_agents):
            raise OmarError(f"{task.name} has 2 agents and one reward: leave out `num_agents` and `reward`")
        return task_env(task, num_envs=num_envs)
    agents = task.num_learners if num_agents is None else num_agents
    return ParticleEnv(task.environment, num_envs=num_envs, reward=reward, num_agents=agents)


def array(tensor: torch.Tensor) -> Array:
    """A copy as a float32 array."""
    copy: Array = tensor.numpy().astype(np.float32, copy=True)
    return copy
