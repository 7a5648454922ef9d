"""Where everything lies that is made on first use."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from ..errors import DatasetError


def home() -> Path:
    """Folder of everything that is made on first use: OMAR_HOME, or the platform's cache folder."""
    chosen = os.environ.get("OMAR_HOME")
    return expand(chosen) if chosen else Path(platformdirs.user_cache_dir("omar"))


def expand(path: str | Path) -> Path:
    """The path with `~` and `~user` replaced.

    Raises:
        DatasetError: No such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise DatasetError(f"{path} names the home folder of a user that does not exist") from None
