"""How long a matrix takes: by the time that finished cells took, or a short training of each algorithm."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..envs import HALF_CHEETAH
from ..offline.runs import train
from ..runs.reporting import Silent
from ..tasks import get_task
from ..threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor

    from ..runs.metrics import Evaluation
    from ..tasks import QualityName
    from .cell import Cell
    from .document import Document

PROBE = 12  # updates of a short training
QUICK: QualityName = "medium-replay"  # quality of the data that it uses: made in a fraction of a second


@dataclass(frozen=True, slots=True)
class Rate:
    """What an algorithm takes, for one seed, on one thread."""

    update: float  # seconds
    evaluation: float  # seconds; 0 where `update` includes evaluations
    source: str  # how it was measured
    preparation: float = 0.0  # seconds before the first update

    def seconds(self, cell: Cell, done: int = 0) -> float:
        """Seconds that a cell takes from an update on."""
        left = max((cell.resolved().updates) - done, 0)
        evaluations = left / cell.resolved().eval_every + 1
        before = 0.0 if done else self.preparation
        return cell.seeds * (before + left * self.update + evaluations * self.evaluation)


class _Stopwatch(Silent):
    """Times the updates and the evaluations of a training."""

    def __init__(self) -> None:
        self.updates: list[float] = []
        self.evaluations: list[float] = []
        self.preparations: list[float] = []
        self._last = time.monotonic()

    def started(self, title: str, update: int, updates: int) -> None:
        """Starts the watch."""
        self._last = time.monotonic()

    def preparing(self, what: str, step: int, steps: int) -> None:
        """Notes the time since the last call."""
        self._lap(self.preparations)

    def updated(self, update: int, losses: Mapping[str, Tensor]) -> None:
        """Notes the time since the last call."""
        self._lap(self.updates)

    def evaluated(self, evaluation: Evaluation) -> None:
        """Notes the time since the last call."""
        self._lap(self.evaluations)

    def paused(self) -> None:
        """Leaves the time of a checkpoint out."""
        self._last = time.monotonic()

    def _lap(self, times: list[float]) -> None:
        now = time.monotonic()
        times.append(now - self._last)
        self._last = now


def kind(cell: Cell) -> str:
    """Cells of a kind take about as long an update: those of an algorithm, on HalfCheetah apart."""
    return f"{cell.algorithm} on {cell.task}" if _slow(cell) else cell.algorithm


def _slow(cell: Cell) -> bool:
    return get_task(cell.task).environment == HALF_CHEETAH


def finished_rates(documents: Mapping[str, Document], cells: Iterable[Cell]) -> dict[str, Rate]:
    """Rates by algorithm from the cells that are done, whose documents are given by key."""
    times: dict[str, list[float]] = {}
    for cell in cells:
        document = documents.get(cell.key)
        if document is not None and document.result.last.update > 0:
            seconds = document.made.seconds / document.result.last.update / cell.seeds
            times.setdefault(kind(cell), []).append(seconds)
    return {
        name: Rate(statistics.median(each), 0.0, f"{len(each)} finished cells")
        for name, each in times.items()
    }


def probed_rate(cell: Cell) -> Rate:
    """The rate of a cell's algorithm from a short training on one thread."""
    watch = _Stopwatch()
    seeds = 1 if _slow(cell) else cell.seeds  # a set of HalfCheetah takes a quarter of a minute
    short = replace(cell, quality=QUICK, steps=None, updates=PROBE, eval_every=PROBE, seeds=seeds)
    with tempfile.TemporaryDirectory() as place, one_thread():
        train(short.train_config(Path(place) / "run"), watch)
    update, evaluation = statistics.median(watch.updates), watch.evaluations[-1]
    before = sum(watch.preparations)
    source = f"a probe of {PROBE} updates"
    return Rate(update / seeds, evaluation / seeds, source, before / seeds)


def rates(
    documents: Mapping[str, Document],
    every: Iterable[Cell],
    wanted: Sequence[Cell],
    probing: Callable[[str], None],
) -> dict[str, Rate]:
    """The rate of every kind of cell that is wanted.

    Args:
        documents: What cells came to, by key.
        every: All cells of the plan; those that are done say how long theirs take.
        wanted: Cells to train.
        probing: Is told the kind of a cell before it is probed.
    """
    known = finished_rates(documents, every)
    for cell in wanted:
        if kind(cell) not in known:
            probing(kind(cell))
            known[kind(cell)] = probed_rate(cell)
    return {kind(cell): known[kind(cell)] for cell in wanted}


def makespan(seconds: Sequence[float], workers: int) -> float:
    """When the last of these works ends, if each worker takes the longest one left."""
    ends = [0.0] * max(workers, 1)
    for work in sorted(seconds, reverse=True):
        ends[ends.index(min(ends))] += work
    return max(ends)
