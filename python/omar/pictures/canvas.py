"""A small rasteriser: discs, rings, lines and text with smooth edges, drawn into a numpy array."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

Color: TypeAlias = tuple[int, int, int]
"""Red, green and blue, 0..255."""
Image: TypeAlias = "npt.NDArray[np.uint8]"


class Canvas:
    """A square picture of the part `[-extent, extent]^2` of a world: x to the right, y upwards.

    Of an image that is there already, `over(image)` makes one that shapes and text are drawn onto.

    Shapes cover what was drawn before them. Positions and sizes are in the world's units, line widths and
    text in pixels.
    """

    def __init__(
        self, pixels: int, extent: float, background: Color = (255, 255, 255), *, head: int = 0
    ) -> None:
        """An empty picture.

        Args:
            pixels: Its side.
            extent: Half of the side of what it shows.
            background: The colour of nothing.
            head: Height in pixels of a strip at the top where there is room for a caption; what is shown lies
                below, smaller.
        """
        self._pixels = np.empty((pixels, pixels, 3), np.float32)
        self._pixels[:] = background
        self._scale = (pixels - head) / (2 * extent)
        self._head = head

    @classmethod
    def over(cls, image: Image, extent: float = 1.0) -> Canvas:
        """A canvas that shows an image `[height, width, 3]`, `extent` being half of its height."""
        canvas = cls(0, 1.0)
        canvas._pixels = image.astype(np.float32)
        canvas._scale = len(image) / (2 * extent)
        return canvas

    @property
    def image(self) -> Image:
        """The picture, `[height, width, 3]`."""
        return (self._pixels + 0.5).astype(np.uint8)

    def disc(self, x: float, y: float, radius: float, color: Color, opacity: float = 1.0) -> None:
        """A filled disc."""
        self._stroke((x, y), (x, y), radius * self._scale, color, opacity)

    def ring(self, x: float, y: float, radius: float, color: Color, width: float = 1.5) -> None:
        """A circle; its line is `width` pixels wide and lies inside the radius."""
        column, row = self._place(x, y)
        outer = radius * self._scale
        window = self._window(column - outer, column + outer, row - outer, row + outer)
        if window is not None:
            rows, columns = np.ogrid[window]
            distance = np.hypot(columns + 0.5 - column, rows + 0.5 - row)
            inside = _coverage(outer - distance) * (1.0 - _coverage(outer - width - distance))
            self._blend(window, inside, color)

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        color: Color,
        width: float = 2.0,
        opacity: float = 1.0,
    ) -> None:
        """A line with round ends, `width` pixels wide."""
        self._stroke(start, end, width / 2, color, opacity)

    def text(self, left: int, top: int, text: str, color: Color, size: int = 13) -> None:
        """One line of text, its upper left corner at a pixel, 0 or more; `size` is its height in pixels."""
        rows, columns, _ = self._pixels.shape
        letters = _letters(text, size)[: max(rows - top, 0), : max(columns - left, 0)]
        height, width = letters.shape
        self._blend((slice(top, top + height), slice(left, left + width)), letters, color)

    def caption(self, lines: Sequence[str], color: Color, size: int = 13) -> None:
        """Lines of text in the upper left corner, on a pale ground that keeps them readable."""
        if not lines:
            return
        gap, margin = round(1.3 * size), round(0.6 * size)
        width = max(_letters(line, size).shape[1] for line in lines)
        ground = np.full((caption_height(len(lines), size), width + 2 * margin), 0.75, np.float32)
        ground = ground[: self._pixels.shape[0], : self._pixels.shape[1]]
        self._blend((slice(0, ground.shape[0]), slice(0, ground.shape[1])), ground, (255, 255, 255))
        for number, line in enumerate(lines):
            self.text(margin, margin // 2 + gap * number, line, color, size)

    def _place(self, x: float, y: float) -> tuple[float, float]:
        """Column and row of a point, fractions included."""
        rows, columns, _ = self._pixels.shape
        return columns / 2 + x * self._scale, (rows + self._head) / 2 - y * self._scale

    def _stroke(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        reach: float,
        color: Color,
        opacity: float,
    ) -> None:
        """All that lies within `reach` pixels of a segment."""
        (x0, y0), (x1, y1) = self._place(*start), self._place(*end)
        window = self._window(
            min(x0, x1) - reach, max(x0, x1) + reach, min(y0, y1) - reach, max(y0, y1) + reach
        )
        if window is None:
            return
        rows, columns = np.ogrid[window]
        dx, dy = columns + 0.5 - x0, rows + 0.5 - y0
        squared = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = 0.0 if squared == 0 else np.clip((dx * (x1 - x0) + dy * (y1 - y0)) / squared, 0, 1)
        distance = np.hypot(dx - along * (x1 - x0), dy - along * (y1 - y0))
        self._blend(window, opacity * _coverage(reach - distance), color)

    def _window(
        self, left: float, right: float, top: float, bottom: float
    ) -> tuple[slice[int, int, Any], slice[int, int, Any]] | None:
        """Rows and columns of a box with a margin of a pixel; None where it lies outside of the picture."""
        rows, columns, _ = self._pixels.shape
        edges = np.array([top - 1, bottom + 2, left - 1, right + 2])
        box = np.clip(edges, 0, (rows, rows, columns, columns)).astype(int).tolist()
        if box[0] >= box[1] or box[2] >= box[3]:
            return None
        return slice(box[0], box[1]), slice(box[2], box[3])

    def _blend(
        self, window: tuple[slice[int, int, Any], slice[int, int, Any]], share: npt.NDArray[Any], color: Color
    ) -> None:
        part = self._pixels[window]
        part += share[..., None] * (np.array(color, np.float32) - part)


def caption_height(lines: int, size: int) -> int:
    """Pixels that a caption takes."""
    return round(1.3 * size) * lines + round(0.6 * size)


def _coverage(depth: Any) -> Any:
    """Share of a pixel that a shape covers whose edge is `depth` pixels further out than its middle."""
    return np.clip(depth + 0.5, 0.0, 1.0)


@lru_cache(maxsize=512)  # a clip writes other numbers into every picture
def _letters(text: str, size: int) -> npt.NDArray[np.float32]:
    """Share of each pixel that a line of text covers, `[height, width]`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second to import
    from matplotlib.figure import Figure

    width = size * max(len(text), 1)  # no letter is wider than a line is high
    figure = Figure(figsize=(width / 100, 1.5 * size / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    figure.text(0, 0.3, text, fontsize=0.72 * size, family="DejaVu Sans")  # pixels, at 100 to an inch
    canvas.draw()  # type: ignore[no-untyped-call]
    shades = np.asarray(canvas.buffer_rgba(), np.float32)[..., 0]  # type: ignore[no-untyped-call]
    share: npt.NDArray[np.float32] = 1.0 - shades / 255.0
    used = np.flatnonzero(share.any(axis=0))
    return share[:, : used[-1] + 1] if len(used) else share[:, :1]
