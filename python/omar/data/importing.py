"""Import of foreign data: read, made complete, checked, and written as a dataset of this package."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from ..tasks import QUALITIES, get_task
from .checks import check_finite, check_order
from .episodes import TimeLimits, check_lengths, complete_steps, mark_ends, settle_time_limits
from .folders import refuse_existing
from .formats import get_format
from .manifest import PREY_COLUMNS, Manifest
from .npy import header
from .spec import DatasetSpec
from .writer import write_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from ..tasks import Task
    from .dataset import Dataset
    from .foreign import Columns, Foreign

UNNAMED = "imported"  # quality of a set that nobody gives a name
UNSTATED = "simple_spread"  # task of a set that states none


def import_dataset(
    name: str,
    source: Path,
    task: str | None,
    quality: str | None,
    destination: Path,
    *,
    time_limits: TimeLimits = "auto",
) -> tuple[Dataset, tuple[str, ...]]:
    """Reads a dataset of a foreign format and writes it as a dataset of this package.

    Args:
        name: Of the format.
        source: The folder to read.
        task: Name of the task that the set must belong to; when None, the one that its metadata states, or
            simple_spread.
        quality: What to call the set; when None, what its metadata or folders say.
        destination: The dataset's folder, which must not exist.
        time_limits: What a done at the time limit is; see `settle_time_limits`.

    Returns:
        The dataset, and notes on what the foreign format could not say or what was left out, a sentence each.

    Raises:
        DatasetError: Anything about the source that is missing or malformed.
        OmarError: Unknown task.
    """
    chosen = get_format(name)
    if not source.exists():
        raise DatasetError(f"nothing to import: {source} does not exist")
    refuse_existing(destination)
    origin, unused = chosen.read_origin(source)
    found = get_task(task or (UNSTATED if origin is None else origin.task))
    if origin is not None and origin.task != found.name:
        raise DatasetError(f"{source} is a dataset of {origin.task}, not of {found.name}")
    try:
        foreign = chosen.read(source, found)
        _check_rows(foreign.columns, source)
        spec, columns, notes = _settle(_Source(name, source, foreign, origin, found), quality, time_limits)
        _check(columns, spec, source)
    except MemoryError:
        raise DatasetError(f"{source} needs more memory than there is") from None
    return write_dataset(destination, spec, columns), (*unused, *foreign.notes, *notes)


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """What is imported."""

    format: str
    path: Path
    foreign: Foreign
    origin: Manifest | None  # what an export stored
    task: Task


def _settle(
    source: _Source, quality: str | None, time_limits: TimeLimits
) -> tuple[DatasetSpec, Columns, tuple[str, ...]]:
    """What will be written: exactly what was exported, where the files still are that."""
    columns, origin, task = dict(source.foreign.columns), source.origin, source.task
    try:
        notes = mark_ends(columns, task.episode_length)
        asked = time_limits == "truncate"  # also of what was exported as terminations
        settled = settle_time_limits(columns, task.episode_length, time_limits) if asked else ()
        if origin is not None and columns_sha256(columns) == origin.sha256:
            spec = _spec(columns, task, quality or origin.quality, origin.recipe)
            return replace(spec, references=origin.references, versions=origin.versions), columns, settled
        notes += settled or settle_time_limits(columns, task.episode_length, time_limits)
        columns, dropped = complete_steps(columns)
    except DatasetError as error:
        raise DatasetError(f"{source.path} is malformed: {error}") from None
    called, naming = _name(source, quality)
    recipe, asking = _recipe(source)
    spec = replace(
        _spec(columns, task, called, recipe), references=None if origin is None else origin.references
    )
    return spec, columns, (*notes, *dropped, *naming, *asking)


def _spec(columns: Columns, task: Task, quality: str, recipe: Any) -> DatasetSpec:
    return DatasetSpec(
        task=task.name,
        quality=quality,
        transitions=len(columns["rewards"]),
        num_learners=task.num_learners,
        obs_size=task.obs_size,
        action_size=task.action_size,
        episode_length=task.episode_length,
        recipe=recipe,
        prey_obs_size=task.obs_sizes[-1] if PREY_COLUMNS[0] in columns else 0,
        state_size=columns["states"].shape[-1] if "states" in columns else 0,
    )


def _name(source: _Source, quality: str | None) -> tuple[str, tuple[str, ...]]:
    """The set's quality, and a note where it is none of the task's."""
    stored = None if source.origin is None else source.origin.quality
    called = quality or stored or source.foreign.quality or UNNAMED
    if called in source.task.qualities:
        return called, ()
    return called, (
        f"{called!r} is not one of the paper's qualities: training takes the settings of {QUALITIES[0]!r} "
        "unless told otherwise",
    )


def _recipe(source: _Source) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The recipe of a set that is not exactly what was exported, and a note."""
    recipe: dict[str, Any] = {"source": "import", "format": source.format}
    if source.origin is not None:
        if "prey" in source.origin.recipe:
            recipe["prey"] = source.origin.recipe["prey"]
        return recipe, (
            "the files differ from those that were exported: quality, references and prey are still taken "
            "from the manifest beside them",
        )
    if not source.task.has_prey:
        return recipe, ()
    return recipe | {"prey": None}, (
        "the set does not say which prey moved in it: its scores are on the paper's scale, measured with its "
        "authors' prey",
    )


def columns_sha256(columns: Columns) -> str:
    """The `sha256` that a dataset of these columns would have."""
    digest = hashlib.sha256()
    for name in sorted(columns):
        column = np.ascontiguousarray(columns[name])
        one = hashlib.sha256(header(column.dtype, column.shape))
        one.update(column.data.cast("B"))
        digest.update(f"{name} {one.hexdigest()}\n".encode())
    return digest.hexdigest()


def _check_rows(columns: Columns, source: Path) -> None:
    rows = len(columns["terminated"])
    if not rows:
        raise DatasetError(f"{source} has no transitions")
    for name, column in columns.items():
        if len(column) != rows:
            raise DatasetError(f"{source} is malformed: {name} has {len(column)} rows, the dones have {rows}")


def _check(columns: Columns, spec: DatasetSpec, source: Path) -> None:
    if not spec.transitions:
        raise DatasetError(f"{source} has no transitions")
    for name, shape in spec.shapes().items():
        if columns[name].shape != shape:
            raise DatasetError(
                f"{source} is not a dataset of {spec.task}: {name} must be {list(shape)}, "
                f"got {list(columns[name].shape)}"
            )
    try:
        for name, column in columns.items():
            check_finite(name, column)
        ends = np.asarray(columns["terminated"] | columns["truncated"])
        check_order(columns["observations"], columns["next_observations"], ends)
        check_lengths(columns, spec.task, spec.episode_length)
    except DatasetError as error:
        raise DatasetError(f"{source} is malformed: {error}") from None
