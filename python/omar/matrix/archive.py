"""A run's folder as bytes, so that another machine can go on with it."""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from pathlib import Path

from ..errors import OmarError
from ..runs.folder import EVENTS
from ..runs.lock import LOCK

LEFT_OUT = (EVENTS, LOCK)  # written anew by the run that goes on


def pack(folder: Path) -> bytes:
    """The files of a folder that no other process writes to."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            if path.name not in LEFT_OUT and ".partial-" not in path.name:
                archive.add(path, arcname=path.name)
    return data.getvalue()


def unpack(data: bytes, folder: Path) -> None:
    """Makes a folder hold the files of an archive alone.

    Raises:
        OmarError: It is no such archive, or one that leads outside the folder.
        OSError: The disk refused.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(fresh, filter="data")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.replace(folder)
    except tarfile.TarError as error:
        raise OmarError(f"the state of an unfinished cell is damaged: {error}") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
