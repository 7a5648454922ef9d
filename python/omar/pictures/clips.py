"""Clips and sheets of pictures as files: MP4 (H.264), GIF and PNG, which appear whole or not at all."""

from __future__ import annotations

import io
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import OmarError
from ..runs.files import check_writable, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .canvas import Image

KINDS = (".mp4", ".gif", ".png")
FASTEST_GIF = 50  # pictures a second: viewers show shorter ones slowly
LONGEST_GIF = 1500  # pictures, which are held in memory
LARGEST_SHEET = 10**8  # pixels
GAP, GREY = 6, 224  # pixels between the pictures of a sheet, and their shade
QUALITY = "18"  # x264's rate factor: no difference can be seen


def check_clip(path: Path, *, pictures: int, fps: int, writable: bool = True) -> None:
    """Finds out whether a clip can be written, before it is played.

    Args:
        path: Of the file; its ending is one of KINDS.
        pictures: How many it will have.
        fps: Pictures a second.
        writable: Whether to try if the file can be written.

    Raises:
        OmarError: Another ending, a clip that a GIF is not for, or a library that is missing.
        OSError: The file cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise OmarError(f"the file must end in {', '.join(KINDS[:-1])} or {KINDS[-1]}, got {path}")
    if kind == ".mp4":
        _ffmpeg()
    if kind == ".gif" and fps > FASTEST_GIF:
        raise OmarError(f"a GIF shows at most {FASTEST_GIF} pictures a second, got {fps}: write an .mp4")
    if kind == ".gif" and pictures > LONGEST_GIF:
        raise OmarError(f"a GIF of {pictures} pictures is too long, {LONGEST_GIF} is the most: write an .mp4")
    if writable:
        check_writable(path)


def write_clip(path: Path, pictures: Iterator[Image], *, fps: int) -> None:
    """Writes a clip as an MP4 or a GIF, by the ending of the path.

    Args:
        path: Of the file.
        pictures: `[height, width, 3]` each, uint8, all of one size; for an MP4 both are even.
        fps: Pictures a second; a GIF counts in hundredths of a second.

    Raises:
        OmarError: ffmpeg failed.
        OSError: The disk refused.
    """
    make = _mp4 if path.suffix.lower() == ".mp4" else _gif
    write_atomically(path, make(pictures, fps))


def write_picture(path: Path, picture: Image) -> None:
    """Writes a picture `[height, width, 3]` as a PNG.

    Raises:
        OSError: The disk refused.
    """
    from PIL import Image as Pillow

    data = io.BytesIO()
    Pillow.fromarray(picture).save(data, format="png", optimize=True)
    write_atomically(path, data.getvalue())


def check_sheet(rows: int, columns: int, height: int, width: int) -> None:
    """Refuses a sheet of more pixels than a viewer opens.

    Raises:
        OmarError: It has.
    """
    if rows * columns * height * width > LARGEST_SHEET:
        raise OmarError(
            f"a PNG of {rows} by {columns} pictures of {width} x {height} pixels is too large: ask for fewer "
            f"--episodes or --columns, or a smaller --size"
        )


def sheet(rows: Sequence[Sequence[Image]]) -> Image:
    """Pictures of one size in rows of equal length, with a grey line between them."""
    return _joined([_joined(row, axis=1) for row in rows], axis=0)


def side_by_side(pictures: Sequence[Image]) -> Image:
    """Pictures of one height in a row, with a grey line between them."""
    return _joined(pictures, axis=1)


def _joined(pictures: Sequence[Image], axis: int) -> Image:
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    line = np.full(shape, GREY, np.uint8)
    parts = [part for picture in pictures for part in (line, picture)][1:]
    return np.concatenate(parts, axis=axis)


def _gif(pictures: Iterator[Image], fps: int) -> bytes:
    from PIL import Image as Pillow

    frames = (Pillow.fromarray(picture).quantize(dither=Pillow.Dither.NONE) for picture in pictures)
    data = io.BytesIO()
    duration = 10 * max(round(100 / fps), 2)  # milliseconds
    next(frames).save(
        data, format="gif", save_all=True, append_images=frames, duration=duration, loop=0, optimize=False
    )
    return data.getvalue()


def _mp4(pictures: Iterator[Image], fps: int) -> bytes:
    """The bytes of an MP4. Its file is written from the middle, so ffmpeg gets one of its own."""
    first = next(pictures)
    height, width, _ = first.shape
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    codec = ["-an", "-c:v", "libx264", "-crf", QUALITY, "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    with tempfile.TemporaryDirectory(prefix="omar-clip-") as folder:
        file, log = Path(folder) / "clip.mp4", Path(folder) / "log"
        command = [_ffmpeg(), "-v", "error", *raw, *codec, str(file)]
        # A pipe that breaks is an ffmpeg that gave up: its status tells. Ctrl-C is for this process alone.
        with (
            log.open("wb") as errors,
            suppress(BrokenPipeError),
            subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors, start_new_session=True) as ffmpeg,  # noqa: S603
        ):
            assert ffmpeg.stdin is not None  # noqa: S101 - for the type checker
            for picture in chain([first], pictures):
                ffmpeg.stdin.write(np.ascontiguousarray(picture).data)
        if ffmpeg.returncode != 0 or not file.is_file():
            said = log.read_text(encoding="utf-8", errors="replace").split("\n")
            reason = next((line.strip() for line in reversed(said) if line.strip()), "it says no reason")
            raise OmarError(f"ffmpeg could not write the video: {reason}")
        return file.read_bytes()


def _ffmpeg() -> str:
    """Path of ffmpeg.

    Raises:
        OmarError: There is none.
    """
    if find_spec("imageio_ffmpeg") is None:
        raise OmarError('an MP4 needs imageio-ffmpeg: pip install "omar[video]", or write a .gif')
    from imageio_ffmpeg import get_ffmpeg_exe

    try:
        return str(get_ffmpeg_exe())
    except RuntimeError:
        raise OmarError(
            "an MP4 needs ffmpeg, and imageio-ffmpeg has none for this machine: set IMAGEIO_FFMPEG_EXE to "
            "one, or write a .gif"
        ) from None
