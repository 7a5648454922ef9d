"""Pictures of worlds, drawn into arrays: no display and no graphics card are needed."""

from .canvas import Canvas, Color
from .worlds import Scene, draw_scene

__all__ = ["Canvas", "Color", "Scene", "draw_scene"]
