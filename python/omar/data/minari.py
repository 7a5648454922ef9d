"""Minari datasets (HDF5): `data/main_data.hdf5` and `data/metadata.json`.

Observations and actions are Dict spaces keyed "agent_0", "agent_1", ...; an episode of T steps holds T + 1
observations. `rewards` is the mean over the learners, `infos/agent_rewards` holds each learner's [T + 1, N],
its first row (the reset) zero. Global states lie in `infos/state` [T + 1, G]. A prey is one more key, "prey",
of both spaces, its rewards lie in `infos/prey_rewards` [T + 1]. `metadata.json` holds the manifest.

Files of others may name their agents as they like, and may hold rewards and ends by agent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from ..tasks import QUALITIES
from ..terminal.progress import progress_bar
from .foreign import (
    Columns,
    Foreign,
    any_agent,
    as_flags,
    as_float32,
    as_rewards,
    optional_package,
    rounding_note,
    stack,
    without_last_axes,
)
from .hdf5 import EpisodeReader, refuse_links
from .manifest import Manifest, load_json, parse_manifest
from .minari_agents import Agents, find_agents
from .npy import first_line

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ..tasks import Task

MAIN_FILE = "main_data.hdf5"
METADATA_FILE = "metadata.json"


def read(source: Path, task: Task) -> Foreign:
    """Reads a Minari dataset folder (the one that holds `data`)."""
    h5py = optional_package("h5py", "Minari")
    path = source / "data" / MAIN_FILE
    if not path.is_file():
        raise DatasetError(f"{source} is not a Minari dataset: data/{MAIN_FILE} is missing")
    metadata = _metadata(source / "data" / METADATA_FILE)
    try:
        with h5py.File(path, "r") as file:
            refuse_links(h5py, file, path)
            columns, notes = _read_file(h5py, file, path, task, metadata)
    except (OSError, KeyError, RuntimeError) as error:
        raise DatasetError(f"{path} cannot be read as a Minari dataset: {first_line(error)}") from None
    return Foreign(columns, notes, _quality(metadata))


def _metadata(path: Path) -> dict[str, Any]:
    return load_json(path) if path.is_file() else {}


def read_origin(source: Path) -> tuple[Manifest | None, tuple[str, ...]]:
    """The manifest in the metadata of an exported set, and a note where there is one that cannot be used."""
    path = source / "data" / METADATA_FILE
    own = _metadata(path).get("omar")
    raw = own.get("manifest") if isinstance(own, dict) else None
    if not isinstance(raw, dict):
        return None, ()
    try:
        return parse_manifest(raw, f"omar.manifest in {path}"), ()
    except DatasetError as error:
        return None, (f"what the export stored about the set is not used: {error}",)


def _quality(metadata: dict[str, Any]) -> str | None:
    """From an id such as "particle/simple_tag/expert-v0"."""
    name = str(metadata.get("dataset_id", "")).rpartition("/")[2].rpartition("-v")[0]
    return name if name in QUALITIES else None


def _read_file(
    h5py: Any, file: Any, path: Path, task: Task, metadata: dict[str, Any]
) -> tuple[Columns, tuple[str, ...]]:
    count = len(file)
    if not count:
        raise DatasetError(f"{path} has no episode")
    reader = EpisodeReader(h5py, path)
    agents: Agents | None = None
    episodes = []
    with progress_bar("Reading episodes", count) as advance:
        for index in range(count):
            try:
                group = h5py.h5g.open(file.id, f"episode_{index}".encode())
            except (KeyError, ValueError):
                raise DatasetError(f"{path} is damaged: episode_{index} of {count} is missing") from None
            episode = _Episode(reader, group, f"{path}: episode_{index}")
            agents = agents or find_agents(reader, group, episode.where, task, metadata)
            episodes.append(_read_episode(episode, agents))
            advance(1)
    raw = _join(episodes, path)
    columns = _convert(raw, str(path))
    return columns, ((agents.note,) if agents and agents.note else ()) + rounding_note(raw)


def _join(episodes: list[Columns], path: Path) -> Columns:
    """All episodes in one column each."""
    forms = {name: array.shape[1:] for name, array in episodes[0].items()}
    for index, episode in enumerate(episodes):
        if episode.keys() != forms.keys():
            raise DatasetError(f"{path}: some episodes have entries that others lack")
        for name, array in episode.items():
            if array.shape[1:] != forms[name]:
                raise DatasetError(
                    f"{path}: {name} of episode_{index} is {list(array.shape)}, "
                    f"that of episode_0 [steps{''.join(f', {size}' for size in forms[name])}]"
                )
    return {name: np.concatenate([episode[name] for episode in episodes]) for name in forms}


def _convert(raw: Columns, where: str) -> Columns:
    columns: Columns = {}
    for name, array in raw.items():
        what = f"{where}: {name}"
        if name in ("terminated", "truncated"):
            columns[name] = any_agent(as_flags(array, what))
        elif name.endswith("rewards"):
            columns[name] = as_rewards(array, what, 1 if name == "prey_rewards" else 2)
        else:
            columns[name] = as_float32(array, what)
    return columns


@dataclass(frozen=True, slots=True)
class _Episode:
    """An episode's group."""

    reader: EpisodeReader
    group: Any  # its identifier
    where: str  # for messages

    def find(self, name: str) -> npt.NDArray[Any] | None:
        """An array, or None where the episode has none of that name."""
        return self.reader.find(self.group, name, self.where)

    def read(self, name: str) -> npt.NDArray[Any]:
        """An array.

        Raises:
            DatasetError: The episode has none of that name.
        """
        column = self.find(name)
        if column is None:
            raise DatasetError(f"{self.where} has no {name}")
        return column

    def has(self, name: str) -> bool:
        """Whether the episode has an array of that name."""
        return self.reader.has(self.group, name)

    def by_agent(self, name: str, agents: tuple[str, ...]) -> npt.NDArray[Any]:
        """[T, N, ...] from an array for each agent."""
        arrays = [self.read(f"{name}/{agent}") for agent in agents]
        try:
            return stack(arrays, [f"{name}/{agent}" for agent in agents])
        except DatasetError as error:
            raise DatasetError(f"{self.where}: {error}") from None

    def flags(self, name: str, agents: Agents) -> npt.NDArray[Any]:
        """Ends of all agents together, or by agent."""
        if not self.has(name) and self.has(f"{name}/{agents.learners[0]}"):
            return self.by_agent(name, agents.learners)
        return self.read(name)


def _read_episode(episode: _Episode, agents: Agents) -> Columns:
    where = episode.where
    observations = episode.by_agent("observations", agents.learners)
    actions = episode.by_agent("actions", agents.learners)
    steps = len(actions)
    if len(observations) != steps + 1:
        raise DatasetError(
            f"{where} must have {steps + 1} observations for {steps} actions, got {len(observations)}"
        )
    columns: Columns = {
        "observations": observations[:-1],
        "actions": actions,
        "next_observations": observations[1:],
        "terminated": episode.flags("terminations", agents),
        "truncated": episode.flags("truncations", agents),
    }
    columns |= _rewards(episode, steps, agents)
    if agents.prey is not None:
        columns |= _prey(episode, agents.prey, steps)
    for name, column in columns.items():
        if len(column) != steps:
            raise DatasetError(f"{where} must have {steps} {name}, got {len(column)}")
    states = episode.find("infos/state")
    if states is not None:
        if len(states) != steps + 1:
            raise DatasetError(f"{where} must have {steps + 1} states, got {len(states)}")
        columns |= {"states": states[:-1], "next_states": states[1:]}
    return columns


def _prey(episode: _Episode, prey: str, steps: int) -> Columns:
    observations = episode.read(f"observations/{prey}")
    if len(observations) != steps + 1:
        raise DatasetError(
            f"{episode.where} must have {steps + 1} observations of the prey, got {len(observations)}"
        )
    return {
        "prey_observations": observations[:-1],
        "prey_actions": episode.read(f"actions/{prey}"),
        "prey_next_observations": observations[1:],
    }


def _rewards(episode: _Episode, steps: int, agents: Agents) -> Columns:
    """Each learner's [T, N], or the team's where the file has no other; the prey's [T] where it has them."""
    learners = len(agents.learners)
    names = agents.learners if agents.prey is None else (*agents.learners, agents.prey)
    found: Columns = {}
    rewards = _by_learner(episode, steps, names, learners)
    if rewards is None:
        team = without_last_axes(_of_steps(episode.read("rewards"), steps), 1)
        found["rewards"] = np.repeat(team[:, None], learners, axis=1)
    else:
        found["rewards"] = rewards[:, :learners]
        if rewards.shape[1] == len(names) > learners:
            found["prey_rewards"] = rewards[:, learners]
    own = None if agents.prey is None else episode.find("infos/prey_rewards")
    if own is not None:
        found["prey_rewards"] = without_last_axes(_of_steps(own, steps), 1)
    return found


def _by_learner(
    episode: _Episode, steps: int, names: tuple[str, ...], learners: int
) -> npt.NDArray[Any] | None:
    """Rewards [T, N] or [T, A] of the agents one by one, from either place that files have them in."""
    for place in ("infos/agent_rewards", "rewards"):
        if episode.has(place):
            rewards = episode.read(place)
        elif episode.has(f"{place}/{names[0]}"):
            known = names if episode.has(f"{place}/{names[-1]}") else names[:learners]
            rewards = without_last_axes(episode.by_agent(place, known), 2)
        else:
            continue
        if rewards.ndim == 2 and rewards.shape[1] in (learners, len(names)):
            return _of_steps(rewards, steps)
    return None


def _of_steps(rewards: npt.NDArray[Any], steps: int) -> npt.NDArray[Any]:
    """Without the row of the reset."""
    return rewards[1:] if len(rewards) == steps + 1 else rewards


def agent(index: int) -> str:
    """How this package names learner `index`."""
    return f"agent_{index}"


PREY = "prey"  # how this package names the prey
