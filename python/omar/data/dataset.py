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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from .checks import CHUNK_ROWS, check_order
from .manifest import MANIFEST, Manifest, read_manifest
from .npy import open_npy
from .verification import check_columns, is_recorded, remember, take_stamp

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ..tasks import Task


@dataclass(frozen=True, slots=True)
class Dataset:
    """An opened dataset: the manifest is read, the sizes checked; columns are mapped when asked for."""

    path: Path
    manifest: Manifest

    @staticmethod
    def open(path: Path) -> Dataset:
        """Opens a dataset; every file must be there with the size and form that the manifest states.

        Raises:
            DatasetError: No dataset there, or a damaged one. Contents are checked by `verified` and `verify`.
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

    @property
    def prey(self) -> str | None:
        """Which prey moved: the checksum of its weights, or "uniform" for uniform actions.

        None where the task has no prey, or where the set cannot say which one it was.
        """
        entry = self.manifest.recipe.get("prey")
        if not isinstance(entry, Mapping):
            return None
        if entry.get("source") == "uniform":
            return "uniform"
        checksum = entry.get("sha256")
        return checksum if isinstance(checksum, str) else None

    def __len__(self) -> int:
        """Number of transitions n."""
        return self.manifest.transitions

    def column(self, name: str) -> npt.NDArray[Any]:
        """One column, memory-mapped and read-only."""
        if name not in self.manifest.columns:
            raise DatasetError(
                f"{self.path} has no column {name!r}: it has {', '.join(self.manifest.columns)}"
            )
        return open_npy(self.path / f"{name}.npy")

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """All columns by name, memory-mapped and read-only."""
        return {name: self.column(name) for name in self.manifest.columns}

    def episode_ends(self) -> npt.NDArray[np.bool_]:
        """[n], true at the last transition of every episode (and at the dataset's last one)."""
        ends = np.asarray(self.column("terminated") | self.column("truncated"))
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

    def check_task(self, task: Task) -> None:
        """Refuses to pass for a dataset of a task that it is not of.

        Raises:
            DatasetError: The task's name, or the shape of a column, is another.
        """
        if self.task != task.name:
            raise DatasetError(f"{self.path} is a dataset of {self.task}, not of {task.name}")
        for name, shape in task_shapes(task).items():
            info = self.manifest.columns.get(name)
            if info is not None and info.shape[1:] != shape:
                raise DatasetError(
                    f"{self.path} is not a dataset of {task.name}: {name} must be "
                    f"{[len(self), *shape]}, got {list(info.shape)}"
                )

    def verified(self, *, progress: bool = True) -> Dataset:
        """This dataset, once its contents are known to be whole: to be called before it is trained on.

        Columns are read the first time only: as long as every file keeps its size, times and inode, a record
        in OMAR_HOME vouches for it.

        Raises:
            DatasetError: A column differs from what the manifest states.
        """
        if not is_recorded(self.path, self.manifest):
            stamp = take_stamp(self.path, self.manifest)
            self._check_contents(progress=progress)
            remember(self.path, self.manifest, stamp)
        return self

    def verify(self) -> None:
        """Reads everything: checksums, finite values, the number of episodes, steps that follow one another.

        Raises:
            DatasetError: Any column differs from what the manifest states.
        """
        self._check_contents()
        self.check_order()

    def check_order(self) -> None:
        """Makes sure that steps follow one another: for those who read the next row as the next step.

        Raises:
            DatasetError: Within an episode a transition does not start where the one before it ended.
        """
        try:
            check_order(self.column("observations"), self.column("next_observations"), self.episode_ends())
        except DatasetError as error:
            raise DatasetError(f"{self.path} is damaged: {error}") from None

    def _check_contents(self, *, progress: bool = True) -> None:
        self._check_files()
        check_columns(self.path, self.manifest, progress=progress)
        episodes = int(self.episode_ends().sum())
        if episodes != self.manifest.episodes:
            raise DatasetError(
                f"{self.path} is damaged: it has {episodes} episodes, "
                f"its manifest says {self.manifest.episodes}"
            )

    def _check_files(self) -> None:
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
                array = open_npy(path)
            except DatasetError as error:
                raise DatasetError(f"{self.path} is damaged: {error}") from None
            if array.shape != info.shape or array.dtype.str != info.dtype or not array.flags.c_contiguous:
                raise DatasetError(
                    f"{self.path} is damaged: {name}.npy is {array.dtype} {list(array.shape)}, "
                    f"its {MANIFEST} says {info.dtype} {list(info.shape)}"
                )


def task_shapes(task: Task) -> dict[str, tuple[int, ...]]:
    """Shape of a row of every column that a task fixes; the prey's where it has one."""
    learners = task.num_learners
    shapes: dict[str, tuple[int, ...]] = {
        "observations": (learners, task.obs_size),
        "actions": (learners, task.action_size),
        "rewards": (learners,),
        "next_observations": (learners, task.obs_size),
    }
    if task.has_prey:
        shapes |= {
            "prey_observations": (task.obs_sizes[-1],),
            "prey_actions": (task.action_size,),
            "prey_rewards": (),
            "prey_next_observations": (task.obs_sizes[-1],),
        }
    return shapes


def episode_returns(rewards: npt.NDArray[np.float32], ends: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Returns of the episodes that `ends` [n] separates in rewards [n, N], [episodes]."""
    if not len(rewards):
        return np.zeros(0)
    starts = np.concatenate(([0], np.flatnonzero(ends[:-1]) + 1))
    return np.add.reduceat(rewards.mean(axis=1, dtype=np.float64), starts)
