"""Minari datasets (HDF5): `data/main_data.hdf5` and `data/metadata.json`.

Observations and actions are Dict spaces keyed "agent_0", "agent_1", ...; an episode of T steps holds T + 1
observations. `rewards` is the mean over the learners, `infos/agent_rewards` holds each learner's [T + 1, N],
its first row (the reset) zero. Global states lie in `infos/state` [T + 1, G]. A prey is one more key, "prey",
of both spaces, its rewards lie in `infos/prey_rewards` [T + 1].
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from .dataset import Dataset
from .errors import DatasetError
from .foreign import Columns, Foreign, as_flags, as_float32, claim, rounding_note

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ..tasks import Task

MINARI_VERSION = "0.5.4"  # the layout that is written
MAIN_FILE = "main_data.hdf5"
METADATA_FILE = "metadata.json"


def _h5py() -> Any:
    try:
        import h5py  # noqa: PLC0415, an optional dependency
    except ImportError:
        raise DatasetError("the Minari format needs h5py: pip install 'omar[minari]'") from None
    return h5py


def write(dataset: Dataset, destination: Path) -> tuple[str, ...]:
    """Writes the Minari dataset folder `destination`; returns what the format drops."""
    h5py = _h5py()
    data = destination / "data"
    claim(data)
    columns = dataset.columns()
    ends = np.flatnonzero(dataset.episode_ends())
    starts = np.concatenate(([0], ends[:-1] + 1))
    with h5py.File(data / MAIN_FILE, "w", libver="latest", track_order=True) as file:
        for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            _write_episode(file.create_group(f"episode_{index}"), index, columns, slice(start, end + 1))
    metadata = _metadata(dataset, len(ends), (data / MAIN_FILE).stat().st_size)
    (data / METADATA_FILE).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    if not (columns["terminated"] | columns["truncated"])[-1]:
        return ("the last episode is unfinished: Minari marks no such thing",)
    return ()


def _write_episode(group: Any, index: int, columns: Columns, rows: slice) -> None:
    rewards = columns["rewards"][rows]
    steps, learners = rewards.shape
    group.attrs["id"] = index
    group.attrs["total_steps"] = steps
    observations = np.concatenate(
        (columns["observations"][rows], columns["next_observations"][rows.stop - 1 : rows.stop])
    )
    for learner in range(learners):
        group[f"observations/agent_{learner}"] = observations[:, learner]
        group[f"actions/agent_{learner}"] = columns["actions"][rows, learner]
    if "prey_observations" in columns:
        last = slice(rows.stop - 1, rows.stop)
        group["observations/prey"] = np.concatenate(
            (columns["prey_observations"][rows], columns["prey_next_observations"][last])
        )
        group["actions/prey"] = columns["prey_actions"][rows]
        group["infos/prey_rewards"] = np.concatenate((np.zeros(1, np.float32), columns["prey_rewards"][rows]))
    group["rewards"] = rewards.mean(axis=1, dtype=np.float64)
    group["terminations"] = columns["terminated"][rows]
    group["truncations"] = columns["truncated"][rows]
    group["infos/agent_rewards"] = np.concatenate((np.zeros((1, learners), np.float32), rewards))
    if "states" in columns:
        group["infos/state"] = np.concatenate(
            (columns["states"][rows], columns["next_states"][rows.stop - 1 : rows.stop])
        )


def _metadata(dataset: Dataset, episodes: int, size: int) -> dict[str, Any]:
    manifest = dataset.manifest
    learners, obs_size = manifest.columns["observations"].shape[1:]
    action_size = manifest.columns["actions"].shape[2]
    obs_sizes = {f"agent_{i}": obs_size for i in range(learners)}
    if "prey_observations" in manifest.columns:
        obs_sizes["prey"] = manifest.columns["prey_observations"].shape[1]
    return {
        "dataset_id": f"omar/{manifest.task}/{manifest.quality}-v0",
        "minari_version": MINARI_VERSION,
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "total_episodes": episodes,
        "total_steps": manifest.transitions,
        "dataset_size": round(size / 1e6, 1),
        "observation_space": _dict_space(obs_sizes, None),
        "action_space": _dict_space(dict.fromkeys(obs_sizes, action_size), 1.0),
        "algorithm_name": f"behaviour: {manifest.quality}",
        "author": ["omar"],
        "author_email": [],
        "code_permalink": "",
        "description": f"{manifest.task}, {manifest.quality} behaviour",
        "requirements": [],
        "omar": {"manifest": json.loads(manifest.to_json())},
    }


def _dict_space(sizes: dict[str, int], bound: float | None) -> str:
    """A Dict space of one Box for each agent, serialized as Minari does; None is an unbounded box."""
    limit = float("inf") if bound is None else bound
    boxes = {
        agent: {
            "type": "Box",
            "dtype": "float32",
            "shape": [size],
            "low": [-limit] * size,
            "high": [limit] * size,
        }
        for agent, size in sizes.items()
    }
    return json.dumps({"type": "Dict", "subspaces": boxes})


def read(source: Path, task: Task) -> Foreign:
    """Reads a Minari dataset folder (the one that holds `data`)."""
    h5py = _h5py()
    path = source / "data" / MAIN_FILE
    if not path.is_file():
        raise DatasetError(f"{source} is not a Minari dataset: data/{MAIN_FILE} is missing")
    try:
        with h5py.File(path, "r") as file:
            return _read_file(file, path, task)
    except (OSError, KeyError, RuntimeError) as error:
        raise DatasetError(f"{path} cannot be read as a Minari dataset: {error}") from None


def _read_file(file: Any, path: Path, task: Task) -> Foreign:
    episodes = []
    for index in range(len(file)):
        if f"episode_{index}" not in file:
            raise DatasetError(f"{path} is damaged: episode_{index} of {len(file)} is missing")
        episodes.append(_read_episode(file[f"episode_{index}"], f"{path}: episode_{index}", task))
    if not episodes:
        raise DatasetError(f"{path} has no episode")
    names = set(episodes[0])
    if any(set(episode) != names for episode in episodes):
        raise DatasetError(f"{path}: some episodes have entries that others lack")
    raw = {name: np.concatenate([episode[name] for episode in episodes]) for name in episodes[0]}
    flags = {name: as_flags(raw.pop(name), f"{path}: {name}") for name in ("terminated", "truncated")}
    columns = {name: as_float32(array, f"{path}: {name}") for name, array in raw.items()}
    return Foreign(columns | flags, rounding_note(raw))


def _read_episode(group: Any, where: str, task: Task) -> Columns:
    learners = range(task.num_learners)
    observations = _stack(group, "observations", learners, where)
    actions = _stack(group, "actions", learners, where)
    steps = len(actions)
    if len(observations) != steps + 1:
        raise DatasetError(
            f"{where} must have {steps + 1} observations for {steps} actions, got {len(observations)}"
        )
    columns: Columns = {
        "observations": observations[:-1],
        "actions": actions,
        "rewards": _rewards(group, steps, where, task.num_learners),
        "next_observations": observations[1:],
        "terminated": _column(group, "terminations", where),
        "truncated": _column(group, "truncations", where),
    }
    if "observations/prey" in group:
        columns |= _read_prey(group, steps, where)
    for name in ("rewards", "terminated", "truncated"):
        if len(columns[name]) != steps:
            raise DatasetError(f"{where} must have {steps} {name}, got {len(columns[name])}")
    if "infos/state" in group:
        states = group["infos/state"][()]
        if len(states) != steps + 1:
            raise DatasetError(f"{where} must have {steps + 1} states, got {len(states)}")
        columns |= {"states": states[:-1], "next_states": states[1:]}
    return columns


def _read_prey(group: Any, steps: int, where: str) -> Columns:
    observations = _column(group, "observations/prey", where)
    rewards = _column(group, "infos/prey_rewards", where)
    if len(observations) != steps + 1 or len(rewards) != steps + 1:
        raise DatasetError(f"{where} must have {steps + 1} observations and rewards of the prey")
    return {
        "prey_observations": observations[:-1],
        "prey_actions": _column(group, "actions/prey", where),
        "prey_rewards": rewards[1:],
        "prey_next_observations": observations[1:],
    }


def _rewards(group: Any, steps: int, where: str, learners: int) -> npt.NDArray[Any]:
    """[T, N]: each learner's, or the team's where the dataset has no other."""
    if "infos/agent_rewards" not in group:
        return np.repeat(_column(group, "rewards", where)[:, None], learners, axis=1)
    entry = group["infos/agent_rewards"]
    if hasattr(entry, "keys"):
        rewards = np.stack([_column(entry, f"agent_{i}", where) for i in range(learners)], axis=1)
    else:
        rewards = entry[()]
    return rewards[1:] if len(rewards) == steps + 1 else rewards


def _stack(group: Any, name: str, learners: range, where: str) -> npt.NDArray[Any]:
    return np.stack([_column(group, f"{name}/agent_{i}", where) for i in learners], axis=1)


def _column(group: Any, name: str, where: str) -> npt.NDArray[Any]:
    if name not in group:
        raise DatasetError(f"{where} has no {name}")
    column: npt.NDArray[Any] = group[name][()]
    return column
