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
from rich.console import Console

from .algorithms import Draw
from .console import say, user_errors
from .data.prey import Prey, shipped_prey
from .envs import ParticleEnv
from .random import mix, normal_like, uniform_actions
from .tasks import References, get_task, normalized_score

if TYPE_CHECKING:
    from torch import Tensor

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
        prey: Who moves the prey of a task that has one; the shipped one when None.

    Returns:
        `[S, episodes]`, float64.

    Raises:
        ValueError: The policy gives an action that is NaN or infinite.
    """
    if prey is None and task.has_prey:
        prey = shipped_prey(task)
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
    seed: int = 0
    """Key of the start states."""
    json: bool = False
    """Print one JSON object instead of lines."""


def evaluate(options: EvaluateOptions, console: Console) -> None:
    """The command.

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
        training = Training.open(options.run, console)
        task, seeds = get_task(training.config.options.task), training.config.options.seeds
        references: References | None = training.references()
        policy = training.policy()
    else:
        task, seeds = get_task(options.task or ""), 1
        references = shipped_prey(task).references if task.has_prey else None
        policy = UniformPolicy(task.action_size, mix(EVALUATION, options.seed))
    returns = episode_returns(policy, task, seeds=seeds, episodes=options.episodes, seed=options.seed)
    means = returns.mean(dim=1)
    scores = normalized_score(task, means, references)
    errors = returns.std(dim=1) / options.episodes**0.5
    if options.json:
        entries = {"returns": means.tolist(), "scores": scores.tolist(), "episodes": options.episodes}
        say(console, json.dumps({"task": task.name, **entries}))
        return
    for seed, (mean, error, score) in enumerate(zip(means, errors, scores, strict=True)):
        say(
            console,
            f"seed {seed}  return {mean:.1f} ± {error:.1f} (standard error)  normalized score {score:.1f}",
        )


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; every error that a user can cause is one sentence."""
    options = tyro.cli(EvaluateOptions, args=arguments, prog="python -m omar.evaluate")
    with user_errors() as outcome:
        evaluate(options, Console())
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
