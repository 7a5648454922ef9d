"""Statistics of the data that networks normalise their inputs with."""

from __future__ import annotations

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
