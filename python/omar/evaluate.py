"""Evaluates policies: all seeds at once, each in its own share of parallel worlds, one episode per world.

`python -m omar.evaluate --run DIR` evaluates the policies of a run, `--task NAME` uniform actions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
import tyro

from .algorithms import Draw
from .cli import run, say
from .data.prey import Prey, load_prey, shipped_prey
from .envs import ParticleEnv
from .random import mix, normal_like, uniform_actions
from .tasks import References, get_task, normalized_score

if TYPE_CHECKING:
    from torch import Tensor

    from .data import Dataset
    from .minibatches import Normalizer
    from .nets import StackedMlp
    from .tasks import Task

Policy: TypeAlias = Callable[["Tensor"], "Tensor"]
"""Observations [S, W, N, O] of S seeds in W worlds with N learners -> actions [S, W, N, A]."""

EVALUATION = 0x6576616C  # sets the random numbers of evaluations apart from those of training


@dataclass(frozen=True, slots=True)
class StackedPolicy:
    """The deterministic policies of S seeds: `tanh(mlp((o - mean) / std))`."""

    actor: StackedMlp
    normalizer: Normalizer
    learners: int

    @torch.no_grad()
    def __call__(self, observations: Tensor) -> Tensor:
        """Actions `[S, W, N, A]` for observations `[S, W, N, O]`, on the observations' device."""
        seeds, worlds = observations.shape[:2]
        by_member = observations.transpose(1, 2).flatten(0, 1).to(self.normalizer.mean.device)
        actions = torch.tanh(self.actor(self.normalizer(by_member)))
        return actions.view(seeds, self.learners, worlds, -1).transpose(1, 2).to(observations.device)


@dataclass(slots=True)
class UniformPolicy:
    """Uniform actions, the policy that a normalized score of 0 is defined by."""

    action_size: int
    seed: int = 0
    step: int = 0

    def __call__(self, observations: Tensor) -> Tensor:
        """Actions `[S, W, N, A]`; each call draws the next ones."""
        self.step += 1
        shape = (*observations.shape[:-1], self.action_size)
        return uniform_actions(shape, Draw(self.seed, self.step), like=observations)


@dataclass(slots=True)
class NoisyPolicy:
    """A policy with Gaussian noise on its actions, clipped to [-1, 1]: what a dataset's behaviour does."""

    policy: Policy
    noise: float
    seed: int = 0
    step: int = 0

    def __call__(self, observations: Tensor) -> Tensor:
        """Actions `[S, W, N, A]`; each call draws the next noise."""
        actions = self.policy(observations)
        self.step += 1
        noise = normal_like(tuple(actions.shape), Draw(self.seed, self.step), like=actions)
        return (actions + self.noise * noise).clamp_(-1.0, 1.0)


def episode_returns(
    policy: Policy, task: Task, *, seeds: int, episodes: int, seed: int, prey: Prey | None = None
) -> Tensor:
    """Undiscounted returns of whole episodes: sums over the steps of the mean reward over the learners.

    Args:
        policy: Of all seeds.
        task: Task to act in.
        seeds: S.
        episodes: Episodes of each seed, all in parallel: S times as many worlds.
        seed: Key of the start states and of a uniform prey.
        prey: Who moves the prey of a task that has one.

    Returns:
        `[S, episodes]`, float64.

    Raises:
        ValueError: No prey for a task that has one, or an action of the policy that is NaN or infinite.
    """
    if task.has_prey and prey is None:
        raise ValueError(f"{task.name} has a prey: say which one moves it")
    env = ParticleEnv(task.environment, num_envs=seeds * episodes, seed=seed)
    observations = env.reset()
    actions = observations.new_zeros(seeds * episodes, task.num_agents, task.action_size)
    returns = torch.zeros(seeds * episodes, dtype=torch.float64)
    for t in range(task.episode_length):
        learners = observations[:, : task.num_learners, : task.obs_size]
        chosen = policy(learners.view(seeds, episodes, task.num_learners, task.obs_size))
        _check_finite(chosen)
        actions[:, : task.num_learners] = chosen.flatten(0, 1)
        if prey is not None:
            actions[:, -1] = _prey_actions(prey, task, observations, Draw(mix(EVALUATION, seed), t))
        step = env.step(actions)
        returns += step.rewards[:, : task.num_learners].mean(dim=1, dtype=torch.float64)
        observations = step.observations
    return returns.view(seeds, episodes)


def choose_prey(task: Task, path: Path | None) -> Prey | None:
    """The prey of a file, or the shipped one; None for a task without a prey.

    Raises:
        ValueError: A file that is not a prey of this task.
    """
    if path is not None:
        return load_prey(path, task)
    return shipped_prey(task) if task.has_prey else None


def check_prey(dataset: Dataset, prey: Prey | None) -> None:
    """Refuses to evaluate against another prey than the one of the dataset, where the dataset says which.

    Raises:
        ValueError: They differ.
    """
    known = dataset.manifest.recipe.get("prey")
    if prey is not None and known is not None and known != prey.recipe():
        raise ValueError(f"{dataset.path} was made with another prey: give the file of that one with --prey")


def _prey_actions(prey: Prey, task: Task, observations: Tensor, draw: Draw) -> Tensor:
    if prey.is_uniform:
        return uniform_actions((observations.shape[0], task.action_size), draw, like=observations)
    return prey.act(observations[:, -1, : task.obs_sizes[-1]])


def _check_finite(actions: Tensor) -> None:
    finite = actions.isfinite().flatten(start_dim=1).all(dim=1)
    if not bool(finite.all()):
        diverged = ", ".join(str(s) for s in (~finite).nonzero().flatten().tolist())
        raise ValueError(
            f"the policy of seed {diverged} gives actions that are not finite: its training diverged "
            f"(a lower --learning-rate or a larger --alpha may help)"
        )


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Evaluates the policies of a run, or uniform actions, in parallel worlds."""

    run: Path | None = None
    """Folder of a run: its newest checkpoint is evaluated."""
    task: str | None = None
    """Task in which to evaluate uniform actions instead."""
    episodes: int = 1000
    """Episodes of each seed."""
    prey: Path | None = None
    """File of the prey (with --task); the shipped one when not given. A run knows its own."""
    seed: int = 0
    """Key of the start states."""
    json: bool = False
    """Print one JSON object instead of lines."""


def evaluate(options: EvaluateOptions) -> int:
    """The command; returns the exit status.

    Raises:
        ValueError: Not exactly one of a run and a task, or a run that cannot be read.
    """
    from .train import Training  # training evaluates, so it imports this module

    if (options.run is None) == (options.task is None):
        raise ValueError("give either --run DIR or --task NAME")
    if options.episodes < 1:
        raise ValueError(f"--episodes must be at least 1, got {options.episodes}")
    if options.seed < 0:
        raise ValueError(f"--seed must be at least 0, got {options.seed}")
    policy: Policy
    if options.run is not None:
        if options.prey is not None:
            raise ValueError("--prey goes with --task: a run knows its own prey")
        training = Training.open(options.run)
        task, seeds = get_task(training.config.options.task), training.config.options.seeds
        policy, prey, references = training.policy(), training.prey, training.references()
    else:
        task, seeds = get_task(options.task or ""), 1
        policy = UniformPolicy(task.action_size, mix(EVALUATION, options.seed))
        prey = choose_prey(task, options.prey)
        references = task.references if prey is None else prey.references or task.references
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
    options = tyro.cli(EvaluateOptions, args=arguments, prog="python -m omar.evaluate")
    return run(lambda: evaluate(options))


if __name__ == "__main__":
    sys.exit(main())
