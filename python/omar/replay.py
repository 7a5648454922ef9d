"""Replay storage: packed rows, S datasets, minibatches for M members in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any, NoReturn, SupportsIndex

import numpy as np
import numpy.typing as npt
import torch

from . import _core
from .arguments import check_device, check_integer, check_seed, check_step, refuse_copy

Column = torch.Tensor | npt.NDArray[Any]
_SAMPLE = "replay::sample"


class ReplayBuffer:
    """Ring buffer of float32 transitions, one packed row each.

    All S datasets have the same capacity; each fills and wraps on its own. Row i is the i-th that was
    written, until the ring wraps and the newest rows take the places of the oldest.

    Threads may share a buffer: a minibatch holds the rows from before or from after an `extend`, never parts
    of both. A buffer cannot be copied or pickled; `save` and `load` write and read it.
    """

    __slots__ = ("_core",)

    def __init__(
        self,
        capacity: int,
        fields: Mapping[str, Sequence[int]],
        device: str | torch.device = "cpu",
        datasets: int = 1,
        storage: torch.dtype = torch.float32,
    ) -> None:
        """Empty storage.

        Args:
            capacity: rows of each dataset.
            fields: shape per row of each column, such as `{"observations": (3, 18), "rewards": (3,)}`.
            device: where the rows live and the minibatches appear.
            datasets: number of datasets S.
            storage: torch.float32, or torch.bfloat16 for half the memory and traffic; columns and minibatches
                are float32 either way.

        Raises:
            ValueError: capacity or datasets below 1, no field, a size below 1, no such device, no memory.
            TypeError: another storage.
        """
        named = [
            (name, [check_integer("replay", f"fields[{name!r}]", size) for size in shape])
            for name, shape in fields.items()
        ]
        self._core = _core.ReplayBuffer(
            check_integer("replay", "capacity", capacity),
            named,
            check_device("replay", device),
            check_integer("replay", "datasets", datasets),
            storage,
        )

    @classmethod
    def view(cls, *datasets: Mapping[str, Column]) -> ReplayBuffer:
        """A buffer that samples straight from existing columns, such as memory maps, without a copy.

        Rows that were never sampled are never read from disk. Nothing can be added. The buffer keeps the
        columns alive and only reads them. A packed buffer samples faster: each of its rows lies in one place.

        Args:
            datasets: for each dataset every field once: float32 `[n, ...]`, contiguous, on the CPU.

        Raises:
            ValueError: no dataset, fields that differ between datasets, wrong shape, not contiguous.
            TypeError: not float32, not a tensor or array.
        """
        buffer = cls.__new__(cls)
        buffer._core = _core.ReplayBuffer.view([_checked(columns) for columns in datasets])
        return buffer

    @property
    def capacity(self) -> int:
        """Rows that each dataset can hold."""
        return self._core.capacity

    @property
    def datasets(self) -> int:
        """Number of datasets S."""
        return self._core.datasets

    @property
    def device(self) -> torch.device:
        """Device of the rows."""
        return self._core.device

    @property
    def storage(self) -> torch.dtype:
        """Dtype of the stored numbers."""
        return self._core.storage

    @property
    def row_bytes(self) -> int:
        """Bytes of a stored row, padding included."""
        return self._core.row_bytes

    @property
    def fields(self) -> dict[str, tuple[int, ...]]:
        """Shape per row of each column."""
        return {name: tuple(shape) for name, shape in self._core.fields}

    @property
    def size(self) -> int:
        """Valid rows of all datasets together."""
        return sum(self._core.size(dataset) for dataset in range(self.datasets))

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        sizes = [self._core.size(dataset) for dataset in range(self.datasets)]
        parts = f"capacity={self.capacity}, sizes={sizes}, fields={self.fields}, device='{self.device}'"
        return f"ReplayBuffer({parts})"

    def extend(self, columns: Mapping[str, Column], dataset: int = 0) -> None:
        """Appends n rows and overwrites the oldest when the ring is full.

        Columns are read once, straight from where they are: numpy arrays and memory maps included.

        Args:
            columns: every field once, float32 `[n, ...]`.
            dataset: which of the S datasets.

        Raises:
            ValueError: missing or unknown field, wrong shape, no such dataset.
            TypeError: not float32, not a tensor or array.
        """
        self._core.extend(_checked(columns), check_integer("replay", "dataset", dataset))

    def sample(
        self, batch_size: int, *, members: int = 1, seed: int, step: int, agents: int | None = None
    ) -> dict[str, torch.Tensor]:
        """Minibatches `[M, B, ...]` of every field, without replacement within a member.

        A draw is a function of (seed, step, member) and of the dataset's size alone.

        Args:
            batch_size: B rows for each member.
            members: M, a multiple of S; member m draws from dataset `m // (M / S)`.
            seed: key of the draw.
            step: counter of the draw: the update's number, in 0..2^32-1.
            agents: N, the first size of every field; member m receives only slice `m % N`, without that axis.

        Raises:
            ValueError: an argument out of range, an empty dataset, B larger than a dataset.
        """
        part = None if agents is None else check_integer(_SAMPLE, "agents", agents)
        return dict(self._core.sample(*_draw(batch_size, members, seed, step), part))

    def sample_indices(self, batch_size: int, *, members: int = 1, seed: int, step: int) -> torch.Tensor:
        """The rows that `sample` takes: int64 `[M, B]` on the CPU."""
        return self._core.sample_indices(*_draw(batch_size, members, seed, step))

    def columns(self, dataset: int = 0) -> dict[str, torch.Tensor]:
        """A copy of all rows of a dataset, oldest first: `[size, ...]` of every field."""
        return dict(self._core.columns(check_integer("replay", "dataset", dataset)))

    def save(self, path: str | PathLike[str]) -> None:
        """Writes all datasets to one file, atomically.

        Raises:
            OSError: the file cannot be written.
        """
        self._core.save(fspath(path))

    @classmethod
    def load(cls, path: str | PathLike[str], device: str | torch.device = "cpu") -> ReplayBuffer:
        """Reads what `save` wrote; samples of the loaded buffer are those of the saved one.

        Raises:
            ValueError: not such a file, truncated or damaged.
            OSError: the file cannot be read.
        """
        buffer = cls.__new__(cls)
        buffer._core = _core.ReplayBuffer.load(fspath(path), check_device("replay", device))
        return buffer

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copy(self, "`save` it and `load` the file")


def _checked(columns: Mapping[str, Column]) -> list[tuple[str, Column]]:
    for name, column in columns.items():
        if not isinstance(column, torch.Tensor | np.ndarray):
            raise TypeError(
                f"[replay] `{name}` must be a tensor or a numpy array, got {type(column).__name__}"
            )
    return list(columns.items())


def _draw(batch_size: int, members: int, seed: int, step: int) -> tuple[int, int, int, int]:
    return (
        check_integer(_SAMPLE, "batch_size", batch_size),
        check_integer(_SAMPLE, "members", members),
        check_seed(_SAMPLE, seed),
        check_step(_SAMPLE, "step", step),
    )
