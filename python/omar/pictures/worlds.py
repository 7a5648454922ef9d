"""Pictures of particle worlds: agents with their trails, landmarks, and lines of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .canvas import Canvas, caption_height

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from .canvas import Color, Image

    Points = npt.NDArray[np.floating]

LEARNERS: tuple[Color, ...] = ((31, 95, 168), (86, 152, 214), (22, 62, 110), (120, 110, 190))
PREY: Color = (213, 94, 0)
OBSTACLE: Color = (90, 90, 96)
FOOD: Color = (150, 110, 40)
FOREST: Color = (0, 130, 90)
TARGET: Color = (30, 30, 34)
INK: Color = (40, 40, 46)
FRAME: Color = (222, 222, 228)

SMALL = 0.1  # landmarks below this radius are targets or food, above it forests; obstacles go by number
MARGIN = 1.15  # of what is shown around what lies outermost
LEAST = 1.35  # half of the side that is shown at least
USUAL, LETTERS = 400, 13  # pixels of a picture's side, and of its letters


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment of a world, and the way there.

    Attributes:
        trail: Positions `[T, A, 2]` of the agents until now, the last ones those of now.
        landmarks: `[L, 2]`.
        agent_sizes: Radii `[A]`.
        landmark_sizes: Radii `[L]`.
        obstacles: How many landmarks, the first ones, agents collide with.
        learners: How many agents, the first ones, learn; the others are preys.
        caption: Lines of text, above the world.
    """

    trail: Points
    landmarks: Points
    agent_sizes: Sequence[float]
    landmark_sizes: Sequence[float]
    obstacles: int
    learners: int
    caption: Sequence[str] = ()

    @property
    def targets(self) -> list[bool]:
        """Which landmarks agents shall go to, `[L]`: the small ones, where no prey eats them."""
        prey = self.trail.shape[1] > self.learners
        return [
            i >= self.obstacles and size < SMALL and not prey for i, size in enumerate(self.landmark_sizes)
        ]

    @property
    def extent(self) -> float:
        """Half of the side of a square around the origin that holds everything."""
        outermost = max(float(np.abs(self.trail).max()), float(np.abs(self.landmarks).max(initial=0.0)))
        return max(LEAST, MARGIN * outermost)


def draw_scene(scene: Scene, *, pixels: int = 400, extent: float | None = None) -> Image:
    """The picture of a moment.

    Args:
        scene: What to draw.
        pixels: Side of the picture.
        extent: Half of the side of the square that is shown; None: the scene's own. A clip has one for all
            of its pictures.

    Returns:
        `[pixels, pixels, 3]`, uint8.
    """
    letters = letter_size(pixels)
    head = caption_height(len(scene.caption), letters) if scene.caption else 0
    canvas = Canvas(pixels, extent or scene.extent, head=head)
    unit = max(pixels / USUAL, 0.5)  # lines and letters are as wide in a picture of another size
    _draw_frame(canvas, unit)
    for number, (place, size) in enumerate(zip(scene.landmarks, scene.landmark_sizes, strict=True)):
        if not scene.targets[number]:
            _draw_landmark(canvas, place, size, obstacle=number < scene.obstacles)
    for agent in range(scene.trail.shape[1]):
        _draw_trail(canvas, scene.trail[:, agent], _color(scene, agent), unit)
    for agent, (x, y) in enumerate(scene.trail[-1]):
        radius = scene.agent_sizes[agent]
        canvas.disc(x, y, radius, _color(scene, agent), opacity=0.9)
        canvas.ring(x, y, radius, (255, 255, 255), width=1.2 * unit)
    for place, target in zip(scene.landmarks, scene.targets, strict=True):
        if target:
            _draw_target(canvas, place, unit)
    canvas.caption(scene.caption, INK, letters)
    return canvas.image


def letter_size(pixels: int) -> int:
    """Height of a caption's letters in a picture that is so many pixels high."""
    return max(round(LETTERS * pixels / USUAL), 10)


def _color(scene: Scene, agent: int) -> Color:
    return LEARNERS[agent % len(LEARNERS)] if agent < scene.learners else PREY


def _draw_frame(canvas: Canvas, unit: float) -> None:
    """The square [-1, 1]^2, in which worlds start."""
    corners = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))
    for start, end in zip(corners, (*corners[1:], corners[0]), strict=True):
        canvas.line(start, end, FRAME, width=unit)


def _draw_landmark(canvas: Canvas, place: Points, size: float, *, obstacle: bool) -> None:
    x, y = map(float, place)
    if obstacle:
        canvas.disc(x, y, size, OBSTACLE)
    elif size < SMALL:
        canvas.disc(x, y, size, FOOD)
    else:
        canvas.disc(x, y, size, FOREST, opacity=0.35)


def _draw_target(canvas: Canvas, place: Points, unit: float) -> None:
    """A point to go to: a cross that agents do not hide."""
    x, y = map(float, place)
    reach = 0.045
    for color, width in (((255, 255, 255), 4.5 * unit), (TARGET, 2.0 * unit)):
        canvas.line((x - reach, y - reach), (x + reach, y + reach), color, width)
        canvas.line((x - reach, y + reach), (x + reach, y - reach), color, width)


def _draw_trail(canvas: Canvas, points: Points, color: Color, unit: float) -> None:
    """Fainter the longer ago."""
    for step in range(1, len(points)):
        start, end = (tuple(map(float, p)) for p in points[step - 1 : step + 1])
        opacity = 0.1 + 0.4 * step / len(points)
        canvas.line(start, end, color, 2.0 * unit, opacity)  # type: ignore[arg-type]
