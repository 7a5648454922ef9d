"""One seed of a stack: its tensors are those of a training of that seed alone, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..errors import OmarError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


SHARED = "shared."  # how names begin of tensors that have one network for all agents of a seed


def _networks(name: str, learners: int) -> int:
    """Networks of a seed in a tensor of that name."""
    return 1 if name.startswith(SHARED) else learners


def split(tensors: Mapping[str, Tensor], seeds: int, learners: int) -> list[dict[str, Tensor]]:
    """Tensors by name for each of S seeds.

    Args:
        tensors: `[T S N, ...]`: of T stacks of S x N members, T = 2 for twin critics.
        seeds: S.
        learners: N.

    Returns:
        For every seed, tensors `[T N, ...]`.
    """
    return [
        {
            name: tensor.view(-1, seeds, _networks(name, learners), *tensor.shape[1:])[:, seed].flatten(0, 1)
            for name, tensor in tensors.items()
        }
        for seed in range(seeds)
    ]


def join(
    parts: Sequence[Mapping[str, Tensor]], like: Mapping[str, Tensor], learners: int
) -> dict[str, Tensor]:
    """The tensors that `split` was given.

    Args:
        parts: Of every seed.
        like: Tensors of the shapes that are wanted.
        learners: N.

    Raises:
        OmarError: Other names or shapes.
    """
    joined = {}
    for name, wanted in like.items():
        found = [part.get(name) for part in parts]
        shape = (wanted.shape[0] // len(parts), *wanted.shape[1:]) if parts else ()
        whole = [tensor for tensor in found if tensor is not None and tensor.shape == shape]
        if not parts or len(whole) != len(parts):
            raise OmarError(f"{name} is missing or has another shape than {list(shape)}")
        by_seed = torch.stack(
            [tensor.view(-1, _networks(name, learners), *tensor.shape[1:]) for tensor in whole], dim=1
        )
        joined[name] = by_seed.flatten(0, 2)
    for part in parts:
        if part.keys() != like.keys():
            raise OmarError(f"{', '.join(sorted(part.keys() - like.keys()))} belongs to other settings")
    return joined
