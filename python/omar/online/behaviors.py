"""`python -m omar.collect train`: trains behaviour policies online, and the prey along with them."""

from __future__ import annotations

import dataclasses
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..behaviors.policy import read
from ..behaviors.prey import make_prey
from ..behaviors.shipped import load_prey
from ..errors import OmarError, SettingError
from ..runs import ranges
from ..runs.decode import decode
from ..runs.interrupts import Interrupts
from ..runs.memory import COPIES, FLOAT, check_fits
from ..tasks import TaskName, get_task
from ..terminal.cli import INTERRUPTED
from .collection import CollectionSettings
from .folder import Evaluation, OnlineFolder
from .matd3 import Matd3Settings
from .training import OnlineTraining

if TYPE_CHECKING:
    from ..algorithms.base import LossTerms
    from ..behaviors.prey import Prey

COTRAINED, SHIPPED = "train", "shipped"
FROZEN = "frozen"  # what a folder's settings say of a prey whose file lies beside them
RATE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class TrainBehaviors:
    """Trains behaviour policies with MATD3 in parallel worlds, with a prey or against a frozen one."""

    task: TaskName = "simple_spread"
    """Task to act in."""
    prey: str | None = None
    """In a task with a prey: train (together with the predators), shipped, or the file of a trained prey;
    the default is the shipped prey where there is one."""
    seeds: int = 1
    """Seeds trained together; the best by evaluation is kept."""
    seed: int = 0
    """Base seed of all random numbers."""
    out: Path | None = None
    """Folder of the training; runs/behavior-TASK-TIME when not given."""
    resume: Path | None = None
    """Continue the training in this folder, with the settings it was started with."""
    eval_every: int = 500
    """Updates between two evaluations."""
    eval_episodes: int = 2000
    """Episodes of an evaluation."""
    checkpoint_every: int = 2500
    """Updates between two checkpoints."""
    collection: Annotated[CollectionSettings, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=CollectionSettings
    )
    matd3: Annotated[Matd3Settings, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Matd3Settings)

    def __call__(self) -> int:
        """Runs the command."""
        console = Console()
        options, folder = resume(self.resume) if self.resume is not None else start(self)
        training = OnlineTraining(
            get_task(options.task),
            options.matd3,
            options.collection,
            seed=options.seed,
            seeds=options.seeds,
            prey=_frozen_prey(options, folder.path),
        )
        seconds = folder.restore(training)
        with Interrupts() as interrupts, Watch(console, options, training) as watch:
            finished = run(training, options, folder, watch, interrupts, time.monotonic() - seconds)
        if not finished:
            again = f"python -m omar.collect train --resume {shlex.quote(str(folder.path))}"
            console.print(f"stopped; continue with: {again}", soft_wrap=True)
            return INTERRUPTED
        result = folder.finish()
        console.print(
            f"best return {result['return']:.1f} at update {result['update']} of seed {result['seed']}, "
            f"kept in {folder.path / result['policy']}",
            highlight=False,
            soft_wrap=True,
        )
        return 0


def start(options: TrainBehaviors) -> tuple[TrainBehaviors, OnlineFolder]:
    """Checks the options of a new training and makes its folder.

    Raises:
        OmarError: An option that no training can have.
    """
    task = get_task(options.task)
    ranges.at_least(options, 1, "seeds", "eval_every", "eval_episodes", "checkpoint_every")
    ranges.between(options, 0, 2**64 - 1, "seed")
    if options.prey is not None and not task.has_prey:
        raise OmarError(f"{task.name} has no prey: leave out --prey")
    warmup, batch_size = options.collection.warmup, options.matd3.batch_size
    if batch_size > warmup:
        raise SettingError("batch_size", f"must be at most warmup = {warmup}, got {batch_size}")
    _check_memory(options)
    prey = chosen_prey(options)
    out = options.out or Path("runs") / f"behavior-{task.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    settings = dataclasses.asdict(options)
    del settings["out"], settings["resume"]
    settings["prey"] = FROZEN if prey is not None else COTRAINED if task.has_prey else None
    return options, OnlineFolder.create(out, settings, prey)


def _check_memory(options: TrainBehaviors) -> None:
    """Refuses sizes that no machine holds, by a lower bound of what they take."""
    task, agents = get_task(options.task), get_task(options.task).num_agents
    inputs = sum(task.obs_sizes) + agents * task.action_size  # of a critic: all observations and actions
    hidden = options.matd3.hidden
    for count, what, remedy in (
        (options.collection.capacity * 2 * inputs, "replay buffers", "--capacity or --seeds"),
        (options.collection.worlds * inputs, "worlds", "--worlds or --seeds"),
        (options.eval_episodes * inputs, "worlds of an evaluation", "--eval-episodes"),
        (options.matd3.batch_size * 2 * inputs, "minibatches", "--batch-size or --seeds"),
        (COPIES * 2 * agents * hidden * (hidden + inputs), "networks", "--hidden or --seeds"),
    ):
        check_fits(FLOAT * options.seeds * count, None, what, remedy)


def chosen_prey(options: TrainBehaviors) -> Prey | None:
    """The frozen prey of a new training; None where the prey is trained too or the task has none.

    Raises:
        OmarError: No such file, or no prey of this task.
    """
    task = get_task(options.task)
    if not task.has_prey or options.prey == COTRAINED:
        return None
    if options.prey is None or options.prey == SHIPPED:
        prey = load_prey(task.name)
        if prey is None and options.prey == SHIPPED:
            raise OmarError(f"no prey of {task.name} ships with this version: --prey train makes one")
        return prey
    return _read_prey(Path(options.prey), options.task)


def _read_prey(path: Path, task_name: str) -> Prey:
    task = get_task(task_name)
    if not path.is_file():
        raise OmarError(f"no prey at {path}: expected {COTRAINED}, {SHIPPED} or a file")
    layers = read(path, networks=1, obs_size=task.obs_sizes[-1], action_size=task.action_size)
    return make_prey(layers, path.name)


def _frozen_prey(options: TrainBehaviors, folder: Path) -> Prey | None:
    path = folder / "prey.safetensors"
    return _read_prey(path, options.task) if path.exists() else None


def resume(path: Path) -> tuple[TrainBehaviors, OnlineFolder]:
    """Opens a training that was begun.

    Raises:
        OmarError: There is none.
    """
    folder = OnlineFolder(path)
    raw = folder.settings()
    for name in ("out", "resume"):  # not recorded: they belong to the process that began the training
        raw[name] = None
    raw.pop("versions", None)
    return decode(TrainBehaviors, raw, str(path / "config.json")), folder


def run(
    training: OnlineTraining,
    options: TrainBehaviors,
    folder: OnlineFolder,
    watch: Watch,
    interrupts: Interrupts,
    began: float,
) -> bool:
    """Trains to the end.

    Returns:
        False where an interrupt came first; a checkpoint holds the work up to the last whole episode then.
    """
    saved = training.updates
    if not folder.evaluations:
        _evaluate(training, options, folder, watch, began, {})
    while not training.finished:
        before = training.updates
        _, terms = training.advance()
        watch.updated(training)
        if training.updates // options.eval_every > before // options.eval_every or training.finished:
            _evaluate(training, options, folder, watch, began, terms)
        if training.between_episodes and not training.finished:
            due = training.updates - saved >= options.checkpoint_every
            if due or (interrupts.stop and training.updates):
                folder.save(training, time.monotonic() - began)
                saved = training.updates
            if interrupts.stop:
                return False
    return True


def _evaluate(
    training: OnlineTraining,
    options: TrainBehaviors,
    folder: OnlineFolder,
    watch: Watch,
    began: float,
    terms: LossTerms,
) -> None:
    returns = training.evaluate(options.eval_episodes)
    losses = {name: float(term.mean()) for name, term in terms.items()}
    transitions = training.step * training.collection.worlds
    evaluation = Evaluation(
        training.updates, transitions, round(time.monotonic() - began, 3), returns, losses
    )
    folder.record(training, evaluation)
    watch.evaluated(evaluation)


class Watch:
    """Shows a training: a bar in a terminal, and a line for every evaluation."""

    def __init__(self, console: Console, options: TrainBehaviors, training: OnlineTraining) -> None:
        """Args: what the training was started with, and the training as it is restored."""
        self._console = console
        self._total = options.collection.updates
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.0f} updates/s"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task(
            f"MATD3 on {options.task}", total=self._total, completed=training.updates, rate=0.0
        )
        self._last = (time.monotonic(), training.updates)

    def __enter__(self) -> Watch:
        """Starts the bar."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the bar."""
        self._progress.stop()

    def updated(self, training: OnlineTraining) -> None:
        """Takes note of progress."""
        now = time.monotonic()
        elapsed = now - self._last[0]
        if elapsed > RATE_SECONDS or (elapsed > 1.0 and not self._progress.tasks[0].fields["rate"]):
            self._progress.update(self._bar, rate=(training.updates - self._last[1]) / elapsed)
            self._last = (now, training.updates)
        self._progress.update(self._bar, completed=training.updates)

    def evaluated(self, evaluation: Evaluation) -> None:
        """Shows an evaluation."""
        returns = " ".join(f"{value:.1f}" for value in evaluation.returns)
        losses = " ".join(f"{name} {value:.3g}" for name, value in evaluation.losses.items())
        self._console.print(
            f"update {evaluation.update}/{self._total}  {evaluation.transitions:,} transitions  "
            f"{evaluation.seconds:.0f} s  return {returns}  {losses}".rstrip(),
            highlight=False,
            soft_wrap=True,
        )
