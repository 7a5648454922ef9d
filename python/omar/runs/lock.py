"""One process at a time works on a run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from ..errors import OmarError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK = ".lock"


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Owns a folder; the system gives it back when the process ends, however it ends.

    Raises:
        OmarError: Another process, or another part of this one, owns it.
        OSError: The folder cannot be written.
    """
    lock = FileLock(folder / LOCK, is_singleton=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise OmarError(f"another process is working on {folder}: wait for it, or stop it first") from None
    try:
        yield
    finally:
        lock.release()
