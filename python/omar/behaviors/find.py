"""Which prey moves: the one of a file, or the one that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import OmarError
from .authors import load_prey
from .prey import UNIFORM_PREY
from .shipped import load_prey as load_shipped

if TYPE_CHECKING:
    from pathlib import Path

    from ..data import Dataset
    from ..tasks import Task
    from .prey import Prey


def choose_prey(task: Task, path: Path | None) -> Prey | None:
    """The prey of a file, or the shipped one; None for a task without a prey.

    Raises:
        OmarError: A file that is not a prey of this task.
    """
    if path is not None:
        return load_prey(path, task)
    return shipped_prey(task) if task.has_prey else None


def check_prey(dataset: Dataset, prey: Prey | None) -> None:
    """Refuses to evaluate against another prey than the one of the dataset, where the dataset says which.

    Raises:
        OmarError: They differ.
    """
    known = dataset.manifest.recipe.get("prey")
    if prey is not None and known is not None and known != prey.recipe():
        raise OmarError(f"{dataset.path} was made with another prey: give the file of that one with --prey")


def shipped_prey(task: Task) -> Prey:
    """The prey that comes with the package for a task; uniform actions where none does."""
    prey = load_shipped(task.name)
    return UNIFORM_PREY if prey is None else prey
