"""What critics say states are worth, beside what they turn out to be worth: overestimation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..algorithms.batch import by_member
from ..errors import OmarError
from ..evaluation.values import played_states

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..algorithms import Agents, Algorithm
    from ..behaviors.policy import Policy
    from ..tasks import Task

STATES = 2_500  # of each seed, in whole episodes: those of 100 in particle tasks


def critic_values(
    algorithm: Algorithm[Any],
    agents: Agents,
    policies: Sequence[Policy],
    task: Task,
    *,
    episodes: int,
    seed: int,
) -> tuple[list[float], list[float]] | None:
    """Mean value that the first critics give the policies' actions, and the mean discounted return there.

    Both are means over the learners and the states of some episodes. A critic with batch normalisation sees
    all of these states as one minibatch.

    Args:
        algorithm: Whose critics.
        agents: Its networks.
        policies: The policies of the S seeds as they are now.
        task: That they act in.
        episodes: Of each seed, at most.
        seed: Key of the start states.

    Returns:
        Values and returns of every seed, discounted alike; None where there are no critics.

    Raises:
        OmarError: A value that is not finite: the training diverged.
    """
    if not algorithm.estimates_values:
        return None
    gamma, episodes = agents.settings.gamma, min(episodes, max(STATES // task.episode_length, 1))
    states = played_states(policies, task, gamma=gamma, episodes=episodes, seed=seed)
    like = agents.actor.networks.weights[0]
    observations, actions = (by_member(column).to(like) for column in (states.observations, states.actions))
    with torch.no_grad():
        values = algorithm.estimate(observations, actions).double().mean(dim=1)
    by_seed = values.view(len(policies), -1).mean(dim=1).tolist()
    for number, value in enumerate(by_seed):
        if not abs(value) < float("inf"):
            raise OmarError(
                f"the critics of seed {number} give values that are not finite: the training diverged "
                f"(a lower --learning-rate may help)"
            )
    return by_seed, states.returns.mean(dim=(1, 2)).tolist()
