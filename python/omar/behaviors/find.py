"""Which prey moves: the one of a file, or the one that ships."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OmarError
from ..tasks import get_task
from .authors import read_authors_prey
from .policy_file import load_policies
from .shipped import shipped_prey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..tasks import Task
    from .policy import Policy


def load_prey(task: str, path: str | Path | None = None) -> Policy:
    """The prey of a task: the one that ships, or that of a file.

    Args:
        task: Name of a task that has a prey.
        path: A policy file, or the authors' `pretrained_adv_model.pt`; None: the shipped prey.

    Raises:
        OmarError: Unknown task, one without a prey, or a file that is not a prey of this task.
    """
    return shipped_prey(task) if path is None else read_prey(Path(path), get_task(task))


def choose_prey(task: Task, path: Path | None) -> Policy | None:
    """The prey of a file, or the shipped one; None for a task without a prey.

    Raises:
        OmarError: A file that is not a prey of this task.
    """
    if path is not None:
        return read_prey(path, task)
    return shipped_prey(task.name) if task.has_prey else None


def read_prey(path: Path, task: Task) -> Policy:
    """The prey of a policy file or of the authors' `pretrained_adv_model.pt`; its contents say which it is.

    Raises:
        OmarError: No such file, neither kind of file, or not a prey of this task.
    """
    if not task.has_prey:
        raise OmarError(f"{task.name} has no prey, but {path} was given")
    if not path.is_file():
        raise OmarError(f"no prey at {path}: there is no such file")
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] != b"{":  # a safetensors file: the length of its header, then JSON
        return read_authors_prey(path, task)
    policies = load_policies(path)
    if len(policies) > 1 or not policies[0].moves_prey or policies[0].task != task.name:
        who = "prey" if policies[0].moves_prey else "learners"
        raise OmarError(
            f"{path} is not a prey of {task.name}: it holds {len(policies)} policies of the {who} of "
            f"{policies[0].task}"
        )
    return policies[0]


def check_prey(recipe: Mapping[str, Any], prey: Policy | None, dataset: Path) -> str | None:
    """Refuses a prey that is not the one of a dataset, where the dataset says which.

    Args:
        recipe: Of the dataset's manifest.
        prey: That training or an evaluation would use; None where the task has none.
        dataset: Folder that errors name.

    Returns:
        A sentence that warns where the dataset does not say which prey it has; None where all is well.

    Raises:
        OmarError: They differ.
    """
    if prey is None:
        return None
    known = recipe.get("prey")
    if known is None:
        file = prey.source.get("file")
        chosen = "the shipped prey" if file is None else f"the prey of {file}"
        return (
            f"{dataset} does not say which prey moved in it: policies meet {chosen} (--prey chooses "
            f"another), and their returns only compare with those against the same prey"
        )
    if known != prey.recipe():
        raise OmarError(f"{dataset} was made with another prey: give the file of that one with --prey")
    return None
