"""Generating datasets: behaviour policies in parallel worlds, streamed to disk."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..behaviors.policy import Behavior
from ..behaviors.shipped import BEHAVIORS, load
from ..envs import ParticleEnv
from ..progress import progress_bar
from ..tasks import Task, get_quality, get_task
from ..threads import one_thread
from .dataset import FLOAT_COLUMNS, PREY_COLUMNS
from .errors import DatasetError
from .prey import Prey, shipped_prey
from .writer import DatasetSpec, DatasetWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from .dataset import Dataset
    from .foreign import Columns

GENERATOR_VERSION = 1  # raised whenever the same recipe would give other bytes
BEHAVIOR_NOISE = 0.1  # standard deviation of the noise on a trained behaviour's actions
WORLDS = 2_000  # worlds stepped together: 50,000 transitions, 24 MB, between two writes


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything that decides a generated dataset."""

    task: Task
    quality: str
    seed: int
    steps: int
    prey: Prey | None  # None where the task has no prey
    behavior: Behavior | None = None  # of the learners; None for uniform actions and for an online training

    def recipe(self) -> dict[str, Any]:
        """What decides the dataset's bytes, on one machine and with one set of versions."""
        recipe: dict[str, Any] = {
            "generator": GENERATOR_VERSION,
            "task": self.task.name,
            "quality": self.quality,
            "seed": self.seed,
            "steps": self.steps,
            "behaviour": self._behaviour(),
        }
        if self.prey is not None:
            recipe["prey"] = self.prey.recipe()
        return recipe

    def _behaviour(self) -> dict[str, Any]:
        if self.behavior is not None:
            return {"source": "network", "sha256": self.behavior.sha256, "noise": BEHAVIOR_NOISE}
        if self.quality == "random":
            return {"source": "uniform", "noise": 0.0}
        from ..behaviors.replay import replay_recipe

        return {"source": "training", **dataclasses.asdict(replay_recipe(self.task.name))}

    def key(self, purpose: str) -> int:
        """Seed in [0, 2^63) of one of the plan's random streams: not that of training or of another set."""
        text = f"omar dataset {self.task.name} {self.quality} {self.seed} {purpose}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def make_plan(
    task: str, quality: str, seed: int = 0, *, steps: int | None = None, prey: Prey | None = None
) -> Plan:
    """Checks what is asked for.

    Raises:
        ValueError: Unknown task or quality.
        DatasetError: Steps that are not whole episodes, a negative seed, a prey for a task without one, or a
            quality that cannot be generated.
    """
    found = get_task(task)
    row = get_quality(found, quality)
    steps = row.transitions if steps is None else steps
    if steps < 1 or steps % found.episode_length:
        raise DatasetError(
            f"steps must be a positive multiple of the episode length {found.episode_length}, got {steps}"
        )
    if seed < 0:
        raise DatasetError(f"the seed must not be negative, got {seed}")
    if prey is not None and not found.has_prey:
        raise DatasetError(f"{task} has no prey, but one was given")
    if quality == "medium-replay" and steps > row.transitions:
        raise DatasetError(
            f"the online training of {task} has {row.transitions:,} transitions, got steps = {steps:,}"
        )
    if found.has_prey and prey is None:
        prey = shipped_prey(found)
    return Plan(found, quality, seed, steps, prey, load(task, quality) if quality in BEHAVIORS else None)


def build(plan: Plan, path: Path, *, progress: bool = True) -> Dataset:
    """Generates a dataset into `path`, which must not exist."""
    task = plan.task
    spec = DatasetSpec(
        task=task.name,
        quality=plan.quality,
        transitions=plan.steps,
        num_learners=task.num_learners,
        obs_size=task.obs_size,
        action_size=task.action_size,
        episode_length=task.episode_length,
        recipe=plan.recipe(),
        references=plan.prey.references if plan.prey is not None else None,
        prey_obs_size=task.obs_sizes[-1] if task.has_prey else 0,
    )
    title = f"Generating {task.name} {plan.quality}, seed {plan.seed}"
    with (
        DatasetWriter(path, spec) as writer,
        progress_bar(title, plan.steps, enabled=progress) as advance,
        one_thread(),
    ):
        for chunk in _chunks(plan):
            writer.append(chunk)
            advance(len(chunk["rewards"]))
        return writer.finish()


def _chunks(plan: Plan) -> Iterator[Columns]:
    """Whole episodes as columns [rows, ...]."""
    return _training(plan) if plan.quality == "medium-replay" else _acting(plan)


def _training(plan: Plan) -> Iterator[Columns]:
    """What the recorded online training collects, episode after episode, as columns [rows, ...]."""
    from ..behaviors.replay import medium_replay

    task = plan.task
    for block in medium_replay(task, plan.steps, seed=plan.key("training"), prey=plan.prey):
        columns = _allocate(task, len(block["rewards"]))
        for t in range(task.episode_length):
            _store(columns, t, task, tuple(block[name][:, t] for name in FLOAT_COLUMNS))
        columns["truncated"][:, -1] = True
        yield {name: column.reshape(-1, *column.shape[2:]) for name, column in columns.items()}


def _acting(plan: Plan) -> Iterator[Columns]:
    """Whole episodes of parallel worlds, world after world, as columns [rows, ...]."""
    task = plan.task
    env = ParticleEnv(task.environment, num_envs=WORLDS, seed=plan.key("worlds"))
    generator = torch.Generator().manual_seed(plan.key("actions"))
    observations = env.reset()
    left = plan.steps
    while left > 0:
        columns = _allocate(task, WORLDS)
        for t in range(task.episode_length):
            actions = _actions(plan, observations, generator)
            step = env.step(actions)
            ended = bool(step.truncated.all())
            following = step.final_observations if ended else step.observations
            _store(columns, t, task, (observations, actions, step.rewards, following))
            columns["truncated"][:, t] = ended
            observations = step.observations
        rows = min(left, WORLDS * task.episode_length)
        yield {name: column.reshape(-1, *column.shape[2:])[:rows] for name, column in columns.items()}
        left -= rows


def _store(columns: Columns, t: int, task: Task, step: tuple[Tensor, ...]) -> None:
    """Writes step t of all worlds: observations, actions, rewards and next observations, [E, A, ...] each."""
    for name, values in zip(FLOAT_COLUMNS, step, strict=True):
        rows = values.numpy()
        width = (slice(0, task.obs_size),) if name.endswith("observations") else ()
        columns[name][:, t] = rows[(slice(None), slice(0, task.num_learners), *width)]
    if task.has_prey:
        for name, values in zip(PREY_COLUMNS, step, strict=True):
            rows = values[:, -1].numpy()
            columns[name][:, t] = rows[:, : task.obs_sizes[-1]] if name.endswith("observations") else rows


def _allocate(task: Task, worlds: int) -> Columns:
    rows = (worlds, task.episode_length)
    learners = task.num_learners
    columns = {
        "observations": np.empty((*rows, learners, task.obs_size), np.float32),
        "actions": np.empty((*rows, learners, task.action_size), np.float32),
        "rewards": np.empty((*rows, learners), np.float32),
        "next_observations": np.empty((*rows, learners, task.obs_size), np.float32),
        "terminated": np.zeros(rows, np.bool_),
        "truncated": np.zeros(rows, np.bool_),
    }
    if task.has_prey:
        for name, width in zip(PREY_COLUMNS, _prey_widths(task), strict=True):
            columns[name] = np.empty((*rows, *width), np.float32)
    return columns


def _prey_widths(task: Task) -> tuple[tuple[int, ...], ...]:
    return ((task.obs_sizes[-1],), (task.action_size,), (), (task.obs_sizes[-1],))


def _actions(plan: Plan, observations: Tensor, generator: torch.Generator) -> Tensor:
    """Actions [E, A, 2] of all agents: their networks', the learners' with noise, or uniform without one."""
    task = plan.task
    actions = torch.empty(WORLDS, task.num_agents, task.action_size).uniform_(-1.0, 1.0, generator=generator)
    if plan.behavior is not None:
        chosen = plan.behavior.act(observations[:, : task.num_learners, : task.obs_size])
        noise = torch.empty_like(chosen).normal_(0.0, BEHAVIOR_NOISE, generator=generator)
        actions[:, : task.num_learners] = (chosen + noise).clamp_(-1.0, 1.0)
    if plan.prey is not None and not plan.prey.is_uniform:
        actions[:, -1] = plan.prey.act(observations[:, -1, : task.obs_sizes[-1]])
    return actions
