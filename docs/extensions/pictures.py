"""Pictures of the particle tasks, drawn when the site is built: an episode of the experts in each of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.image import imsave

import omar
from omar.behaviors import shipped
from omar.pictures import Scene, draw_scene
from omar.tasks import TASKS

if TYPE_CHECKING:
    import numpy.typing as npt
    from sphinx.application import Sphinx

    from omar.tasks import Task

FOLDER = Path(__file__).parents[1] / "pictures"
SEED = 3


def draw(task: Task) -> npt.NDArray[np.uint8]:
    """The last moment of an episode."""
    env = omar.envs.ParticleEnv(task.environment, seed=SEED)
    experts = shipped.load(task.name, "expert")
    preys = [omar.load_prey(task.name)] if task.has_prey else []
    observations = env.reset()
    trail = [env.state().positions[0].numpy()]
    for _ in range(env.episode_length - 1):
        actions = [experts(observations[:, : env.num_learners, : task.obs_size])]
        actions += [prey(observations[:, env.num_learners :, : task.obs_sizes[-1]]) for prey in preys]
        observations = env.step(torch.cat(actions, dim=1)).observations
        trail.append(env.state().positions[0].numpy())
    bodies = env.bodies
    scene = Scene(
        np.stack(trail),
        env.state().landmarks[0].numpy(),
        bodies.agents,
        bodies.landmarks,
        bodies.obstacles,
        env.num_learners,
    )
    return draw_scene(scene, pixels=480)


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
