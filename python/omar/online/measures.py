"""Returns of behaviours over many episodes, as cards and reports state them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..evaluation.returns import episode_returns
from ..random import mix

if TYPE_CHECKING:
    from ..behaviors.policy import Policy
    from ..evaluation.policies import Actor
    from ..tasks import Task


@dataclass(frozen=True, slots=True)
class Measured:
    """Returns of a policy over many episodes."""

    mean: float
    stderr: float
    std: float
    episodes: int


def measure(
    actor: Actor, task: Task, prey: Policy | None, episodes: int, key: int, *, progress: bool = False
) -> Measured:
    """Returns of one policy.

    Args:
        actor: Of one seed.
        task: To act in.
        prey: Who moves the prey of a task that has one.
        episodes: How many.
        key: Of the start states.
        progress: Whether it shows, on standard error, once it takes longer than two seconds.
    """
    returns = episode_returns(actor, task, episodes=episodes, seed=mix(key, 0), prey=prey, progress=progress)
    std = float(returns.std()) if episodes > 1 else 0.0
    return Measured(float(returns.mean()), std / math.sqrt(episodes), std, episodes)
