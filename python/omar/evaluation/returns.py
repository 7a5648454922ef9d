"""Returns of whole episodes: all seeds at once, each in its own share of parallel worlds."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING

import torch

from ..errors import OmarError
from ..terminal.progress import progress_bar
from .play import play

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ..behaviors.policy import Policy
    from ..tasks import Task
    from .policies import Actor

EVALUATION = 0x6576616C  # sets the random numbers of evaluations apart from those of training


def episode_returns(
    policies: Sequence[Policy] | Actor,
    task: Task,
    *,
    episodes: int,
    seed: int,
    seeds: int | None = None,
    prey: Policy | None = None,
    progress: bool = False,
) -> Tensor:
    """Undiscounted returns of whole episodes: sums over the steps of the mean reward over the learners.

    Args:
        policies: One of each seed, or an actor of all seeds.
        task: Task to act in.
        episodes: Episodes of each seed, all in parallel: S times as many worlds.
        seed: Key of the start states.
        seeds: S of an actor; 1 by default.
        prey: Who moves the prey of a task that has one; by default each policy meets its own.
        progress: Whether it shows, on standard error, once it takes longer than two seconds.

    Returns:
        `[S, episodes]`, float64.

    Raises:
        OmarError: No episodes, a policy of another task, no prey for a task that has one, or an action that
            is NaN or infinite.
    """
    episodes = index(episodes)  # also an integer of numpy
    if episodes < 1:
        raise OmarError(f"an evaluation needs at least 1 episode, got {episodes}")
    steps = task.episode_length
    moments = play(policies, task, worlds=episodes, seed=seed, steps=steps, seeds=seeds, prey=prey)
    returns = torch.zeros((), dtype=torch.float64)
    with progress_bar(f"Evaluating in {task.name}", steps, enabled=progress) as advance:
        for moment in moments:
            returns = returns + moment.rewards.mean(dim=2, dtype=torch.float64)
            advance(1)
    return returns
