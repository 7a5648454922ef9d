"""Checking the columns of a dataset once, and remembering that they are whole."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import DatasetError
from ..runs.files import write_atomically
from ..terminal.progress import progress_bar
from .checks import check_finite, check_flags
from .home import home
from .manifest import FLAG_COLUMNS, MANIFEST, file_sha256
from .npy import open_npy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .manifest import Manifest

THREADS = 2  # checksums of two columns at a time: one core hashes 1.9 GB/s, more than most disks give
SETTLED_NS = 2 * 10**9  # a file younger than this may change again without a new time stamp


def check_columns(folder: Path, manifest: Manifest, *, progress: bool = True) -> None:
    """Reads every column: its checksum, finite values, flags of 0 and 1.

    Raises:
        DatasetError: Names the column that differs from what the manifest states.
    """
    total = sum(info.bytes for info in manifest.columns.values())
    with (
        progress_bar(f"Checking {manifest.task} {manifest.quality}", total, enabled=progress) as advance,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        jobs = [pool.submit(_check_column, folder, manifest, name, advance) for name in manifest.columns]
        try:
            for job in jobs:
                job.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _check_column(folder: Path, manifest: Manifest, name: str, advance: Callable[[int], None]) -> None:
    path = folder / f"{name}.npy"
    try:
        found = file_sha256(path, advance)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from None
    if found != manifest.columns[name].sha256:
        raise DatasetError(f"{folder} is damaged: the checksum of {name}.npy is not the manifest's")
    check = check_flags if name in FLAG_COLUMNS else check_finite
    try:
        check(name, open_npy(path))
    except DatasetError as error:
        raise DatasetError(f"{folder} is damaged: {error}") from None


def is_recorded(folder: Path, manifest: Manifest) -> bool:
    """Whether the very files that lie there now were found whole before."""
    try:
        return _record(folder).read_bytes() == _stamp(folder, manifest)
    except OSError:
        return False


def remember(folder: Path, manifest: Manifest, stamp: bytes) -> None:
    """Records that the files with this stamp are whole; without a home to write to, they are read again."""
    newest = max(max(entry[1:3]) for entry in json.loads(stamp)["files"].values())
    if time.time_ns() - newest < SETTLED_NS:
        return
    with suppress(OSError):
        path = _record(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        if _stamp(folder, manifest) == stamp:
            write_atomically(path, stamp)


def take_stamp(folder: Path, manifest: Manifest) -> bytes:
    """Size, times and inode of every file of a dataset, taken before its contents are read.

    Raises:
        DatasetError: A file is missing.
    """
    try:
        return _stamp(folder, manifest)
    except OSError as error:
        raise DatasetError(f"{folder} is damaged: {error}") from None


def _stamp(folder: Path, manifest: Manifest) -> bytes:
    files: dict[str, list[int]] = {}
    for name in (MANIFEST, *(f"{column}.npy" for column in sorted(manifest.columns))):
        found = (folder / name).stat()
        files[name] = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]
    whole: dict[str, Any] = {"folder": str(folder.resolve()), "sha256": manifest.sha256, "files": files}
    return (json.dumps(whole, indent=2) + "\n").encode()


def _record(folder: Path) -> Path:
    name = hashlib.sha256(str(folder.resolve()).encode(errors="surrogateescape")).hexdigest()
    return home() / "verified" / f"{name[:32]}.json"
