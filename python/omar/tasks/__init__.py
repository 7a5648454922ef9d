"""The task registry: what each task of the paper is made of, its references and its published figures.

A task is one row here. Figures come from Pan et al. 2022, "Plan Better Amid Conservatism: Offline Multi-Agent
Reinforcement Learning with Actor Rectification". Hyper-parameters belong to the algorithms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args, overload

from ..errors import OmarError
from .rows import BASELINES, HALF_CHEETAH, SIMPLE_SPREAD, SIMPLE_TAG, SIMPLE_WORLD, spread
from .task import BestScore, Quality, References, Score, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

QualityName: TypeAlias = Literal["random", "medium-replay", "medium", "expert"]
QUALITIES: tuple[QualityName, ...] = get_args(QualityName)
TASKS: Mapping[str, Task] = {
    task.name: task for task in (SIMPLE_SPREAD, SIMPLE_TAG, SIMPLE_WORLD, HALF_CHEETAH)
}

# Other numbers of agents, for the paper's ablation: only uniform actions are known as their behaviour.
VARIANTS: Mapping[str, Task] = {
    task.name: task
    for task in (
        spread(1, 32.8, 25.6),
        spread(2, 88.6, 44.5),
        spread(3, 160.0, 60.7),
        spread(4, 135.8, 55.3),
        spread(5, 189.4, 65.8),
    )
}
ALL_TASKS: Mapping[str, Task] = {**TASKS, **VARIANTS}

if TYPE_CHECKING:
    TaskName: TypeAlias = str
else:  # so that command lines list the registered tasks
    TaskName = Literal[tuple(ALL_TASKS)]


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        OmarError: No task has that name.
    """
    try:
        return ALL_TASKS[name]
    except KeyError:
        raise OmarError(f"unknown task {name!r}: expected one of {', '.join(TASKS)}") from None


def get_quality(task: Task, quality: str) -> Quality:
    """The figures of one dataset of a task.

    Raises:
        OmarError: The task has no such quality.
    """
    try:
        return task.qualities[quality]
    except KeyError:
        known = ", ".join(task.qualities)
        raise OmarError(f"unknown quality {quality!r} of {task.name}: expected one of {known}") from None


@overload
def normalized_score(task: Task, returns: float, references: References | None = None) -> float: ...
@overload
def normalized_score(
    task: Task, returns: npt.NDArray[np.floating], references: References | None = None
) -> npt.NDArray[np.floating]: ...
@overload
def normalized_score(task: Task, returns: Tensor, references: References | None = None) -> Tensor: ...
def normalized_score(
    task: Task,
    returns: float | npt.NDArray[np.floating] | Tensor,
    references: References | None = None,
) -> float | npt.NDArray[np.floating] | Tensor:
    """100 (S - S_random) / (S_expert - S_random), elementwise.

    Args:
        task: The task that the returns belong to.
        returns: Episode returns S: undiscounted sums of the mean reward over the learners.
        references: S_random and S_expert; the paper's unless a prey brings its own.
    """
    r = task.references if references is None else references
    return 100.0 * (returns - r.random) / (r.expert - r.random)


__all__ = [
    "ALL_TASKS",
    "BASELINES",
    "QUALITIES",
    "TASKS",
    "VARIANTS",
    "BestScore",
    "Quality",
    "QualityName",
    "References",
    "Score",
    "Task",
    "TaskName",
    "get_quality",
    "get_task",
    "normalized_score",
]
