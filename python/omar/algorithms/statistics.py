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
    """What a loss may need to know of the data as a whole, for every member."""

    largest_returns: Tensor  # [M], of an episode, undiscounted, in the scale that the losses see rewards in
