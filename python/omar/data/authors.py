"""The layout of the paper's authors: a .npy file for each learner and column.

A set is the folder `{root}/{task}/{quality}/seed_{s}_data` with, for learner i, `obs_i.npy` [n, O],
`acs_i.npy` [n, A], `rews_i.npy` [n], `next_obs_i.npy` [n, O] and `dones_i.npy` [n]; sets with global states
add `states_i.npy` and `next_states_i.npy` [n, G]. The prey, where there is one, is agent N: the authors' code
needs its files too. There is no episode index: an episode ends where the next row starts elsewhere. Sets of
others may lack next_obs, and their dones may mark the time limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from ..tasks import QUALITIES, TASKS
from .folders import whole_folder
from .foreign import (
    Columns,
    Foreign,
    any_agent,
    as_flags,
    as_float32,
    as_rewards,
    rounding_note,
    stack,
    write_origin,
)
from .manifest import PREY_COLUMNS, STATE_COLUMNS
from .npy import open_npy

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ..tasks import Task
    from .dataset import Dataset

STEMS = {
    "observations": "obs",
    "actions": "acs",
    "rewards": "rews",
    "next_observations": "next_obs",
}
DONES = "dones"
PREY_FILE = "pretrained_adv_model.pt"
NAMES = {"half_cheetah": "HalfCheetah-v2"}  # the authors' names of tasks where they differ


def write(dataset: Dataset, destination: Path) -> tuple[str, ...]:
    """Writes `destination/{task}/{quality}/seed_{s}_data`; returns what the layout drops."""
    seed = dataset.manifest.recipe.get("seed")
    seed = seed if type(seed) is int and seed >= 0 else 0
    folder = destination / NAMES.get(dataset.task, dataset.task) / dataset.quality / f"seed_{seed}_data"
    with whole_folder(folder) as temporary:
        _write_columns(dataset.columns(), temporary)
        write_origin(temporary, dataset.manifest)
    ends = "truncations are not stored: an episode ends where the next row starts elsewhere"
    task = TASKS.get(dataset.task)
    if task is None or not task.has_prey:
        return (ends,)
    notes: tuple[str, ...] = ()
    if PREY_COLUMNS[0] not in dataset.manifest.columns:
        agent = dataset.manifest.columns["rewards"].shape[1]
        notes = (f"the set does not hold the prey's columns: the authors' code asks for obs_{agent}.npy",)
    return (
        *notes,
        f"the prey's network is not stored: the authors' code asks for {dataset.task}/{PREY_FILE} to "
        "evaluate against",
        ends,
    )


def _write_columns(columns: Columns, folder: Path) -> None:
    learners = columns["rewards"].shape[1]
    dones = columns["terminated"].astype(np.float32)
    for learner in range(learners):
        for name, stem in STEMS.items():
            np.save(folder / f"{stem}_{learner}.npy", columns[name][:, learner])
        np.save(folder / f"{DONES}_{learner}.npy", dones)
        for name in STATE_COLUMNS:
            if name in columns:
                np.save(folder / f"{name}_{learner}.npy", columns[name])
    if PREY_COLUMNS[0] in columns:
        for name, stem in zip(PREY_COLUMNS, STEMS.values(), strict=True):
            np.save(folder / f"{stem}_{learners}.npy", columns[name])
        np.save(folder / f"{DONES}_{learners}.npy", dones)


def read(source: Path, task: Task) -> Foreign:
    """Reads one set, the folder that holds `obs_0.npy`."""
    learners = task.num_learners
    if (source / f"{STEMS['observations']}_{task.num_agents}.npy").exists():
        raise DatasetError(
            f"{source} is not a dataset of {task.name}: it has more than {task.num_agents} agents"
        )
    raw = {name: _stack(source, stem, learners) for name, stem in _stored(source, 0).items()}
    dones = _stack(source, DONES, learners)
    columns: Columns = {name: _convert(name, array, source, 2) for name, array in raw.items()}
    columns["terminated"] = any_agent(as_flags(dones, f"{source}: {DONES}"))
    if task.has_prey and (source / f"{STEMS['observations']}_{learners}.npy").exists():
        for name, stem in _stored(source, learners).items():
            array = _load(source / f"{stem}_{learners}.npy")
            columns[f"prey_{name}"] = _convert(name, array, source, 1)
    for name in STATE_COLUMNS:
        if (source / f"{name}_0.npy").exists():
            columns[name] = _state(source, name, learners)
    quality = source.resolve().parent.name
    return Foreign(columns, rounding_note(raw), quality if quality in QUALITIES else None)


def _stored(source: Path, agent: int) -> dict[str, str]:
    """The stems of an agent's files; next_obs is optional, and other files are missed when they are read."""
    return {
        name: stem
        for name, stem in STEMS.items()
        if name != "next_observations" or (source / f"{stem}_{agent}.npy").exists()
    }


def _convert(name: str, array: npt.NDArray[Any], source: Path, rank: int) -> npt.NDArray[np.float32]:
    what = f"{source}: {STEMS[name]}"
    return as_rewards(array, what, rank) if name == "rewards" else as_float32(array, what)


def _stack(source: Path, stem: str, learners: int) -> npt.NDArray[Any]:
    """[n, N, ...] from the files of N learners."""
    names = [f"{stem}_{learner}.npy" for learner in range(learners)]
    arrays = [_load(source / name) for name in names]
    try:
        return stack(arrays, names)
    except DatasetError as error:
        raise DatasetError(f"{source}: {error}") from None


def _state(source: Path, name: str, learners: int) -> npt.NDArray[np.float32]:
    stacked = as_float32(_stack(source, name, learners), f"{source}: {name}")
    if not (stacked == stacked[:, :1]).all():
        raise DatasetError(f"{source}: {name} must be the same for all learners")
    return stacked[:, 0]


def _load(path: Path) -> npt.NDArray[Any]:
    if not path.is_file():
        raise DatasetError(f"{path.parent} is not a set of the authors' layout: {path.name} is missing")
    array = open_npy(path)
    if array.ndim == 0:
        raise DatasetError(f"{path} holds a single number instead of a column")
    return array
