"""The picture of the four tasks, after the paper's figure 5: `python docs/figure5.py` draws tasks.png.

Particle tasks: the end of an episode of the shipped experts, with its trails, as on the page of the tasks.
HalfCheetah: at rest, with motors that are off. It needs `pip install "omar[video]"`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from omar.envs import HalfCheetahEnv
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
SETTLED = 40  # steps after which the cheetah stands still
INK = (40, 40, 46)


def cheetah() -> npt.NDArray[np.uint8]:
    """HalfCheetah, standing."""
    env = HalfCheetahEnv()
    env.reset()
    for _ in range(SETTLED):
        env.step(torch.zeros(1, 2, 3))
    return CheetahCamera(model_xml(), PIXELS).draw(env.state().qpos[0].numpy())


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
