"""Which agents of a Minari file learn, in what order, and which one is the prey."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DatasetError

if TYPE_CHECKING:
    from ..tasks import Task
    from .hdf5 import EpisodeReader


@dataclass(frozen=True, slots=True)
class Agents:
    """Names of the learners in order, and of the prey where there is one; a note on the order."""

    learners: tuple[str, ...]
    prey: str | None = None
    note: str | None = None


def find_agents(
    reader: EpisodeReader, group: Any, where: str, task: Task, metadata: Mapping[str, Any]
) -> Agents:
    """The agents of a file, from the names in an episode.

    Their order is that of `agents` (or PettingZoo's `possible_agents`) in the metadata, or the natural order
    of their names. The prey is the one agent whose observations have the size of the prey's, or the last.

    Raises:
        DatasetError: Not as many agents as the task has.
    """
    names = reader.names(group, "observations")
    own = tuple(f"agent_{i}" for i in range(task.num_learners))
    if set(own) <= names and names - set(own) <= ({"prey"} if task.has_prey else set()):
        return Agents(own, "prey" if "prey" in names else None)
    if len(names) not in {task.num_learners, task.num_agents}:
        raise DatasetError(
            f"{where} has the agents {', '.join(sorted(names, key=natural)) or 'none'}: {task.name} has "
            f"{task.num_learners} learners{' and a prey' if task.has_prey else ''}"
        )
    order = _stated(metadata, names) or tuple(sorted(names, key=natural))
    if len(names) == task.num_learners:
        return Agents(order, None, f"the agents were taken in the order {', '.join(order)}")
    sizes = {name: reader.width(group, f"observations/{name}", where) for name in order}
    small = [name for name in order if sizes[name] == task.obs_sizes[-1] != task.obs_size]
    prey = small[0] if len(small) == 1 else order[-1]
    learners = tuple(name for name in order if name != prey)
    return Agents(
        learners, prey, f"the learners were taken in the order {', '.join(learners)}, and {prey} is the prey"
    )


def natural(name: str) -> list[Any]:
    """A key that puts agent_2 before agent_10."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def _stated(metadata: Mapping[str, Any], names: set[str]) -> tuple[str, ...] | None:
    for entry in ("agents", "possible_agents"):
        found = metadata.get(entry)
        if isinstance(found, list) and sorted(map(str, found)) == sorted(names):
            return tuple(map(str, found))
    return None
