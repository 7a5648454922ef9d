"""The foreign formats by name, and the two directions: import and export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from ..tasks import Task, get_quality, get_task
from . import authors, minari, vault
from .dataset import FLAG_COLUMNS, PREY_COLUMNS, Dataset, check_finite, check_order
from .writer import DatasetSpec, write_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .foreign import Columns, Foreign


@dataclass(frozen=True, slots=True)
class Format:
    """A foreign format: how to read it, how to write it, and what it is."""

    read: Callable[[Path, Task], Foreign]
    write: Callable[[Dataset, Path], tuple[str, ...]]  # returns what the format drops, a sentence each
    about: str


FORMATS = {
    "authors": Format(authors.read, authors.write, "the paper authors' .npy files"),
    "minari": Format(minari.read, minari.write, "Minari HDF5 with a Dict space keyed by agent"),
    "vault": Format(vault.read, vault.write, "Flashbax Vault as OG-MARL publishes it"),
}


def get_format(name: str) -> Format:
    """The format of that name.

    Raises:
        DatasetError: No format has that name.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise DatasetError(f"unknown format {name!r}: expected one of {', '.join(FORMATS)}") from None


def import_dataset(
    name: str, source: Path, task: str, quality: str, destination: Path
) -> tuple[Dataset, tuple[str, ...]]:
    """Reads a dataset of a foreign format and writes it as a dataset of this package.

    Returns:
        The dataset, and notes on what the foreign format could not say or what was left out, a sentence each.

    Raises:
        DatasetError: Anything about the source that is missing or malformed.
        ValueError: Unknown task or quality.
    """
    chosen = get_format(name)
    found = get_task(task)
    get_quality(found, quality)
    if not source.exists():
        raise DatasetError(f"nothing to import: {source} does not exist")
    foreign = chosen.read(source, found)
    spec = DatasetSpec(
        task=task,
        quality=quality,
        transitions=len(foreign.columns["rewards"]),
        num_learners=found.num_learners,
        obs_size=found.obs_size,
        action_size=found.action_size,
        episode_length=found.episode_length,
        recipe={"source": "import", "format": name},
        prey_obs_size=found.obs_sizes[-1] if PREY_COLUMNS[0] in foreign.columns else 0,
        state_size=foreign.columns["states"].shape[-1] if "states" in foreign.columns else 0,
    )
    _check(foreign.columns, spec, source)
    foreign.columns["truncated"] = foreign.columns["truncated"] & ~foreign.columns["terminated"]
    return write_dataset(destination, spec, foreign.columns), foreign.notes


def export_dataset(name: str, dataset: Dataset, destination: Path) -> tuple[str, ...]:
    """Writes a dataset in a foreign format.

    Returns:
        What the format cannot hold, a sentence each.

    Raises:
        DatasetError: Something is at the destination, or it cannot be written.
    """
    chosen = get_format(name)
    try:
        return chosen.write(dataset, destination)
    except OSError as error:
        raise DatasetError(f"cannot export to {destination}: {error.strerror or error}") from None


def _check(columns: Columns, spec: DatasetSpec, source: Path) -> None:
    if not spec.transitions:
        raise DatasetError(f"{source} has no transition")
    for name, shape in spec.shapes().items():
        if columns[name].shape != shape:
            raise DatasetError(
                f"{source} is not a dataset of {spec.task}: {name} must be {list(shape)}, "
                f"got {list(columns[name].shape)}"
            )
    try:
        for name, column in columns.items():
            check_finite(name, column)
        _check_episodes(columns, spec)
    except DatasetError as error:
        raise DatasetError(f"{source} is malformed: {error}") from None


def _check_episodes(columns: dict[str, Any], spec: DatasetSpec) -> None:
    ends = np.asarray(columns[FLAG_COLUMNS[0]] | columns[FLAG_COLUMNS[1]])
    check_order(columns["observations"], columns["next_observations"], ends)
    last = np.flatnonzero(ends)
    lengths = np.diff(np.concatenate(([-1], last)))
    if len(lengths) and lengths.max() > spec.episode_length:
        raise DatasetError(
            f"an episode has {lengths.max()} steps, those of {spec.task} have at most {spec.episode_length}"
        )
    if len(lengths) > 1 and np.median(lengths) < spec.episode_length / 2:
        raise DatasetError(
            f"most episodes have {int(np.median(lengths))} steps instead of {spec.episode_length}: "
            "the rows are not in order of time"
        )
