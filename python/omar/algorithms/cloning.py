"""Cloning before the first update: the policies imitate the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from . import losses
from .base import Stage
from .optimizer import falling_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from .agents import Agents
    from .base import LossTerms
    from .batch import Batch

LAST_RATE = 0.1  # of the first learning rate
MEASURED = 0.25  # of the updates, the last ones, whose losses say how much the behaviour varies


class Clone(Stage):
    """The policies imitate the data; their loss at the end is the variance of the behaviour around them."""

    title = "cloning the behaviour"

    def __init__(self, agents: Agents, updates: int, cloned: Callable[[Tensor], None]) -> None:
        """Args: whose policies, for how many updates, and who is told the variance `[S]` of each seed."""
        self.agents, self.updates, self._cloned = agents, updates, cloned
        self.batch_size = agents.settings.batch_size
        self._losses: list[Tensor] = []

    def update(self, batch: Batch, step: int) -> LossTerms:
        """One step on the distance of the policies' actions from the data's."""
        first = self.agents.settings.learning_rate
        self.agents.actor.set_learning_rate(falling_rate(first, LAST_RATE * first, step / self.updates))
        loss = losses.squared_distance(self.agents.act(batch.observations), batch.actions)
        self.agents.actor.step(loss)
        if step >= min(self.updates * (1 - MEASURED), self.updates - 1):
            self._losses.append(loss.detach())
        return {"imitation": loss.detach()}

    def finish(self) -> None:
        """Training starts from the clone: its optimiser knows nothing, and the targets are equal to it."""
        by_member = torch.stack(self._losses).mean(dim=0)
        self._cloned(by_member.view(-1, self.agents.learners).mean(dim=1))
        self.agents.actor.restart()
        self.agents.actor.set_learning_rate(self.agents.settings.learning_rate)
