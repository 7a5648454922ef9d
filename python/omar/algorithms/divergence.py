"""Divergence of a training: losses that are not finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import OmarError

if TYPE_CHECKING:
    from .base import LossTerms

LOG_EVERY = 50  # updates between two looks at the losses: each makes a GPU wait for the CPU


def refuse_divergence(losses: LossTerms, seeds: int, update: int) -> None:
    """Refuses to go on where a loss is not finite.

    Args:
        losses: Terms by name, `[M]` or `[S]` each.
        seeds: S.
        update: That they are of.

    Raises:
        OmarError: Names the seeds and the term.
    """
    for name, term in losses.items():
        finite = term.isfinite().tolist()
        if not all(finite):
            each = len(finite) // seeds
            lost = sorted({index // each for index, ok in enumerate(finite) if not ok})
            raise OmarError(
                f"the training of seed {', '.join(map(str, lost))} diverged: at update {update} the loss "
                f"{name} is not finite (a lower --learning-rate may help)"
            )
