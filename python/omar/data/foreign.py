"""What the readers of foreign formats share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

Columns: TypeAlias = "dict[str, npt.NDArray[Any]]"


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """What a reader found: columns as in `dataset.py`, and a sentence on each thing that is not as it was."""

    columns: Columns
    notes: tuple[str, ...] = ()


def optional_package(name: str, about: str) -> Any:
    """A package that one format needs; the extra of that format's name installs it.

    Raises:
        DatasetError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise DatasetError(f"the {about} format needs {name}: pip install 'omar[{about.lower()}]'") from None


def as_float32(array: npt.NDArray[Any], what: str) -> npt.NDArray[np.float32]:
    """A float array as float32.

    Raises:
        DatasetError: Any other type.
    """
    if not np.issubdtype(array.dtype, np.floating):
        raise DatasetError(f"{what} must hold floats, got {array.dtype}")
    return np.asarray(array, dtype=np.float32)


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
    """[n] from [n, N]: an episode is over for all learners when it is for one."""
    return np.asarray(flags.any(axis=1))


def rounding_note(arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[str, ...]:
    """A note when columns were rounded to float32."""
    if any(array.dtype == np.float64 for array in arrays.values()):
        return ("float64 values were rounded to float32",)
    return ()


def claim(destination: Path) -> None:
    """Creates a folder to export into.

    Raises:
        DatasetError: Something is there already.
    """
    if destination.exists():
        raise DatasetError(f"{destination} exists already: remove it or choose another place")
    destination.mkdir(parents=True)
