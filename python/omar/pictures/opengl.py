"""OpenGL without a display: EGL, which graphics drivers and Mesa bring, else OSMesa."""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from textwrap import shorten
from typing import Any

from ..errors import OmarError

# What a child process tries: PyOpenGL cannot change its mind about EGL once it is imported.
_PROBE = "import mujoco.egl; mujoco.egl.GLContext(8, 8).make_current()"
_PROBE_SECONDS = 60.0
REASON = 80  # characters of a driver's error that the message repeats


def open_context(width: int, height: int) -> Any:
    """A current OpenGL context that draws into memory, with a `free()`.

    `MUJOCO_GL=egl` or `MUJOCO_GL=osmesa` chooses. By default it is EGL where EGL works.

    Args:
        width: Of the largest picture, in pixels.
        height: Of the largest picture, in pixels.

    Raises:
        OmarError: A library is missing; the sentence says which one to install.
    """
    linux = sys.platform == "linux"
    if linux and find_spec("OpenGL") is None:
        raise OmarError('pictures of half_cheetah need PyOpenGL: pip install "omar[video]"')
    try:
        if not linux:  # MuJoCo's own choice needs no display there
            import mujoco

            return _current(mujoco.GLContext, width, height)
        return _current(_context_class(), width, height)
    except OmarError:
        raise
    except Exception as error:  # of many kinds, by platform and driver
        raise OmarError(
            "pictures of half_cheetah need OpenGL without a display, but neither EGL nor OSMesa works here "
            f"({_reason(error)}): apt install libegl1 libgl1 libgl1-mesa-dri"
        ) from None


def _current(kind: Any, width: int, height: int) -> Any:
    context = kind(width, height)
    context.make_current()
    return context


@cache
def _context_class() -> Any:
    """MuJoCo's context of the kind that works."""
    chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
    spare = chosen != "egl" and ctypes.util.find_library("OSMesa") is not None
    if chosen == "osmesa" or (spare and not _egl_works()):
        from mujoco.osmesa import GLContext
    else:
        from mujoco.egl import GLContext
    return GLContext


def _egl_works() -> bool:
    """Whether a process of its own can open a context."""
    command = [sys.executable, "-c", _PROBE]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_PROBE_SECONDS)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _reason(error: Exception) -> str:
    """The first words of an error, as many as fit into a sentence."""
    text = " ".join(str(error).split()) or type(error).__name__
    return shorten(text, REASON, placeholder=" ...")
