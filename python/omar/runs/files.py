"""Files that appear whole or not at all, and JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import OmarError


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

    Raises:
        OSError: The disk refused; the old contents are still there.
    """
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def to_json(value: Any) -> bytes:
    """Readable JSON text; numbers that are not finite are refused, as JSON has none."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        OmarError: Damaged, or not an object.
        OSError: The file cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise OmarError(f"{path} is damaged: it is not JSON") from None
    if not isinstance(found, dict):
        raise OmarError(f"{path} is damaged: it holds no JSON object")
    return found
