"""From datasets to the minibatches of all members, with normalised observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..algorithms import Batch
from ..data import replay_buffer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ..data import Dataset

CONSTANT = 1e-6  # a standard deviation below this belongs to a column that never changes


@dataclass(frozen=True, slots=True)
class Normalizer:
    """Fixed normalisation of a column, with the mean and deviation of each member's dataset.

    It serves the purpose of the released code's BatchNorm on the inputs, and is the same for all algorithms.
    """

    mean: Tensor  # [M, O]
    std: Tensor  # [M, O], 1 where a number never changes

    @staticmethod
    def of(datasets: Sequence[Dataset], device: torch.device, column: str = "observations") -> Normalizer:
        """Statistics of S datasets with N learners each: M = S x N members."""
        distinct = {dataset.path: dataset for dataset in datasets}
        statistics = {path: dataset.statistics(column) for path, dataset in distinct.items()}
        mean = np.concatenate([statistics[dataset.path][0] for dataset in datasets])
        std = np.concatenate([statistics[dataset.path][1] for dataset in datasets])
        std = np.where(std > CONSTANT, std, np.float32(1.0))
        return Normalizer(torch.from_numpy(mean).to(device), torch.from_numpy(std).to(device))

    def __call__(self, observations: Tensor) -> Tensor:
        """Normalised observations `[M, B, O]`."""
        return (observations - self.mean[:, None]).div_(self.std[:, None])


class Minibatches:
    """The S datasets of a run in one replay buffer."""

    def __init__(
        self,
        datasets: Sequence[Dataset],
        normalizer: Normalizer,
        device: torch.device,
        *,
        joint: bool = False,
    ) -> None:
        """Packs the datasets, one per seed; one that all seeds share is stored once.

        Args:
            datasets: Of the S seeds.
            normalizer: Of the observations.
            device: Where minibatches appear.
            joint: Whether the members of a seed share their rows, as centralised critics need it.
        """
        shared = len({dataset.path for dataset in datasets}) == 1
        self._buffer = replay_buffer(datasets[:1] if shared else datasets, device=device)
        self._normalizer = normalizer
        self._learners = datasets[0].manifest.columns["rewards"].shape[1]
        self._seeds, self._joint = len(datasets), joint
        self._terminations = any(bool(dataset.column("terminated").any()) for dataset in datasets)

    def sample(self, batch_size: int, *, seed: int, step: int) -> Batch:
        """Minibatches of all members at one update: a function of (seed, step, member)."""
        if self._joint:
            rows = self._buffer.sample(batch_size, members=self._seeds, seed=seed, step=step)
            columns = {name: by_member(column) for name, column in rows.items()}
        else:
            members = self._seeds * self._learners
            columns = self._buffer.sample(
                batch_size, members=members, seed=seed, step=step, agents=self._learners
            )
        return Batch(
            observations=self._normalizer(columns["observations"]),
            actions=columns["actions"],
            rewards=columns["rewards"],
            next_observations=self._normalizer(columns["next_observations"]),
            terminated=columns["terminated"] if self._terminations else None,
        )


def by_member(column: Tensor) -> Tensor:
    """Rows of all agents `[S, B, N, ...]` as those of members `[S N, B, ...]`."""
    return column.transpose(1, 2).flatten(0, 1).contiguous()
