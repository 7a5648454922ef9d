"""Evaluates policies: all seeds at once, each in its own share of parallel worlds, one episode per world.

`python -m omar.evaluate --run DIR` evaluates the policies of a run, `--policy FILE ...` those of files, and
`--task NAME` alone uniform actions. Neither a run nor a file needs a dataset.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import torch
import tyro

from .behaviors.find import choose_prey
from .behaviors.policy_file import load_policies, run_policies
from .errors import OmarError
from .evaluation import Evaluated, episode_returns, evaluate
from .evaluation.policies import UniformPolicy
from .evaluation.returns import EVALUATION
from .random import mix
from .runs import ranges
from .runs.memory import check_worlds
from .tasks import ALL_TASKS, TaskName, get_task, normalized_score
from .terminal.cli import OptionalFile, OptionalFolder, OptionalInt, run_options, say

if TYPE_CHECKING:
    from .behaviors.policy import Policy
    from .tasks import Task

Files: TypeAlias = Annotated[
    tuple[Path, ...], tyro.conf.arg(metavar="FILE [FILE ...]", help_behavior_hint="")
]
OneTask: TypeAlias = Annotated[
    TaskName | None, tyro.conf.arg(metavar=f"{{{','.join(ALL_TASKS)}}}", help_behavior_hint="")
]


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Evaluates the policies of a run or of files, or uniform actions, in parallel worlds."""

    run: OptionalFolder = None
    """Folder of a run: the policies of its newest checkpoint are evaluated."""
    policy: Files = ()
    """Policy files to evaluate side by side."""
    task: OneTask = None
    """Task in which to evaluate uniform actions; with --policy, the task that the files must be of."""
    episodes: OptionalInt = None
    """Episodes of each policy. (default: 1000; half_cheetah: 50)"""
    prey: OptionalFile = None
    """File of the prey, with --task alone: policies know their own. (default: the shipped one)"""
    seed: int = 0
    """Seed of the start states."""
    json: bool = False
    """Print one JSON object instead of lines."""

    def __call__(self) -> int:
        """Runs the command; returns the exit status.

        Raises:
            OmarError: Not exactly one of a run, files and a task; options out of range; what cannot be read.
        """
        if self.run is not None and (self.policy or self.task is not None):
            raise OmarError(
                "give --run DIR, --policy FILE or --task NAME: --run cannot be combined with the other two"
            )
        if self.run is None and not self.policy and self.task is None:
            raise OmarError("give --run DIR, --policy FILE or --task NAME")
        ranges.at_least(self, 1, "episodes")
        ranges.between(self, 0, 2**64 - 1, "seed")
        if self.prey is not None and (self.run is not None or self.policy):
            raise OmarError("--prey goes with --task alone: a run and a file of policies know their own prey")
        if self.run is None and not self.policy:
            task = get_task(self.task or "")
            evaluated = self._uniform(task, self._episodes(task, 1))
            report(task.name, ["uniform actions"], evaluated, as_json=self.json)
            return 0
        names, policies = self._policies()
        task = get_task(policies[0].task)
        evaluated = evaluate(policies, episodes=self._episodes(task, len(policies)), seed=self.seed)
        report(task.name, names, evaluated, as_json=self.json)
        return 0

    def _episodes(self, task: Task, policies: int) -> int:
        """Episodes of each policy, for which there is memory."""
        episodes = self.episodes or task.eval_episodes
        check_worlds(sum(task.obs_sizes), policies * episodes, "--episodes")
        return episodes

    def _policies(self) -> tuple[list[str], list[Policy]]:
        """What to evaluate: the name to print each policy with, and the policies."""
        if self.run is not None:
            files = [("", run_policies(self.run))]
        else:
            several = len(self.policy) > 1
            files = [(f"{path}  " if several else "", load_policies(path)) for path in self.policy]
        names = [f"{file}seed {s}" for file, policies in files for s in range(len(policies))]
        found = [policy for _, policies in files for policy in policies]
        tasks = sorted({policy.task for policy in found})
        if len(tasks) > 1:
            raise OmarError(f"the policies must be of one task, got {', '.join(tasks)}")
        if self.task is not None and tasks != [get_task(self.task).name]:
            raise OmarError(f"--task is {self.task}, but the policies are of {tasks[0]}")
        return names, found

    def _uniform(self, task: Task, episodes: int) -> Evaluated:
        prey = choose_prey(task, self.prey)
        actor = UniformPolicy(task.action_size, mix(EVALUATION, self.seed))
        returns = episode_returns(actor, task, episodes=episodes, seed=self.seed, prey=prey, progress=True)
        references = task.references if prey is None else prey.scale
        score = normalized_score(task, float(returns.mean()), references)
        return Evaluated(returns, torch.tensor([score], dtype=torch.float64))


def report(task: str, names: list[str], evaluated: Evaluated, *, as_json: bool) -> None:
    """Prints mean returns and normalized scores."""
    means, scores, episodes = evaluated.means.tolist(), evaluated.scores.tolist(), evaluated.returns.shape[1]
    if as_json:
        entries = {"policies": names, "returns": means, "scores": scores, "episodes": episodes}
        say(json.dumps({"task": task, **entries}))
        return
    errors = evaluated.errors
    for i, name in enumerate(names):
        error = "" if errors is None else f" ± {float(errors[i]):.1f} (standard error)"
        say(f"{name}  return {means[i]:.1f}{error}  normalized score {scores[i]:.1f}")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; every error that a user can cause is one sentence."""
    return run_options(EvaluateOptions, arguments, prog="python -m omar.evaluate")


if __name__ == "__main__":
    sys.exit(main())
