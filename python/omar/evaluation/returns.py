"""Returns of whole episodes: all seeds at once, each in its own share of parallel worlds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..envs import ParticleEnv
from ..errors import OmarError
from ..random import Draw, mix, uniform_actions

if TYPE_CHECKING:
    from torch import Tensor

    from ..behaviors.prey import Prey
    from ..tasks import Task
    from .policies import Policy


EVALUATION = 0x6576616C  # sets the random numbers of evaluations apart from those of training


def episode_returns(
    policy: Policy, task: Task, *, seeds: int, episodes: int, seed: int, prey: Prey | None = None
) -> Tensor:
    """Undiscounted returns of whole episodes: sums over the steps of the mean reward over the learners.

    Args:
        policy: Of all seeds.
        task: Task to act in.
        seeds: S.
        episodes: Episodes of each seed, all in parallel: S times as many worlds.
        seed: Key of the start states and of a uniform prey.
        prey: Who moves the prey of a task that has one.

    Returns:
        `[S, episodes]`, float64.

    Raises:
        OmarError: No prey for a task that has one, or an action of the policy that is NaN or infinite.
    """
    if task.has_prey and prey is None:
        raise OmarError(f"{task.name} has a prey: say which one moves it")
    env = ParticleEnv(task.environment, num_envs=seeds * episodes, seed=seed)
    observations = env.reset()
    actions = observations.new_zeros(seeds * episodes, task.num_agents, task.action_size)
    returns = torch.zeros(seeds * episodes, dtype=torch.float64)
    for t in range(task.episode_length):
        learners = observations[:, : task.num_learners, : task.obs_size]
        chosen = policy(learners.view(seeds, episodes, task.num_learners, task.obs_size))
        _check_finite(chosen)
        actions[:, : task.num_learners] = chosen.flatten(0, 1)
        if prey is not None:
            actions[:, -1] = _prey_actions(prey, task, observations, Draw(mix(EVALUATION, seed), t))
        step = env.step(actions)
        returns += step.rewards[:, : task.num_learners].mean(dim=1, dtype=torch.float64)
        observations = step.observations
    return returns.view(seeds, episodes)


def _prey_actions(prey: Prey, task: Task, observations: Tensor, draw: Draw) -> Tensor:
    if prey.is_uniform:
        return uniform_actions((observations.shape[0], task.action_size), draw, like=observations)
    return prey.act(observations[:, -1, : task.obs_sizes[-1]])


def _check_finite(actions: Tensor) -> None:
    finite = actions.isfinite().flatten(start_dim=1).all(dim=1)
    if not bool(finite.all()):
        diverged = ", ".join(str(s) for s in (~finite).nonzero().flatten().tolist())
        raise OmarError(
            f"the policy of seed {diverged} gives actions that are not finite: its training diverged "
            f"(a lower --learning-rate or a larger --alpha may help)"
        )
