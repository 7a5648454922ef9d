"""`python -m omar.collect`: train behaviour policies, choose those that ship, make datasets from them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .behaviors.authors import load_prey
from .data import ensure_dataset
from .online.behaviors import TrainBehaviors
from .online.shipping import ShipBehaviors
from .tasks import QualityName, TaskName, get_task
from .terminal.cli import DataSeed, run_one_of, say

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class MakeDataset:
    """Generates a dataset into the cache folder (OMAR_HOME, or the platform's), or finds it there."""

    task: TaskName = "simple_spread"  # the task to act in
    quality: QualityName = "random"  # how well the behaviour policies act
    steps: int | None = None  # transitions, whole episodes; the published size by default
    seed: DataSeed = 0  # data seed: same seed, same bytes on the same machine
    prey: Path | None = None  # the authors' pretrained_adv_model.pt, to act as the prey
    rebuild: bool = False  # generate it again even if it exists

    def __call__(self) -> int:
        """Runs the command."""
        prey = None if self.prey is None else load_prey(self.prey, get_task(self.task))
        dataset = ensure_dataset(
            self.task, self.quality, self.seed, steps=self.steps, prey=prey, rebuild=self.rebuild
        )
        returns = dataset.manifest.returns
        say(f"{dataset.path}: {len(dataset):,} transitions, return {returns.mean:.1f} ± {returns.std:.1f}")
        return 0


COMMANDS: dict[str, Callable[..., MakeDataset | TrainBehaviors | ShipBehaviors]] = {
    "dataset": MakeDataset,
    "train": TrainBehaviors,
    "ship": ShipBehaviors,
}


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    return run_one_of(COMMANDS, arguments, prog="python -m omar.collect", about=__doc__)


if __name__ == "__main__":
    sys.exit(main())
