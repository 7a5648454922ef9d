"""Minari datasets (HDF5): `data/main_data.hdf5` and `data/metadata.json`.

Observations and actions are Dict spaces keyed "agent_0", "agent_1", ...; an episode of T steps holds T + 1
observations. `rewards` is the mean over the learners, `infos/agent_rewards` holds each learner's [T + 1, N],
its first row (the reset) zero. Global states lie in `infos/state` [T + 1, G]. A prey is one more key, "prey",
of both spaces, its rewards lie in `infos/prey_rewards` [T + 1].
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from ..terminal.progress import progress_bar
from .dataset import Dataset
from .foreign import Columns, Foreign, as_flags, as_float32, claim, optional_package, rounding_note

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ..tasks import Task

MINARI_VERSION = "0.5.4"  # the layout that is written
MAIN_FILE = "main_data.hdf5"
METADATA_FILE = "metadata.json"
COMPACT_BYTES = 32_768  # arrays up to this size lie in their header; HDF5 allows 64 kB


def write(dataset: Dataset, destination: Path) -> tuple[str, ...]:
    """Writes the Minari dataset folder `destination`; returns what the format drops."""
    h5py = optional_package("h5py", "Minari")
    data = destination / "data"
    claim(data)
    columns = dataset.columns()
    ends = np.flatnonzero(dataset.episode_ends())
    starts = np.concatenate(([0], ends[:-1] + 1))
    writer = _EpisodeWriter(h5py)
    with (
        h5py.File(data / MAIN_FILE, "w", libver="latest") as file,
        progress_bar("Writing episodes", len(ends)) as advance,
    ):
        for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            writer.write(file.id, index, _episode(columns, slice(start, end + 1)))
            advance(1)
    metadata = _metadata(dataset, len(ends), (data / MAIN_FILE).stat().st_size)
    (data / METADATA_FILE).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    if not (columns["terminated"] | columns["truncated"])[-1]:
        return ("the last episode is unfinished, which Minari cannot express",)
    return ()


def _episode(columns: Columns, rows: slice) -> Columns:
    """What an episode's group holds, by path."""
    last = slice(rows.stop - 1, rows.stop)
    rewards = columns["rewards"][rows]
    learners = rewards.shape[1]
    observations = np.concatenate((columns["observations"][rows], columns["next_observations"][last]))
    entries: Columns = {f"observations/agent_{i}": observations[:, i] for i in range(learners)}
    entries |= {f"actions/agent_{i}": columns["actions"][rows, i] for i in range(learners)}
    entries |= {
        "rewards": rewards.mean(axis=1, dtype=np.float64),
        "terminations": columns["terminated"][rows],
        "truncations": columns["truncated"][rows],
        "infos/agent_rewards": np.concatenate((np.zeros((1, learners), np.float32), rewards)),
    }
    if "prey_observations" in columns:
        entries |= {
            "observations/prey": np.concatenate(
                (columns["prey_observations"][rows], columns["prey_next_observations"][last])
            ),
            "actions/prey": columns["prey_actions"][rows],
            "infos/prey_rewards": np.concatenate((np.zeros(1, np.float32), columns["prey_rewards"][rows])),
        }
    if "states" in columns:
        entries["infos/state"] = np.concatenate((columns["states"][rows], columns["next_states"][last]))
    return entries


class _EpisodeWriter:
    """Writes episodes through HDF5's low-level interface: half a million small arrays would take minutes.

    An array's space, type and layout are made once for all arrays of its form. Small ones lie inside their
    object's header, which saves HDF5 the allocation of a place of their own.
    """

    def __init__(self, h5py: Any) -> None:
        self._h5py = h5py
        self._forms: dict[tuple[tuple[int, ...], np.dtype[Any]], tuple[Any, Any, Any]] = {}

    def write(self, file: Any, index: int, entries: Columns) -> None:
        """Adds the group `episode_{index}` to the open file's identifier."""
        h5py = self._h5py
        group = h5py.h5g.create(file, f"episode_{index}".encode())
        for attribute, number in (("id", index), ("total_steps", len(entries["rewards"]))):
            value = np.array(number, np.int64)
            space, kind, _ = self._form(value)
            h5py.h5a.create(group, attribute.encode(), kind, space).write(value)
        folders: dict[str, Any] = {"": group}
        for path, array in entries.items():
            folder, _, name = path.rpartition("/")
            if folder not in folders:
                folders[folder] = h5py.h5g.create(group, folder.encode())
            space, kind, layout = self._form(array)
            leaf = h5py.h5d.create(folders[folder], name.encode(), kind, space, layout)
            leaf.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(array), kind)

    def _form(self, array: npt.NDArray[Any]) -> tuple[Any, Any, Any]:
        h5py = self._h5py
        key = (array.shape, array.dtype)
        if key not in self._forms:
            layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            if array.nbytes <= COMPACT_BYTES:
                layout.set_layout(h5py.h5d.COMPACT)
            scalar = not array.shape
            space = h5py.h5s.create(h5py.h5s.SCALAR) if scalar else h5py.h5s.create_simple(array.shape)
            self._forms[key] = (space, h5py.h5t.py_create(array.dtype, logical=True), layout)
        return self._forms[key]


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
    h5py = optional_package("h5py", "Minari")
    path = source / "data" / MAIN_FILE
    if not path.is_file():
        raise DatasetError(f"{source} is not a Minari dataset: data/{MAIN_FILE} is missing")
    try:
        with h5py.File(path, "r") as file:
            return _read_file(h5py, file, path, task)
    except (OSError, KeyError, RuntimeError) as error:
        raise DatasetError(f"{path} cannot be read as a Minari dataset: {error}") from None


def _read_file(h5py: Any, file: Any, path: Path, task: Task) -> Foreign:
    episodes = []
    count = len(file)
    types: dict[str, tuple[Any, Any]] = {}
    with progress_bar("Reading episodes", count) as advance:
        for index in range(count):
            try:
                group = h5py.h5g.open(file.id, f"episode_{index}".encode())
            except (KeyError, ValueError):
                raise DatasetError(f"{path} is damaged: episode_{index} of {count} is missing") from None
            episode = _Episode(h5py, group, f"{path}: episode_{index}", types)
            episodes.append(_read_episode(episode, task))
            advance(1)
    if not episodes:
        raise DatasetError(f"{path} has no episode")
    names = set(episodes[0])
    if any(set(episode) != names for episode in episodes):
        raise DatasetError(f"{path}: some episodes have entries that others lack")
    raw = {name: np.concatenate([episode[name] for episode in episodes]) for name in episodes[0]}
    flags = {name: as_flags(raw.pop(name), f"{path}: {name}") for name in ("terminated", "truncated")}
    columns = {name: as_float32(array, f"{path}: {name}") for name, array in raw.items()}
    return Foreign(columns | flags, rounding_note(raw))


@dataclass(frozen=True, slots=True)
class _Episode:
    """The arrays of an episode, through the low-level interface as in `_EpisodeWriter`."""

    h5py: Any
    group: Any  # identifier of its group
    where: str  # for messages
    types: dict[str, tuple[Any, Any]]  # by name: the type in the file and its dtype, shared by all episodes

    def find(self, name: str) -> npt.NDArray[Any] | None:
        """An array, or None where the episode has none of that name."""
        h5py = self.h5py
        try:
            leaf = h5py.h5d.open(self.group, name.encode())
        except KeyError:
            return None
        kind = leaf.get_type()
        known = self.types.get(name)
        if known is None or not known[0].equal(kind):
            known = self.types[name] = (kind, kind.dtype)
        column: npt.NDArray[Any] = np.empty(leaf.shape, known[1])
        leaf.read(h5py.h5s.ALL, h5py.h5s.ALL, column, kind)
        return column

    def read(self, name: str) -> npt.NDArray[Any]:
        """An array.

        Raises:
            DatasetError: The episode has none of that name.
        """
        column = self.find(name)
        if column is None:
            raise DatasetError(f"{self.where} has no {name}")
        return column

    def stack(self, name: str, learners: int) -> npt.NDArray[Any]:
        """[T, N, ...] from an array for each learner."""
        return np.stack([self.read(f"{name}/agent_{i}") for i in range(learners)], axis=1)


def _read_episode(episode: _Episode, task: Task) -> Columns:
    where = episode.where
    observations = episode.stack("observations", task.num_learners)
    actions = episode.stack("actions", task.num_learners)
    steps = len(actions)
    if len(observations) != steps + 1:
        raise DatasetError(
            f"{where} must have {steps + 1} observations for {steps} actions, got {len(observations)}"
        )
    columns: Columns = {
        "observations": observations[:-1],
        "actions": actions,
        "rewards": _rewards(episode, steps, task.num_learners),
        "next_observations": observations[1:],
        "terminated": episode.read("terminations"),
        "truncated": episode.read("truncations"),
    }
    prey = episode.find("observations/prey")
    if prey is not None:
        columns |= _read_prey(episode, prey, steps)
    for name in ("rewards", "terminated", "truncated"):
        if len(columns[name]) != steps:
            raise DatasetError(f"{where} must have {steps} {name}, got {len(columns[name])}")
    states = episode.find("infos/state")
    if states is not None:
        if len(states) != steps + 1:
            raise DatasetError(f"{where} must have {steps + 1} states, got {len(states)}")
        columns |= {"states": states[:-1], "next_states": states[1:]}
    return columns


def _read_prey(episode: _Episode, observations: npt.NDArray[Any], steps: int) -> Columns:
    rewards = episode.read("infos/prey_rewards")
    if len(observations) != steps + 1 or len(rewards) != steps + 1:
        raise DatasetError(f"{episode.where} must have {steps + 1} observations and rewards of the prey")
    return {
        "prey_observations": observations[:-1],
        "prey_actions": episode.read("actions/prey"),
        "prey_rewards": rewards[1:],
        "prey_next_observations": observations[1:],
    }


def _rewards(episode: _Episode, steps: int, learners: int) -> npt.NDArray[Any]:
    """[T, N]: each learner's, or the team's where the dataset has no other."""
    rewards = episode.find("infos/agent_rewards")
    if rewards is None and episode.find("infos/agent_rewards/agent_0") is not None:
        rewards = episode.stack("infos/agent_rewards", learners)
    if rewards is None:
        return np.repeat(episode.read("rewards")[:, None], learners, axis=1)
    return rewards[1:] if len(rewards) == steps + 1 else rewards
