"""What a training came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..behaviors.policy import Policy
    from ..runs.metrics import Evaluation
    from .config import RunConfig


@dataclass(frozen=True, slots=True)
class Result:
    """The last evaluation of a run and the policies that it is of."""

    path: Path  # the run's folder
    config: RunConfig
    quality: str  # of the first seed's dataset
    finished: bool  # False where `stop` ended the training before its last update
    update: int
    evaluations: Sequence[Evaluation]  # in order of updates
    policies: tuple[Policy, ...]  # one for each seed

    @property
    def last(self) -> Evaluation:
        """The newest evaluation."""
        return self.evaluations[-1]

    @property
    def scores(self) -> list[float]:
        """Normalized score of every seed at the last evaluation."""
        return self.last.scores

    @property
    def returns(self) -> list[float]:
        """Mean episode return of every seed at the last evaluation."""
        return self.last.returns

    @property
    def mean(self) -> float:
        """Mean normalized score over the seeds."""
        return self.last.mean

    @property
    def std(self) -> float:
        """Standard deviation of the normalized score over the seeds (population)."""
        return self.last.std
