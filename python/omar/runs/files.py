"""Files that appear whole or not at all, and JSON that says when it was changed."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OmarError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SEAL = "sha256"  # of the other entries of a sealed file
_numbers = itertools.count()


def expand_user(path: str | Path) -> Path:
    """A path with its `~` replaced by a home folder.

    Raises:
        OmarError: There is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise OmarError(f"{path}: this machine knows no home folder for it") from None


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that a reader finds the old contents or the new ones, whatever happens.

    What is there and is not a file, such as /dev/stdout, is written to and not replaced.

    Raises:
        OSError: The disk refused, and names the file; the old contents are still there.
    """
    temporary = _temporary(path)
    with naming(path):
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync(path.parent)


def check_writable(path: Path) -> None:
    """Finds out whether `write_atomically` can write a file, before the work whose results go there.

    Raises:
        OSError: It cannot, and why.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not path.exists() or path.is_file():
        temporary = _temporary(path)
        with naming(path):
            temporary.touch(exist_ok=False)
            temporary.unlink()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of the system name this file: those of a write name none, others a temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial-{os.getpid()}-{next(_numbers)}")


def sweep_partial(folder: Path) -> None:
    """Removes what killed processes left of atomic writes; only while no other process writes there."""
    for left in folder.glob(".*.partial-*"):
        if left.is_file():
            left.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Appends a line of text and waits until the disk has it."""
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Waits until the disk has a file, or the names of a folder's files."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_json(value: Any) -> bytes:
    """Readable JSON text; numbers that are not finite are refused, as JSON has none."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        OmarError: Damaged, or not an object.
        OSError: The file cannot be read.
    """
    return parse_json(path.read_bytes(), str(path))


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """The object that JSON text holds.

    Args:
        data: The text, UTF-8.
        where: What the text is, for the message.

    Raises:
        OmarError: Damaged, or not an object.
    """
    try:
        found = json.loads(data.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise OmarError(f"{where} is damaged: it is not JSON") from None
    if not isinstance(found, dict):
        raise OmarError(f"{where} is damaged: it holds no JSON object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)  # such as 1e999, which could not be written again
    return value


def seal(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The entries and their checksum, which `unseal` compares."""
    return {**entries, SEAL: digest(entries)}


def unseal(entries: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The entries that `seal` was given.

    Raises:
        OmarError: They were changed since, or never sealed.
    """
    rest = {name: value for name, value in entries.items() if name != SEAL}
    if entries.get(SEAL) != digest(rest):
        raise OmarError(f"{where} is damaged or was edited: its checksum does not match its contents")
    return rest


def digest(entries: Mapping[str, Any]) -> str:
    """Checksum of JSON values, the same whatever their order and white space."""
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
