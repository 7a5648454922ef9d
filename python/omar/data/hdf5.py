"""Arrays of an HDF5 file that others wrote, through the low-level interface: an array costs microseconds.

Nothing outside the file is read, and nothing is believed about sizes before the file can hold them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from .foreign import LARGEST_RATIO
from .npy import first_line

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

# What h5py raises for types and headers that it does not understand.
_MISREAD = (OSError, RuntimeError, ValueError, TypeError, OverflowError)


def refuse_links(h5py: Any, file: Any, path: Path) -> None:
    """Refuses a file with soft or external links, which may lead to other files of this machine.

    Raises:
        DatasetError: Names the link.
    """

    def find(name: bytes, info: Any) -> bytes | None:
        return None if info.type == h5py.h5l.TYPE_HARD else name

    link = file.id.links.visit(find, info=True)
    if link is not None:
        raise DatasetError(f"{path} is refused: {link.decode(errors='replace')} is a link to another place")


class EpisodeReader:
    """Reads the arrays of one file."""

    def __init__(self, h5py: Any, path: Path) -> None:
        self._h5py = h5py
        self._left = LARGEST_RATIO * path.stat().st_size  # bytes that the file can still unfold to
        self._types: dict[str, tuple[Any, np.dtype[Any]]] = {}  # by name: the type in the file and its dtype

    def find(self, group: Any, name: str, where: str) -> npt.NDArray[Any] | None:
        """An array, or None where the group has none of that name.

        Raises:
            DatasetError: No array of numbers, one that cannot be read, or one that lies outside the file.
        """
        h5py = self._h5py
        try:
            leaf = h5py.h5d.open(group, name.encode())
        except KeyError:
            return None
        except _MISREAD as error:
            raise DatasetError(f"{where}: {name} cannot be read: {first_line(error)}") from None
        try:
            dtype = self._dtype(leaf, name)
            shape = leaf.shape
            self._check(leaf, dtype, shape, f"{where}: {name}")
            column: npt.NDArray[Any] = np.empty(shape, dtype)
            leaf.read(h5py.h5s.ALL, h5py.h5s.ALL, column, self._types[name][0])
        except DatasetError:
            raise
        except _MISREAD as error:
            raise DatasetError(f"{where}: {name} cannot be read: {first_line(error)}") from None
        return column

    def has(self, group: Any, name: str) -> bool:
        """Whether the group has an array of that name."""
        try:
            self._h5py.h5d.open(group, name.encode())
        except (KeyError, *_MISREAD):
            return False
        return True

    def names(self, group: Any, name: str) -> set[str]:
        """Names of what a group inside the group holds; none where there is no such group."""
        try:
            inner = self._h5py.h5g.open(group, name.encode())
            return {entry.decode() for entry in inner}
        except (KeyError, *_MISREAD):
            return set()

    def width(self, group: Any, name: str, where: str) -> int:
        """Size of the last axis of an array; 0 where there is no such array."""
        found = self.find(group, name, where)
        return 0 if found is None else int(found.shape[-1])

    def _dtype(self, leaf: Any, name: str) -> np.dtype[Any]:
        kind = leaf.get_type()
        known = self._types.get(name)
        if known is None or not known[0].equal(kind):
            known = self._types[name] = (kind, np.dtype(kind.dtype))
        return known[1]

    def _check(self, leaf: Any, dtype: np.dtype[Any], shape: tuple[int, ...] | None, what: str) -> None:
        if not shape:
            raise DatasetError(f"{what} holds a single number instead of a column")
        if dtype.kind not in "biuf" or dtype.shape:
            raise DatasetError(f"{what} must hold numbers, got {dtype}")
        plist = leaf.get_create_plist()
        if plist.get_external_count() or plist.get_layout() == self._h5py.h5d.VIRTUAL:
            raise DatasetError(f"{what} is refused: its numbers lie in other files")
        size = math.prod(shape) * dtype.itemsize
        self._left -= size
        if self._left < 0 or (size and not leaf.get_storage_size()):
            raise DatasetError(f"{what} claims {shape[0]:,} rows, which the file does not hold")
