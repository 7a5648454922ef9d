"""`python -m omar.train`: trains all seeds of an algorithm on a dataset as one stack, and evaluates them.

Called as a function, the module is the library behind the command: `omar.train(omar.TrainConfig(...))`.
"""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from rich.console import Console

from .offline.options import NewRun, parse
from .offline.runs import resume, train
from .reports.curve import learning_curve
from .reports.tables import score_table
from .runs.folder import CURVE
from .runs.interrupts import Interrupts
from .tasks import get_task
from .terminal import cli
from .terminal.display import Display

if TYPE_CHECKING:
    from collections.abc import Callable

    from .offline.config import TrainConfig
    from .offline.options import Resumption
    from .offline.result import Result
    from .runs.reporting import Reporter


def run(command: NewRun | Resumption, console: Console) -> int:
    """The whole command; returns the exit status."""
    with Interrupts() as interrupts, Display(console) as display:

        def stop() -> bool:
            return interrupts.stop

        if isinstance(command, NewRun):
            result = train(command.config, display, stop)
        else:
            data, updates = command.dataset, command.updates
            result = resume(command.path, dataset=data, updates=updates, reporter=display, stop=stop)
    if not result.finished:
        again = f"python -m omar.train --resume {shlex.quote(str(result.path))}"
        cli.say(f"stopped at update {result.update}; continue with: {again}")
        return cli.INTERRUPTED
    show(result, console)
    return 0


def show(result: Result, console: Console) -> None:
    """Draws the learning curve, and prints the scores beside the paper's."""
    options, quality = result.config.options, result.quality
    row = get_task(options.task).qualities.get(quality)
    learning_curve(
        result.path / CURVE,
        result.evaluations,
        title=f"{options.task}, {quality}",
        label=f"{options.algorithm}, mean of {options.seeds} seeds",
        published=row.scores.get(options.algorithm) if row else None,
    )
    console.print(score_table(result))
    cli.say(f"results in {result.path}")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; every error that a user can cause is one sentence."""
    return cli.run(lambda: run(parse(arguments), Console()))


class _Callable(ModuleType):
    """This module as a function: a package can have `omar.train` only once."""

    def __call__(
        self,
        config: TrainConfig,
        reporter: Reporter | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Result:
        """`omar.offline.runs.train`."""
        return train(config, reporter, stop)

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        """By name, as functions are pickled: process pools take `omar.train`."""
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    sys.exit(main())
