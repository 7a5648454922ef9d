"""Evaluates policies: all seeds at once, each in its own share of parallel worlds, one episode per world.

`python -m omar.evaluate --run DIR` evaluates the policies of a run, `--task NAME` uniform actions.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from .behaviors.find import choose_prey
from .errors import OmarError
from .evaluation.policies import Policy, UniformPolicy
from .evaluation.returns import EVALUATION, episode_returns
from .offline.training import Training
from .random import mix
from .runs import ranges
from .runs.memory import check_worlds
from .tasks import References, TaskName, get_task, normalized_score
from .terminal.cli import run, say

if TYPE_CHECKING:
    from torch import Tensor

    from .tasks import Task


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Evaluates the policies of a run, or uniform actions, in parallel worlds."""

    run: Path | None = None
    """Folder of a run: its newest checkpoint is evaluated."""
    task: TaskName | None = None
    """Task in which to evaluate uniform actions instead."""
    episodes: int = 1000
    """Episodes of each seed."""
    prey: Path | None = None
    """File of the prey (with --task); the shipped one when not given. A run knows its own."""
    seed: int = 0
    """Seed of the start states."""
    json: bool = False
    """Print one JSON object instead of lines."""


def evaluate(options: EvaluateOptions) -> int:
    """The command; returns the exit status.

    Raises:
        OmarError: Not exactly one of a run and a task, or a run that cannot be read.
    """
    if (options.run is None) == (options.task is None):
        raise OmarError("give either --run DIR or --task NAME")
    ranges.at_least(options, 1, "episodes")
    ranges.between(options, 0, 2**64 - 1, "seed")
    policy: Policy
    if options.run is not None:
        if options.prey is not None:
            raise OmarError("--prey goes with --task: a run knows its own prey")
        training = Training.open(options.run)
        task, seeds = get_task(training.config.options.task), training.config.options.seeds
        policy, prey, references = training.policy(), training.prey, training.references()
    else:
        task, seeds = get_task(options.task or ""), 1
        policy = UniformPolicy(task.action_size, mix(EVALUATION, options.seed))
        prey = choose_prey(task, options.prey)
        references = task.references if prey is None else prey.references or task.references
    check_worlds(sum(task.obs_sizes), seeds * options.episodes, "--episodes")
    returns = episode_returns(
        policy, task, seeds=seeds, episodes=options.episodes, seed=options.seed, prey=prey
    )
    report(task, returns, references, as_json=options.json)
    return 0


def report(task: Task, returns: Tensor, references: References, *, as_json: bool) -> None:
    """Prints mean returns and normalized scores of returns `[S, episodes]`."""
    means, episodes = returns.mean(dim=1), returns.shape[1]
    scores = normalized_score(task, means, references)
    if as_json:
        entries = {"returns": means.tolist(), "scores": scores.tolist(), "episodes": episodes}
        say(json.dumps({"task": task.name, **entries}))
        return
    errors = returns.std(dim=1) / episodes**0.5
    for seed, (mean, error, score) in enumerate(zip(means, errors, scores, strict=True)):
        text = f"return {mean:.1f} ± {error:.1f} (standard error)  normalized score {score:.1f}"
        say(f"seed {seed}  {text}")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; every error that a user can cause is one sentence."""
    return run(lambda: evaluate(tyro.cli(EvaluateOptions, args=arguments, prog="python -m omar.evaluate")))


if __name__ == "__main__":
    sys.exit(main())
