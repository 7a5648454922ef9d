"""How much memory there is, and refusing what cannot fit."""

from __future__ import annotations

import os

import torch

from ..errors import OmarError

FLOAT = 4  # bytes
COPIES = 5  # of every trained weight: itself, its target, its gradient and Adam's two moments


def available(device: torch.device | None = None) -> int | None:
    """Bytes of memory of a device (None: the CPU's), used or not; None where the system does not say."""
    if device is not None and device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def check_fits(needed: int, device: torch.device | None, what: str, remedy: str) -> None:
    """Refuses sizes that take more memory than there is.

    Args:
        needed: Bytes, a lower bound.
        device: Where; None: the CPU.
        what: Takes them.
        remedy: The options to lower.

    Raises:
        OmarError: They do not fit.
    """
    there = available(device)
    if there is not None and needed > there:
        raise OmarError(
            f"the {what} need at least {_gigabytes(needed)} of memory, and there are {_gigabytes(there)}: "
            f"lower {remedy}"
        )


def check_worlds(observations: int, worlds: int, remedy: str) -> None:
    """Refuses an evaluation in more worlds than fit.

    Args:
        observations: Numbers that all agents of a world observe.
        worlds: Of all seeds together.
        remedy: The options to lower.

    Raises:
        OmarError: They do not fit.
    """
    check_fits(FLOAT * observations * worlds, None, "worlds of an evaluation", remedy)


def _gigabytes(count: int) -> str:
    return f"{max(count // 10**9, 1):,} GB"
