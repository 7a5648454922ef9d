"""What policies are worth: returns of their episodes and normalized scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..errors import OmarError
from ..tasks import get_task, normalized_score
from .returns import episode_returns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ..behaviors.policy import Policy


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """Episodes of S policies."""

    returns: Tensor  # [S, episodes], float64
    scores: Tensor  # [S], float64: normalized scores of the mean returns

    @property
    def means(self) -> Tensor:
        """Mean return of each policy, [S]."""
        return self.returns.mean(dim=1)

    @property
    def errors(self) -> Tensor | None:
        """Standard error of each mean return, [S]; None of a single episode."""
        episodes = self.returns.shape[1]
        return None if episodes < 2 else self.returns.std(dim=1) / episodes**0.5


def evaluate(
    policies: Sequence[Policy],
    *,
    episodes: int | None = None,
    seed: int = 0,
    prey: Policy | None = None,
    progress: bool = True,
) -> Evaluated:
    """Returns and normalized scores of policies of one task, each in its own parallel worlds.

    Args:
        policies: S of them, such as `omar.load_policies` gives.
        episodes: Episodes of each policy; None: the task's `eval_episodes`, as in training.
        seed: Key of the start states.
        prey: Who moves the prey; by default each policy meets its own.
        progress: Whether it shows, on standard error, once it takes longer than two seconds.

    Raises:
        OmarError: No policy, policies of several tasks, or fewer than 1 episode.
    """
    if not policies:
        raise OmarError("an evaluation needs at least one policy")
    task = get_task(policies[0].task)
    if episodes is None:
        episodes = task.eval_episodes
    returns = episode_returns(policies, task, episodes=episodes, seed=seed, prey=prey, progress=progress)
    pairs = zip(policies, returns.mean(dim=1).tolist(), strict=True)
    scores = [normalized_score(task, value, policy.scale) for policy, value in pairs]
    return Evaluated(returns, torch.tensor(scores, dtype=torch.float64))
