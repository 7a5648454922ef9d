"""Actors: observations [S, W, N, O] of S seeds in W worlds with N learners to actions [S, W, N, A]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

from ..behaviors.policy import act
from ..random import Draw, normal_like, uniform_actions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ..behaviors.policy import Policy

Actor: TypeAlias = Callable[["Tensor"], "Tensor"]
"""Observations [S, W, N, O] of S seeds in W worlds with N learners -> actions [S, W, N, A]."""


def stack(policies: Sequence[Policy]) -> Actor:
    """The actor of S policies of one task, one for each seed: one pass where their shapes agree."""
    shapes = [[tensor.shape for tensor in policy.weights] for policy in policies]
    if any(shape != shapes[0] for shape in shapes):
        return lambda observations: torch.stack([p(o) for p, o in zip(policies, observations, strict=True)])
    weights, biases = (
        [torch.cat(layer) for layer in zip(*layers, strict=True)]
        for layers in ([p.weights for p in policies], [p.biases for p in policies])
    )

    def act_all(observations: Tensor) -> Tensor:
        seeds, _, agents, _ = observations.shape
        actions = act(weights, biases, observations.transpose(0, 1).flatten(1, 2))  # [W, S N, A]
        return actions.view(-1, seeds, agents, actions.shape[-1]).transpose(0, 1)

    return act_all


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

    policy: Actor
    noise: float
    seed: int = 0
    step: int = 0

    def __call__(self, observations: Tensor) -> Tensor:
        """Actions `[S, W, N, A]`; each call draws the next noise."""
        actions = self.policy(observations)
        self.step += 1
        noise = normal_like(tuple(actions.shape), Draw(self.seed, self.step), like=actions)
        return (actions + self.noise * noise).clamp_(-1.0, 1.0)
