"""From datasets to the minibatches of all members, and to what networks and losses know of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..algorithms import Batch
from ..algorithms.batch import by_member
from ..algorithms.statistics import Facts, Statistics
from ..data import replay_buffer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor

    from ..data import Dataset


def statistics(datasets: Sequence[Dataset], column: str) -> Statistics:
    """Mean and deviation `[M, ...]` of a column, by member, of S datasets with N learners each.

    They serve the purpose of the released code's BatchNorm on the inputs, the same for all algorithms.
    """
    distinct = {dataset.path: dataset for dataset in datasets}
    found = {path: dataset.statistics(column) for path, dataset in distinct.items()}
    mean, std = (np.concatenate([found[dataset.path][i] for dataset in datasets]) for i in (0, 1))
    return Statistics.of(torch.from_numpy(mean), torch.from_numpy(std))


SAMPLE = 50_000  # rows of each dataset that models are fitted to at first; a small dataset repeats its own


def facts(
    datasets: Sequence[Dataset], reward_scale: float, device: torch.device, *, states: bool = False
) -> Facts:
    """What losses may know of S datasets with N learners each; with `states` of the global ones, too."""

    def states_in(dataset: Dataset) -> bool:
        return "states" in dataset.manifest.columns

    def tensor(numbers: npt.NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(numbers).to(device, torch.float32)

    def sample(name: str) -> Tensor:
        chosen = (np.linspace(0, len(dataset) - 1, SAMPLE).astype(np.int64) for dataset in datasets)
        columns = [dataset.column(name)[i] for dataset, i in zip(datasets, chosen, strict=True)]
        return tensor(np.stack(columns))

    distinct = {dataset.path: dataset for dataset in datasets}
    returns = {path: dataset.episode_returns() for path, dataset in distinct.items()}
    team = [returns[dataset.path] for dataset in datasets]
    sizes = {dataset.manifest.columns["states"].shape[1:] for dataset in datasets if states_in(dataset)}
    alike = len(sizes) == 1 and all(map(states_in, datasets))
    return Facts(
        largest_returns=tensor(np.array([found.max() for found in team]) * reward_scale),
        median_returns=tensor(np.array([np.median(found) for found in team])),
        observations=sample("observations"),
        actions=sample("actions"),
        next_observations=sample("next_observations"),
        states=sample("states") if states and alike else None,
    )


class Minibatches:
    """The S datasets of a run in one replay buffer."""

    def __init__(
        self,
        datasets: Sequence[Dataset],
        device: torch.device,
        *,
        joint: bool = False,
        next_actions: bool = False,
        states: bool = False,
        returns: bool = False,
    ) -> None:
        """Packs the datasets, one per seed; one that all seeds share is stored once.

        Args:
            datasets: Of the S seeds.
            device: Where minibatches appear.
            joint: Whether the members of a seed share their rows, as centralised critics need it.
            next_actions: Whether minibatches hold the data's next actions and their mask.
            states: Whether they hold the global states of data that has them; only joint ones can.
            returns: Whether they hold the returns of the rows' episodes.

        Raises:
            DatasetError: With next actions: rows that do not follow one another within an episode.
            ValueError: States, but not joint.
        """
        if states and not joint:
            raise ValueError("[offline.Minibatches] `states` are for `joint` minibatches only")
        shared = len({dataset.path for dataset in datasets}) == 1
        self._buffer = replay_buffer(
            datasets[:1] if shared else datasets,
            next_actions=next_actions,
            states=states,
            returns=returns,
            device=device,
        )
        self._learners = datasets[0].manifest.columns["rewards"].shape[1]
        self._seeds, self._joint = len(datasets), joint
        self.smallest = min(len(dataset) for dataset in datasets)
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
            observations=columns["observations"],
            actions=columns["actions"],
            rewards=columns["rewards"],
            next_observations=columns["next_observations"],
            terminated=columns["terminated"] if self._terminations else None,
            next_actions=columns.get("next_actions"),
            next_mask=columns.get("next_mask"),
            states=columns.get("states"),
            next_states=columns.get("next_states"),
            returns=columns.get("returns"),
        )
