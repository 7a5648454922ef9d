"""`python -m omar.train`: trains all seeds of an algorithm on a dataset as one stack, and evaluates them."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from .errors import OmarError
from .offline.options import parse
from .offline.training import Training, start, train
from .reports.curve import learning_curve
from .reports.tables import score_table
from .runs.folder import CURVE
from .runs.interrupts import Interrupts
from .tasks import get_task
from .terminal import cli
from .terminal.display import Display

if TYPE_CHECKING:
    from .offline.options import Command


def run(command: Command, console: Console) -> int:
    """The whole command; returns the exit status."""
    path = command.continuation.resume
    if path is None:
        training = Training.build(*start(command.config))
    else:
        others = sorted(cli.spelled(name) for name in command.given - {"resume"})
        if others:
            raise OmarError(f"--resume keeps the settings of the run: leave out {', '.join(others)}")
        training = Training.open(path)
    config, folder = training.config, training.folder
    folder.begin(training.update)
    try:
        with Interrupts() as interrupts, Display(console, config, training.update) as display:
            finished = train(training, display, interrupts)
        if not finished:
            again = f"python -m omar.train --resume {shlex.quote(str(folder.path))}"
            cli.say(f"stopped at update {training.update}; continue with: {again}")
            return cli.INTERRUPTED
        conclude(training, console)
    finally:
        folder.close()
    return 0


def conclude(training: Training, console: Console) -> None:
    """Writes the result and the curve, and prints the scores beside the paper's."""
    config, folder = training.config, training.folder
    options = config.options
    final = folder.evaluations[-1]
    folder.finish(
        config,
        {
            "returns": final.returns,
            "scores": final.scores,
            "mean": final.mean,
            "std": final.std,
            "episodes": options.eval_episodes,
            "updates": final.update,
            "seconds": final.seconds,
        },
    )
    quality = training.datasets[0].quality
    row = get_task(options.task).qualities.get(quality)
    learning_curve(
        folder.path / CURVE,
        folder.evaluations,
        title=f"{options.task}, {quality}",
        label=f"{options.algorithm}, mean of {options.seeds} seeds",
        published=row.scores.get(options.algorithm) if row else None,
    )
    console.print(score_table(config, quality, final))
    cli.say(f"results in {folder.path}")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; every error that a user can cause is one sentence."""
    return cli.run(lambda: run(parse(arguments), Console()))


if __name__ == "__main__":
    sys.exit(main())
