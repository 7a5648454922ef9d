"""Pictures of the particle tasks, drawn when the site is built: an episode of the experts in each of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.image import imsave

import omar
from omar.behaviors import shipped
from omar.pictures import Scene, draw_scene
from omar.tasks import TASKS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from sphinx.application import Sphinx

    from omar.tasks import Task

FOLDER = Path(__file__).parents[1] / "pictures"
SEED, EPISODES = 3, 64
NEAR, FAR = 1.1, 1e6  # positions; and what the return of an episode loses that leaves them


def draw(task: Task, pixels: int = 400) -> npt.NDArray[np.uint8]:
    """The last moment of an episode: of several, the best one whose agents stay near the middle."""
    env = omar.envs.ParticleEnv(task.environment, num_envs=EPISODES, seed=SEED)
    experts = shipped.load(task.name, "expert")
    preys = [omar.load_prey(task.name)] if task.has_prey else []
    observations = env.reset()
    states, rewards = [env.state()], []
    for _ in range(env.episode_length - 1):
        actions = [experts(observations[:, : env.num_learners, : task.obs_size])]
        actions += [prey(observations[:, env.num_learners :, : task.obs_sizes[-1]]) for prey in preys]
        step = env.step(torch.cat(actions, dim=1))
        observations = step.observations
        rewards.append(step.rewards[:, 0])
        states.append(env.state())
    trails = torch.stack([state.positions for state in states], dim=1)  # [E, T, A, 2]
    away = trails.abs().amax(dim=(1, 2, 3)) > NEAR
    world = int((torch.stack(rewards).sum(dim=0) - away * FAR).argmax())
    bodies = env.bodies
    scene = Scene(
        trails[world].numpy(),
        states[-1].landmarks[world].numpy(),
        bodies.agents,
        bodies.landmarks,
        bodies.obstacles,
        env.num_learners,
    )
    return draw_scene(scene, pixels=pixels)


def draw_all(_app: Sphinx) -> None:
    """Draws every particle task."""
    FOLDER.mkdir(exist_ok=True)
    for name in omar.envs.scenario_names():
        if name in TASKS:
            imsave(FOLDER / f"{name}.png", draw(TASKS[name]))


def setup(app: Sphinx) -> dict[str, Any]:
    """Draws before pages are read."""
    app.connect("builder-inited", draw_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
