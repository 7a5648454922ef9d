"""What a dataset will be: known before its first row is written."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import index
from typing import TYPE_CHECKING, Any

from ..errors import DatasetError
from ..tasks import ALL_TASKS, References
from .manifest import PREY_COLUMNS, STATE_COLUMNS, is_name

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """Names, sizes and origin of a dataset.

    Raises:
        DatasetError: A name that cannot be part of a path, or an unknown task without references.
    """

    task: str
    quality: str
    transitions: int
    num_learners: int
    obs_size: int
    action_size: int
    episode_length: int
    recipe: Mapping[str, Any]
    references: References | None = None  # of the prey; the paper's when None
    prey_obs_size: int = 0  # of the optional prey columns
    state_size: int = 0  # of the optional global states
    versions: Mapping[str, str] | None = None  # of what made the columns; the installed ones when None

    def __post_init__(self) -> None:
        """Checks the names; integers of other libraries become Python's own."""
        for field in fields(self):
            if field.type == "int":
                object.__setattr__(self, field.name, index(getattr(self, field.name)))
        for name, text in (("task", self.task), ("quality", self.quality)):
            if not is_name(text):
                raise DatasetError(
                    f"{text!r} cannot name a {name}: expected up to 64 letters, digits, '.', '_' or '-'"
                )
        if self.references is None and self.task not in ALL_TASKS:
            raise DatasetError(f"unknown task {self.task!r}: its set needs references of its own")

    @property
    def scale(self) -> References:
        """What counts as 0 and 100."""
        return ALL_TASKS[self.task].references if self.references is None else self.references

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every column."""
        n, learners = self.transitions, self.num_learners
        shapes: dict[str, tuple[int, ...]] = {
            "observations": (n, learners, self.obs_size),
            "actions": (n, learners, self.action_size),
            "rewards": (n, learners),
            "next_observations": (n, learners, self.obs_size),
            "terminated": (n,),
            "truncated": (n,),
        }
        if self.prey_obs_size:
            sizes = ((n, self.prey_obs_size), (n, self.action_size), (n,), (n, self.prey_obs_size))
            shapes |= dict(zip(PREY_COLUMNS, sizes, strict=True))
        if self.state_size:
            shapes |= dict.fromkeys(STATE_COLUMNS, (n, self.state_size))
        return shapes
