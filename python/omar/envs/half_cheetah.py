"""Two-agent HalfCheetah in many worlds at once, on MuJoCo's batches."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, SupportsIndex

import numpy as np
import torch

from ..arguments import check_integer, check_kind, check_seed, refuse_copy
from ..errors import OmarError
from ..random import Draw, mix, normal_like, uniform_actions
from .cheetah_model import model_xml

if TYPE_CHECKING:
    import numpy.typing as npt

_OP = "HalfCheetahEnv"
SUBSTEPS = 5  # of 0.01 s: a step is 0.05 s
STEP_SECONDS = 0.05
EPISODE_LENGTH = 1000
ACTION_COST = 0.1  # per squared action, summed over the six motors
START_POSITION, START_VELOCITY = 0.1, 0.1  # half width of the uniform, deviation of the normal start noise
POSITIONS, VELOCITIES = 0x71706F73, 0x7176656C  # keys of the start states' random numbers

# Indices into the 17 numbers qpos[1:9], qvel[0:9]: thigh, shin and foot of the own leg, see MaMuJoCo's 2x3.
OWN_LEG = ((4, 13, 3, 12, 2, 11), (7, 16, 6, 15, 5, 14))
TORSO = (0, 1, 8, 9, 10)  # height and pitch, and the three velocities of the torso


class HalfCheetahState(NamedTuple):
    """The full state of all worlds, float64."""

    qpos: torch.Tensor  # [E, 9]: x, z and pitch of the torso, then six joints
    qvel: torch.Tensor  # [E, 9]
    steps: torch.Tensor  # [E], int64: steps since the episode began


class HalfCheetahStep(NamedTuple):
    """What one step of all worlds gives."""

    observations: torch.Tensor  # [E, 2, O], after auto-reset
    rewards: torch.Tensor  # [E, 2]: both agents get the whole reward
    truncated: torch.Tensor  # [E], bool: a new episode began
    final_observations: torch.Tensor  # [E, 2, O], before auto-reset, valid where truncated


class HalfCheetahEnv:
    """E worlds of a cheetah whose back leg (agent 0) and front leg (agent 1) act together.

    The dynamics are Gymnasium's HalfCheetah-v5, the split that of Multi-Agent MuJoCo's 2x3. The reward of
    both agents is the forward velocity minus 0.1 |a|^2. Episodes are cut after 1,000 steps and never
    terminated; the next one starts in the same call. The start states of a world are a function of (seed,
    world, episode number) only. Results do not depend on the number of threads, bit for bit.

    Args:
        num_envs: E, at least 1.
        seed: Key of the start states, 0..2^64-1.
        obs: "omar", what the paper's agents see (6 numbers: angle and velocity of their own leg's joints), or
            "mamujoco" (11: height, pitch and the velocities of the torso, too).
        num_threads: Threads of the physics; None: as many as torch has now.
        dtype: Of observations and rewards, torch.float32 or torch.float64; the physics is float64.

    Raises:
        ValueError: An argument is out of range; the message names it.
        OmarError: MuJoCo is not installed.
    """

    num_agents = num_learners = 2
    action_size = 3
    episode_length = EPISODE_LENGTH
    device = torch.device("cpu")

    def __init__(
        self,
        num_envs: int = 1,
        seed: int = 0,
        obs: Literal["omar", "mamujoco"] = "omar",
        num_threads: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"[{_OP}] `dtype` must be torch.float32 or torch.float64, got {dtype!r}")
        if obs not in ("omar", "mamujoco"):
            raise ValueError(f'[{_OP}] `obs` must be "omar" or "mamujoco", got {obs!r}')
        self.num_envs = check_integer(_OP, "num_envs", num_envs)
        threads = torch.get_num_threads() if num_threads is None else num_threads
        self.num_threads = check_integer(_OP, "num_threads", threads)
        for name in ("num_envs", "num_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"[{_OP}] `{name}` must be at least 1, got {getattr(self, name)}")
        self.seed = check_seed(_OP, seed)
        self.obs, self.dtype = obs, dtype
        columns = [own + (TORSO if obs == "mamujoco" else ()) for own in OWN_LEG]
        self._columns = np.array(columns) + 1  # of qpos and qvel side by side: x is in front
        self.obs_sizes = tuple(map(len, columns))
        self._batch: Any = _mujoco_batch()(_model(), self.num_envs, self.num_threads)
        self._qpos, self._qvel, self._ctrl = (self._batch.bind(name) for name in ("qpos", "qvel", "ctrl"))
        self._steps = np.zeros(self.num_envs, np.int64)
        self._episodes = np.zeros(self.num_envs, np.int64)
        self._start(np.arange(self.num_envs))
        self._final_qpos = self._qpos.copy()
        self._fresh = True  # nothing has happened since the worlds were built

    def reset(self, seed: int | None = None) -> torch.Tensor:
        """Starts a new episode in every world.

        Args:
            seed: Restarts the random streams: `reset(s)` equals the first `reset()` of an environment built
                with seed s.

        Returns:
            Observations [E, 2, O].
        """
        if seed is not None:
            self.seed = check_seed(_OP, seed)
        if seed is not None or self._fresh:
            self._episodes[:] = 0
        self._fresh = False
        self._start(np.arange(self.num_envs))
        return self.observe()

    def step(self, actions: torch.Tensor) -> HalfCheetahStep:
        """One step of all worlds: five substeps of the physics.

        Args:
            actions: [E, 2, 3], finite: thigh, shin and foot of each leg. Motors give at most the torque of
                |a| = 1; the reward counts actions as they are.

        Raises:
            ValueError: Wrong shape or device, or an action that is not finite; the state is then unchanged.
            TypeError: Not a tensor of float32 or float64.
        """
        moves = self._check_actions(actions)
        self._fresh = False
        before = self._qpos[:, 0].copy()
        self._ctrl[:] = moves
        self.physics()
        velocity = (self._qpos[:, 0] - before) / STEP_SECONDS
        reward = velocity - ACTION_COST * np.square(moves).sum(axis=1)
        rewards = torch.from_numpy(reward).to(self.dtype)[:, None].expand(-1, 2).contiguous()
        self._steps += 1
        ended = self._steps == EPISODE_LENGTH
        final = observations = self.observe()
        if ended.any():
            self._final_qpos = self._qpos.copy()
            self._start(np.flatnonzero(ended))
            observations = self.observe()
        return HalfCheetahStep(observations, rewards, torch.from_numpy(ended), final)

    def physics(self) -> None:
        """The substeps of a step alone, with the motors as they are: what a step costs at the least."""
        self._batch.step(nstep=SUBSTEPS)

    def observe(self) -> torch.Tensor:
        """Observations [E, 2, O] of the current state."""
        state = np.concatenate([self._qpos, self._qvel], axis=1)
        return torch.from_numpy(state[:, self._columns]).to(self.dtype)

    @property
    def final_qpos(self) -> torch.Tensor:
        """The `qpos` [E, 9] of all worlds before the newest auto-reset; observations do not tell it."""
        return torch.from_numpy(self._final_qpos.copy())

    def state(self) -> HalfCheetahState:
        """A copy of the full state."""
        return HalfCheetahState(*(torch.from_numpy(x.copy()) for x in (self._qpos, self._qvel, self._steps)))

    def set_state(self, qpos: torch.Tensor, qvel: torch.Tensor, steps: torch.Tensor | None = None) -> None:
        """Replaces the state of all worlds, motors at rest.

        Args:
            qpos: [E, 9], finite.
            qvel: [E, 9], finite.
            steps: [E], integers in 0..999; zeros by default.

        Raises:
            ValueError: Wrong shape or range; the state is then unchanged.
            TypeError: Not tensors.
        """
        parts = {name: _finite(name, x, (self.num_envs, 9)) for name, x in (("qpos", qpos), ("qvel", qvel))}
        since = np.zeros(self.num_envs, np.int64)
        if steps is not None:
            if check_kind(_OP, "steps", torch.Tensor, steps).is_floating_point():
                raise TypeError(f"[{_OP}] `steps` must be integers, got {steps.dtype}")
            since = steps.numpy().astype(np.int64)
            if since.shape != (self.num_envs,) or (since < 0).any() or (since >= EPISODE_LENGTH).any():
                raise ValueError(
                    f"[{_OP}] `steps` must be [E] = [{self.num_envs}] in 0..{EPISODE_LENGTH - 1}"
                )
        self._place(np.arange(self.num_envs), parts["qpos"], parts["qvel"])
        self._steps[:] = since

    def _check_actions(self, actions: torch.Tensor) -> npt.NDArray[np.float64]:
        check_kind(_OP, "actions", torch.Tensor, actions)
        if not actions.is_floating_point():
            raise TypeError(f"[{_OP}] `actions` must be a floating-point tensor, got {actions.dtype}")
        return _finite("actions", actions, (self.num_envs, 2, 3)).reshape(self.num_envs, 6)

    def _start(self, worlds: npt.NDArray[np.int64]) -> None:
        """Starts an episode in some worlds: a little noise around the resting position."""
        qpos, qvel = np.empty((2, len(worlds), 9))
        like = torch.empty((), dtype=torch.float64)
        for episode in np.unique(self._episodes[worlds]):
            chosen = self._episodes[worlds] == episode
            rows = worlds[chosen]
            shape = (int(rows[-1]) + 1, 9)
            noise = uniform_actions(shape, Draw(mix(self.seed, POSITIONS), int(episode)), like=like)
            qpos[chosen] = START_POSITION * noise.numpy()[rows]
            noise = normal_like(shape, Draw(mix(self.seed, VELOCITIES), int(episode)), like=like)
            qvel[chosen] = START_VELOCITY * noise.numpy()[rows]
        self._episodes[worlds] += 1
        self._steps[worlds] = 0
        self._place(worlds, qpos, qvel)

    def _place(
        self, worlds: npt.NDArray[np.int64], qpos: npt.NDArray[np.float64], qvel: npt.NDArray[np.float64]
    ) -> None:
        """Puts worlds into a state, as Gymnasium does it: reset, state, one pass of the forward dynamics."""
        self._batch.reset(ids=worlds, stage=_no_stage())
        self._qpos[worlds], self._qvel[worlds] = qpos, qvel
        self._batch.forward(ids=worlds)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copy(self, "build another one and hand it the state, `set_state(*env.state())`")

    def __repr__(self) -> str:
        return f"HalfCheetahEnv(num_envs={self.num_envs}, seed={self.seed}, obs={self.obs!r})"


def global_states(observations: torch.Tensor) -> torch.Tensor:
    """The numbers qpos[1:9], qvel[0:9], all of the state but how far the cheetah has come.

    Args:
        observations: [..., 2, 11], as `obs="mamujoco"` has them.

    Returns:
        [..., 17], the state of Multi-Agent MuJoCo.
    """
    states = observations.new_empty(*observations.shape[:-2], 17)
    for agent, leg in enumerate(OWN_LEG):
        states[..., [*leg, *TORSO]] = observations[..., agent, :]
    return states


@cache
def _model() -> Any:
    """The compiled model; batches copy it."""
    import mujoco

    return mujoco.MjModel.from_xml_string(model_xml())


def _mujoco_batch() -> Any:
    try:
        from mujoco.batch import Batch
    except ImportError:
        raise OmarError('HalfCheetah needs MuJoCo 4: pip install "mujoco-core>=4.0.1,<5"') from None
    except Exception as error:  # of many kinds: MuJoCo loads the OpenGL that MUJOCO_GL names
        chosen = os.environ.get("MUJOCO_GL")
        if not chosen:
            raise
        raise OmarError(
            f"MuJoCo cannot be loaded with MUJOCO_GL={chosen} ({type(error).__name__}): unset it, or set it "
            "to egl"
        ) from None
    return Batch


def _no_stage() -> int:
    import mujoco

    return int(mujoco.mjtStage.mjSTAGE_NONE)


def _finite(name: str, tensor: torch.Tensor, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    check_kind(_OP, name, torch.Tensor, tensor)
    if tuple(tensor.shape) != shape:
        raise ValueError(f"[{_OP}] `{name}` must be {list(shape)}, got {list(tensor.shape)}")
    numbers = tensor.detach().cpu().numpy().astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"[{_OP}] `{name}` must be finite")
    return numbers
