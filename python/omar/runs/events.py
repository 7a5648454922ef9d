"""TensorBoard events, written at once and on the caller's thread: a full disk is the caller's OSError."""

from __future__ import annotations

import io
import os
import time
from typing import IO, TYPE_CHECKING, Any

from .files import naming

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class EventFile:
    """One file of scalars in TensorBoard's format."""

    def __init__(self, folder: Path) -> None:
        """Begins a new file in the folder, and removes the older ones."""
        folder.mkdir(exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        name = f"events.out.tfevents.{int(time.time())}.omar.{os.getpid()}"
        self._path = folder / name
        self._file: IO[bytes] = self._path.open("wb", buffering=0)  # nothing is left for close() to fail on
        self._write(file_version="brain.Event:2")

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars of one step."""
        from tensorboard.compat.proto.summary_pb2 import Summary  # a fifth of a second to import

        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=step, summary=Summary(value=scalars))

    def _write(self, **entries: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        record = io.BytesIO()
        RecordWriter(record).write(Event(wall_time=time.time(), **entries).SerializeToString())
        left = record.getvalue()
        with naming(self._path):
            while left:
                left = left[self._file.write(left) :]

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
