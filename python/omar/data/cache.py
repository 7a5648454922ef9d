"""The cache of generated datasets: made on first use, once, and never used when damaged."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock

from ..errors import DatasetError
from ..runs.files import expand_user
from ..tasks import QUALITIES
from .dataset import Dataset
from .generate import Plan, build, make_plan
from .manifest import recipe_sha256
from .writer import remove_partial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..behaviors.policy import Policy


def home() -> Path:
    """Folder of everything that is made on first use: OMAR_HOME, or the platform's cache folder."""
    chosen = os.environ.get("OMAR_HOME")
    return expand_user(chosen) if chosen else Path(platformdirs.user_cache_dir("omar"))


def dataset_folder(plan: Plan) -> Path:
    """Where a generated dataset lies: a folder of its own for everything that decides its bytes."""
    key = recipe_sha256(plan.recipe())[:8]
    return home() / "datasets" / plan.task.name / plan.quality / f"seed_{plan.seed}-{key}"


def ensure_dataset(
    task: str,
    quality: str,
    data_seed: int = 0,
    *,
    steps: int | None = None,
    prey: Policy | None = None,
    rebuild: bool = False,
    progress: bool = True,
) -> Dataset:
    """Opens a dataset of the cache, generating it when it is not there.

    Args:
        task: A task's name.
        quality: One of its qualities.
        data_seed: Seed of the dataset; a training seed s uses dataset s by default.
        steps: Transitions, a multiple of the episode length; the published size when None.
        prey: Who moves the prey of a task that has one; the shipped prey when None.
        rebuild: Generate it anew even if it is there.
        progress: Show a progress bar when generating takes longer than two seconds.

    Raises:
        DatasetError: The cached dataset is damaged and `rebuild` is not set, or it cannot be generated.
        OmarError: Unknown task or quality.
    """
    plan = make_plan(task, quality, data_seed, steps=steps, prey=prey)
    path = dataset_folder(plan)
    if not rebuild and path.exists():
        return _open_cached(path, plan)
    with _locked(path):
        if path.exists() and not rebuild:  # another process was faster
            return _open_cached(path, plan)
        remove_partial(path)
        if path.exists():
            shutil.rmtree(path)
        return build(plan, path, progress=progress)


def resolve_datasets(
    task: str, dataset: str, data_seeds: list[int], *, prey: Policy | None = None, progress: bool = True
) -> list[Dataset]:
    """The datasets of several training seeds.

    Args:
        task: The task that the datasets must belong to.
        dataset: A quality's name (a generated dataset for each seed) or a dataset's folder (for all seeds).
        data_seeds: Seeds of the datasets, one for each training seed.
        prey: As in `ensure_dataset`.
        progress: As in `ensure_dataset`.

    Raises:
        DatasetError: No dataset there, a damaged one, or one of another task.
    """
    if dataset in QUALITIES:
        return [ensure_dataset(task, dataset, seed, prey=prey, progress=progress) for seed in data_seeds]
    folder = expand_user(dataset)
    if not folder.exists():
        raise DatasetError(
            f"unknown dataset {dataset!r}: it is neither a quality ({', '.join(QUALITIES)}) nor a folder"
        )
    opened = Dataset.open(folder)
    if opened.task != task:
        raise DatasetError(f"{folder} is a dataset of {opened.task}, not of {task}")
    return [opened] * len(data_seeds)


def _open_cached(path: Path, plan: Plan) -> Dataset:
    try:
        return Dataset.open(path)
    except DatasetError as error:
        raise DatasetError(
            f"{error}; rebuild it with `python -m omar.collect dataset --task {plan.task.name} "
            f"--quality {plan.quality} --seed {plan.seed} --rebuild`"
        ) from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One builder at a time for one dataset; the lock is released by the system when its holder dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.parent / f".{path.name}.lock")
        lock.acquire()
    except OSError as error:
        raise DatasetError(f"cannot write a dataset to {path.parent}: {error.strerror or error}") from None
    try:
        yield
    finally:
        lock.release()
