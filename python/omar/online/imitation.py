"""A prey that acts as another one does: a network fitted to its actions in states that predators bring about.

Weights that are not ours to ship can be imitated. The states come from episodes of uniform and of trained
predators; in the later rounds the fitted network moves the prey itself, so that it is also right where its
own small errors lead (Ross et al. 2011, DAgger). All randomness is counted.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..behaviors.find import read_prey
from ..behaviors.policy import Policy
from ..behaviors.policy_file import load_policy, save_policies
from ..behaviors.shipped import PREY
from ..errors import OmarError
from ..runs.files import to_json, write_atomically
from ..runs.folder import make_folder, versions
from ..runs.reporting import Silent
from ..tasks import Task, get_task
from .collection import CollectionSettings
from .fitting import LEVELS, Imitation, ImitationConfig
from .folder import POLICIES
from .runs import ROOT, BehaviorConfig, train

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..runs.reporting import Reporter

PREDATORS = "predators"  # folder of their training
REPORT = "imitation.json"


@dataclass(frozen=True, slots=True)
class ImitationResult:
    """What an imitation came to."""

    path: Path
    prey: Policy | None  # None where `stop` ended it
    report: dict[str, Any]  # the action error, and predators' returns against both preys


def imitate(
    config: ImitationConfig, *, reporter: Reporter | None = None, stop: Callable[[], bool] | None = None
) -> ImitationResult:
    """Fits a prey and writes it, with a report of how alike both are.

    Args:
        config: What to imitate and for how long.
        reporter: Is told of the progress.
        stop: Asked between updates; True ends the imitation without a result.

    Raises:
        OmarError: A setting, file or folder that cannot be used.
        OSError: The disk refused.
    """
    config.check()
    task, reporter, stop = get_task(config.task), reporter or Silent(), stop or (lambda: False)
    teacher = read_prey(config.prey, task)
    if config.predators is not None:
        _choose_predators(config.predators, task, teacher)  # so that errors come before the work
    path = make_folder(config.out, f"imitation-{task.name}", ROOT)
    folder = config.predators
    if folder is None:
        folder = path / PREDATORS
        if not train(_training(config, folder), reporter=reporter, stop=stop).finished:
            return ImitationResult(path, None, {})
    imitation = Imitation(config, teacher, _choose_predators(folder, task, teacher))
    reporter.started(f"imitating {config.prey.name} of {task.name}", 0, config.rounds * config.updates)
    for number in range(config.rounds):
        imitation.collect(number)
        reporter.paused()
        for _ in range(config.updates):
            if stop():
                return ImitationResult(path, None, {})
            error = imitation.update()
            reporter.updated(imitation.updates, {"error": error})
    report = imitation.report()
    save_policies(path / f"{PREY}.safetensors", [imitation.prey()])
    settings = {**dataclasses.asdict(config), "prey": config.prey.name}
    del settings["out"], settings["predators"]
    whole = {"settings": settings, "of": teacher.sha256, **report, "versions": versions()}
    write_atomically(path / REPORT, to_json(whole))
    return ImitationResult(path, imitation.prey(), report)


def _training(config: ImitationConfig, out: Path) -> BehaviorConfig:
    """The training of the predators, evaluated often enough for LEVELS different ones."""
    updates = config.predator_updates
    return BehaviorConfig(
        task=config.task,
        prey=str(config.prey),
        seed=config.seed,
        out=out,
        eval_every=max(1, updates // 64),
        eval_episodes=min(1_000, config.episodes),
        checkpoint_every=updates,
        collection=CollectionSettings(updates=updates),
    )


def _choose_predators(folder: Path, task: Task, teacher: Policy) -> list[Policy]:
    """LEVELS policies of the first seed of a training, in geometric distances from its start.

    Raises:
        OmarError: No training against this prey is there.
    """
    files = sorted((folder / POLICIES).glob("seed-0-update-*.safetensors"))
    if len(files) < 2:
        raise OmarError(f"{folder} is not the folder of a training of predators that was evaluated")
    last = len(files) - 1
    chosen = sorted({round(last ** (level / (LEVELS - 1))) for level in range(LEVELS)})
    policies = [load_policy(files[number]) for number in chosen]
    for policy in policies:
        if policy.task != task.name or policy.prey is None or policy.prey.sha256 != teacher.sha256:
            raise OmarError(f"the predators of {folder} were not trained against this prey of {task.name}")
    return policies
