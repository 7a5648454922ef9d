"""Folders that appear whole or not at all: they grow beside their place and are renamed into it."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import DatasetError
from ..runs.files import sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HOST = re.sub(r"[^A-Za-z0-9.]", "_", platform.node()) or "host"
_PARTIAL = re.compile(r"\..+\.partial-([A-Za-z0-9._]+)-(\d+)-[0-9a-f]{8}")
_HERE = -100  # AT_FDCWD: paths as they are
_EXCHANGE = 2  # RENAME_EXCHANGE


def temporary_folder(path: Path) -> Path:
    """A name for what grows before it is moved to `path`: hidden, beside it, and it says who writes it."""
    return path.parent / f".{path.name}.partial-{_HOST}-{os.getpid()}-{secrets.token_hex(4)}"


def sweep(parent: Path) -> None:
    """Removes the temporary folders that killed processes of this machine left in `parent`."""
    for entry in parent.iterdir():
        match = _PARTIAL.fullmatch(entry.name)
        if match and match[1] == _HOST and not _alive(int(match[2])):
            shutil.rmtree(entry, ignore_errors=True)


def remove_partial(path: Path) -> None:
    """Removes every temporary folder of `path`; only while no other process can be writing there."""
    for entry in path.parent.iterdir():
        if entry.name.startswith(f".{path.name}.partial-"):
            shutil.rmtree(entry, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's; or a name that no process gave
        return True
    return True


def refuse_existing(path: Path) -> None:
    """Refuses a place where something is.

    Raises:
        DatasetError: Names it.
    """
    if os.path.lexists(path):
        raise DatasetError(f"{path} exists already: remove it or choose another place")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write into, which becomes `path` when the block is left without an error.

    Raises:
        DatasetError: Something is at `path` already.
        OSError: The disk refused.
    """
    refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    temporary = temporary_folder(path)
    temporary.mkdir()
    try:
        yield temporary
        sync_tree(temporary)
        move_into_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move_into_place(temporary: Path, path: Path) -> None:
    """Renames a finished folder to `path`; what was there is replaced, and never missing for a reader.

    Raises:
        OSError: The disk refused; what was at `path` is still there.
    """
    if not path.exists():
        temporary.rename(path)
        sync(path.parent)
        return
    if not _exchange(temporary, path):  # a reader may look in the moment between two renames: it looks twice
        old = temporary_folder(path)
        path.rename(old)
        temporary.rename(path)
        old.rename(temporary)
    sync(path.parent)
    shutil.rmtree(temporary, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swaps two folders in one step; False where the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(second))


def sync_tree(folder: Path) -> None:
    """Syncs a folder and everything in it to disk."""
    for entry in (*folder.rglob("*"), folder):
        sync(entry)
