"""Generating datasets: behaviour policies in parallel worlds, streamed to disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..behaviors.policy import Policy
from ..behaviors.recording import Recording
from ..behaviors.shipped import BEHAVIORS, load, recording, shipped_prey
from ..envs import HALF_CHEETAH, ParticleEnv, Transitions, rollout_into, task_env
from ..envs.half_cheetah import global_states
from ..errors import DatasetError
from ..random import Draw, normal_like, uniform_actions
from ..tasks import Task, get_quality, get_task
from ..terminal.progress import progress_bar
from .manifest import FLOAT_COLUMNS, PREY_COLUMNS, STATE_COLUMNS
from .spec import DatasetSpec
from .writer import DatasetWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..envs import HalfCheetahEnv
    from .dataset import Dataset
    from .foreign import Columns

GENERATOR_VERSION = 4  # raised whenever the same recipe would give other bytes
BEHAVIOR_NOISE = 0.1  # standard deviation of the noise on a trained behaviour's actions
CHUNK = 50_000  # transitions of whole episodes between two writes, 24 MB: so many worlds are stepped together


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything that decides a generated dataset."""

    task: Task
    quality: str
    seed: int
    steps: int
    prey: Policy | None  # None where the task has no prey
    behavior: Policy | None = None  # of the learners, where one policy acts throughout
    recording: Recording | None = None  # of an online training, where its policies act in turn

    def recipe(self) -> dict[str, Any]:
        """What decides the dataset's bytes, with one set of versions."""
        recipe: dict[str, Any] = {
            "generator": GENERATOR_VERSION,
            "task": self.task.name,
            "quality": self.quality,
            "seed": self.seed,
            "steps": self.steps,
            "behaviour": self._behaviour(),
        }
        if self.task.environment == HALF_CHEETAH:
            recipe["mujoco"] = metadata.version("mujoco-core")
        if self.task.state_size:
            recipe["states"] = self.task.state_size
        if self.prey is not None:
            recipe["prey"] = self.prey.recipe()
        return recipe

    def _behaviour(self) -> dict[str, Any]:
        source = self.behavior or self.recording
        if source is None:
            return {"source": "uniform", "noise": 0.0}
        return {**source.recipe(), "noise": BEHAVIOR_NOISE}

    def parts(self) -> list[tuple[Policy | None, int]]:
        """Who acts for how many episodes, in order; None: uniform actions."""
        episodes = self.steps // self.task.episode_length
        if self.recording is not None:
            return self.recording.parts(episodes)
        return [(self.behavior, episodes)]

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
        DatasetError: Steps that are not whole episodes, a negative seed, or a prey for a task without one.
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
    if found.has_prey and prey is None:
        prey = shipped_prey(task)
    return Plan(
        found,
        quality,
        seed,
        steps,
        prey,
        behavior=load(task, quality) if quality in BEHAVIORS else None,
        recording=recording(task) if quality == "medium-replay" else None,
    )


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
        state_size=task.state_size,
    )
    title = f"Generating {task.name} {plan.quality}, seed {plan.seed}"
    with (
        DatasetWriter(path, spec, replace=replace) as writer,
        progress_bar(title, plan.steps, enabled=progress) as advance,
    ):
        for chunk in acting(plan):
            writer.append(chunk)
            advance(len(chunk["rewards"]))
        return writer.finish()


def acting(plan: Plan) -> Iterator[Columns]:
    """Whole episodes of parallel worlds, world after world, straight from the core.

    Yields:
        Columns [rows, ...], at most CHUNK of them; the next chunk overwrites them.
    """
    for number, (policy, episodes) in enumerate(plan.parts()):
        yield from _part(plan, number, policy, episodes)


def _part(plan: Plan, number: int, policy: Policy | None, episodes: int) -> Iterator[Columns]:
    """The episodes of one policy, in worlds of their own."""
    task = plan.task
    worlds = min(max(CHUNK // task.episode_length, 1), episodes)
    env = task_env(task, num_envs=worlds, seed=plan.key(f"worlds {number}"), informed=True)
    columns = _allocate(task, worlds)
    out = _transitions(columns, FLOAT_COLUMNS)
    prey_out = _transitions(columns, PREY_COLUMNS) if task.has_prey else None
    key = plan.key(f"actions {number}")
    for first in range(0, episodes, worlds):
        first_step = first // worlds * task.episode_length
        if isinstance(env, ParticleEnv):  # the core steps, acts and writes
            rollout_into(
                env,
                out,
                task.episode_length,
                policy,
                plan.prey,
                noise=BEHAVIOR_NOISE,
                seed=key,
                first_step=first_step,
                prey_out=prey_out,
            )
        else:
            _step_by_step(env, columns, task, policy, key, first_step)
        rows = min(worlds, episodes - first) * task.episode_length
        yield {name: column[:rows] for name, column in _flat(columns).items()}


def _step_by_step(
    env: HalfCheetahEnv, columns: Columns, task: Task, policy: Policy | None, key: int, first_step: int
) -> None:
    """An episode of every world, as `rollout_into` has it, in an environment that steps from Python.

    The worlds show the global states with the observations; policies and columns see an agent's own part.
    """
    out = {name: torch.from_numpy(column) for name, column in columns.items()}
    everything = env.observe()
    for t in range(env.episode_length):
        observations = everything[..., : task.obs_size]
        draw = Draw(key, first_step + t)
        shape = (env.num_envs, env.num_agents, env.action_size)
        if policy is None:
            actions = uniform_actions(shape, draw, like=observations)
        else:
            noise = normal_like(shape, draw, like=observations)
            actions = (policy(observations.contiguous()) + BEHAVIOR_NOISE * noise).clamp_(-1.0, 1.0)
        step = env.step(actions)
        after = torch.where(step.truncated[:, None, None], step.final_observations, step.observations)
        row = (observations, actions, step.rewards, after[..., : task.obs_size])
        states = (global_states(everything), global_states(after))
        for name, numbers in zip((*FLOAT_COLUMNS, *STATE_COLUMNS), (*row, *states), strict=True):
            out[name][:, t] = numbers
        everything = step.observations


def _transitions(columns: Columns, names: tuple[str, ...]) -> Transitions:
    """Where a rollout writes the columns of these names; a prey's get an axis of one agent."""
    out = Transitions()
    for field, name in zip(FLOAT_COLUMNS, names, strict=True):
        column = torch.from_numpy(columns[name])
        setattr(out, field, column.unsqueeze(2) if name in PREY_COLUMNS else column)
    return out


def _allocate(task: Task, worlds: int) -> Columns:
    """Columns [E, T, ...] for an episode of every world, its last step marked as a truncation."""
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
    if task.state_size:
        columns |= {name: np.empty((*rows, task.state_size), np.float32) for name in STATE_COLUMNS}
    return columns


def _prey_widths(task: Task) -> tuple[tuple[int, ...], ...]:
    return ((task.obs_sizes[-1],), (task.action_size,), (), (task.obs_sizes[-1],))


def _flat(columns: Columns) -> Columns:
    """Columns [rows, ...] from [E, T, ...]."""
    return {name: column.reshape(-1, *column.shape[2:]) for name, column in columns.items()}
