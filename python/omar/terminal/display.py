"""What a training shows: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console, RenderableType
    from torch import Tensor

    from ..runs.metrics import Evaluation

REFRESH_SECONDS = 0.25
RATE_SECONDS = 10.0  # half-life, about, of the shown speed's memory


class Display:
    """A `runs.reporting.Reporter` for people. Used as a context manager around the training."""

    def __init__(self, console: Console) -> None:
        """Args: `console` is where it shows."""
        self._console = console
        self._title = ""
        self._total = self._done = 0
        self._evaluation: Evaluation | None = None
        self._losses: Mapping[str, Tensor] = {}
        self._rate = 0.0
        self._stage = ""
        self._last = (time.monotonic(), 0)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Shows nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the live panel; what it showed is cleared."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def started(self, title: str, update: int, updates: int) -> None:
        """Starts the live panel, anew for each training, or prints the title."""
        self.__exit__()
        self._title, self._done, self._total = title, update, updates
        self._evaluation, self._losses, self._rate = None, {}, 0.0
        self.paused()
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        else:
            self._print(title)

    def preparing(self, what: str, step: int, steps: int) -> None:
        """Shows what comes before the first update."""
        if step == 0 and self._live is None:
            self._print(f"{what}: {steps} updates")
        self._stage = f"{what}  {step}/{steps}"
        if time.monotonic() - self._last[0] >= REFRESH_SECONDS:
            self.paused()
            self._redraw()

    def updated(self, update: int, losses: Mapping[str, Tensor]) -> None:
        """Takes note of an update; redraws at most four times a second."""
        now = time.monotonic()
        self._done, self._losses, self._stage = update, losses, ""
        elapsed = now - self._last[0]
        if elapsed < REFRESH_SECONDS:
            return
        rate = (update - self._last[1]) / elapsed
        weight = 0.5 ** (elapsed / RATE_SECONDS) if self._rate else 0.0
        self._rate = weight * self._rate + (1 - weight) * rate
        self._last = (now, update)
        self._redraw()

    def paused(self) -> None:
        """Leaves the time since the last update out of the speed."""
        self._last = (time.monotonic(), self._done)

    def evaluated(self, evaluation: Evaluation) -> None:
        """Shows an evaluation."""
        self._evaluation = evaluation
        if self._live is not None:
            self._redraw()
            return
        e = evaluation
        parts = [f"update {e.update}/{self._total}"]
        if e.transitions is not None:
            parts.append(f"{e.transitions:,} transitions")
        parts.append(f"score {e.mean:.1f} ± {e.std:.1f} ({_numbers(e.scores)})  return {_numbers(e.returns)}")
        parts += [f"{name} {value:.3g}" for name, value in e.losses.items()]
        if self._rate:
            parts.append(f"{self._rate:.1f} updates/s, {self._left()} left")
        self._print("  ".join(parts))

    def note(self, text: str) -> None:
        """Prints a sentence."""
        self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def _redraw(self) -> None:
        if self._live is not None:
            self._live.update(self._panel(), refresh=True)

    def _left(self) -> str:
        seconds = round((self._total - self._done) / self._rate) if self._rate else 0
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    def _panel(self) -> RenderableType:
        bar = Table.grid(padding=(0, 1))
        speed = f"{self._rate:.1f} updates/s, {self._left()} left"
        bar.add_row(
            ProgressBar(total=max(self._total, 1), completed=self._done, width=40),
            f"{self._done}/{self._total}",
            speed,
        )
        parts: list[RenderableType] = [Text(self._title, style="bold"), bar]
        if self._stage:
            parts.append(Text(self._stage))
        if self._losses:
            means = {name: float(term.mean()) for name, term in self._losses.items()}
            parts.append(Text("loss   " + "  ".join(f"{name} {mean:.3g}" for name, mean in means.items())))
        if self._evaluation is not None:
            e = self._evaluation
            text = f"score  {e.mean:.1f} ± {e.std:.1f} at update {e.update}   by seed: {_numbers(e.scores)}"
            parts.append(Text(text, style="green"))
        return Group(*parts)


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.1f}" for value in values)
