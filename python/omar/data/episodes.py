"""Where the episodes of foreign data end, and what follows a step there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from ..errors import DatasetError
from .checks import CHUNK_ROWS

if TYPE_CHECKING:
    import numpy.typing as npt

    from .foreign import Columns

TimeLimits: TypeAlias = Literal["auto", "keep", "truncate"]
FOLLOWING = {  # a column of the step after, by the column that it is taken from
    "observations": "next_observations",
    "prey_observations": "prey_next_observations",
    "states": "next_states",
}


def mark_ends(columns: Columns, length: int) -> tuple[str, ...]:
    """Adds `truncated` where a format does not mark time limits; returns notes.

    An episode ends where the next row does not start where this one ended. Without next observations the
    dones say where, or else every `length` rows are an episode.

    Raises:
        DatasetError: Nothing says where episodes end.
    """
    notes: tuple[str, ...] = ()
    terminated = columns["terminated"]
    rows = len(terminated)
    if "truncated" in columns:
        pass
    elif "next_observations" in columns:
        columns["truncated"] = _jumps(columns)
        notes = ("episode ends were found where a row does not start where the one before it ended",)
    else:
        truncated = np.zeros(rows, np.bool_)
        if not terminated.any():
            if rows % length:
                raise DatasetError(
                    f"neither next observations nor dones say where episodes end, and {rows} rows are not "
                    f"whole episodes of {length} steps"
                )
            truncated[length - 1 :: length] = True
            notes = (f"nothing marks the ends of episodes: every {length} rows were taken for one",)
        truncated[-1:] = True
        columns["truncated"] = truncated
    columns["truncated"] = columns["truncated"] & ~terminated
    return notes


def settle_time_limits(columns: Columns, length: int, mode: TimeLimits) -> tuple[str, ...]:
    """Makes truncations of the dones that mark the time limit; returns notes.

    With "auto" only if all time limits are dones, and no other step is; with "truncate" of all dones at the
    limit; with "keep" of none.
    """
    terminated = columns["terminated"]
    dones = int(terminated.sum())
    limits = (terminated | columns["truncated"]) & (_steps_taken(columns) == length)
    at_limit = terminated & limits
    count = int(at_limit.sum())
    if not count:
        return ()
    if mode == "keep" or (mode == "auto" and not count == dones == limits.sum()):
        return (
            f"{count} of {dones} dones lie at the time limit of {length} steps and count as terminations "
            "(--time-limits truncate makes them truncations)",
        )
    columns["terminated"] = terminated & ~at_limit
    columns["truncated"] = columns["truncated"] | at_limit
    return (
        f"{count} of {dones} dones mark the time limit of {length} steps and count as truncations "
        "(--time-limits keep makes them terminations)",
    )


def complete_steps(columns: Columns) -> tuple[Columns, tuple[str, ...]]:
    """Adds what follows each step where it is not stored; returns the columns and notes.

    It is taken from the next row. The last step of a truncated episode has no such row and is left out; so is
    one whose next observation is the first of the next episode. After a termination no value follows, so any
    observation serves.
    """
    columns, notes = _without_partial(columns)
    ends = columns["terminated"] | columns["truncated"]
    ends[-1:] = True
    if "next_observations" in columns:
        lacking = columns["truncated"] & ~_jumps(columns)
        what = "the observation after it is that of the next episode"
    else:
        lacking = ends & ~columns["terminated"]
        what = "the observation after it is not stored"
    for name, following in FOLLOWING.items():
        if name in columns and following not in columns:
            column = columns[name]
            columns[following] = np.concatenate((column[1:], column[-1:]))
            columns[following][columns["terminated"]] = column[columns["terminated"]]
    if not lacking.any():
        return columns, notes
    truncated = columns["truncated"].copy()
    truncated[:-1] |= lacking[1:]
    columns["truncated"] = truncated & ~columns["terminated"]
    note = (
        f"the last step of {int(lacking.sum())} episodes was left out: {what}, "
        "so returns lack that step's reward"
    )
    return {name: column[~lacking] for name, column in columns.items()}, (note, *notes)


def check_lengths(columns: Columns, task: str, length: int) -> None:
    """Refuses episodes that are longer than the task's, and rows that are not in order of time.

    Raises:
        DatasetError: Says which.
    """
    last = np.flatnonzero(columns["terminated"] | columns["truncated"])
    lengths = np.diff(np.concatenate(([-1], last, [len(columns["rewards"]) - 1])))
    if lengths.max() > length:
        raise DatasetError(f"an episode has {lengths.max()} steps, those of {task} have at most {length}")
    if len(last) > 1 and np.median(lengths[: len(last)]) < 2 < length:
        raise DatasetError(
            f"most episodes have 1 step instead of {length}: the rows are not in order of time"
        )


def _without_partial(columns: Columns) -> tuple[Columns, tuple[str, ...]]:
    """Without the prey's columns or the states where only a part of them is stored."""
    notes = []
    found = dict(columns)
    derived = set() if "next_observations" in columns else set(FOLLOWING.values())
    prey = ("prey_observations", "prey_actions", "prey_rewards", "prey_next_observations")
    for names, what in ((prey, "the prey's columns"), (("states", "next_states"), "the global states")):
        lacking = [name for name in names if name not in columns and name not in derived]
        if any(name in columns for name in names) and lacking:
            notes.append(f"{what} were left out: {', '.join(lacking)} are not stored")
            found = {name: column for name, column in found.items() if name not in names}
    return found, tuple(notes)


def _jumps(columns: Columns) -> npt.NDArray[np.bool_]:
    """[n], true where the next row does not start where this one ended; the last row counts as such."""
    observations, following = columns["observations"], columns["next_observations"]
    if observations.shape != following.shape:
        raise DatasetError(
            "observations and next observations must be alike, "
            f"got {list(observations.shape)} and {list(following.shape)}"
        )
    jumps = np.ones(len(observations), np.bool_)
    for start in range(0, len(observations) - 1, CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, len(observations) - 1)
        differs = observations[start + 1 : stop + 1] != following[start:stop]
        jumps[start:stop] = differs.reshape(stop - start, -1).any(axis=1)
    return jumps


def _steps_taken(columns: Columns) -> npt.NDArray[np.int64]:
    """[n], how many steps of its episode are over after each row."""
    ends = columns["terminated"] | columns["truncated"]
    rows = np.arange(len(ends))
    starts = np.zeros(len(ends), np.int64)
    starts[1:] = np.where(ends[:-1], rows[1:], 0)
    taken: npt.NDArray[np.int64] = rows - np.maximum.accumulate(starts) + 1
    return taken
