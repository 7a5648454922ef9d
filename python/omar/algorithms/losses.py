"""The terms of the losses, as pure functions over members.

Every function maps tensors with a leading member axis to one value per member, [M]: members never mix, so
the sum over members of a loss has, for each member, the gradient of that member's own loss. M members, B
states of a minibatch, A action size; a member's T critics have a leading axis. The CQL penalty is
`omar.nets.cql_penalty`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def td_target(rewards: Tensor, next_values: Tensor, gamma: float, terminated: Tensor | None = None) -> Tensor:
    """`y = r + gamma min_k Qbar^k(o', a')`, bootstrapped through truncations, not terminations.

    Args:
        rewards: `[M, B]`.
        next_values: Values of the T target critics at the next action, `[T, M, B]`.
        gamma: Discount factor.
        terminated: `[M, B]`, 1 where the episode ended; None where no episode ends.

    Returns:
        Targets `[M, B]`, not differentiable.
    """
    next_value = next_values.amin(dim=0)
    if terminated is not None:
        next_value = next_value * (1.0 - terminated)
    return torch.add(rewards, next_value, alpha=gamma).detach()


def td_error(values: Tensor, targets: Tensor) -> Tensor:
    """`sum_k mean (Q^k(o, a) - y)^2` of values `[T, M, B]` and targets `[M, B]`: `[M]`."""
    return (values - targets).square().mean(dim=-1).sum(dim=0)


def squared_distance(actions: Tensor, aims: Tensor) -> Tensor:
    """`mean (pi(o) - a)^2` of actions and fixed aims `[M, B, A]`, over states and dimensions: `[M]`."""
    return (actions - aims.detach()).square().mean(dim=(-2, -1))


def negative_value(values: Tensor) -> Tensor:
    """`-mean Q(o, pi(o))` of `[M, B]` values: `[M]`."""
    return -values.mean(dim=-1)


def action_norm(actions: Tensor) -> Tensor:
    """`mean pi(o)^2` of `[M, B, A]` actions, which keeps the tanh from saturating: `[M]`."""
    return actions.square().mean(dim=(-2, -1))
