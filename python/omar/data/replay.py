"""From datasets on disk to replay storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..replay import ReplayBuffer
from .dataset import CHUNK_ROWS, FLOAT_COLUMNS, Dataset
from .errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence


def fields(dataset: Dataset, *, next_actions: bool = False) -> dict[str, tuple[int, ...]]:
    """Fields of a replay row for `omar.ReplayBuffer`: the learner is the first axis of each.

    observations [N, O], actions [N, A], rewards [N], next_observations [N, O], terminated [N] (0 or 1), and
    with `next_actions` also next_actions [N, A] and next_mask [N]: the dataset's own next action, and 1 where
    the next transition belongs to the same episode.
    """
    shapes = {name: tuple(dataset.manifest.columns[name].shape[1:]) for name in FLOAT_COLUMNS}
    learners = shapes["rewards"]
    shapes["terminated"] = learners
    if next_actions:
        shapes |= {"next_actions": shapes["actions"], "next_mask": learners}
    return shapes


def replay_buffer(
    datasets: Sequence[Dataset], *, next_actions: bool = False, device: str | torch.device = "cpu"
) -> ReplayBuffer:
    """Replay storage filled from S datasets, one for each seed; a dataset given twice is stored twice.

    Raises:
        DatasetError: No dataset, or datasets of different tasks or shapes.
    """
    if not datasets:
        raise DatasetError("a replay buffer needs at least one dataset")
    shapes = fields(datasets[0], next_actions=next_actions)
    for dataset in datasets:
        if dataset.task != datasets[0].task or fields(dataset, next_actions=next_actions) != shapes:
            raise DatasetError(
                f"datasets of one training must be alike: {dataset.path} differs from {datasets[0].path}"
            )
    capacity = max(len(dataset) for dataset in datasets)
    buffer = ReplayBuffer(capacity, shapes, device=device, datasets=len(datasets))
    for index, dataset in enumerate(datasets):
        _fill(buffer, index, dataset, next_actions=next_actions)
    return buffer


def _fill(buffer: ReplayBuffer, index: int, dataset: Dataset, *, next_actions: bool) -> None:
    columns = dataset.columns()
    learners = dataset.manifest.columns["rewards"].shape[1]
    ends = dataset.episode_ends()
    for start in range(0, len(dataset), CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, len(dataset))
        chunk = {name: torch.from_numpy(np.array(columns[name][start:stop])) for name in FLOAT_COLUMNS}
        terminated = columns["terminated"][start:stop].astype(np.float32)
        chunk["terminated"] = torch.from_numpy(terminated)[:, None].repeat(1, learners)
        if next_actions:
            mask = (~ends[start:stop]).astype(np.float32)
            following = np.minimum(np.arange(start + 1, stop + 1), len(dataset) - 1)
            chunk["next_actions"] = torch.from_numpy(columns["actions"][following] * mask[:, None, None])
            chunk["next_mask"] = torch.from_numpy(mask)[:, None].repeat(1, learners)
        buffer.extend(chunk, dataset=index)
