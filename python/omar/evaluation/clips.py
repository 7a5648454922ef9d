"""Episodes of a policy as a clip or a sheet of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..envs.film import Film, frame_size, usual_fps
from ..envs.worlds import HALF_CHEETAH
from ..errors import SettingError
from ..pictures import check_clip, check_sheet, open_context, sheet, write_clip, write_picture
from ..runs import ranges
from ..runs.memory import check_worlds
from ..tasks import get_task
from ..terminal.progress import progress_bar
from .play import play

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..behaviors.policy import Policy
    from ..pictures.canvas import Image
    from ..tasks import Task

MOST_EPISODES, MOST_COLUMNS = 1000, 100
SMALLEST, LARGEST = 160, 2160  # pixels
SHORT = 200  # pictures of the clip that a training keeps
SHORT_EPISODES = 4


@dataclass(frozen=True, slots=True)
class Clip:
    """What a clip shows.

    Attributes:
        episodes: How many, one after the other; in a sheet, a row for each.
        seed: Key of the start states.
        steps: Of each episode, from its start; None: all of it.
        fps: Pictures a second; None: as fast as time passes in the task.
        size: Height of the pictures in pixels, a multiple of 4. Particle worlds are as wide, HalfCheetah is
            half as wide again.
        columns: Pictures of each episode in a sheet, at even distances from the start to the end; of 1, the
            end.

    Raises:
        SettingError: A value is out of range.
    """

    episodes: int = 1
    seed: int = 0
    steps: int | None = None
    fps: int | None = None
    size: int = 480
    columns: int = 5

    def __post_init__(self) -> None:
        """Checks the ranges."""
        ranges.between(self, 1, MOST_EPISODES, "episodes")
        ranges.between(self, 0, 2**64 - 1, "seed")
        ranges.at_least(self, 1, "steps")
        ranges.between(self, 1, 120, "fps")
        ranges.between(self, SMALLEST, LARGEST, "size")
        ranges.between(self, 1, MOST_COLUMNS, "columns")
        if self.size % 4:
            raise SettingError("size", f"must be a multiple of 4, got {self.size}")


def render(policy: Policy, path: Path, clip: Clip | None = None, *, progress: bool = True) -> int:
    """Plays episodes of a policy and writes them as an MP4 or a GIF, or as a sheet of pictures, a PNG.

    Args:
        policy: Of a task's learners; it meets its own prey.
        path: Of the file, whose ending says which kind it is. It appears whole or not at all.
        clip: What to show; None: one episode.
        progress: Whether playing and drawing that take longer than two seconds show, on standard error.

    Returns:
        The number of pictures.

    Raises:
        OmarError: Another ending, steps beyond the episode's end, a policy that cannot act, actions that are
            not finite, or a library that is missing.
        OSError: The file cannot be written.
    """
    clip = clip or Clip()
    task = get_task(policy.task)
    steps = task.episode_length if clip.steps is None else clip.steps
    if steps > task.episode_length:
        raise SettingError("steps", f"must be at most {task.episode_length} in {task.name}, got {steps}")
    fps = clip.fps or usual_fps(task.environment)
    is_sheet = path.suffix.lower() == ".png"
    shown = np.linspace(steps, 0, clip.columns).round().astype(int)[::-1] if is_sheet else range(steps + 1)
    moments = list(dict.fromkeys(map(int, shown)))  # a short episode has fewer
    total = clip.episodes * len(moments)
    check_clip(path, pictures=total, fps=fps)
    if is_sheet:
        check_sheet(clip.episodes, len(moments), *frame_size(task.environment, clip.size))
    _check_drawing(task)
    film = _play(policy, task, clip, steps, progress)
    try:
        with progress_bar("Drawing", total, enabled=progress) as advance:

            def draw(episode: int) -> Iterator[Image]:
                title = f"episode {episode + 1} of {clip.episodes}" if clip.episodes > 1 else task.name
                for moment in moments:
                    yield film.draw(moment, episode, title)
                    advance(1)

            if is_sheet:
                write_picture(path, sheet([list(draw(episode)) for episode in range(clip.episodes)]))
            else:
                every = (picture for episode in range(clip.episodes) for picture in draw(episode))
                write_clip(path, every, fps=fps)
    finally:
        film.close()
    return total


def check_video(task: Task) -> None:
    """Finds out whether `write_video` can, before a training.

    Raises:
        OmarError: A library is missing.
    """
    check_clip(Path("video.mp4"), pictures=SHORT, fps=usual_fps(task.environment), writable=False)
    _check_drawing(task)


def _check_drawing(task: Task) -> None:
    """Says what is missing for a task's pictures before anything is played or trained."""
    if task.environment == HALF_CHEETAH:
        open_context(8, 8).free()


def write_video(path: Path, policy: Policy) -> None:
    """The clip that a training keeps: a few episodes of a policy, or the start of a long one.

    Raises:
        OmarError: As `render`.
        OSError: The file cannot be written.
    """
    length = get_task(policy.task).episode_length
    episodes = max(1, min(SHORT_EPISODES, SHORT // length))
    render(policy, path, Clip(episodes=episodes, steps=min(length, SHORT)), progress=False)


def _play(policy: Policy, task: Task, clip: Clip, steps: int, progress: bool) -> Film:
    check_worlds(sum(task.obs_sizes), clip.episodes * (steps + 1), "--episodes")
    film = Film(clip.size)
    with progress_bar("Playing", steps, enabled=progress) as advance:
        for _ in play([policy], task, worlds=clip.episodes, seed=clip.seed, steps=steps, film=film):
            advance(1)
    return film
