"""Random numbers that are functions of a counter: no global generator is read.

Number j of row n of a tensor `[N, ...]` follows from (seed, step, n, j) alone, where j counts the other axes
in order: neither the rows beside it nor the numbers after it matter, so a prefix of worlds gets the same
numbers. They are the same on every device but for float32's last bits (Philox4x32-10, omar/core/draws.h).
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, SupportsIndex

from . import _core, nets

if TYPE_CHECKING:
    from torch import Tensor

    from .nets import Step

_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Draw:
    """Counter of an update's random numbers."""

    seed: int
    step: Step


def mix(*words: SupportsIndex) -> int:
    """A 64-bit key from integers: splitmix64 (Steele et al. 2014) over them in turn."""
    key = 0
    for word in words:
        z = (key ^ (index(word) & _MASK)) + 0x9E3779B97F4A7C15 & _MASK
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
        key = z ^ (z >> 31)
    return key


def uniform_actions(shape: tuple[int, ...], draw: Draw, *, like: Tensor) -> Tensor:
    """Uniform actions in [-1, 1), the ones of `omar.envs.rollout` for the shape [E, A, 2].

    Args:
        shape: `[N, ...]`: worlds or members first.
        draw: seed and step.
        like: a floating-point tensor of the wanted dtype and device.

    Raises:
        ValueError: a seed or step out of range, or a shape without a first axis.
        TypeError: `like` is neither float32 nor float64.
    """
    counter = nets.draw("random.uniform_actions", draw.seed, draw.step)
    return _core.draws_uniform(shape, counter, like)


def normal_like(shape: tuple[int, ...], draw: Draw, *, like: Tensor) -> Tensor:
    """Standard normal numbers; arguments and errors as in `uniform_actions`."""
    return _core.draws_normal(shape, nets.draw("random.normal_like", draw.seed, draw.step), like)
