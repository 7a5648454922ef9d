"""Uniform actions that are a function of a counter: no global generator is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from .nets import Step

_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Draw:
    """Counter of an update's random numbers."""

    seed: int
    step: Step


def mix(*words: int) -> int:
    """A 64-bit key from integers: splitmix64 (Steele et al. 2014) over them in turn."""
    key = 0
    for word in words:
        z = (key ^ (word & _MASK)) + 0x9E3779B97F4A7C15 & _MASK
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
        key = z ^ (z >> 31)
    return key


def uniform_actions(shape: tuple[int, ...], draw: Draw, *, like: Tensor) -> Tensor:
    """Uniform actions in [-1, 1) like `like`: a function of (seed, step) and the kind of device."""
    generator = torch.Generator(device=like.device)
    generator.manual_seed(mix(draw.seed, int(draw.step)) >> 1)
    return torch.empty(shape, dtype=like.dtype, device=like.device).uniform_(-1.0, 1.0, generator=generator)


def normal_like(shape: tuple[int, ...], draw: Draw, *, like: Tensor) -> Tensor:
    """Standard normal numbers, a function of (seed, step) and the kind of device."""
    generator = torch.Generator(device=like.device)
    generator.manual_seed(mix(draw.seed, int(draw.step)) >> 1)
    return torch.empty(shape, dtype=like.dtype, device=like.device).normal_(generator=generator)
