"""The foreign formats by name, and export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DatasetError
from . import authors, foreign, minari, minari_writer, vault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..tasks import Task
    from .dataset import Dataset
    from .foreign import Foreign
    from .manifest import Manifest


@dataclass(frozen=True, slots=True)
class Format:
    """A foreign format: how to read it, how to write it, and what it is."""

    read: Callable[[Path, Task], Foreign]
    write: Callable[[Dataset, Path], tuple[str, ...]]  # returns what the format drops, a sentence each
    read_origin: Callable[[Path], tuple[Manifest | None, tuple[str, ...]]]  # what an export stored, and notes
    about: str


FORMATS = {
    "authors": Format(authors.read, authors.write, foreign.read_origin, "the paper authors' .npy files"),
    "minari": Format(
        minari.read, minari_writer.write, minari.read_origin, "Minari HDF5 with a Dict space keyed by agent"
    ),
    "vault": Format(vault.read, vault.write, foreign.read_origin, "Flashbax Vault as OG-MARL publishes it"),
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


def export_dataset(name: str, dataset: Dataset, destination: Path) -> tuple[str, ...]:
    """Writes a dataset in a foreign format; it appears at its place when it is whole.

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
