"""Writing datasets: streamed in chunks, and either whole or not there."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from ..errors import DatasetError
from ..runs.files import sync
from .checks import CHUNK_ROWS, check_finite
from .dataset import Dataset, episode_returns
from .folders import move_into_place, refuse_existing, sweep, temporary_folder
from .manifest import FLAG_COLUMNS, MANIFEST, ColumnInfo, Manifest, Returns, current_versions, whole_sha256
from .npy import header

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    import numpy.typing as npt

    from .spec import DatasetSpec

DISK_MARGIN = 64 * 2**20  # bytes that stay free beyond the dataset itself


@dataclass(slots=True)
class _ColumnFile:
    """A .npy file that grows by chunks; its checksum is taken on the way."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    file: IO[bytes] = field(init=False)
    digest: Any = field(init=False)
    rows: int = 0
    size: int = 0  # bytes written

    def __post_init__(self) -> None:
        self.file = self.path.open("wb")
        self.digest = hashlib.sha256()
        self._write(header(self.dtype, self.shape))

    def append(self, chunk: npt.NDArray[Any]) -> None:
        self._write(np.ascontiguousarray(chunk).data.cast("B"))
        self.rows += len(chunk)

    def _write(self, data: bytes | memoryview) -> None:
        self.file.write(data)
        self.digest.update(data)
        self.size += len(data)

    def close(self) -> ColumnInfo:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        return ColumnInfo(self.shape, self.dtype.str, self.size, self.digest.hexdigest())


class DatasetWriter:
    """Writes a dataset into a temporary folder beside its final place and renames it when it is whole.

    Used as a context manager: leaving it without `finish` (an error, Ctrl-C) removes the temporary folder. A
    killed process leaves the temporary folder, which no reader takes for a dataset; the next writer beside it
    removes it.
    """

    def __init__(self, path: Path, spec: DatasetSpec, *, replace: bool = False) -> None:
        """Creates the temporary folder and the column files.

        Args:
            path: Where the dataset will lie.
            spec: What it will be.
            replace: Whether it takes the place of what is at `path`, which stays until `finish`.

        Raises:
            DatasetError: `path` exists and is not to be replaced, its folder cannot be written, or the disk
                lacks space.
        """
        if not replace:
            refuse_existing(path)
        self._path = path
        self._spec = spec
        self._temporary = temporary_folder(path)
        self._rewards: list[npt.NDArray[np.float64]] = []
        self._ends: list[npt.NDArray[np.bool_]] = []
        self._files: dict[str, _ColumnFile] = {}
        shapes = spec.shapes()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path.parent)
            _check_space(path.parent, shapes)
            self._temporary.mkdir()
            for name, shape in shapes.items():
                dtype = np.dtype(np.bool_ if name in FLAG_COLUMNS else np.float32)
                self._files[name] = _ColumnFile(self._temporary / f"{name}.npy", shape, dtype)
        except OSError as error:
            self._discard()
            raise DatasetError(
                f"cannot write a dataset to {path.parent}: {error.strerror or error}"
            ) from None

    def append(self, chunk: Mapping[str, npt.NDArray[Any]]) -> None:
        """Appends rows: every column of the dataset once, [rows, ...].

        Raises:
            DatasetError: A missing or unknown column, a wrong shape or dtype, a value that is not finite, too
                many rows, or a disk that filled up.
        """
        if chunk.keys() != self._files.keys():
            raise DatasetError(f"expected the columns {', '.join(self._files)}, got {', '.join(chunk)}")
        rows = len(chunk["rewards"])
        for name, file in self._files.items():
            _check_chunk(name, chunk[name], file, rows)
        if self._files["rewards"].rows + rows > self._spec.transitions:
            raise DatasetError(f"more rows than the {self._spec.transitions} that were announced")
        try:
            for name, file in self._files.items():
                file.append(chunk[name])
        except OSError as error:
            raise DatasetError(f"cannot write a dataset to {self._path}: {error.strerror or error}") from None
        self._rewards.append(chunk["rewards"].mean(axis=1, dtype=np.float64))
        self._ends.append(chunk["terminated"] | chunk["truncated"])

    def finish(self) -> Dataset:
        """Writes the manifest, syncs everything to disk and moves the dataset to its place.

        Raises:
            DatasetError: Fewer rows than announced, or the disk refused.
        """
        spec = self._spec
        rows = self._files["rewards"].rows
        if rows != spec.transitions:
            raise DatasetError(f"{rows} rows were written, {spec.transitions} were announced")
        try:
            columns = {name: file.close() for name, file in self._files.items()}
            manifest = self._manifest(columns)
            target = self._temporary / MANIFEST
            with target.open("w", encoding="utf-8") as file:
                file.write(manifest.to_json())
                file.flush()
                os.fsync(file.fileno())
            sync(self._temporary)
            move_into_place(self._temporary, self._path)
        except OSError as error:
            raise DatasetError(f"cannot write a dataset to {self._path}: {error.strerror or error}") from None
        return Dataset.open(self._path)

    def _manifest(self, columns: Mapping[str, ColumnInfo]) -> Manifest:
        spec = self._spec
        rewards = np.concatenate([np.zeros(0), *self._rewards])
        ends = np.concatenate([np.zeros(0, dtype=np.bool_), *self._ends])
        if not len(rewards):
            raise DatasetError("a dataset needs at least one transition")
        ends[-1] = True
        returns = episode_returns(rewards[:, None].astype(np.float64), ends)
        return Manifest(
            task=spec.task,
            quality=spec.quality,
            transitions=spec.transitions,
            episodes=len(returns),
            episode_length=spec.episode_length,
            columns=columns,
            sha256=whole_sha256(columns),
            returns=Returns(
                float(returns.mean()), float(returns.std()), float(returns.min()), float(returns.max())
            ),
            recipe=spec.recipe,
            references=spec.scale,
            versions=current_versions() if spec.versions is None else spec.versions,
        )

    def _discard(self) -> None:
        for file in self._files.values():
            with suppress(OSError):
                file.file.close()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes what is not finished."""
        if self._temporary.exists():
            self._discard()


def _check_chunk(name: str, chunk: npt.NDArray[Any], file: _ColumnFile, rows: int) -> None:
    if chunk.dtype != file.dtype:
        raise DatasetError(f"column {name!r} must be {file.dtype}, got {chunk.dtype}")
    if chunk.shape != (rows, *file.shape[1:]):
        expected = ", ".join(map(str, (rows, *file.shape[1:])))
        raise DatasetError(f"column {name!r} must be [{expected}], got {list(chunk.shape)}")
    check_finite(name, chunk)


def _check_space(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    needed = DISK_MARGIN
    for name, shape in shapes.items():
        needed += math.prod(shape) * (1 if name in FLAG_COLUMNS else 4)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DatasetError(
            f"not enough disk space in {folder}: the dataset needs {needed // 2**20:,} MiB, "
            f"{free / 2**20:.0f} MiB are free (OMAR_HOME chooses another place)"
        )


def write_dataset(
    path: Path, spec: DatasetSpec, columns: Mapping[str, npt.NDArray[Any]], rows: int = CHUNK_ROWS
) -> Dataset:
    """Writes whole columns, a chunk of rows at a time.

    Raises:
        DatasetError: As `DatasetWriter`.
    """
    with DatasetWriter(path, spec) as writer:
        for start in range(0, max(map(len, columns.values()), default=0), rows):
            writer.append(
                {name: np.asarray(column[start : start + rows]) for name, column in columns.items()}
            )
        return writer.finish()
