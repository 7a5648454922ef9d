"""Observations of stacked networks, whole or in parts that members share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch

Observations: TypeAlias = torch.Tensor | Sequence[torch.Tensor]
"""`[M, B, O]`; or parts of it, side by side, each `[M, B, columns]` or `[S, B, columns]`.

Row s of a part with S rows serves the members from s M / S to (s + 1) M / S - 1: the N critics of a seed see
the joint observations without a copy for each of them.
"""


def parts_of(observations: Observations) -> list[torch.Tensor]:
    """The parts; a whole is one part."""
    return [observations] if isinstance(observations, torch.Tensor) else list(observations)


def joined(observations: Observations, beside: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """`[M, B, O]` of any form.

    Args:
        observations: whole or in parts.
        beside: a tensor with one of M rows for each member.
        dim: which of its axes has them.

    Raises:
        ValueError: a part that M members cannot share.
    """
    if isinstance(observations, torch.Tensor):
        return observations
    members = beside.shape[dim]
    for part in observations:
        if part.dim() != 3 or part.shape[0] == 0 or members % part.shape[0]:
            raise ValueError(
                f"parts of observations must be [M, B, columns] or [S, B, columns] with M = {members} a "
                f"multiple of S, got {list(part.shape)}"
            )
    return torch.cat([p.repeat_interleave(members // p.shape[0], dim=0) for p in observations], dim=2)
