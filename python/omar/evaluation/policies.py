"""Policies that act in episodes: observations [S, W, N, O] of S seeds in W worlds to actions [S, W, N, A]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

from ..random import Draw, normal_like, uniform_actions

if TYPE_CHECKING:
    from torch import Tensor

    from ..nets import StackedMlp
    from ..offline.minibatches import Normalizer


Policy: TypeAlias = Callable[["Tensor"], "Tensor"]
"""Observations [S, W, N, O] of S seeds in W worlds with N learners -> actions [S, W, N, A]."""


@dataclass(frozen=True, slots=True)
class StackedPolicy:
    """The deterministic policies of S seeds: `tanh(mlp((o - mean) / std))`."""

    actor: StackedMlp
    normalizer: Normalizer
    learners: int

    @torch.no_grad()
    def __call__(self, observations: Tensor) -> Tensor:
        """Actions `[S, W, N, A]` for observations `[S, W, N, O]`, on the observations' device."""
        seeds, worlds = observations.shape[:2]
        by_member = observations.transpose(1, 2).flatten(0, 1).to(self.normalizer.mean.device)
        actions = torch.tanh(self.actor(self.normalizer(by_member)))
        return actions.view(seeds, self.learners, worlds, -1).transpose(1, 2).to(observations.device)


@dataclass(slots=True)
class UniformPolicy:
    """Uniform actions, the policy that a normalized score of 0 is defined by."""

    action_size: int
    seed: int = 0
    step: int = 0

    def __call__(self, observations: Tensor) -> Tensor:
        """Actions `[S, W, N, A]`; each call draws the next ones."""
        self.step += 1
        shape = (*observations.shape[:-1], self.action_size)
        return uniform_actions(shape, Draw(self.seed, self.step), like=observations)


@dataclass(slots=True)
class NoisyPolicy:
    """A policy with Gaussian noise on its actions, clipped to [-1, 1]: what a dataset's behaviour does."""

    policy: Policy
    noise: float
    seed: int = 0
    step: int = 0

    def __call__(self, observations: Tensor) -> Tensor:
        """Actions `[S, W, N, A]`; each call draws the next noise."""
        actions = self.policy(observations)
        self.step += 1
        noise = normal_like(tuple(actions.shape), Draw(self.seed, self.step), like=actions)
        return (actions + self.noise * noise).clamp_(-1.0, 1.0)
