"""`python -m omar.data`: look at datasets, check them, and move them between formats."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ..behaviors.authors import load_prey
from ..tasks import QualityName, TaskName, get_task
from ..terminal.cli import DataSeed, run_one_of, say
from .cache import ensure_dataset
from .card import card_table, make_card, plot_card
from .dataset import Dataset
from .formats import export_dataset, get_format, import_dataset

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dataset: one of the cache, generated on first use, or a folder."""

    task: TaskName = "simple_spread"  # the task to act in
    quality: QualityName = "random"  # how well the behaviour policies act
    seed: DataSeed = 0  # data seed
    steps: int | None = None  # transitions; the published size by default
    prey: Path | None = None  # the authors' pretrained_adv_model.pt, to act as the prey
    folder: Path | None = None  # a dataset's folder instead of task, quality, seed, steps and prey

    def find(self) -> Dataset:
        """Opens the dataset, generating it if need be."""
        if self.folder is not None:
            return Dataset.open(self.folder)
        prey = None if self.prey is None else load_prey(self.prey, get_task(self.task))
        return ensure_dataset(self.task, self.quality, self.seed, steps=self.steps, prey=prey)


@dataclass(frozen=True, slots=True, kw_only=True)
class Info(Choice):
    """Prints and plots a dataset's returns and actions."""

    json: bool = False  # print the figures as JSON and draw nothing
    plot: Path | None = None  # where the picture goes; card.png in the dataset's folder by default

    def __call__(self) -> int:
        """Runs the command."""
        dataset = self.find()
        card = make_card(dataset)
        if self.json:
            say(json.dumps(card.summary()))
            return 0
        picture = dataset.path / "card.png" if self.plot is None else self.plot
        plot_card(card, picture)
        Console().print(card_table(card))
        say(f"folder:  {dataset.path}\nsha256:  {dataset.manifest.sha256}\npicture: {picture}")
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify(Choice):
    """Reads a whole dataset: checksums, finite values, flags, and steps that follow one another."""

    def __call__(self) -> int:
        """Runs the command."""
        dataset = self.find()
        dataset.verify()
        say(f"{dataset.path} is whole: {len(dataset):,} transitions, sha256 {dataset.manifest.sha256}")
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Reads a dataset of a foreign format: authors, minari or vault."""

    format: str  # authors, minari or vault
    source: Path  # the folder to read
    out: Path  # the dataset's folder to write; give it to --dataset of omar.train
    task: TaskName = "simple_spread"  # the task it belongs to
    quality: str = "random"  # what to call it

    def __call__(self) -> int:
        """Runs the command."""
        dataset, notes = import_dataset(self.format, self.source, self.task, self.quality, self.out)
        for note in notes:
            say(f"note: {note}")
        say(f"{dataset.path}: {len(dataset):,} transitions in {dataset.manifest.episodes:,} episodes")
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Export(Choice):
    """Writes a dataset in a foreign format: authors, minari or vault."""

    format: str  # authors, minari or vault
    out: Path  # the folder to write

    def __call__(self) -> int:
        """Runs the command."""
        get_format(self.format)
        dataset = self.find()
        for note in export_dataset(self.format, dataset, self.out):
            say(f"note: {note}")
        say(f"{self.out}: {len(dataset):,} transitions as {self.format}")
        return 0


COMMANDS: dict[str, Callable[..., Callable[[], int]]] = {
    "info": Info,
    "verify": Verify,
    "import": Import,
    "export": Export,
}


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    return run_one_of(COMMANDS, arguments, prog="python -m omar.data", about=__doc__)


if __name__ == "__main__":
    sys.exit(main())
