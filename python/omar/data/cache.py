"""The cache of generated datasets: made on first use, once, and never used when damaged."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from ..errors import DatasetError
from ..runs.files import expand_user
from ..tasks import QUALITIES, get_task
from .dataset import Dataset
from .folders import remove_partial
from .generate import Plan, build, make_plan
from .home import home
from .manifest import FORMAT_VERSION, recipe_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..behaviors.policy import Policy


def dataset_folder(plan: Plan) -> Path:
    """Where a generated dataset lies: a folder of its own for everything that decides its bytes."""
    key = recipe_sha256(plan.recipe() | {"format": FORMAT_VERSION})[:8]
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
        rebuild: Generate it again even if it exists; the old one stays until the new one takes its place.
        progress: Whether generating shows, on standard error, once it takes longer than two seconds.

    Raises:
        DatasetError: The cached dataset is damaged and `rebuild` is not set, or it cannot be generated.
        OmarError: Unknown task or quality.
    """
    plan = make_plan(task, quality, data_seed, steps=steps, prey=prey)
    path = dataset_folder(plan)
    if not rebuild and path.exists():
        with suppress(DatasetError, OSError):  # damaged, or being replaced: a look under the lock tells
            return Dataset.open(path)
    with _locked(path):
        if path.exists() and not rebuild:
            return _open_cached(path, plan)
        remove_partial(path)
        return build(plan, path, replace=rebuild, progress=progress)


def cached_dataset(
    task: str, quality: str, data_seed: int = 0, *, steps: int | None = None, prey: Policy | None = None
) -> Dataset:
    """Opens a dataset of the cache, and makes nothing.

    Raises:
        DatasetError: It was not generated yet, or it is damaged.
        OmarError: Unknown task or quality.
    """
    plan = make_plan(task, quality, data_seed, steps=steps, prey=prey)
    path = dataset_folder(plan)
    if not path.exists():
        raise DatasetError(f"no dataset at {path}: make it with `{_command(plan)}`")
    return _open_cached(path, plan)


def resolve_datasets(
    task: str,
    dataset: str | Path | Sequence[str | Path],
    data_seeds: Sequence[int],
    *,
    prey: Policy | None = None,
    progress: bool = True,
) -> list[Dataset]:
    """The datasets of S training seeds, their contents checked.

    Args:
        task: The task that the datasets must belong to.
        dataset: A quality's name (a generated dataset for each seed) or a dataset's folder; one for all
            seeds, or one for each.
        data_seeds: [S] seeds of generated datasets, one for each training seed.
        prey: As in `ensure_dataset`.
        progress: As in `ensure_dataset`; also of the check.

    Raises:
        DatasetError: No dataset there, a damaged one, one of another task, neither one nor S of them, or
            sets with different preys or references.
        OmarError: Unknown task.
    """
    given = [dataset] if isinstance(dataset, str | Path) else list(dataset)
    if len(given) not in (1, len(data_seeds)):
        raise DatasetError(
            f"--dataset takes one set for all seeds or one for each: {len(given)} were given for "
            f"{len(data_seeds)} seeds"
        )
    each = given * len(data_seeds) if len(given) == 1 else given
    found: dict[tuple[str, int | None], Dataset] = {}
    result = []
    for name, seed in zip(each, data_seeds, strict=True):
        key = (str(name), seed if str(name) in QUALITIES else None)
        if key not in found:
            found[key] = _resolve(task, str(name), seed, prey, progress=progress)
        result.append(found[key])
    for other in result[1:]:
        _check_alike(result[0], other)
    return result


def _check_alike(first: Dataset, other: Dataset) -> None:
    """Scores of one training are on one scale, against one prey."""
    scales = [(dataset.prey, dataset.manifest.references) for dataset in (first, other)]
    if scales[0] != scales[1]:
        raise DatasetError(
            f"datasets of one training must share their prey and references: {other.path} differs from "
            f"{first.path}"
        )


def _resolve(task: str, name: str, seed: int, prey: Policy | None, *, progress: bool) -> Dataset:
    if name in QUALITIES:
        dataset = ensure_dataset(task, name, seed, prey=prey, progress=progress)
        with _suggesting_rebuild(make_plan(task, name, seed, prey=prey)):
            return dataset.verified(progress=progress)
    folder = expand_user(name)
    if not folder.exists():
        raise DatasetError(
            f"unknown dataset {name!r}: it is neither a quality ({', '.join(QUALITIES)}) nor a folder"
        )
    dataset = Dataset.open(folder)
    dataset.check_task(get_task(task))
    return dataset.verified(progress=progress)


def _open_cached(path: Path, plan: Plan) -> Dataset:
    try:
        return Dataset.open(path)
    except DatasetError:
        with _suggesting_rebuild(plan):  # a second look: the first may have met a rebuild's two renames
            return Dataset.open(path)


def _command(plan: Plan) -> str:
    """What generates the dataset of a plan."""
    steps = "" if plan.steps == plan.task.qualities[plan.quality].transitions else f" --steps {plan.steps}"
    return (
        f"python -m omar.collect dataset --task {plan.task.name} --quality {plan.quality} "
        f"--seed {plan.seed}{steps}"
    )


@contextmanager
def _suggesting_rebuild(plan: Plan) -> Iterator[None]:
    try:
        yield
    except DatasetError as error:
        raise DatasetError(f"{error}; rebuild it with `{_command(plan)} --rebuild`") from None


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
