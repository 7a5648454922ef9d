"""Batched particle environments: simple_spread, simple_tag and simple_world of the paper."""

from __future__ import annotations

from typing import NamedTuple, NoReturn, SupportsIndex

import torch

from .. import _core
from .._core import Bodies, Step
from ..arguments import check_device, check_integer, check_kind, check_seed, refuse_copy

__all__ = ["ParticleEnv", "State", "Step", "scenario_names"]

_OP = "ParticleEnv"
_REWARDS = {"omar": _core.Reward.omar, "lowe": _core.Reward.lowe}


class State(NamedTuple):
    """The full state of all worlds."""

    positions: torch.Tensor  # [E, A, 2]
    velocities: torch.Tensor  # [E, A, 2]
    landmarks: torch.Tensor  # [E, L, 2]
    steps: torch.Tensor  # [E], int64: steps since the episode began


def scenario_names() -> list[str]:
    """Names that `ParticleEnv` knows."""
    return _core.scenario_names()


class ParticleEnv:
    """E worlds of one scenario with A agents each, learners first.

    Episodes are cut after `episode_length` steps and the next one starts in the same call. The start states
    of a world are a function of (seed, world, episode number) only. Worlds do not influence each other.
    Threads may share an environment: its calls run one after another. It cannot be copied or pickled.

    Args:
        name: A name of `scenario_names()`.
        num_envs: E, at least 1.
        seed: Key of the start states, 0..2^64-1.
        device: "cpu", or "cuda" in a build with CUDA kernels.
        dtype: torch.float32 or torch.float64.
        reward: "omar", the paper's, or "lowe", that of the original simple_spread.
        num_agents: Agents (and targets) of simple_spread, 1..10.

    Raises:
        ValueError: An argument is out of range; the message names it.
        TypeError: An argument is of the wrong type.
    """

    __slots__ = ("core", "name")

    def __init__(
        self,
        name: str,
        num_envs: int = 1,
        seed: int = 0,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        reward: str = "omar",
        num_agents: int = 3,
    ) -> None:
        if reward not in _REWARDS:
            raise ValueError(f'[{_OP}] `reward` must be "omar" or "lowe", got {reward!r}')
        options = _core.ParticleEnvOptions()
        options.scenario = check_kind(_OP, "name", str, name)
        options.num_envs = check_integer(_OP, "num_envs", num_envs)
        options.seed = check_seed(_OP, seed)
        options.device = check_device(_OP, device)
        options.dtype = check_kind(_OP, "dtype", torch.dtype, dtype)
        options.reward = _REWARDS[reward]
        options.num_agents = check_integer(_OP, "num_agents", num_agents)
        self.name = name
        self.core = _core.ParticleEnv(options)

    @property
    def num_envs(self) -> int:
        """E."""
        return self.core.num_envs

    @property
    def num_agents(self) -> int:
        """A, the prey included."""
        return self.core.num_agents

    @property
    def num_learners(self) -> int:
        """Agents that learn; they come first."""
        return self.core.num_learners

    @property
    def num_landmarks(self) -> int:
        """L."""
        return self.core.num_landmarks

    @property
    def obs_sizes(self) -> tuple[int, ...]:
        """Observation size per agent."""
        return tuple(self.core.obs_sizes)

    @property
    def bodies(self) -> Bodies:
        """The discs of a world: radii of `agents` [A] and `landmarks` [L], and the number of `obstacles`."""
        return self.core.bodies

    @property
    def action_size(self) -> int:
        """Numbers in an agent's action: 2 in the paper's tasks."""
        return self.core.action_size

    @property
    def episode_length(self) -> int:
        """Steps until an episode is cut: 25 in the paper's tasks."""
        return self.core.episode_length

    @property
    def seed(self) -> int:
        """Key of the start states."""
        return self.core.options.seed

    @property
    def device(self) -> torch.device:
        """Where states, actions and observations live."""
        return self.core.options.device

    @property
    def dtype(self) -> torch.dtype:
        """torch.float32 or torch.float64."""
        return self.core.options.dtype

    def reset(self, seed: int | None = None) -> torch.Tensor:
        """Starts a new episode in every world.

        Args:
            seed: Restarts the random streams: `reset(s)` equals the first `reset()` of an environment built
                with seed s.

        Returns:
            Observations [E, A, max(obs_sizes)], zero padded on the right.
        """
        return self.core.reset(None if seed is None else check_seed(_OP, seed))

    def step(self, actions: torch.Tensor) -> Step:
        """One step of all worlds.

        Args:
            actions: [E, A, action_size], finite and at most 1e6 in magnitude; |u| > 1 gives more force. On a
                GPU the call waits for them, to check this.

        Returns:
            `observations` [E, A, max(obs_sizes)] after auto-reset, `rewards` [E, A], `truncated` [E] (bool)
            and `final_observations`, those before auto-reset, valid where `truncated`.

        Raises:
            ValueError: Wrong shape, device or range of the actions; the state is then unchanged.
            TypeError: Not a tensor of the environment's dtype.
        """
        return self.core.step(check_kind(_OP, "actions", torch.Tensor, actions))

    def step_into(self, actions: torch.Tensor, out: Step) -> None:
        """`step` into the tensors of `out` (from `make_step`), without allocating."""
        self.core.step_into(
            check_kind(_OP, "actions", torch.Tensor, actions), check_kind(_OP, "out", Step, out)
        )

    def make_step(self) -> Step:
        """Tensors of the right shapes for `step_into`."""
        return self.core.make_step()

    def observe(self) -> torch.Tensor:
        """Observations [E, A, max(obs_sizes)] of the current state."""
        return self.core.observe()

    def state(self) -> State:
        """A copy of the full state."""
        return State(*self.core.state())

    def set_state(
        self,
        positions: torch.Tensor,
        velocities: torch.Tensor,
        landmarks: torch.Tensor,
        steps: torch.Tensor | None = None,
    ) -> None:
        """Replaces the state of all worlds; numbers are finite and at most 1e12 in magnitude.

        Args:
            positions: [E, A, 2].
            velocities: [E, A, 2].
            landmarks: [E, L, 2].
            steps: [E], int64 in 0..episode_length - 1; zeros by default.

        Raises:
            ValueError: Wrong shape, device or range; the state is then unchanged.
            TypeError: Not tensors of the environment's dtype.
        """
        for argument, value in (
            ("positions", positions),
            ("velocities", velocities),
            ("landmarks", landmarks),
        ):
            check_kind(_OP, argument, torch.Tensor, value)
        if steps is not None:
            check_kind(_OP, "steps", torch.Tensor, steps)
        self.core.set_state(positions, velocities, landmarks, steps)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copy(self, "build another one and hand it the state, `set_state(*env.state())`")

    def __repr__(self) -> str:
        return (
            f"ParticleEnv({self.name!r}, num_envs={self.num_envs}, seed={self.seed}, "
            f"device={str(self.device)!r}, dtype={self.dtype})"
        )
