"""Cloning before the first update, and the anchor on the data during those that follow."""

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
UNIFORM_PRECISION = 3.0  # one over the variance of uniform actions
LEAST = 1e-6  # of what is divided by


class Clone(Stage):
    """The policies imitate the data; their loss at the end is the variance of the behaviour around them."""

    title = "cloning the behaviour"

    def __init__(
        self,
        agents: Agents,
        updates: int,
        cloned: Callable[[Tensor], None],
        imitated: Callable[[Batch], Tensor] | None = None,
    ) -> None:
        """Takes what there is to do.

        Args:
            agents: Whose policies.
            updates: How many.
            cloned: Is told the variance `[S]` of each seed.
            imitated: Says which rows are imitated, `[M, B]` with 1 or 0; None: all.
        """
        self.agents, self.updates, self._cloned, self._imitated = agents, updates, cloned, imitated
        self.batch_size = agents.settings.batch_size
        self._losses: list[Tensor] = []

    def update(self, batch: Batch, step: int) -> LossTerms:
        """One step on the distance of the policies' actions from the data's."""
        first = self.agents.settings.learning_rate
        self.agents.actor.set_learning_rate(falling_rate(first, LAST_RATE * first, step / self.updates))
        rows = None if self._imitated is None else self._imitated(batch)
        loss = losses.squared_distance(self.agents.act(batch.observations), batch.actions, rows)
        self.agents.actor.step(loss)
        if step >= min(self.updates * (1 - MEASURED), self.updates - 1):
            self._losses.append(loss.detach())
        return {"imitation": loss.detach()}

    def finish(self) -> None:
        """Training starts from the clone: its optimiser knows nothing, and the targets are equal to it."""
        # One after the other: a mean over the rows of a matrix depends on how many columns it has.
        by_member = sum(loss.double() for loss in self._losses[1:]) + self._losses[0].double()
        by_member = (by_member / len(self._losses)).to(self._losses[0])
        self._cloned(by_member.view(-1, self.agents.learners).mean(dim=1))
        self.agents.actor.restart()
        self.agents.actor.set_learning_rate(self.agents.settings.learning_rate)


class Anchor:
    """Holds policies near the data, the more the less its actions vary around the clone.

    The weight is `strength max(0, 1 / variance - 3)`: 0 for uniform actions, whose variance is 1 / 3.
    """

    def __init__(self, strength: float, like: Tensor) -> None:
        """Args: weight for each unit of precision above that of uniform actions; any tensor `[S]`."""
        self._strength = strength
        self.weight = torch.zeros_like(like)

    def measure(self, variance: Tensor) -> None:
        """Takes the variance of the behaviour around the clone, `[S]`."""
        excess = (1.0 / variance.clamp_min(LEAST) - UNIFORM_PRECISION).clamp_min(0.0)
        self.weight.copy_(self._strength * excess)

    def term(self, actions: Tensor, aims: Tensor, rows: Tensor | None = None) -> Tensor:
        """Weighted distance of actions from the data's `[M, B, A]`, over `rows` as in `row_mean`: `[M]`."""
        off = losses.squared_distance(actions, aims, rows)
        return self.weight.repeat_interleave(len(off) // len(self.weight)) * off
