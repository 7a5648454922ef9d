"""The layout of the paper's authors: a .npy file for each learner and column.

A set is the folder `{root}/{task}/{quality}/seed_{s}_data` with, for learner i, `obs_i.npy` [n, O],
`acs_i.npy` [n, A], `rews_i.npy` [n], `next_obs_i.npy` [n, O] and `dones_i.npy` [n]; sets with global states
add `states_i.npy` and `next_states_i.npy` [n, G]. The prey, where there is one, is agent N: the authors' code
needs its files too. There is no episode index: an episode ends where the next
row starts elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from ..tasks import Task, get_task
from .dataset import CHUNK_ROWS, PREY_COLUMNS, STATE_COLUMNS, Dataset
from .foreign import Columns, Foreign, any_agent, as_flags, as_float32, claim, rounding_note

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

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
    seed = dataset.manifest.recipe.get("seed", 0)
    folder = destination / NAMES.get(dataset.task, dataset.task) / dataset.quality / f"seed_{seed}_data"
    claim(folder)
    columns = dataset.columns()
    learners = columns["rewards"].shape[1]
    for learner in range(learners):
        for name, stem in STEMS.items():
            np.save(folder / f"{stem}_{learner}.npy", columns[name][:, learner])
        np.save(folder / f"{DONES}_{learner}.npy", columns["terminated"].astype(np.float32))
        for name in STATE_COLUMNS:
            if name in columns:
                np.save(folder / f"{name}_{learner}.npy", columns[name])
    notes: tuple[str, ...] = ()
    if PREY_COLUMNS[0] in columns:
        for name, stem in zip(PREY_COLUMNS, STEMS.values(), strict=True):
            np.save(folder / f"{stem}_{learners}.npy", columns[name])
        np.save(folder / f"{DONES}_{learners}.npy", columns["terminated"].astype(np.float32))
    elif get_task(dataset.task).has_prey:
        notes = (f"the set does not hold the prey's columns: the authors' code asks for obs_{learners}.npy",)
    if get_task(dataset.task).has_prey:
        notes += (
            f"the prey's network is not stored: the authors' code asks for {dataset.task}/{PREY_FILE} to "
            "evaluate against",
        )
    return (
        *notes,
        "truncations are not stored: an episode ends where the next row starts elsewhere",
        "the manifest (recipe, versions, references, checksums) is not stored",
    )


def read(source: Path, task: Task) -> Foreign:
    """Reads one set, the folder that holds `obs_0.npy`."""
    arrays: Columns = {}
    for name, stem in STEMS.items():
        arrays[name] = _stack(source, stem, task.num_learners)
    if (source / f"{STEMS['observations']}_{task.num_agents}.npy").exists():
        raise DatasetError(
            f"{source} is not a dataset of {task.name}: it has more than {task.num_agents} agents"
        )
    dones = _stack(source, DONES, task.num_learners)
    columns: Columns = {name: as_float32(array, f"{source}: {STEMS[name]}") for name, array in arrays.items()}
    columns["rewards"] = columns["rewards"].reshape(len(columns["rewards"]), -1)
    terminated = any_agent(as_flags(dones, f"{source}: {DONES}").reshape(len(dones), -1))
    columns["terminated"] = terminated
    columns["truncated"] = _jumps(columns)
    prey = f"_{task.num_learners}.npy"
    if task.has_prey and (source / f"{STEMS['observations']}{prey}").exists():
        for name, stem in zip(PREY_COLUMNS, STEMS.values(), strict=True):
            columns[name] = as_float32(_load(source / f"{stem}{prey}"), f"{source}: {stem}{prey}")
    for name in STATE_COLUMNS:
        if (source / f"{name}_0.npy").exists():
            columns[name] = _state(source, name, task.num_learners)
    return Foreign(
        columns,
        (
            "episode ends were found where a row does not start where the one before it ended",
            *rounding_note(arrays),
        ),
    )


def _jumps(columns: Columns) -> npt.NDArray[np.bool_]:
    """[n], true where the next row does not start where this one ended; the last row counts as an end."""
    observations, following = columns["observations"], columns["next_observations"]
    if observations.shape != following.shape:
        raise DatasetError(
            f"obs and next_obs must be alike, got {list(observations.shape)} and {list(following.shape)}"
        )
    jumps = np.ones(len(observations), np.bool_)
    for start in range(0, len(observations) - 1, CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, len(observations) - 1)
        jumps[start:stop] = (observations[start + 1 : stop + 1] != following[start:stop]).any(axis=(1, 2))
    return jumps


def _stack(source: Path, stem: str, learners: int) -> npt.NDArray[Any]:
    """[n, N, ...] from the files of N learners."""
    columns = [_load(source / f"{stem}_{learner}.npy") for learner in range(learners)]
    for learner, column in enumerate(columns):
        if column.shape != columns[0].shape:
            raise DatasetError(
                f"{source}: {stem}_{learner}.npy is {list(column.shape)}, "
                f"{stem}_0.npy is {list(columns[0].shape)}"
            )
    return np.stack(columns, axis=1)


def _state(source: Path, name: str, learners: int) -> npt.NDArray[np.float32]:
    stacked = _stack(source, name, learners)
    if not (stacked == stacked[:, :1]).all():
        raise DatasetError(f"{source}: {name} must be the same for all learners")
    return as_float32(stacked[:, 0], f"{source}: {name}")


def _load(path: Path) -> npt.NDArray[Any]:
    if not path.is_file():
        raise DatasetError(f"{path.parent} is not a set of the authors' layout: {path.name} is missing")
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DatasetError(f"{path} cannot be read as a .npy file: {error}") from None
    if array.ndim == 0:
        raise DatasetError(f"{path} holds a single number instead of a column")
    return array
