"""Datasets on disk: a folder of memory-mapped .npy columns and a manifest.

Columns of n transitions of N learners, in order of time, the transitions of an episode side by side:

| column | shape | dtype |
|---|---|---|
| observations | [n, N, O] | float32 |
| actions | [n, N, A] | float32 |
| rewards | [n, N] | float32 |
| next_observations | [n, N, O] | float32 |
| terminated | [n] | bool: the episode ended, the next value is zero |
| truncated | [n] | bool: the episode was cut, the next value is bootstrapped |
| prey_observations, prey_next_observations | [n, P] | float32, optional: of the agent that does not learn |
| prey_actions, prey_rewards | [n, A], [n] | float32, optional: of the agent that does not learn |
| states, next_states | [n, G] | float32, optional: global states where a task has them |

An episode ends where either flag is set. The particle tasks are only ever truncated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from .manifest import MANIFEST, Manifest, file_sha256, read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

FLOAT_COLUMNS = ("observations", "actions", "rewards", "next_observations")
FLAG_COLUMNS = ("terminated", "truncated")
PREY_COLUMNS = ("prey_observations", "prey_actions", "prey_rewards", "prey_next_observations")
STATE_COLUMNS = ("states", "next_states")
COLUMNS = (*FLOAT_COLUMNS, *FLAG_COLUMNS)
CHUNK_ROWS = 65_536  # rows that a pass over a dataset reads at once


@dataclass(frozen=True, slots=True)
class Dataset:
    """An opened dataset: the manifest is read, the sizes checked; columns are mapped when asked for."""

    path: Path
    manifest: Manifest

    @staticmethod
    def open(path: Path) -> Dataset:
        """Opens a dataset; every file must be there with the size and form that the manifest states.

        Raises:
            DatasetError: No dataset there, or a damaged one. Contents are checked by `verify`.
        """
        dataset = Dataset(path, read_manifest(path))
        dataset._check_files()
        return dataset

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.manifest.task

    @property
    def quality(self) -> str:
        """Name of the quality."""
        return self.manifest.quality

    def __len__(self) -> int:
        """Number of transitions n."""
        return self.manifest.transitions

    def column(self, name: str) -> npt.NDArray[Any]:
        """One column, memory-mapped and read-only."""
        if name not in self.manifest.columns:
            raise DatasetError(
                f"{self.path} has no column {name!r}: it has {', '.join(self.manifest.columns)}"
            )
        column: npt.NDArray[Any] = np.load(self.path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return column

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """All columns by name, memory-mapped and read-only."""
        return {name: self.column(name) for name in self.manifest.columns}

    def episode_ends(self) -> npt.NDArray[np.bool_]:
        """[n], true at the last transition of every episode (and at the dataset's last one)."""
        ends = np.asarray(self.column("terminated") | self.column("truncated"))
        if len(ends):
            ends[-1] = True
        return ends

    def episode_returns(self) -> npt.NDArray[np.float64]:
        """[episodes]: undiscounted sums of the mean reward over the learners."""
        return episode_returns(self.column("rewards"), self.episode_ends())

    def statistics(self, name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Mean and standard deviation of a column over all transitions, [N, ...] each."""
        values = self.column(name)
        total = np.zeros(values.shape[1:])
        square = np.zeros(values.shape[1:])
        for start in range(0, len(values), CHUNK_ROWS):
            chunk = values[start : start + CHUNK_ROWS].astype(np.float64)
            total += chunk.sum(axis=0)
            square += np.einsum("nio,nio->io", chunk, chunk)
        count = max(len(values), 1)
        mean = total / count
        variance = np.maximum(square / count - mean * mean, 0.0)
        return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)

    def verify(self) -> None:
        """Reads everything: checksums, finite values, the number of episodes, steps that follow one another.

        Raises:
            DatasetError: Any column differs from what the manifest states.
        """
        self._check_files()
        for name, info in self.manifest.columns.items():
            if file_sha256(self.path / f"{name}.npy") != info.sha256:
                raise DatasetError(
                    f"{self.path} is damaged: the checksum of {name}.npy is not the manifest's"
                )
        for name in self.manifest.columns:
            check_finite(name, self.column(name))
        episodes = int(self.episode_ends().sum())
        if episodes != self.manifest.episodes:
            raise DatasetError(
                f"{self.path} is damaged: it has {episodes} episodes, "
                f"its manifest says {self.manifest.episodes}"
            )
        check_order(self.column("observations"), self.column("next_observations"), self.episode_ends())

    def _check_files(self) -> None:
        for name in COLUMNS:
            if name not in self.manifest.columns:
                raise DatasetError(f"{self.path} is damaged: {MANIFEST} has no column {name!r}")
        for name, info in self.manifest.columns.items():
            path = self.path / f"{name}.npy"
            if not path.is_file():
                raise DatasetError(f"{self.path} is damaged: {name}.npy is missing")
            size = path.stat().st_size
            if size != info.bytes:
                raise DatasetError(
                    f"{self.path} is damaged: {name}.npy has {size} bytes instead of {info.bytes}"
                )
            try:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            except ValueError as error:
                raise DatasetError(f"{self.path} is damaged: {name}.npy cannot be read ({error})") from None
            if array.shape != info.shape or array.dtype != np.dtype(info.dtype):
                raise DatasetError(
                    f"{self.path} is damaged: {name}.npy is {array.dtype} {list(array.shape)}, "
                    f"its manifest says {info.dtype} {list(info.shape)}"
                )
            if len(array) != self.manifest.transitions:
                raise DatasetError(
                    f"{self.path} is damaged: {name}.npy has {len(array)} rows instead of "
                    f"{self.manifest.transitions}"
                )


def episode_returns(rewards: npt.NDArray[np.float32], ends: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Returns of the episodes that `ends` [n] separates in rewards [n, N], [episodes]."""
    if not len(rewards):
        return np.zeros(0)
    starts = np.concatenate(([0], np.flatnonzero(ends[:-1]) + 1))
    return np.add.reduceat(rewards.mean(axis=1, dtype=np.float64), starts)


def check_finite(name: str, column: npt.NDArray[Any]) -> None:
    """Refuses NaN and infinite values, a chunk at a time.

    Raises:
        DatasetError: Names the column and the first such row.
    """
    if not np.issubdtype(column.dtype, np.floating):
        return
    for start in range(0, len(column), CHUNK_ROWS):
        chunk = column[start : start + CHUNK_ROWS]
        finite = np.isfinite(chunk)
        if not finite.all():
            row = start + int(np.flatnonzero(~finite.reshape(len(chunk), -1).all(axis=1))[0])
            raise DatasetError(f"column {name!r} has a value that is not finite in row {row}")


def check_order(
    observations: npt.NDArray[np.float32],
    next_observations: npt.NDArray[np.float32],
    ends: npt.NDArray[np.bool_],
) -> None:
    """Within an episode every transition must start where the one before it ended.

    Args:
        observations: [n, N, O].
        next_observations: [n, N, O].
        ends: [n], true at the last transition of an episode.

    Raises:
        DatasetError: Names the first row that does not follow the one before it.
    """
    for start in range(0, len(ends) - 1, CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, len(ends) - 1)
        following = observations[start + 1 : stop + 1]
        broken = (following != next_observations[start:stop]).any(axis=(1, 2)) & ~ends[start:stop]
        if broken.any():
            row = start + int(np.flatnonzero(broken)[0]) + 1
            raise DatasetError(
                f"the transitions are not in order: row {row} does not start where row {row - 1} ended, "
                "within one episode"
            )
