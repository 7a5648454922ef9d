"""Reproduces the paper: `python -m omar.reproduce` trains its whole matrix from nothing but this package.

Every cell (a task, a quality, an algorithm; all seeds together) is cached by what decides its result, so the
same command goes on where it was left, and trains only what is new. Figures and tables are `omar.report`'s.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import tyro
from rich.console import Console
from rich.table import Table

from .algorithms import PresetName
from .errors import OmarError
from .matrix.ablations import ABLATIONS, AblationName, ablation
from .matrix.cluster import RayCluster, task_device
from .matrix.crew import Processes
from .matrix.estimate import kind, makespan, rates
from .matrix.folder import MatrixFolder
from .matrix.plan import PARTICLE_TASKS, Lengths, matrix
from .matrix.reproduce import reproduce, unique
from .offline.config import OfTheTask
from .runs import ranges
from .runs.interrupts import Interrupts
from .tasks import TASKS
from .terminal.board import Board, hours
from .terminal.cli import INTERRUPTED, OptionalInt, run_options, say

if TYPE_CHECKING:
    from .matrix.document import Document
    from .matrix.estimate import Rate
    from .matrix.events import Crew
    from .matrix.plan import Entry, Plan

MOST_WORKERS = 1024
FAILED = 1
ROOT = Path("runs/matrix")

Folder: TypeAlias = Annotated[Path, tyro.conf.arg(metavar="DIR")]
if TYPE_CHECKING:
    PaperTask: TypeAlias = str
else:  # so that the command line lists them
    PaperTask = Literal[tuple(TASKS)]
Tasks: TypeAlias = Annotated[
    tuple[PaperTask, ...],
    tyro.conf.arg(metavar=f"{{{','.join(TASKS)}}} ...", help_behavior_hint=""),
]
Workers: TypeAlias = Annotated[
    int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="(default: one for each core)")
]


@dataclass(frozen=True, slots=True)
class ReproduceOptions:
    """Trains every algorithm that suits a task on all of its data sets, several cells at a time."""

    out: Folder = ROOT
    """Folder of the results; cells that are there already are not trained again. Another preset, or other
    tasks, seeds, updates or evaluations, need a folder of their own."""
    dry_run: bool = False
    """Print what there is to do and how long it takes, and train nothing but a probe."""
    task: Tasks = ()
    """Tasks of the matrix. half_cheetah takes days on a CPU: give it a folder of its own. (default: the three
    particle tasks)"""
    only: Annotated[str, tyro.conf.arg(metavar="NAME=VALUE,...", help_behavior_hint="")] = ""
    """Cells to work on, such as task=simple_tag,quality=expert; values of one name are alternatives."""
    ablation: Annotated[
        AblationName | None, tyro.conf.arg(metavar=f"{{{','.join(ABLATIONS)}}}", help_behavior_hint="")
    ] = None
    """Work on an ablation of the paper instead of its matrix; --only takes variant=... there too."""
    seeds: int = 5
    """Seeds of every cell, each with a data set of its own."""
    updates: OptionalInt = None
    """Updates of every agent, for a quick try. (default: the preset's)"""
    preset: PresetName = "released"
    """Hyper-parameters: released (the authors' code) or paper (its appendix B.1)."""
    eval_every: OfTheTask = None
    """Updates between two evaluations; the first and the last policies are always evaluated. (default: 250;
    half_cheetah: 2500)"""
    eval_episodes: OfTheTask = None
    """Episodes of each seed in an evaluation. (default: 1000; half_cheetah: 50)"""
    workers: Workers = None
    """Cells at the same time, each in a process of its own. On a cluster: on all its nodes together; by
    default as many as it has CPUs for."""
    threads: int = 1
    """Threads of each of them."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda or cuda:1. On a cluster: cpu, which auto is there, or cuda, a GPU for
    each cell."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="")] = None
    """Work on a Ray cluster at this address, or on one of this machine: local. Needs pip install
    "omar[ray]"."""

    def __call__(self) -> int:
        """Runs the command; returns the exit status.

        Raises:
            OmarError: An option is out of range, or another process works on the folder.
        """
        ranges.between(self, 1, MOST_WORKERS, "workers", "threads")
        device = self.device if self.ray is None else task_device(self.device)
        lengths = Lengths(self.seeds, self.updates, self.preset, self.eval_every, self.eval_episodes, device)
        if self.ablation is None:
            plan = matrix(lengths, self.only, self.task or PARTICLE_TASKS)
        elif self.task:
            raise OmarError("--task chooses tasks of the matrix: leave it out with --ablation")
        else:
            plan = ablation(self.ablation, lengths, self.only)
        folder = MatrixFolder(self.out)
        workers = self.workers or os.cpu_count() or 1
        console = Console()
        if self.dry_run:
            dry_run(plan, folder, workers, console)
            return 0
        with folder.owned(), Interrupts() as interrupts, Board(console) as board:
            crew: Crew
            if self.ray is None:
                crew = Processes(folder.work, workers=workers, threads=self.threads)
            else:
                crew = RayCluster(folder.work, address=self.ray, threads=self.threads, workers=self.workers)
            outcome = reproduce(plan, folder, crew, _Narrator(board), lambda: interrupts.stop)
        done = outcome.cached + outcome.finished
        say(f"{done} of {len(unique(plan.selected))} cells are done, in {folder.path}")
        if outcome.failures:
            say(f"{len(outcome.failures)} failed: the same command tries them again")
        if outcome.stopped:
            say(f"{outcome.stopped} are left: the same command goes on with them")
            return INTERRUPTED
        return FAILED if outcome.failures else 0


class _Narrator:
    """A `matrix.reproduce.Listener` that shows a board."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def began(self, cached: int, waiting: list[Entry]) -> None:
        cells = {entry.title: entry.cell.resolved().updates for entry in waiting}
        self._board.begin(f"{cached} cells are there already, {len(waiting)} to train", cells)

    def updated(self, entry: Entry, update: int) -> None:
        self._board.update(entry.title, update)

    def evaluated(self, entry: Entry, update: int, score: str) -> None:
        self._board.update(entry.title, update, score)

    def finished(self, entry: Entry, document: Document) -> None:
        scores = document.result.last.scores
        mean = sum(scores) / len(scores)
        by_seed = " ".join(f"{score:.1f}" for score in scores)
        self._board.end(entry.title, f"score {mean:.1f} ({by_seed}) in {hours(document.made.seconds)}")

    def failed(self, entry: Entry, reason: str) -> None:
        self._board.end(entry.title, f"failed: {reason}", failed=True)

    def note(self, text: str) -> None:
        self._board.say(text)

    def beat(self) -> None:
        self._board.redraw()


def dry_run(plan: Plan, folder: MatrixFolder, workers: int, console: Console) -> None:
    """Prints the cells that are asked for, what is left of each, and how long that takes.

    Raises:
        OmarError: The folder holds results that the plan would take the place of.
    """
    folder.check(plan, say)
    every, selected = unique(plan.entries), unique(plan.selected)
    documents = folder.documents(every, say)
    done = selected.keys() & documents.keys()
    waiting = [entry.cell for key, entry in selected.items() if key not in done]
    cells = [entry.cell for entry in every.values()]
    found = rates(documents, cells, waiting, lambda name: say(f"timing {name} ..."))
    table = Table(title=f"{plan.name}: {len(selected)} cells", title_justify="left")
    for column in ("cell", "updates", "state", "time"):
        table.add_column(column, justify="right" if column in ("updates", "time") else "left")
    times = []
    for key, entry in selected.items():
        cell, reached = entry.cell, folder.reached(entry.cell)
        state = "done" if key in done else f"from update {reached}" if reached else "to train"
        seconds = 0.0 if key in done else found[kind(cell)].seconds(cell, reached)
        times.append(seconds)
        table.add_row(entry.title, f"{cell.resolved().updates:,}", state, hours(seconds) if seconds else "")
    console.print(table)
    _summary(len(done), len(selected), makespan(times, workers), workers, found)


def _summary(done: int, cells: int, seconds: float, workers: int, found: dict[str, Rate]) -> None:
    say(f"{done} of {cells} cells are done; the rest takes about {hours(seconds)} with {workers} workers")
    for name, rate in found.items():
        say(f"{name}: {1000 * rate.update:.1f} ms an update of one seed, from {rate.source}")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; every error that a user can cause is one sentence."""
    return run_options(ReproduceOptions, arguments, prog="python -m omar.reproduce", about=__doc__)


if __name__ == "__main__":
    sys.exit(main())
