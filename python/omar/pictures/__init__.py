"""Pictures of worlds, drawn into arrays without a display, and files of them."""

from .canvas import Canvas, Color
from .cheetah import CheetahCamera
from .clips import check_clip, check_sheet, sheet, side_by_side, write_clip, write_picture
from .opengl import open_context
from .worlds import Scene, draw_scene

__all__ = [
    "Canvas",
    "CheetahCamera",
    "Color",
    "Scene",
    "check_clip",
    "check_sheet",
    "draw_scene",
    "open_context",
    "sheet",
    "side_by_side",
    "write_clip",
    "write_picture",
]
