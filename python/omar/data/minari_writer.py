"""Writing Minari datasets; `minari.py` describes the layout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ..terminal.progress import progress_bar
from .folders import whole_folder
from .foreign import Columns, optional_package
from .minari import MAIN_FILE, METADATA_FILE, PREY, agent

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from .dataset import Dataset

MINARI_VERSION = "0.5.4"  # the layout that is written
COMPACT_BYTES = 32_768  # arrays up to this size lie in their header; HDF5 allows 64 kB


def write(dataset: Dataset, destination: Path) -> tuple[str, ...]:
    """Writes the Minari dataset folder `destination`; returns what the format drops."""
    h5py = optional_package("h5py", "Minari")
    columns = dataset.columns()
    ends = np.flatnonzero(dataset.episode_ends())
    starts = np.concatenate(([0], ends[:-1] + 1))
    writer = _EpisodeWriter(h5py)
    with whole_folder(destination / "data") as data:
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
        return ("the last episode is unfinished: Minari has no mark for that",)
    return ()


def _episode(columns: Columns, rows: slice) -> Columns:
    """What an episode's group holds, by path."""
    last = slice(rows.stop - 1, rows.stop)
    rewards = columns["rewards"][rows]
    learners = rewards.shape[1]
    observations = np.concatenate((columns["observations"][rows], columns["next_observations"][last]))
    entries: Columns = {f"observations/{agent(i)}": observations[:, i] for i in range(learners)}
    entries |= {f"actions/{agent(i)}": columns["actions"][rows, i] for i in range(learners)}
    entries |= {
        "rewards": rewards.mean(axis=1, dtype=np.float64),
        "terminations": columns["terminated"][rows],
        "truncations": columns["truncated"][rows],
        "infos/agent_rewards": np.concatenate((np.zeros((1, learners), np.float32), rewards)),
    }
    if "prey_observations" in columns:
        entries |= {
            f"observations/{PREY}": np.concatenate(
                (columns["prey_observations"][rows], columns["prey_next_observations"][last])
            ),
            f"actions/{PREY}": columns["prey_actions"][rows],
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
    obs_sizes = {agent(i): obs_size for i in range(learners)}
    if "prey_observations" in manifest.columns:
        obs_sizes[PREY] = manifest.columns["prey_observations"].shape[1]
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
