"""What happened in worlds, kept as they are played, and pictures of any moment of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..pictures import CheetahCamera, Scene, draw_scene
from .cheetah_model import model_xml
from .half_cheetah import STEP_SECONDS, HalfCheetahEnv
from .worlds import HALF_CHEETAH

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..pictures.canvas import Image
    from .half_cheetah import HalfCheetahStep
    from .particle import ParticleEnv, Step
    from .worlds import Env

    Array = npt.NDArray[np.floating[Any]]

PIXELS = 400
PARTICLE_FPS, CHEETAH_FPS = 10, round(1 / STEP_SECONDS)  # at which a second lasts a second


class Film:
    """The newest episode of each of E worlds.

    `begin` is told of a reset and `go_on` of every step after it; `draw` gives the picture of a moment: 0 is
    the start, t the world after t steps.
    """

    def __init__(self, pixels: int = PIXELS) -> None:
        """Args: height of the pictures, a multiple of 4."""
        self.pixels = pixels
        self._stage: _Stage | None = None
        self._env: Any = None
        self._places: list[Array] = []
        self._rewards: list[Array] = []

    def __len__(self) -> int:
        """Moments so far."""
        return len(self._places)

    @property
    def returns(self) -> Array:
        """Returns of the episodes so far, `[E]`: sums of the mean reward of the learners."""
        total: Array = np.sum(self._rewards, axis=0)
        return total

    def begin(self, env: Env) -> None:
        """Episodes have begun in all worlds of an environment."""
        if self._env is not env:
            self.close()
            self._env = env
        if isinstance(env, HalfCheetahEnv):
            if self._stage is None:
                self._stage = _Track(env, self.pixels)
        else:
            self._stage = _Plane(env, self.pixels)
        assert self._stage is not None  # noqa: S101 - for the type checker
        self._places, self._rewards = [self._stage.now()], [np.zeros(env.num_envs)]

    def go_on(self, step: Step | HalfCheetahStep) -> None:
        """All worlds are a step further; where an episode ended, the moment is its last one."""
        assert self._stage is not None  # noqa: S101 - begin was called
        self._places.append(self._stage.after(step))
        rewards = step.rewards[:, : self._env.num_learners].double().mean(dim=1)
        self._rewards.append(rewards.cpu().numpy())

    def draw(self, moment: int = -1, world: int = 0, title: str = "") -> Image:
        """The picture of a moment, the last one by default.

        Args:
            moment: Steps since the start.
            world: Number of the world.
            title: Begins the text; step, reward and return follow.

        Returns:
            `[pixels, width, 3]`, uint8; particle worlds are as wide as they are high, HalfCheetah is half as
            wide again.

        Raises:
            OmarError: HalfCheetah without OpenGL.
        """
        assert self._stage is not None  # noqa: S101 - begin was called
        count = range(len(self))[moment]
        places = np.stack([place[world] for place in self._places])
        rewards = [float(reward[world]) for reward in self._rewards[: count + 1]]
        words = [f"step {count}", f"reward {rewards[-1]:.1f}", f"return {sum(rewards):.1f}"]
        return self._stage.draw(places, count, world, [title, *words] if title else words)

    def close(self) -> None:
        """Gives back what drawing took; the episodes are forgotten."""
        if self._stage is not None:
            self._stage.close()
        self._stage, self._places, self._rewards = None, [], []


def frame_size(environment: str, pixels: int) -> tuple[int, int]:
    """Height and width of the pictures of an environment."""
    return pixels, 3 * pixels // 2 if environment == HALF_CHEETAH else pixels


def usual_fps(environment: str) -> int:
    """Pictures a second at which a second of the world lasts a second."""
    return CHEETAH_FPS if environment == HALF_CHEETAH else PARTICLE_FPS


def _lines(words: list[str]) -> list[str]:
    """Two lines of text, the first up to the step."""
    first = next(i for i, word in enumerate(words) if word.startswith("step")) + 1
    return ["   ".join(words[:first]), "   ".join(words[first:])]


class _Stage(Protocol):
    """What tells one kind of worlds from another: where things are, and how they look."""

    def now(self) -> Array: ...

    def after(self, step: Any) -> Array: ...

    def draw(self, places: Array, moment: int, world: int, words: list[str]) -> Image: ...

    def close(self) -> None: ...


class _Plane:
    """Particle worlds: positions `[E, A, 2]`, which leave trails between landmarks."""

    def __init__(self, env: ParticleEnv, pixels: int) -> None:
        self._env, self._pixels = env, pixels
        self._landmarks = env.state().landmarks.cpu().numpy()

    def now(self) -> Array:
        places: Array = self._env.state().positions.cpu().numpy()
        return places

    def after(self, step: Step) -> Array:
        if not bool(step.truncated.any()):
            return self.now()
        places: Array = step.final_observations[:, :, 2:4].cpu().numpy().copy()  # every agent sees its own
        return places

    def draw(self, places: Array, moment: int, world: int, words: list[str]) -> Image:
        env, bodies = self._env, self._env.bodies
        scenes = [
            Scene(
                places[: last + 1],
                self._landmarks[world],
                bodies.agents,
                bodies.landmarks,
                bodies.obstacles,
                env.num_learners,
                _lines(words),
            )
            for last in (moment, len(places) - 1)
        ]
        return draw_scene(scenes[0], pixels=self._pixels, extent=scenes[1].extent)

    def close(self) -> None:
        pass


class _Track:
    """HalfCheetah: qpos `[E, 9]` on a straight track."""

    def __init__(self, env: HalfCheetahEnv, pixels: int) -> None:
        self._env, self._pixels = env, pixels
        self._camera: CheetahCamera | None = None

    def now(self) -> Array:
        places: Array = self._env.state().qpos.numpy()
        return places

    def after(self, step: HalfCheetahStep) -> Array:
        return self._env.final_qpos.numpy() if bool(step.truncated.any()) else self.now()

    def draw(self, places: Array, moment: int, world: int, words: list[str]) -> Image:
        if self._camera is None:
            self._camera = CheetahCamera(model_xml(), self._pixels)
        meters = places[moment, 0] - places[0, 0]
        return self._camera.draw(places[moment], _lines([*words, f"{meters:.1f} m"]))

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None
