"""Where everything lies that is made on first use."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from ..runs.files import expand_user


def home() -> Path:
    """Folder of everything that is made on first use: OMAR_HOME, or the platform's cache folder."""
    chosen = os.environ.get("OMAR_HOME")
    return expand_user(chosen) if chosen else Path(platformdirs.user_cache_dir("omar"))
