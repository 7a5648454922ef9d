"""Generating datasets: behaviour policies in parallel worlds, streamed to disk."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..behaviors.policy import Policy
from ..behaviors.shipped import BEHAVIORS, load, load_prey
from ..envs import ParticleEnv, Transitions, rollout_into
from ..errors import DatasetError
from ..tasks import Task, get_quality, get_task
from ..terminal.progress import progress_bar
from .manifest import FLOAT_COLUMNS, PREY_COLUMNS
from .spec import DatasetSpec
from .writer import DatasetWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .dataset import Dataset
    from .foreign import Columns

GENERATOR_VERSION = 3  # raised whenever the same recipe would give other bytes
TRAINING_VERSION = 2  # the same for sets that an online training makes
BEHAVIOR_NOISE = 0.1  # standard deviation of the noise on a trained behaviour's actions
WORLDS = 2_000  # worlds stepped together: 50,000 transitions, 24 MB, between two writes


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything that decides a generated dataset."""

    task: Task
    quality: str
    seed: int
    steps: int
    prey: Policy | None  # None where the task has no prey
    behavior: Policy | None = None  # of the learners; None for uniform actions and for an online training

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
            return {**self.behavior.recipe(), "noise": BEHAVIOR_NOISE}
        if self.quality == "random":
            return {"source": "uniform", "noise": 0.0}
        from ..online.recorded import replay_recipe

        return {
            "source": "training",
            "version": TRAINING_VERSION,
            **dataclasses.asdict(replay_recipe(self.task.name)),
        }

    def key(self, purpose: str) -> int:
        """Seed in [0, 2^63) of one of the plan's random streams: not that of training or of another set."""
        text = f"omar dataset {self.task.name} {self.quality} {self.seed} {purpose}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def make_plan(
    task: str, quality: str, seed: int = 0, *, steps: int | None = None, prey: Policy | None = None
) -> Plan:
    """Checks what is asked for.

    Raises:
        ValueError: Unknown task or quality.
        DatasetError: Steps that are not whole episodes, a negative seed, a prey for a task without one, or a
            quality that cannot be generated.
    """
    found = get_task(task)
    row = get_quality(found, quality)
    steps, seed = row.transitions if steps is None else index(steps), index(seed)
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
        prey = load_prey(task)
    return Plan(found, quality, seed, steps, prey, load(task, quality) if quality in BEHAVIORS else None)


def build(plan: Plan, path: Path, *, replace: bool = False, progress: bool = True) -> Dataset:
    """Generates a dataset into `path`, which must not exist unless it is to be replaced."""
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
        DatasetWriter(path, spec, replace=replace) as writer,
        progress_bar(title, plan.steps, enabled=progress) as advance,
    ):
        for chunk in _chunks(plan):
            writer.append(chunk)
            advance(len(chunk["rewards"]))
        return writer.finish()


def _chunks(plan: Plan) -> Iterator[Columns]:
    """Whole episodes as columns [rows, ...]; the next chunk may overwrite them."""
    return _training(plan) if plan.quality == "medium-replay" else acting(plan)


def _training(plan: Plan) -> Iterator[Columns]:
    """What the recorded online training collects, episode after episode."""
    from ..online.recorded import medium_replay

    task = plan.task
    for block in medium_replay(task, plan.steps, seed=plan.key("training"), prey=plan.prey):
        columns = _allocate(task, len(block["rewards"]))
        for name, prey_name in zip(FLOAT_COLUMNS, PREY_COLUMNS, strict=True):
            values = block[name].numpy()  # [E, 25, A, ...]
            columns[name][:] = values[:, :, : task.num_learners]
            if task.has_prey:
                columns[prey_name][:] = values[:, :, -1][..., : columns[prey_name].shape[-1]]
        yield _flat(columns)


def acting(plan: Plan) -> Iterator[Columns]:
    """Whole episodes of parallel worlds, world after world, straight from the core.

    Yields:
        Columns [rows, ...], at most an episode of WORLDS worlds; the next chunk overwrites them.
    """
    task = plan.task
    worlds = min(WORLDS, plan.steps // task.episode_length)
    env = ParticleEnv(task.environment, num_envs=worlds, seed=plan.key("worlds"))
    columns = _allocate(task, worlds)
    out = _transitions(columns, FLOAT_COLUMNS)
    prey_out = _transitions(columns, PREY_COLUMNS) if task.has_prey else None
    key = plan.key("actions")
    for episode in itertools.count():
        left = plan.steps - episode * worlds * task.episode_length
        if left <= 0:
            return
        rollout_into(
            env,
            out,
            task.episode_length,
            plan.behavior,
            plan.prey,
            noise=BEHAVIOR_NOISE,
            seed=key,
            first_step=episode * task.episode_length,
            prey_out=prey_out,
        )
        yield {name: column[:left] for name, column in _flat(columns).items()}


def _transitions(columns: Columns, names: tuple[str, ...]) -> Transitions:
    """Where a rollout writes the columns of these names; a prey's get an axis of one agent."""
    out = Transitions()
    for field, name in zip(FLOAT_COLUMNS, names, strict=True):
        column = torch.from_numpy(columns[name])
        setattr(out, field, column.unsqueeze(2) if name in PREY_COLUMNS else column)
    return out


def _allocate(task: Task, worlds: int) -> Columns:
    """Columns [E, 25, ...] for an episode of every world, its last step marked as a truncation."""
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
    columns["truncated"][:, -1] = True
    if task.has_prey:
        for name, width in zip(PREY_COLUMNS, _prey_widths(task), strict=True):
            columns[name] = np.empty((*rows, *width), np.float32)
    return columns


def _prey_widths(task: Task) -> tuple[tuple[int, ...], ...]:
    return ((task.obs_sizes[-1],), (task.action_size,), (), (task.obs_sizes[-1],))


def _flat(columns: Columns) -> Columns:
    """Columns [rows, ...] from [E, 25, ...]."""
    return {name: column.reshape(-1, *column.shape[2:]) for name, column in columns.items()}
