"""Returns of whole episodes: all seeds at once, each in its own share of parallel worlds."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING

import torch

from ..behaviors.policy import Policy
from ..envs import make_env
from ..errors import OmarError
from .policies import stack

if TYPE_CHECKING:
    from torch import Tensor

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
) -> Tensor:
    """Undiscounted returns of whole episodes: sums over the steps of the mean reward over the learners.

    Args:
        policies: One of each seed, or an actor of all seeds.
        task: Task to act in.
        episodes: Episodes of each seed, all in parallel: S times as many worlds.
        seed: Key of the start states.
        seeds: S of an actor; 1 by default.
        prey: Who moves the prey of a task that has one; by default each policy meets its own.

    Returns:
        `[S, episodes]`, float64.

    Raises:
        OmarError: No episodes, a policy of another task, no prey for a task that has one, or an action that
            is NaN or infinite.
    """
    episodes = index(episodes)  # also an integer of numpy
    if episodes < 1:
        raise OmarError(f"an evaluation needs at least 1 episode, got {episodes}")
    if isinstance(policies, Sequence):
        own = _check_learners(policies, task, prey)
        actor, seeds = stack(policies), len(policies)
    else:
        if task.has_prey and prey is None:
            raise OmarError(f"{task.name} has a prey: say which one moves it")
        actor, seeds = policies, seeds or 1
        own = [] if prey is None else [prey] * seeds
    env = make_env(task.environment, seeds * episodes, seed)
    prey_actor = stack(own) if own else None
    observations = env.reset()
    actions = observations.new_zeros(seeds, episodes, task.num_agents, task.action_size)
    returns = torch.zeros(seeds * episodes, dtype=torch.float64)
    for _ in range(task.episode_length):
        seen = observations.view(seeds, episodes, task.num_agents, -1)
        chosen = actor(seen[:, :, : task.num_learners, : task.obs_size])
        _check_finite(chosen)
        actions[:, :, : task.num_learners] = chosen
        if prey_actor is not None:
            actions[:, :, task.num_learners :] = prey_actor(
                seen[:, :, task.num_learners :, : task.obs_sizes[-1]]
            )
        step = env.step(actions.view(seeds * episodes, task.num_agents, task.action_size))
        returns += step.rewards[:, : task.num_learners].mean(dim=1, dtype=torch.float64)
        observations = step.observations
    return returns.view(seeds, episodes)


def _check_learners(policies: Sequence[Policy], task: Task, prey: Policy | None) -> list[Policy]:
    """Refuses what cannot act in a task; returns the prey of each policy, none in a task without one."""
    if not policies:
        raise OmarError("an evaluation needs at least one policy")
    preys = []
    for policy in policies:
        if policy.task != task.name or policy.moves_prey:
            who = "prey" if policy.moves_prey else "learners"
            raise OmarError(
                f"a policy of the {who} of {policy.task} cannot act for the learners of {task.name}"
            )
        opponent = prey or policy.prey
        if opponent is not None:
            preys.append(opponent)
    return preys


def _check_finite(actions: Tensor) -> None:
    finite = actions.isfinite().flatten(start_dim=1).all(dim=1)
    if not bool(finite.all()):
        diverged = ", ".join(str(s) for s in (~finite).nonzero().flatten().tolist())
        raise OmarError(
            f"the policy of seed {diverged} gives actions that are not finite: its training diverged "
            f"(a lower --learning-rate may help)"
        )
