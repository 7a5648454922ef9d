"""Pictures of the HalfCheetah, drawn by MuJoCo: a camera at its side follows it over a checkered floor."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import Canvas
from .opengl import open_context
from .worlds import INK, letter_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from .canvas import Image

DISTANCE, HEIGHT, TILT = 2.8, 0.42, -14.0  # of the camera and what it looks at, metres; degrees downwards
PERIOD = 1.0  # metres after which the floor looks the same: a light and a dark square
LIGHT = (-0.4, -1.0, 3.0)  # where its shadows come from
SAMPLES = 4  # of a pixel, which smooth the edges
MOST_GEOMS = 64


class CheetahCamera:
    """Draws states of a HalfCheetah. It holds an OpenGL context; `close` gives that back.

    Args:
        xml: The model as MJCF, with a geom and a material of the floor, "floor" and "ground".
        pixels: Height of a picture, a multiple of 4; it is half as wide again.

    Raises:
        OmarError: There is no OpenGL here.
    """

    def __init__(self, xml: str, pixels: int = 400) -> None:
        import mujoco

        self.pixels, self.width = pixels, 3 * pixels // 2
        self._model = model = mujoco.MjModel.from_xml_string(xml)
        _prepare(model, self.width, pixels)
        self._data = mujoco.MjData(model)
        self._scene = mujoco.MjvScene(model, MOST_GEOMS)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_HAZE] = False
        self._look = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.azimuth, self._camera.elevation, self._camera.distance = 90.0, TILT, DISTANCE
        self._context: Any = open_context(self.width, pixels)
        self._renderer = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._renderer)

    def draw(self, qpos: npt.NDArray[np.floating[Any]], caption: Sequence[str] = ()) -> Image:
        """The picture of a state.

        Args:
            qpos: `[9]`: x, z and pitch of the torso, then six joints.
            caption: Lines of text.

        Returns:
            `[pixels, 3 pixels / 2, 3]`, uint8.
        """
        import mujoco

        self._data.qpos[:] = qpos
        self._data.qpos[0] %= PERIOD  # the same picture, and never far from the light
        mujoco.mj_forward(self._model, self._data)
        self._camera.lookat[:] = (self._data.body("torso").xpos[0], 0.0, HEIGHT)
        mujoco.mjv_updateScene(
            self._model, self._data, self._look, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        self._context.make_current()
        frame = mujoco.MjrRect(0, 0, self.width, self.pixels)
        image = np.empty((self.pixels, self.width, 3), np.uint8)
        mujoco.mjr_render(frame, self._scene, self._renderer)
        mujoco.mjr_readPixels(image, None, frame, self._renderer)
        canvas = Canvas.over(image[::-1])  # OpenGL counts rows from below
        canvas.caption(caption, INK, letter_size(self.pixels))
        return canvas.image

    def close(self) -> None:
        """Gives the context back; pictures are over."""
        if self._context is not None:
            self._context.make_current()
            self._renderer.free()
            self._context.free()
            self._context = None

    def __del__(self) -> None:
        if getattr(self, "_context", None) is not None:
            with suppress(Exception):  # at the end of a program EGL may have gone already
                self.close()


def _prepare(model: Any, width: int, height: int) -> None:
    """What pictures need and the physics does not: room for them, squares of the floor, and shadows."""
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height
    model.vis.quality.offsamples = SAMPLES
    model.material("ground").texrepeat[:] = 2 * model.geom("floor").size[:2] / PERIOD  # of half its sides
    model.light_pos[0] = LIGHT
    model.light_dir[0] = (PERIOD / 2 - LIGHT[0], -LIGHT[1], -LIGHT[2])
    model.vis.headlight.ambient[:] = 0.3
    model.vis.quality.shadowsize = 2048
