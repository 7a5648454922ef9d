"""Minibatches as algorithms see them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Minibatches of M members, each with its own agent's columns.

    With independent critics every member has rows of its own; with centralised ones the N members of a seed
    share their rows.
    """

    observations: Tensor  # [M, B, O], as they are: the networks normalise them
    actions: Tensor  # [M, B, A]
    rewards: Tensor  # [M, B]
    next_observations: Tensor  # [M, B, O]
    terminated: Tensor | None = None  # [M, B], 1 where the episode ended; None where the data has no such row
    next_actions: Tensor | None = None  # [M, B, A] of the data; None unless the algorithm needs them
    next_mask: Tensor | None = None  # [M, B], 0 where the episode has no next action
    states: Tensor | None = None  # [S, B, G], global; None where the data has none, or unless needed
    next_states: Tensor | None = None  # [S, B, G]
    returns: Tensor | None = None  # [M, B] of the rows' whole episodes, as they are in the data

    def scaled(self, factor: float) -> Batch:
        """The same with rewards times a factor."""
        return self if factor == 1.0 else replace(self, rewards=factor * self.rewards)

    def following(self) -> tuple[Tensor, Tensor]:
        """The data's next actions and their mask.

        Raises:
            ValueError: The minibatch was drawn without them.
        """
        if self.next_actions is None or self.next_mask is None:
            raise ValueError("[algorithms] this minibatch has no next actions, which its algorithm needs")
        return self.next_actions, self.next_mask


def by_member(column: Tensor) -> Tensor:
    """Rows of all agents `[S, B, N, ...]` as those of members `[S N, B, ...]`."""
    return column.transpose(1, 2).flatten(0, 1).contiguous()


def by_row(column: Tensor, learners: int) -> Tensor:
    """Rows of members `[S N, B, ...]` as those of all agents `[S, B, N, ...]`."""
    return column.view(-1, learners, *column.shape[1:]).transpose(1, 2)
