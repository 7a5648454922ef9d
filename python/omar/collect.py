"""`python -m omar.collect`: imitate a prey, train behaviour policies, choose what ships, make datasets."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

from .behaviors.find import choose_prey
from .data import ensure_dataset
from .online.fitting import ImitationConfig
from .online.imitation import PREDATORS, imitate
from .online.runs import BehaviorConfig, resume, train
from .online.shipping import ShipOptions, ship
from .runs.interrupts import Interrupts
from .tasks import QualityName, TaskName, get_task
from .terminal.cli import INTERRUPTED, DataSeed, OptionalFile, OptionalFolder, OptionalInt, run_one_of, say
from .terminal.display import Display

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class MakeDataset:
    """Generates a dataset into the cache folder (OMAR_HOME, or the platform's), or finds it there."""

    task: TaskName = "simple_spread"  # the task to act in
    quality: QualityName = "random"  # how well the behaviour policies act
    steps: OptionalInt = None  # transitions, whole episodes (default: the published size)
    seed: DataSeed = 0  # data seed: same seed, same bytes on the same machine
    prey: OptionalFile = None
    """file of the prey: a policy file, or the authors' pretrained_adv_model.pt (default: the shipped one)"""
    rebuild: bool = False  # generate it again even if it exists

    def __call__(self) -> int:
        """Runs the command."""
        prey = choose_prey(get_task(self.task), self.prey)
        dataset = ensure_dataset(
            self.task, self.quality, self.seed, steps=self.steps, prey=prey, rebuild=self.rebuild
        )
        returns = dataset.manifest.returns
        say(f"{dataset.path}: {len(dataset):,} transitions, return {returns.mean:.1f} ± {returns.std:.1f}")
        return 0


@dataclass(frozen=True, slots=True)
class TrainBehaviors(BehaviorConfig):
    """Trains behaviour policies with MATD3 in parallel worlds; a prey is trained too, or stays frozen.

    The defaults are those of the particle tasks. The command that made half_cheetah's policies is in their
    card.json, in omar/behaviors/half_cheetah.
    """

    resume: OptionalFolder = None
    """Continue the training in this folder, with the settings it was started with."""

    def __call__(self) -> int:
        """Runs the command."""
        with Interrupts() as interrupts, Display(Console()) as display:
            if self.resume is None:
                result = train(self, reporter=display, stop=lambda: interrupts.stop)
            else:
                result = resume(self.resume, reporter=display, stop=lambda: interrupts.stop)
        if not result.finished:
            path = shlex.quote(str(result.path))
            say(f"stopped; continue with: python -m omar.collect train --resume {path}")
            return INTERRUPTED
        best = result.best
        say(
            f"best return {best['return']:.1f} at update {best['update']} of seed {best['seed']}, kept in "
            f"{result.path / best['policy']}"
        )
        return 0


@dataclass(frozen=True, slots=True)
class ShipBehaviors(ShipOptions):
    """Chooses behaviour policies from a training and writes them with a card, as the package ships them.

    The defaults are those of the particle tasks; half_cheetah's policies were measured in 50 episodes.
    """

    def __call__(self) -> int:
        """Runs the command."""
        card = ship(self)
        for quality in ("medium", "expert"):
            entry = card[quality]
            say(
                f"{quality}: update {entry['update']}, return {entry['return']['mean']:.1f}, "
                f"normalized {entry['normalized']:.1f}"
            )
        say(f"wrote {self.out}")
        return 0


@dataclass(frozen=True, slots=True)
class ImitatePrey(ImitationConfig):
    """Fits a prey of our own to the actions of another one, in the states that predators bring about."""

    def __call__(self) -> int:
        """Runs the command."""
        with Interrupts() as interrupts, Display(Console()) as display:
            result = imitate(self, reporter=display, stop=lambda: interrupts.stop)
        if result.prey is None:
            predators = shlex.quote(str(self.predators or result.path / PREDATORS))
            say(
                f"stopped, and {result.path} holds no prey; predators that are not done go on with "
                f"`python -m omar.collect train --resume {predators}`, those that are serve as "
                f"`--predators {predators}`"
            )
            return INTERRUPTED
        report = result.report
        say(f"root mean square action error {report['action_error']:.4f}")
        for row in report["returns"]:
            theirs, ours = row["imitated"], row["imitation"]
            say(
                f"{row['predators']} predators: return {theirs['mean']:.2f} against the imitated prey, "
                f"{ours['mean']:.2f} against this one (± {ours['stderr']:.2f})"
            )
        say(f"wrote {result.path}")
        return 0


COMMANDS: dict[str, Callable[..., Callable[[], int]]] = {
    "dataset": MakeDataset,
    "imitate": ImitatePrey,
    "train": TrainBehaviors,
    "ship": ShipBehaviors,
}


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    return run_one_of(COMMANDS, arguments, prog="python -m omar.collect", about=__doc__)


if __name__ == "__main__":
    sys.exit(main())
