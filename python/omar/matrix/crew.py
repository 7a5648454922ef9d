"""Processes of this machine that work on cells; one that is killed fails its cell and is replaced."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from ..runs.decode import decode, encode
from .events import ENDS, Event
from .worker import STOP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from .cell import Cell

BEAT = 0.25  # seconds between two looks at whether to stop


@dataclass(frozen=True, slots=True)
class _Gone:
    """A worker's output has ended."""

    worker: _Worker


class _Worker:
    """A process; its messages go into a queue that all workers share."""

    def __init__(self, root: Path, threads: int, messages: queue.Queue[Event | _Gone], log: Path) -> None:
        self.cell: Cell | None = None
        self._log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, "-m", "omar.matrix.worker", str(root), str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is for the crew, which lets cells stop between two updates
            )
        self._messages = messages
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            for line in _open(self.process.stdout):
                self._messages.put(decode(Event, json.loads(line), "a worker's message"))
        except ValueError:  # half a line: it was killed while it wrote
            self.process.kill()
        finally:
            self._messages.put(_Gone(self))

    def give(self, cell: Cell) -> None:
        """Hands it a cell."""
        self.cell = cell
        self._write(json.dumps(encode(cell)))

    def stop(self) -> None:
        """Lets it stop between two updates, and end."""
        self._write(STOP)
        with suppress(BrokenPipeError):
            _open(self.process.stdin).close()

    def _write(self, line: str) -> None:
        stdin = _open(self.process.stdin)
        with suppress(BrokenPipeError):  # it is gone, as its output will tell
            stdin.write(line + "\n")
            stdin.flush()

    def end(self) -> str:
        """Waits until the process has ended; says how it did."""
        status = self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                _open(stream).close()
        if status < 0:
            return f"its worker was killed by {signal.Signals(-status).name}"
        return f"its worker ended with status {status}; {self._log} may say why"


def _open(stream: IO[str] | None) -> IO[str]:
    assert stream is not None  # noqa: S101 - all are pipes
    return stream


class Processes:
    """A `Crew` of processes of this machine."""

    def __init__(self, root: Path, *, workers: int, threads: int) -> None:
        """Args: the folder below which cells are trained, how many processes, and the threads of each."""
        self._root, self._count, self._threads = root, workers, threads
        self._messages: queue.Queue[Event | _Gone] = queue.Queue()
        self._workers: list[_Worker] = []

    def run(self, cells: Sequence[Cell], stop: Callable[[], bool]) -> Iterator[Event | None]:
        """As `Crew.run`."""
        self._root.mkdir(parents=True, exist_ok=True)
        waiting = deque(cells)
        try:
            for _ in range(min(self._count, len(waiting))):
                self._hire().give(waiting.popleft())
            yield from self._oversee(waiting, stop)
        finally:
            for worker in self._workers:
                worker.process.kill()
                worker.end()

    def _hire(self) -> _Worker:
        log = self._root / "workers.log"
        worker = _Worker(self._root, self._threads, self._messages, log)
        self._workers.append(worker)
        return worker

    def _oversee(self, waiting: deque[Cell], stop: Callable[[], bool]) -> Iterator[Event | None]:
        stopping = False
        while self._workers:
            if not stopping and stop():
                stopping = True
                waiting.clear()
                for worker in self._workers:
                    worker.stop()
            try:
                message = self._messages.get(timeout=BEAT)
            except queue.Empty:
                yield None
                continue
            if isinstance(message, _Gone):
                yield from self._bury(message.worker, waiting)
                continue
            yield message
            if message.kind in ENDS:
                worker = next(w for w in self._workers if w.cell and w.cell.key == message.key)
                worker.cell = None
                if waiting:
                    worker.give(waiting.popleft())
                elif not stopping:
                    worker.stop()

    def _bury(self, worker: _Worker, waiting: deque[Cell]) -> Iterator[Event]:
        """Tells of the cell that a process took with it; another one takes its place."""
        self._workers.remove(worker)
        how = worker.end()
        if worker.cell is not None:
            yield Event("failed", worker.cell.key, text=how)
        if waiting:
            self._hire().give(waiting.popleft())
