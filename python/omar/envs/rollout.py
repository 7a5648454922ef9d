"""T steps of all worlds with policies, without leaving C++."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from .. import _core
from .._core import Transitions
from ..arguments import check_integer, check_kind, check_seed, check_step
from ..nets import StackedMlp
from .particle import ParticleEnv

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Policy", "Transitions", "make_transitions", "rollout", "rollout_into"]

_OP = "rollout"


class Policy(Protocol):
    """What acts: a `StackedMlp` or an `omar.Policy`; the action is the tanh of the network's output."""

    @property
    def weights(self) -> Iterable[torch.Tensor]:
        """Per layer [M, in, out]."""

    @property
    def biases(self) -> Iterable[torch.Tensor]:
        """Per layer [M, out]."""


def make_transitions(env: ParticleEnv, steps: int) -> Transitions:
    """Columns `observations`, `actions`, `rewards` and `next_observations` for `rollout_into`."""
    return _core.make_transitions(env.core, check_integer(_OP, "steps", steps))


def rollout(
    env: ParticleEnv,
    steps: int,
    policy: Policy | None = None,
    prey: Policy | None = None,
    *,
    noise: float = 0.0,
    seed: int = 0,
    first_step: int = 0,
) -> Transitions:
    """Steps every world `steps` times from its current state; episodes restart on the way.

    Args:
        env: float32 worlds on the CPU; their state is advanced.
        steps: T.
        policy: One member per learner, observation size -> 2; None: uniform actions in [-1, 1].
        prey: One member per agent after the learners; None: uniform actions. Acts without noise.
        noise: Sigma of the learners' Gaussian exploration noise; actions are clipped to [-1, 1].
        seed: Key of the noise and of uniform actions.
        first_step: Counter of the first step; it and those after it are in 0..2^32-1. A rollout in chunks
            continues where the last one ended.

    Returns:
        `observations` and `next_observations` [E, T, A, max(obs_sizes)] (the latter before auto-reset),
        `actions` [E, T, A, 2] and `rewards` [E, T, A]: world after world, each in order of time.

    Raises:
        ValueError: Wrong sizes or values, or not the CPU.
        TypeError: An argument or a tensor of the wrong type.
    """
    out = make_transitions(env, steps)
    rollout_into(env, out, steps, policy, prey, noise=noise, seed=seed, first_step=first_step)
    return out


def rollout_into(
    env: ParticleEnv,
    out: Transitions,
    steps: int,
    policy: Policy | None = None,
    prey: Policy | None = None,
    *,
    noise: float = 0.0,
    seed: int = 0,
    first_step: int = 0,
    prey_out: Transitions | None = None,
) -> None:
    """`rollout` into contiguous columns of the caller; a column that was never set is not written.

    With `prey_out`, the columns of the N learners and of the prey lie apart: `out` holds [E, T, N, ...], and
    `prey_out` [E, T, A - N, ...] with observations of the prey's own size.
    """
    options = _core.RolloutOptions()
    options.steps = check_integer(_OP, "steps", steps)
    options.policy = _native(policy)
    options.prey = _native(prey)
    options.noise = float(noise)
    options.seed = check_seed(_OP, seed)
    options.first_step = check_step(_OP, "first_step", first_step)
    if prey_out is not None:
        check_kind(_OP, "prey_out", Transitions, prey_out)
    _core.rollout_into(env.core, options, check_kind(_OP, "out", Transitions, out), prey_out)


def _native(policy: Policy | None) -> _core.StackedMlp | None:
    if policy is None:
        return None
    if isinstance(policy, StackedMlp):
        with torch.no_grad():
            return policy.core()  # a stack that normalises its inputs acts through layers that take them raw
    return _core.StackedMlp(list(policy.weights), list(policy.biases))
