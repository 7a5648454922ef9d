"""`python -m omar.data`: look at datasets, check them, and move them between formats."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ..behaviors.find import choose_prey
from ..errors import DatasetError
from ..runs.files import expand_user
from ..tasks import QualityName, TaskName, get_task
from ..terminal.cli import (
    DataSeed,
    OptionalFile,
    OptionalFolder,
    OptionalInt,
    OptionalName,
    run_one_of,
    say,
)
from .cache import cached_dataset, ensure_dataset
from .card import Card, card_table, make_card, plot_card
from .dataset import Dataset
from .episodes import TimeLimits
from .formats import export_dataset, get_format
from .importing import import_dataset

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dataset: one of the cache or a folder."""

    task: TaskName = "simple_spread"  # the task to act in
    quality: QualityName = "random"  # how well the behaviour policies act
    seed: DataSeed = 0  # data seed
    steps: OptionalInt = None  # transitions, whole episodes (default: the published size)
    prey: OptionalFile = None
    """file of the prey: a policy file, or the authors' pretrained_adv_model.pt (default: the shipped one)"""
    folder: OptionalFolder = None  # a dataset's folder instead of task, quality, seed, steps and prey

    def find(self, *, make: bool) -> Dataset:
        """Opens the dataset; one of the cache that is not there yet is generated if `make` says so."""
        if self.folder is not None:
            return Dataset.open(expand_user(self.folder))
        prey = choose_prey(get_task(self.task), self.prey)
        get = ensure_dataset if make else cached_dataset
        return get(self.task, self.quality, self.seed, steps=self.steps, prey=prey)


@dataclass(frozen=True, slots=True, kw_only=True)
class Info(Choice):
    """Prints and plots a dataset's returns and actions.

    A dataset named by task and quality is generated first if it is not in the cache.
    """

    json: bool = False  # print the figures as JSON and draw nothing
    plot: OptionalFile = None  # where the picture goes (default: card.png in the dataset's folder)

    def __call__(self) -> int:
        """Runs the command."""
        dataset = self.find(make=True).verified()
        card = make_card(dataset)
        if self.json:
            say(json.dumps(card.summary()))
            return 0
        Console().print(card_table(card))
        say(f"folder:  {dataset.path}\nsha256:  {dataset.manifest.sha256}\npicture: {self._draw(card)}")
        return 0

    def _draw(self, card: Card) -> str:
        """Draws the picture; a set whose folder is read-only has figures all the same."""
        path = card.dataset.path / "card.png" if self.plot is None else expand_user(self.plot)
        try:
            plot_card(card, path)
        except DatasetError as error:
            if self.plot is not None:
                raise
            return f"none, {error}; --plot FILE chooses another place"
        return str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify(Choice):
    """Reads a whole dataset: checksums, finite values, flags, and steps that follow one another.

    It never generates one.
    """

    def __call__(self) -> int:
        """Runs the command."""
        dataset = self.find(make=False)
        dataset.verify()
        say(f"{dataset.path} is whole: {len(dataset):,} transitions, sha256 {dataset.manifest.sha256}")
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Reads a dataset of a foreign format: authors, minari or vault."""

    format: str  # authors, minari or vault
    source: Path  # the folder to read
    out: Path  # the dataset's folder to write; give it to --dataset of omar.train
    task: OptionalName = None  # its task (default: what its metadata says, or else simple_spread)
    quality: OptionalName = None  # one of the paper's qualities, or a name of your own (default: as --task)
    time_limits: TimeLimits = "auto"
    """Dones at the time limit: truncations (truncate), terminations (keep), or truncations if all limits and
    no other step are dones (auto)."""

    def __call__(self) -> int:
        """Runs the command."""
        dataset, notes = import_dataset(
            self.format,
            expand_user(self.source),
            self.task,
            self.quality,
            expand_user(self.out),
            time_limits=self.time_limits,
        )
        for note in notes:
            say(f"note: {note}")
        say(f"{dataset.path}: {len(dataset):,} transitions in {dataset.manifest.episodes:,} episodes")
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Export(Choice):
    """Writes a dataset in a foreign format: authors, minari or vault.

    A dataset named by task and quality is generated first if it is not in the cache.
    """

    format: str  # authors, minari or vault
    out: Path  # the folder to write

    def __call__(self) -> int:
        """Runs the command."""
        get_format(self.format)
        dataset = self.find(make=True).verified()
        out = expand_user(self.out)
        for note in export_dataset(self.format, dataset, out):
            say(f"note: {note}")
        say(f"{out}: {len(dataset):,} transitions as {self.format}")
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
