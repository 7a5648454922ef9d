"""A process that works on cells, one after another: `python -m omar.matrix.worker`, started by `crew.py`.

Cells come as lines of JSON on standard input; what happens to them goes to standard output, a line each. The
line "stop", or the end of standard input, stops the cell at work between two updates.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import OmarError
from ..runs.decode import decode, encode
from ..terminal.cli import in_one_line, sentence
from .cell import Cell
from .document import Document
from .events import Event
from .work import Relay, training_folder, work

if TYPE_CHECKING:
    from collections.abc import Callable

    from .events import Kind

STOP = "stop"


class _Inbox:
    """What the crew wants, read on a thread of its own."""

    def __init__(self) -> None:
        self.cells: queue.Queue[Cell | None] = queue.Queue()  # None: no more
        self.stopped = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            if line.strip() == STOP:
                break
            self.cells.put(decode(Cell, json.loads(line), "a cell"))
        self.stopped.set()
        self.cells.put(None)


def attempt(
    cell: Cell,
    root: Path,
    tell: Callable[[Event], None],
    stop: Callable[[], bool],
    paused: Callable[[], None] = lambda: None,
) -> None:
    """Works on a cell, and tells how it ended, whatever happens.

    Args:
        cell: What to train.
        root: Folder below which cells are trained.
        tell: Takes what happens.
        stop: Asked between two updates.
        paused: Called after evaluations and checkpoints.
    """
    key = cell.key

    def pass_on(kind: Kind, *, update: int = 0, text: str = "") -> None:
        tell(Event(kind, key, update, text))

    try:
        came_to = work(cell, training_folder(root, cell), Relay(pass_on, paused), stop)
    except (OmarError, OSError, MemoryError, torch.OutOfMemoryError) as error:
        pass_on("failed", text=in_one_line(sentence(error)))
    except Exception as error:  # a bug fails one cell, not the matrix
        traceback.print_exc()
        pass_on("failed", text=f"a bug in omar: {in_one_line(repr(error))}")
    else:
        if isinstance(came_to, Document):
            pass_on("done", update=came_to.result.last.update, text=came_to.to_json().decode())
        else:
            pass_on("stopped", update=came_to)


def main(arguments: list[str]) -> int:
    """Args: `arguments` are the folder below which cells are trained, and the number of threads."""
    root, threads = Path(arguments[0]), int(arguments[1])
    torch.set_num_threads(threads)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no message

    def tell(event: Any) -> None:
        out.write(json.dumps(encode(event)) + "\n")
        out.flush()

    inbox = _Inbox()
    while (cell := inbox.cells.get()) is not None:
        attempt(cell, root, tell, inbox.stopped.is_set)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
