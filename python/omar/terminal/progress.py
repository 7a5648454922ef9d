"""Progress of work that takes longer than two seconds: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .board import hours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUIET_SECONDS = 2.0
LINE_SECONDS = 10.0  # between two lines


@contextmanager
def progress_bar(title: str, total: int, *, enabled: bool = True) -> Iterator[Callable[[int], None]]:
    """Gives a function that advances the bar, from any thread.

    All goes to standard error, and nothing before QUIET_SECONDS. On a terminal the bar vanishes at the end.
    Elsewhere, such as in a log file, there is a line every LINE_SECONDS, and one when all is done.

    Args:
        title: What is done.
        total: What the advances add up to.
        enabled: Whether anything shows at all.
    """
    console = Console(stderr=True)
    if not enabled:
        yield lambda count: None
    elif console.is_terminal:
        with _bar(console, title, total) as advance:
            yield advance
    else:
        lines = _Lines(console, title, total)
        yield lines.advance
        lines.end()


@contextmanager
def _bar(console: Console, title: str, total: int) -> Iterator[Callable[[int], None]]:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    bar = progress.add_task(title, total=total)
    began = time.monotonic()

    def advance(count: int) -> None:
        progress.advance(bar, count)
        if not progress.live.is_started and time.monotonic() - began > QUIET_SECONDS:
            progress.start()

    try:
        yield advance
    finally:
        if progress.live.is_started:
            progress.stop()


class _Lines:
    """What stands in for a bar where nothing can move."""

    def __init__(self, console: Console, title: str, total: int) -> None:
        self._console, self._title, self._total = console, title, total
        self._done = 0
        self._began = time.monotonic()
        self._next = QUIET_SECONDS
        self._lock = threading.Lock()

    def advance(self, count: int) -> None:
        with self._lock:
            self._done += count
            elapsed = time.monotonic() - self._began
            if elapsed <= self._next or not 0 < self._done < self._total:
                return
            self._next = elapsed + LINE_SECONDS
            left = elapsed * (self._total - self._done) / self._done
            self._say(f"{100 * self._done // self._total}%, {hours(left)} left")

    def end(self) -> None:
        elapsed = time.monotonic() - self._began
        if elapsed > QUIET_SECONDS:
            self._say(f"done in {hours(elapsed)}")

    def _say(self, text: str) -> None:
        self._console.print(f"{self._title}: {text}", highlight=False, soft_wrap=True, markup=False)
