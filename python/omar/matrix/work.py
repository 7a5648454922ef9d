"""One cell at work: trained in a folder of its own, or taken up where it was left."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import torch

from .. import _core
from ..errors import OmarError
from ..offline.config import device
from ..offline.runs import resume, train
from ..runs.folder import CHECKPOINT, CONFIG, versions
from .document import CellResult, DataCard, Document, Made, Point

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from ..offline.result import Result
    from ..runs.metrics import Evaluation
    from .cell import Cell
    from .events import Tell

TELL_SECONDS = 0.5  # between two messages about updates


class Relay:
    """A `runs.reporting.Reporter` that passes on what matters to a matrix."""

    def __init__(self, tell: Tell, paused: Callable[[], None] = lambda: None) -> None:
        """Args: `tell` passes a message on; `paused` is called after evaluations and checkpoints."""
        self._tell, self._paused = tell, paused
        self._told = 0.0
        self.began = False  # whether updates have begun

    def started(self, title: str, update: int, updates: int) -> None:
        """Passes on where the training stands."""
        self.began = True
        self._tell("updated", update=update)

    def preparing(self, what: str, step: int, steps: int) -> None:
        """Says nothing: a cell counts its updates."""

    def updated(self, update: int, losses: Mapping[str, Tensor]) -> None:
        """Passes on an update now and then."""
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            self._tell("updated", update=update)

    def evaluated(self, evaluation: Evaluation) -> None:
        """Passes on a score."""
        text = f"{evaluation.mean:.1f} ± {evaluation.std:.1f}"
        self._tell("evaluated", update=evaluation.update, text=text)

    def paused(self) -> None:
        """Passes on that there may be a new checkpoint."""
        self._paused()

    def note(self, text: str) -> None:
        """Passes a sentence on."""
        self._tell("note", text=text)


def work(cell: Cell, folder: Path, reporter: Relay, stop: Callable[[], bool]) -> Document | int:
    """Trains a cell to its end, or until `stop` says so.

    Args:
        cell: What to train.
        folder: Of the run; what an earlier attempt left there is taken up.
        reporter: Is told of the progress.
        stop: Asked between two updates.

    Returns:
        What it came to; where it was stopped, the update that it can be taken up at.

    Raises:
        OmarError: A setting that cannot be used, or a training that diverged.
        OSError: The disk refused.
    """
    datasets = cell.datasets()
    paths = None if cell.steps is None else [str(dataset.path) for dataset in datasets]
    result = _take_up(folder, paths, reporter, stop) or _begin(cell, folder, paths, reporter, stop)
    if not result.finished:
        return result.update
    return Document(
        1,
        CellResult(
            cell.configuration(),
            tuple(map(Point.of, result.evaluations)),
            tuple(DataCard.of(dataset, seed) for seed, dataset in enumerate(datasets)),
        ),
        Made(
            seconds=result.last.seconds,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            device=str(device(cell.device)),
            threads=torch.get_num_threads(),
            versions=versions() | {"cpu_level": _core.cpu_level()},
        ),
    )


def _begin(
    cell: Cell, folder: Path, paths: list[str] | None, reporter: Relay, stop: Callable[[], bool]
) -> Result:
    config = cell.train_config(folder)
    return train(config if paths is None else replace(config, dataset=tuple(paths)), reporter, stop)


def _take_up(
    folder: Path, paths: list[str] | None, reporter: Relay, stop: Callable[[], bool]
) -> Result | None:
    """Goes on with a run that was left; None where there is none, or none that can be taken up."""
    if not (folder / CONFIG).is_file():
        return None
    try:
        return resume(folder, dataset=paths, reporter=reporter, stop=stop)
    except OmarError as error:
        if reporter.began:  # it could be taken up, and then failed
            raise
        reporter.note(f"what an earlier attempt left cannot be taken up ({error}): starting again")
        shutil.rmtree(folder)
        return None


def training_folder(root: Path, cell: Cell) -> Path:
    """Where a cell is trained, below the folder of a matrix or on another machine."""
    return root / cell.key


def reached(folder: Path) -> int:
    """The update that a run in this folder can be taken up at; 0 where there is none."""
    updates = [
        int(path.stem.removeprefix("update-")) for path in folder.glob(f"{CHECKPOINT}/update-????????.json")
    ]
    return max(updates, default=0)
