"""From datasets on disk to replay storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import DatasetError
from ..replay import ReplayBuffer
from .checks import CHUNK_ROWS
from .manifest import FLOAT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from .dataset import Dataset


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
        DatasetError: No dataset, or datasets of different tasks or shapes. With `next_actions`: a dataset
            whose rows do not follow one another within an episode.
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
        if next_actions:
            dataset.check_order()
        _fill(buffer, index, dataset, next_actions=next_actions)
    return buffer


def _fill(buffer: ReplayBuffer, index: int, dataset: Dataset, *, next_actions: bool) -> None:
    columns = dataset.columns()
    learners = dataset.manifest.columns["rewards"].shape[1]
    ends = dataset.episode_ends()
    for start in range(0, len(dataset), CHUNK_ROWS):
        rows = slice(start, min(start + CHUNK_ROWS, len(dataset)))
        chunk = {name: columns[name][rows] for name in FLOAT_COLUMNS}
        chunk["terminated"] = np.repeat(
            columns["terminated"][rows, None].astype(np.float32), learners, axis=1
        )
        if next_actions:
            mask = np.repeat((~ends[rows, None]).astype(np.float32), learners, axis=1)
            following = np.minimum(np.arange(rows.start + 1, rows.stop + 1), len(dataset) - 1)
            chunk["next_actions"] = columns["actions"][following] * mask[:, :, None]
            chunk["next_mask"] = mask
        buffer.extend(chunk, dataset=index)
