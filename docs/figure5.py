"""The picture of the four tasks, after the paper's figure 5: `python docs/figure5.py` draws tasks.png.

Particle tasks: the end of an episode of the shipped experts, with its trails, as on the page of the tasks.
HalfCheetah: the shipped expert at a gallop. It needs `pip install "omar[video]"`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omar.behaviors import shipped
from omar.envs import task_env
from omar.envs.cheetah_model import model_xml
from omar.pictures import Canvas, CheetahCamera, side_by_side, write_picture
from omar.tasks import TASKS

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

from pictures import draw  # noqa: E402 - of the site

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PIXELS = 320
STEPS = 104  # of the cheetah until its picture
INK = (40, 40, 46)


def cheetah() -> npt.NDArray[np.uint8]:
    """HalfCheetah, a few steps after it has found its gait."""
    task = TASKS["half_cheetah"]
    env = task_env(task, num_envs=1)
    expert = shipped.load(task.name, "expert")
    observations = env.reset()
    for _ in range(STEPS):
        observations = env.step(expert(observations)).observations
    return CheetahCamera(model_xml(), PIXELS).draw(env.state()[0][0].numpy())


def titled(picture: npt.NDArray[np.uint8], title: str) -> npt.NDArray[np.uint8]:
    """The picture with a line of text."""
    canvas = Canvas.over(picture)
    canvas.caption([title], INK, 14)
    return canvas.image


if __name__ == "__main__":
    found = {name: draw(TASKS[name], PIXELS) for name in ("simple_spread", "simple_tag", "simple_world")}
    found["half_cheetah"] = cheetah()
    write_picture(
        HERE / "tasks.png", side_by_side([titled(picture, name) for name, picture in found.items()])
    )
