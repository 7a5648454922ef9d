"""What the readers and writers of foreign formats share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import DatasetError
from .manifest import Manifest, load_json, parse_manifest

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ..tasks import Task

Columns: TypeAlias = "dict[str, npt.NDArray[Any]]"

ORIGIN_FILE = "omar-manifest.json"  # beside the files of a format that has no place for it
LARGEST_RATIO = 1100  # of the size of columns to that of the files they are compressed in: deflate has 1032


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """What a reader found.

    Attributes:
        columns: As in `dataset.py`. `next_observations` (with `prey_next_observations` and `next_states`) is
            missing where the format does not store it, `truncated` where it does not mark time limits.
        notes: A sentence on each thing that is not as it was.
        quality: What the metadata or the folders call the set.
    """

    columns: Columns
    notes: tuple[str, ...] = ()
    quality: str | None = None


def optional_package(name: str, about: str) -> Any:
    """A package that one format needs; the extra of that format's name installs it.

    Raises:
        DatasetError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise DatasetError(f"the {about} format needs {name}: pip install 'omar[{about.lower()}]'") from None


def write_origin(folder: Path, manifest: Manifest) -> None:
    """Stores the manifest beside exported files; other programs ignore it."""
    (folder / ORIGIN_FILE).write_text(manifest.to_json(), encoding="utf-8")


def read_origin(folder: Path) -> tuple[Manifest | None, tuple[str, ...]]:
    """The manifest that `write_origin` stored, and a note where there is one that cannot be used."""
    path = folder / ORIGIN_FILE
    if not path.is_file():
        return None, ()
    try:
        return parse_manifest(load_json(path), str(path)), ()
    except DatasetError as error:
        return None, (f"what the export stored about the set is not used: {error}",)


def stack(arrays: Sequence[npt.NDArray[Any]], names: Sequence[str]) -> npt.NDArray[Any]:
    """[n, N, ...] from an array for each agent.

    Raises:
        DatasetError: They differ in shape.
    """
    for name, array in zip(names, arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise DatasetError(f"{name} is {list(array.shape)}, {names[0]} is {list(arrays[0].shape)}")
    return np.stack(arrays, axis=1)


def as_float32(array: npt.NDArray[Any], what: str) -> npt.NDArray[np.float32]:
    """A float array as float32.

    Raises:
        DatasetError: Any other type.
    """
    if not np.issubdtype(array.dtype, np.floating):
        raise DatasetError(f"{what} must hold floats, got {array.dtype}")
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused as such
        return np.asarray(array, dtype=np.float32)


def as_rewards(array: npt.NDArray[Any], what: str, rank: int) -> npt.NDArray[np.float32]:
    """Rewards of any real type as float32 [n] or [n, N]; axes of length 1 after these are dropped.

    Raises:
        DatasetError: No real numbers.
    """
    if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
        raise DatasetError(f"{what} must hold numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        return np.asarray(without_last_axes(array, rank), dtype=np.float32)


def as_flags(array: npt.NDArray[Any], what: str) -> npt.NDArray[np.bool_]:
    """An array of booleans, or of numbers that are all 0 or 1, as booleans.

    Raises:
        DatasetError: Any other type or value.
    """
    if array.dtype == np.bool_:
        return np.asarray(array)
    if not np.issubdtype(array.dtype, np.number) or not np.isin(array, (0, 1)).all():
        raise DatasetError(f"{what} must hold only 0 and 1")
    return np.asarray(array != 0)


def any_agent(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """[n] from [n, ...]: an episode is over for all learners when it is for one."""
    return np.asarray(flags.reshape(len(flags), -1).any(axis=1))


def without_last_axes(array: npt.NDArray[Any], rank: int) -> npt.NDArray[Any]:
    """The array without the axes of length 1 that it has beyond `rank`."""
    while array.ndim > rank and array.shape[-1] == 1:
        array = array[..., 0]
    return array


def split_agents(columns: Columns, task: Task, what: str) -> Columns:
    """Columns of the learners and of the prey from those of all agents [n, A, ...], padding removed.

    Columns of the learners alone come back as they are, but for their padding.

    Raises:
        DatasetError: Numbers beyond a learner's observation that are no padding.
    """
    learners = task.num_learners
    split: Columns = {}
    for name, column in columns.items():
        observed = name not in ("actions", "rewards")
        own = column
        if column.ndim > 1 and column.shape[1] == task.num_agents > learners:
            own, prey = column[:, :learners], column[:, learners]
            split[f"prey_{name}"] = prey[..., : task.obs_sizes[-1]] if observed else prey
        split[name] = _unpadded(own, task.obs_size, f"{what}: {name}") if observed else own
    return split


def _unpadded(column: npt.NDArray[Any], size: int, what: str) -> npt.NDArray[Any]:
    if column.ndim != 3 or column.shape[2] <= size:
        return column
    padding = column[:, :, size:]
    if np.isfinite(padding).any() and not (padding == padding[0, 0, 0]).all():
        raise DatasetError(f"{what} has {column.shape[2]} numbers for each agent instead of {size}")
    return column[:, :, :size]


def rounding_note(arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[str, ...]:
    """A note when columns were rounded to float32."""
    if any(array.dtype == np.float64 for array in arrays.values()):
        return ("float64 values were rounded to float32",)
    return ()
