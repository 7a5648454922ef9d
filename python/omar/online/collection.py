"""Settings of the collection of transitions."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import SettingError
from ..runs import ranges
from ..runs.decode import check_types


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """How transitions are collected, and how many updates they get."""

    updates: int = 30_000
    """Updates of every trained agent."""
    worlds: int = 100
    """Worlds of a seed, stepped together."""
    updates_per_step: int = 1
    """Updates after each step of all worlds."""
    warmup: int = 50_000
    """Transitions of uniform actions before the first update."""
    capacity: int = 500_000
    """Transitions that the replay buffer of a seed holds."""
    noise: float = 0.1
    """Standard deviation of the Gaussian exploration noise."""

    def __post_init__(self) -> None:
        """Raises SettingError where a setting has the wrong type or is out of range."""
        check_types(self)
        ranges.between(self, 0, 2**32 - 1, "updates")
        ranges.at_least(self, 1, "worlds", "updates_per_step", "warmup", "capacity")
        ranges.at_least(self, 0, "noise")
        if self.capacity < self.warmup:
            raise SettingError("capacity", f"must be at least warmup = {self.warmup}, got {self.capacity}")
