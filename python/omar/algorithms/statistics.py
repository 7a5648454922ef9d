"""What networks and losses know of the data as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

CONSTANT = 1e-6  # a standard deviation below this belongs to a number that never changes


class Statistics(NamedTuple):
    """Mean and standard deviation of some columns: what `StackedMlp.standardize` takes."""

    mean: Tensor
    std: Tensor  # 1 where a number never changes

    @staticmethod
    def of(mean: Tensor, std: Tensor) -> Statistics:
        """The statistics of measured means and deviations."""
        return Statistics(mean, torch.where(std > CONSTANT, std, torch.ones_like(std)))


@dataclass(frozen=True, slots=True)
class Facts:
    """What a loss may need to know of the data as a whole, for every seed."""

    largest_returns: Tensor  # [S], of an episode's mean reward, undiscounted, in the losses' scale of rewards
    median_returns: Tensor  # [S], of an episode's mean reward, undiscounted, in the data's own scale
    observations: Tensor  # [S, R, N, O]: of a sample of rows, evenly spread over the data
    actions: Tensor  # [S, R, N, A]: of the same rows
    next_observations: Tensor  # [S, R, N, O]: of the same rows
    states: Tensor | None = None  # [S, R, G], global: of the same rows; None where the data has none
