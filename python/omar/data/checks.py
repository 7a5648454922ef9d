"""Checks of columns, a chunk of rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError

if TYPE_CHECKING:
    import numpy.typing as npt

CHUNK_ROWS = 65_536  # rows that a pass over a dataset reads at once


def check_finite(name: str, column: npt.NDArray[Any]) -> None:
    """Refuses NaN and infinite values.

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


def check_flags(name: str, column: npt.NDArray[np.bool_]) -> None:
    """Refuses bytes of a boolean column that are neither 0 nor 1.

    Raises:
        DatasetError: Names the column and the first such row.
    """
    wrong = np.flatnonzero(column.view(np.uint8) > 1)
    if len(wrong):
        raise DatasetError(f"column {name!r} has a flag that is neither 0 nor 1 in row {wrong[0]}")


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
