"""What many trainings at once show: a live board in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REFRESH_SECONDS = 0.25


def hours(seconds: float) -> str:
    """A time as people say it: 45 s, 12 min, 1 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


@dataclass(slots=True)
class _Row:
    """A training that is at work."""

    title: str
    total: int
    update: int = 0
    score: str = ""


class Board:
    """The trainings of a matrix. Used as a context manager around them."""

    def __init__(self, console: Console) -> None:
        """Args: `console` is where it shows."""
        self._console = console
        self._rows: dict[str, _Row] = {}
        self._sizes: dict[str, int] = {}  # updates of every training
        self._first: dict[str, int] = {}  # the update that this process found it at
        self._ended: dict[str, int] = {}  # update at which a training ended here
        self._began = self._drawn = time.monotonic()
        self._live: Live | None = None
        self._failed = 0

    def __enter__(self) -> Self:
        """Shows nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the live board; what it showed is cleared."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def begin(self, headline: str, trainings: dict[str, int]) -> None:
        """Prints a headline, and starts with trainings and their numbers of updates."""
        self._sizes = dict(trainings)
        self._began = time.monotonic()
        self.say(headline)
        if self._console.is_terminal and trainings:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def update(self, title: str, update: int, score: str = "") -> None:
        """A training has reached an update, perhaps with a score."""
        row = self._rows.setdefault(title, _Row(title, self._sizes[title]))
        self._first.setdefault(title, update)
        row.update = update
        row.score = score or row.score
        self.redraw()

    def end(self, title: str, text: str, *, failed: bool = False) -> None:
        """A training is over; says so in a line."""
        self._rows.pop(title, None)
        self._failed += failed
        size = self._sizes[title]
        self._first.setdefault(title, size)
        self._ended[title] = size
        self.say(f"[{len(self._ended)}/{len(self._sizes)}] {title}: {text}{self._left_text()}")

    def say(self, text: str) -> None:
        """Prints a line."""
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def redraw(self) -> None:
        """Draws the board anew, at most four times a second."""
        now = time.monotonic()
        if self._live is not None and now - self._drawn >= REFRESH_SECONDS:
            self._drawn = now
            self._live.update(self._panel(), refresh=True)

    def _done(self) -> int:
        return sum(self._ended.values()) + sum(row.update for row in self._rows.values())

    def left(self) -> float | None:
        """Seconds until all are done, at the speed so far; None before there is one."""
        here = self._done() - sum(self._first.values())
        elapsed = time.monotonic() - self._began
        if here <= 0:
            return None
        return (sum(self._sizes.values()) - self._done()) * elapsed / here

    def _left_text(self) -> str:
        left = self.left()
        return f"  ({hours(left)} left)" if left else ""

    def _panel(self) -> RenderableType:
        total = sum(self._sizes.values())
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(total, 1), completed=self._done(), width=24)
        counts = f"{len(self._ended)}/{len(self._sizes)} cells"
        failed = f", {self._failed} failed" if self._failed else ""
        grid.add_row(bar, f"{100 * self._done() / max(total, 1):.0f}%", counts + failed + self._left_text())
        for row in self._rows.values():
            small = ProgressBar(total=max(row.total, 1), completed=row.update, width=24)
            grid.add_row(small, f"{row.update}/{row.total}", f"{row.title}  {row.score}")
        return Group(Text("matrix", style="bold"), grid)
