"""A progress bar that stays silent for work that is over in two seconds."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUIET_SECONDS = 2.0


@contextmanager
def progress_bar(title: str, total: int, *, enabled: bool = True) -> Iterator[Callable[[int], None]]:
    """Gives a function that advances the bar; on a terminal the bar shows after QUIET_SECONDS."""
    console = Console(stderr=True)
    shows = enabled and console.is_terminal
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
        if shows and not progress.live.is_started and time.monotonic() - began > QUIET_SECONDS:
            progress.start()

    try:
        yield advance
    finally:
        if progress.live.is_started:
            progress.stop()
