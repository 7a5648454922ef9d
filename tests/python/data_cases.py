"""Small datasets for tests: random walks in whole episodes, of the shapes of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from omar.behaviors.policy import Policy
from omar.data import Dataset, DatasetSpec, write_dataset
from omar.nets import StackedMlp
from omar.tasks import get_task

if TYPE_CHECKING:
    from pathlib import Path

LENGTH = 25


def make_spec(task: str = "simple_spread", episodes: int = 4, **changes: Any) -> DatasetSpec:
    found = get_task(task)
    entries: dict[str, Any] = {
        "task": task,
        "quality": "random",
        "transitions": episodes * LENGTH,
        "num_learners": found.num_learners,
        "obs_size": found.obs_size,
        "action_size": found.action_size,
        "episode_length": LENGTH,
        "recipe": {"source": "test"},
        "prey_obs_size": found.obs_sizes[-1] if found.has_prey else 0,
    }
    return DatasetSpec(**(entries | changes))


def make_columns(
    task: str = "simple_spread", episodes: int = 4, seed: int = 0
) -> dict[str, npt.NDArray[Any]]:
    """Columns of whole episodes; with the prey's where the task has one."""
    found = get_task(task)
    rng = np.random.default_rng(seed)
    shape = (episodes, LENGTH + 1, found.num_learners, found.obs_size)
    walk = rng.normal(size=shape).astype(np.float32)
    rows = episodes * LENGTH
    truncated = np.zeros((episodes, LENGTH), np.bool_)
    truncated[:, -1] = True
    columns = {
        "observations": walk[:, :-1].reshape(rows, *shape[2:]),
        "actions": rng.uniform(-1, 1, (rows, found.num_learners, found.action_size)).astype(np.float32),
        "rewards": rng.normal(size=(rows, found.num_learners)).astype(np.float32),
        "next_observations": walk[:, 1:].reshape(rows, *shape[2:]),
        "terminated": np.zeros(rows, np.bool_),
        "truncated": truncated.reshape(rows),
    }
    if found.has_prey:
        walk = rng.normal(size=(episodes, LENGTH + 1, found.obs_sizes[-1])).astype(np.float32)
        columns |= {
            "prey_observations": walk[:, :-1].reshape(rows, -1),
            "prey_actions": rng.uniform(-1, 1, (rows, found.action_size)).astype(np.float32),
            "prey_rewards": rng.normal(size=rows).astype(np.float32),
            "prey_next_observations": walk[:, 1:].reshape(rows, -1),
        }
    return columns


def make_dataset(path: Path, task: str = "simple_spread", episodes: int = 4, seed: int = 0) -> Dataset:
    return write_dataset(path, make_spec(task, episodes), make_columns(task, episodes, seed))


def some_prey(task: str = "simple_tag", seed: int = 0, hidden: int = 16) -> Policy:
    """A prey with random weights."""
    found = get_task(task)
    mlp = StackedMlp(1, (found.obs_sizes[-1], hidden, hidden, found.action_size), seed=seed)
    return Policy.of_networks(mlp, [0], found, source={"algorithm": "none"})


def some_policy(task: str = "simple_spread", seed: int = 0, hidden: int = 16, **entries: Any) -> Policy:
    """A policy of the learners with random weights; with a prey where the task has one."""
    found = get_task(task)
    mlp = StackedMlp(found.num_learners, (found.obs_size, hidden, hidden, found.action_size), seed=seed)
    entries = {"prey": some_prey(task) if found.has_prey else None} | entries
    return Policy.of_networks(mlp, range(found.num_learners), found, **entries)


def save_authors_prey(path: Path) -> Path:
    """A checkpoint of the authors' layout whose prey of simple_tag always goes right and down."""
    policy = {f"in_fn.{name}": torch.ones(14) for name in ("weight", "bias", "running_mean", "running_var")}
    for layer, (rows, columns) in {"fc1": (64, 14), "fc2": (64, 64), "fc3": (2, 64)}.items():
        policy |= {f"{layer}.weight": torch.zeros(rows, columns), f"{layer}.bias": torch.zeros(rows)}
    policy["fc3.bias"] = torch.tensor([10.0, -10.0])
    torch.save({"agent_params": [{}, {}, {}, {"policy": policy}]}, path)
    return path
