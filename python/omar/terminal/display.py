"""What a training run shows: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ..algorithms import LossTerms
    from ..offline.config import RunConfig
    from ..runs.folder import Evaluation

REFRESH_SECONDS = 0.25
RATE_SECONDS = 10.0  # half-life, about, of the shown speed's memory


class Display:
    """Progress of a run. Used as a context manager around the training loop."""

    def __init__(self, console: Console, config: RunConfig, done: int) -> None:
        """Args: `done` updates lie behind the run when it starts or resumes."""
        options = config.options
        self._console = console
        self._total = config.updates
        self._done = done
        self._evaluation: Evaluation | None = None
        self._losses: LossTerms = {}
        self._rate = 0.0
        self._last = (time.monotonic(), done)
        title = f"{options.algorithm} on {options.task} {options.dataset_name}, {options.seeds} seeds"
        self._title = f"{title}, preset {options.preset}"
        self._live = (
            Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        )

    def __enter__(self) -> Self:
        """Starts the live panel."""
        if self._live is not None:
            self._live.start()
        else:
            self._console.print(self._title, highlight=False)
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the live panel; what it showed is cleared."""
        if self._live is not None:
            self._live.stop()

    def updated(self, done: int, losses: LossTerms) -> None:
        """Takes note of an update; redraws at most four times a second."""
        now = time.monotonic()
        self._done, self._losses = done, losses
        elapsed = now - self._last[0]
        if elapsed < REFRESH_SECONDS:
            return
        rate = (done - self._last[1]) / elapsed
        weight = 0.5 ** (elapsed / RATE_SECONDS) if self._rate else 0.0
        self._rate = weight * self._rate + (1 - weight) * rate
        self._last = (now, done)
        if self._live is not None:
            self._live.update(self._panel(), refresh=True)

    def paused(self) -> None:
        """Leaves the time since the last update out of the speed: an evaluation or a checkpoint took it."""
        self._last = (time.monotonic(), self._done)

    def evaluated(self, evaluation: Evaluation) -> None:
        """Shows an evaluation."""
        self._evaluation = evaluation
        if self._live is not None:
            self._live.update(self._panel(), refresh=True)
            return
        scores = " ".join(f"{score:.1f}" for score in evaluation.scores)
        losses = " ".join(f"{name} {value:.3g}" for name, value in evaluation.losses.items())
        speed = f"{self._rate:.1f} updates/s, {self._left()} left" if self._rate else ""
        self._console.print(
            f"update {evaluation.update}/{self._total}  score {evaluation.mean:.1f} ± {evaluation.std:.1f} "
            f"({scores})  {losses}  {speed}".rstrip(),
            highlight=False,
            soft_wrap=True,
        )

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
        if self._losses:
            means = {name: float(term.mean()) for name, term in self._losses.items()}
            parts.append(Text("loss   " + "  ".join(f"{name} {mean:.3g}" for name, mean in means.items())))
        if self._evaluation is not None:
            e = self._evaluation
            scores = "  ".join(f"{score:.1f}" for score in e.scores)
            text = f"score  {e.mean:.1f} ± {e.std:.1f} at update {e.update}   by seed: {scores}"
            parts.append(Text(text, style="green"))
        return Group(*parts)


def by_name(losses: LossTerms) -> dict[str, float]:
    """LossTerms as numbers: means over the members."""
    return {name: float(term.mean()) for name, term in losses.items()}
