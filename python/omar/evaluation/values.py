"""What states are worth: discounted returns of the policies, to hold what critics say against."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from .play import play

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ..behaviors.policy import Policy
    from ..tasks import Task

TAIL = 0.01  # the share of a value that may lie beyond the last step that is played
MOST_STEPS = 1000  # after an episode, for discount factors that are all but 1


class States(NamedTuple):
    """The states of episodes of S seeds, B = episodes x episode length of each, world after world."""

    observations: Tensor  # [S, B, N, O]
    actions: Tensor  # [S, B, N, A]: the policies' own
    returns: Tensor  # [S, B, N], float64: each learner's discounted return from there on


def played_states(
    policies: Sequence[Policy], task: Task, *, gamma: float, episodes: int, seed: int
) -> States:
    """Every state of some episodes, with the discounted return that follows it.

    Critics bootstrap through the time limit, so their values are those of a task without one. The episodes
    therefore go on after it until what is left is at most TAIL of a value; only states before it count.

    Args:
        policies: One of each seed.
        task: Task to act in.
        gamma: Discount factor, in [0, 1).
        episodes: Of each seed.
        seed: Key of the start states.
    """
    more = 1 if gamma <= TAIL else min(math.ceil(math.log(TAIL) / math.log(gamma)), MOST_STEPS)
    length = task.episode_length
    moments = list(play(policies, task, worlds=episodes, seed=seed, steps=length + more))
    value = torch.zeros(moments[0].rewards.shape, dtype=torch.float64)
    values = []
    for moment in reversed(moments):
        value = moment.rewards + gamma * value
        values.append(value)
    first = moments[:length]
    return States(
        torch.stack([moment.observations for moment in first], dim=2).flatten(1, 2),
        torch.stack([moment.actions for moment in first], dim=2).flatten(1, 2),
        torch.stack(values[::-1][:length], dim=2).flatten(1, 2),
    )
