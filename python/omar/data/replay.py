"""From datasets on disk to replay storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from ..replay import ReplayBuffer
from .checks import CHUNK_ROWS
from .manifest import FLOAT_COLUMNS, STATE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import torch

    from .dataset import Dataset


def fields(
    dataset: Dataset, *, next_actions: bool = False, states: bool = False, returns: bool = False
) -> dict[str, tuple[int, ...]]:
    """Fields of a replay row for `omar.ReplayBuffer`: the learner is the first axis of each.

    observations [N, O], actions [N, A], rewards [N], next_observations [N, O], terminated [N] (0 or 1).

    Args:
        dataset: Whose rows they are.
        next_actions: Also next_actions [N, A] and next_mask [N]: the dataset's own next action, and 1 where
            the next transition belongs to the same episode.
        states: Also states and next_states [1, G], the same for all learners, where the dataset has them.
        returns: Also returns [N]: of the row's whole episode, the mean over the learners.
    """
    known = dataset.manifest.columns
    shapes = {name: tuple(known[name].shape[1:]) for name in FLOAT_COLUMNS}
    learners = shapes["rewards"]
    shapes["terminated"] = learners
    if next_actions:
        shapes |= {"next_actions": shapes["actions"], "next_mask": learners}
    if states:
        shapes |= {name: (1, *known[name].shape[1:]) for name in STATE_COLUMNS if name in known}
    if returns:
        shapes["returns"] = learners
    return shapes


def replay_buffer(
    datasets: Sequence[Dataset],
    *,
    next_actions: bool = False,
    states: bool = False,
    returns: bool = False,
    device: str | torch.device = "cpu",
) -> ReplayBuffer:
    """Replay storage filled from S datasets, one for each seed; a dataset given twice is stored twice.

    A row holds the learner's observations, actions, rewards, next_observations and `terminated`.

    Args:
        datasets: Of one task.
        next_actions: Whether rows also hold the dataset's own next action and its mask.
        states: Whether they hold the global states, where the datasets have them; such rows can only be
            drawn for all learners together.
        returns: Whether they hold the return of their whole episode.
        device: Where the rows lie.

    Raises:
        DatasetError: No dataset, or datasets of different tasks or shapes. With `next_actions`: a dataset
            whose rows do not follow one another within an episode.
    """
    if not datasets:
        raise DatasetError("a replay buffer needs at least one dataset")

    def shapes_of(dataset: Dataset) -> dict[str, tuple[int, ...]]:
        return fields(dataset, next_actions=next_actions, states=states, returns=returns)

    shapes = shapes_of(datasets[0])
    for dataset in datasets:
        if dataset.task != datasets[0].task or shapes_of(dataset) != shapes:
            raise DatasetError(
                f"datasets of one training must be alike: {dataset.path} differs from {datasets[0].path}"
            )
    capacity = max(len(dataset) for dataset in datasets)
    buffer = ReplayBuffer(capacity, shapes, device=device, datasets=len(datasets))
    for index, dataset in enumerate(datasets):
        if next_actions:
            dataset.check_order()
        _fill(buffer, index, dataset, tuple(shapes))
    return buffer


def _fill(buffer: ReplayBuffer, index: int, dataset: Dataset, names: tuple[str, ...]) -> None:
    columns = dataset.columns()
    learners = dataset.manifest.columns["rewards"].shape[1]
    ends = dataset.episode_ends()
    returns = _row_returns(dataset, ends) if "returns" in names else None

    def by_learner(numbers: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return np.repeat(numbers[:, None].astype(np.float32), learners, axis=1)

    for start in range(0, len(dataset), CHUNK_ROWS):
        rows = slice(start, min(start + CHUNK_ROWS, len(dataset)))
        chunk = {name: columns[name][rows] for name in FLOAT_COLUMNS}
        chunk["terminated"] = by_learner(columns["terminated"][rows])
        if "next_actions" in names:
            mask = by_learner(~ends[rows])
            following = np.minimum(np.arange(rows.start + 1, rows.stop + 1), len(dataset) - 1)
            chunk["next_actions"] = columns["actions"][following] * mask[:, :, None]
            chunk["next_mask"] = mask
        for name in STATE_COLUMNS:
            if name in names:
                chunk[name] = columns[name][rows, None]
        if returns is not None:
            chunk["returns"] = by_learner(returns[rows])
        buffer.extend(chunk, dataset=index)


def _row_returns(dataset: Dataset, ends: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The return of every row's episode, [n]."""
    episode: npt.NDArray[np.int64] = np.cumsum(ends) - ends
    return np.asarray(dataset.episode_returns()[episode])
