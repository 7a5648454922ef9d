"""What a training tells while it runs: the trainings call a reporter, and never print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from .metrics import Evaluation


class Reporter(Protocol):
    """Is told of a training's progress, on the thread that trains."""

    def started(self, title: str, update: int, updates: int) -> None:
        """The training is at `update` of `updates`."""
        ...

    def preparing(self, what: str, step: int, steps: int) -> None:
        """Something before the first update, such as learning a model, is at `step` of `steps`."""
        ...

    def updated(self, update: int, losses: Mapping[str, Tensor]) -> None:
        """An update is done; `losses` are its terms by name, [M] each."""
        ...

    def evaluated(self, evaluation: Evaluation) -> None:
        """The policies were evaluated."""
        ...

    def paused(self) -> None:
        """Time went into something that was no update: an evaluation, a checkpoint, a data set."""
        ...

    def note(self, text: str) -> None:
        """Something the user should know, in a sentence."""
        ...


class Silent:
    """A reporter that tells nobody."""

    def started(self, title: str, update: int, updates: int) -> None:
        """Says nothing."""

    def preparing(self, what: str, step: int, steps: int) -> None:
        """Says nothing."""

    def updated(self, update: int, losses: Mapping[str, Tensor]) -> None:
        """Says nothing."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """Says nothing."""

    def paused(self) -> None:
        """Says nothing."""

    def note(self, text: str) -> None:
        """Says nothing."""
