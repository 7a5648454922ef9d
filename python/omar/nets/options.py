"""How networks run, and the counters of random numbers, in the core's form."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from .. import _core
from ..arguments import check_seed, check_step

Kernels = Literal["auto", "plain", "fused"]
"""fused: CPU kernels; plain: LibTorch ops; auto: fused, or plain where `fused_obstacle` names a reason."""
Precision = Literal["float32", "bf16"]
Step = int | torch.Tensor
"""Number of an update; in a tensor (int64 scalar, on the numbers' device) it is read when they are drawn."""


def core_kernels(kernels: Kernels) -> _core.Kernels:
    """The core's form of `kernels`."""
    if kernels not in get_args(Kernels):
        raise ValueError(f"`kernels` must be 'auto', 'plain' or 'fused', got {kernels!r}")
    native: _core.Kernels = getattr(_core.Kernels, kernels)
    return native


def scoring(kernels: Kernels, precision: Precision) -> _core.Scoring:
    """The core's form of `kernels` and a precision."""
    if precision not in get_args(Precision):
        raise ValueError(f"`precision` must be 'float32' or 'bf16', got {precision!r}")
    return _core.Scoring(core_kernels(kernels), getattr(_core.Precision, precision))


def draw(op: str, seed: int, step: Step) -> _core.Draw:
    """The core's counter of random numbers."""
    key = check_seed(op, seed)
    return _core.Draw(key, step if isinstance(step, torch.Tensor) else check_step(op, "step", step))
