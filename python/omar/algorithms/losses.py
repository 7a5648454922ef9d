"""The terms of the losses, as pure functions over members.

Every function maps tensors with a leading member axis to one value per member, [M]: members never mix, so
the sum over members of a loss has, for each member, the gradient of that member's own loss. M members, B
states of a minibatch, A action size; a member's T critics have a leading axis. The CQL penalty is
`omar.nets.cql_penalty`.
"""

from __future__ import annotations

import math
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


def td_error(values: Tensor, targets: Tensor, rows: Tensor | None = None) -> Tensor:
    """`sum_k mean (Q^k(o, a) - y)^2` of values `[T, M, B]` and targets `[M, B]`: `[M]`.

    With `rows` the mean is over those alone, as in `row_mean`.
    """
    squares = (values - targets).square()
    return (squares.mean(dim=-1) if rows is None else row_mean(squares, rows)).sum(dim=0)


def row_mean(numbers: Tensor, rows: Tensor) -> Tensor:
    """Mean of numbers `[..., M, B]` over the rows where `rows` `[M, B]` is 1, not 0: `[..., M]`.

    Without such a row it is 0.
    """
    return (numbers * rows).sum(dim=-1) / rows.sum(dim=-1).clamp(min=1.0)


def batch_softmax(scores: Tensor, rows: Tensor) -> Tensor:
    """`n softmax(scores)` over the n rows of each minibatch where `rows` `[M, B]` is 1; 0 elsewhere.

    Args:
        scores: `[M, B]`.
        rows: `[M, B]`, 1 or 0; the scores where it is 0 do not matter.

    Returns:
        Weights `[M, B]` with mean 1 over the rows, not differentiable.
    """
    weights = torch.softmax(scores.detach().masked_fill(rows == 0, torch.finfo(scores.dtype).min), dim=-1)
    return weights * rows.sum(dim=-1, keepdim=True)


def gaussian_log_density(actions: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """`log N(a; mean, deviation)`, dimensions independent, of actions and means `[M, B, A]`: `[M, B]`.

    Args:
        actions: Fixed actions.
        mean: Of every state.
        log_deviation: `[M, A]`, the same in all states.
    """
    log_deviation = log_deviation[:, None]
    z = (actions.detach() - mean) * torch.exp(-log_deviation)
    return -(0.5 * z.square() + log_deviation + 0.5 * math.log(2.0 * math.pi)).sum(dim=-1)


def squared_distance(actions: Tensor, aims: Tensor, rows: Tensor | None = None) -> Tensor:
    """`mean (pi(o) - a)^2` of actions and fixed aims `[M, B, A]`, over states and dimensions: `[M]`.

    With `rows` the mean is over those alone, as in `row_mean`.
    """
    squares = (actions - aims.detach()).square()
    return squares.mean(dim=(-2, -1)) if rows is None else row_mean(squares.mean(dim=-1), rows)


def negative_value(values: Tensor) -> Tensor:
    """`-mean Q(o, pi(o))` of `[M, B]` values: `[M]`."""
    return -values.mean(dim=-1)


def scaled_negative_value(values: Tensor) -> Tensor:
    """`-mean Q / mean |Q|` of `[M, B]` values, the divisor a constant: `[M]`."""
    scale = values.detach().abs().mean(dim=-1)
    return negative_value(values) / scale.clamp(min=torch.finfo(values.dtype).tiny)


def action_norm(actions: Tensor) -> Tensor:
    """`mean pi(o)^2` of `[M, B, A]` actions, which keeps the tanh from saturating: `[M]`."""
    return actions.square().mean(dim=(-2, -1))
