"""Runs of online training: begin one, go on with one, and what it came to.

This is the library behind `python -m omar.collect train`: it prints nothing and touches no signal.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..algorithms.divergence import LOG_EVERY, refuse_divergence
from ..behaviors.find import read_prey
from ..behaviors.policy_file import save_policies
from ..behaviors.shipped import shipped_prey
from ..errors import OmarError, SettingError
from ..runs import ranges
from ..runs.decode import check_types, decode, encode
from ..runs.folder import CONFIG, make_folder
from ..runs.memory import COPIES, FLOAT, check_fits
from ..runs.metrics import Evaluation
from ..runs.reporting import Silent
from ..tasks import TaskName, get_task, normalized_score
from ..terminal.cli import OptionalFolder
from .collection import CollectionSettings
from .folder import PREY, OnlineFolder
from .matd3 import Matd3Settings
from .training import OnlineTraining

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..algorithms.base import LossTerms
    from ..behaviors.policy import Policy
    from ..runs.reporting import Reporter

COTRAINED, SHIPPED = "train", "shipped"
FROZEN = "frozen"  # what a folder's config says of a prey whose file lies beside it
ROOT = Path("runs")  # where trainings go whose folder is not given


@dataclass(frozen=True, slots=True)
class BehaviorConfig:
    """Trains behaviour policies with MATD3 in parallel worlds; a prey is trained too, or stays frozen."""

    task: TaskName = "simple_spread"
    """Task to act in."""
    prey: Annotated[
        str | None, tyro.conf.arg(metavar="train|shipped|FILE", help_behavior_hint="(default: shipped)")
    ] = None
    """In a task with a prey: train (together with the predators), shipped, or a file (a policy file, or the
    authors' pretrained_adv_model.pt)."""
    seeds: int = 1
    """Seeds trained together; the best by evaluation is kept."""
    seed: int = 0
    """Base seed of all random numbers."""
    out: OptionalFolder = None
    """Folder of the training. (default: runs/behavior-TASK-TIME)"""
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

    def check(self) -> None:
        """Raises OmarError where an option is one that no training can have."""
        check_types(self)
        task = get_task(self.task)
        ranges.at_least(self, 1, "seeds", "eval_every", "eval_episodes", "checkpoint_every")
        ranges.between(self, 0, 2**64 - 1, "seed")
        if self.prey is not None and not task.has_prey:
            raise OmarError(f"{task.name} has no prey: leave out --prey")
        warmup, batch_size = self.collection.warmup, self.matd3.batch_size
        if batch_size > warmup:
            raise SettingError("batch_size", f"must be at most warmup = {warmup}, got {batch_size}")
        _check_memory(self)


@dataclass(frozen=True, slots=True)
class BehaviorResult:
    """What an online training came to."""

    path: Path
    finished: bool  # False where `stop` ended the training before its last update
    update: int
    best: dict[
        str, Any
    ]  # of a finished training: `return`, `seed`, `update` and the name of the policy's file


def train(
    config: BehaviorConfig,
    *,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] | None = None,
) -> BehaviorResult:
    """Trains behaviour policies into a folder of their own.

    Args:
        config: What to train and for how long.
        reporter: Is told of the progress.
        stop: Asked after each step of all worlds; True ends the training at the end of an episode.

    Raises:
        OmarError: A setting, prey or folder that cannot be used, or a training that diverged.
        OSError: The disk refused.
    """
    config.check()
    prey = chosen_prey(config)
    has_prey = get_task(config.task).has_prey
    entries = recorded(config) | {"prey": FROZEN if prey is not None else COTRAINED if has_prey else None}
    path = make_folder(config.out, f"behavior-{config.task}", ROOT)
    with OnlineFolder(path) as folder:
        folder.create({"training": entries})
        if prey is not None:  # the training reads its own copy when it goes on
            save_policies(path / PREY, [prey])
        return _run(config, folder, reporter or Silent(), stop)


def resume(
    path: Path, *, reporter: Reporter | None = None, stop: Callable[[], bool] | None = None
) -> BehaviorResult:
    """Goes on with a training, with the settings it was begun with.

    Args:
        path: The training's folder.
        reporter: As in `train`.
        stop: As in `train`.

    Raises:
        OmarError: No training there, a damaged one, or one that another process works on.
        OSError: The disk refused.
    """
    settings = read_config(path)
    with OnlineFolder(path) as folder:
        return _run(settings, folder, reporter or Silent(), stop)


def _check_memory(config: BehaviorConfig) -> None:
    """Refuses sizes that no machine holds, by a lower bound of what they take."""
    task, agents = get_task(config.task), get_task(config.task).num_agents
    inputs = sum(task.obs_sizes) + agents * task.action_size  # of a critic: all observations and actions
    hidden = config.matd3.hidden
    for count, what, remedy in (
        (config.collection.capacity * 2 * inputs, "replay buffers", "--capacity or --seeds"),
        (config.collection.worlds * inputs, "worlds", "--worlds or --seeds"),
        (config.eval_episodes * inputs, "worlds of an evaluation", "--eval-episodes"),
        (config.matd3.batch_size * 2 * inputs, "minibatches", "--batch-size or --seeds"),
        (COPIES * 2 * agents * hidden * (hidden + inputs), "networks", "--hidden or --seeds"),
    ):
        check_fits(FLOAT * config.seeds * count, None, what, remedy)


def read_config(path: Path) -> BehaviorConfig:
    """The settings that a training was begun with.

    Raises:
        OmarError: No training there, or a damaged config.
    """
    raw = OnlineFolder(path).config().get("training")
    where = str(path / CONFIG)
    if not isinstance(raw, dict):
        raise OmarError(f"{where} does not describe an online training")
    return decode(BehaviorConfig, {**raw, "out": str(path)}, where)


def recorded(config: BehaviorConfig) -> dict[str, Any]:
    """The settings that decide what a training comes to, as JSON values."""
    left_out = ("out", "resume")  # of the process, not of the training
    return {name: value for name, value in encode(config).items() if name not in left_out}


def chosen_prey(config: BehaviorConfig) -> Policy | None:
    """The frozen prey of a new training; None where the prey is trained too or the task has none.

    Raises:
        OmarError: No such file, or no prey of this task.
    """
    task = get_task(config.task)
    if not task.has_prey or config.prey == COTRAINED:
        return None
    if config.prey is None or config.prey == SHIPPED:
        return shipped_prey(task.name)
    path = Path(config.prey)
    if not path.is_file():
        raise OmarError(f"no prey at {path}: expected {COTRAINED}, {SHIPPED} or a file")
    return read_prey(path, task)


def _run(
    config: BehaviorConfig, folder: OnlineFolder, reporter: Reporter, stop: Callable[[], bool] | None
) -> BehaviorResult:
    training = OnlineTraining(
        get_task(config.task),
        config.matd3,
        config.collection,
        seed=config.seed,
        seeds=config.seeds,
        prey=folder.frozen_prey(),
    )
    seconds = folder.restore(training, reporter)
    folder.begin(training.updates)
    title = f"MATD3 on {config.task}, {config.seeds} seeds"
    reporter.started(title, training.updates, config.collection.updates)
    began = time.monotonic() - seconds
    finished = _train(training, config, folder, reporter, stop or (lambda: False), began)
    best = folder.conclude() if finished else {}
    return BehaviorResult(folder.path, finished, training.updates, best)


def _train(
    training: OnlineTraining,
    config: BehaviorConfig,
    folder: OnlineFolder,
    reporter: Reporter,
    stop: Callable[[], bool],
    began: float,
) -> bool:
    """Trains to the end; False where `stop` came first: a checkpoint holds the whole episodes then."""
    saved = training.updates
    due = training.updates % config.eval_every == 0 or training.finished
    if due and not folder.has_evaluation(training.updates):
        _evaluate(training, config, folder, reporter, began, {})
    while not training.finished:
        before = training.updates
        _, terms = training.advance()
        if training.updates > before:
            reporter.updated(training.updates, terms)
        looks = training.updates // LOG_EVERY > before // LOG_EVERY
        if looks or training.finished or training.between_episodes:  # before any policy or checkpoint is kept
            refuse_divergence(terms, len(training.keys), training.updates)
        if training.updates // config.eval_every > before // config.eval_every or training.finished:
            _evaluate(training, config, folder, reporter, began, terms)
        if training.between_episodes and not training.finished:
            stopped = stop()
            if training.updates - saved >= config.checkpoint_every or (stopped and training.updates):
                folder.save(training, time.monotonic() - began)
                saved = training.updates
                reporter.paused()
            if stopped:
                return False
    return True


def _evaluate(
    training: OnlineTraining,
    config: BehaviorConfig,
    folder: OnlineFolder,
    reporter: Reporter,
    began: float,
    terms: LossTerms,
) -> None:
    returns = training.evaluate(config.eval_episodes)
    scale = training.policy(0).scale
    evaluation = Evaluation(
        update=training.updates,
        seconds=round(time.monotonic() - began, 3),
        returns=returns,
        scores=[normalized_score(training.task, value, scale) for value in returns],
        losses={name: float(term.mean()) for name, term in terms.items()},
        transitions=training.step * training.collection.worlds,
    )
    folder.record(training, evaluation)
    reporter.evaluated(evaluation)
    reporter.paused()
