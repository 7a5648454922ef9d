"""Checks of arguments before they reach the core: one sentence that names the argument and its range."""

from __future__ import annotations

from operator import index
from typing import NoReturn, SupportsIndex, TypeVar

import torch

__all__ = ["check_device", "check_integer", "check_kind", "check_seed", "check_step", "refuse_copy"]

_T = TypeVar("_T")


def check_kind(op: str, argument: str, kind: type[_T], value: _T) -> _T:
    """The value if it is of this kind. Raises TypeError otherwise."""
    if isinstance(value, kind):
        return value
    raise TypeError(f"[{op}] `{argument}` must be a {kind.__name__}, got {type(value).__name__}")


def check_integer(op: str, argument: str, value: SupportsIndex) -> int:
    """The value as an int of 64 bits with a sign, as the core takes it; a bool is none.

    Raises:
        TypeError: Not an integer.
        ValueError: More than 64 bits.
    """
    number = _integer(op, argument, value)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(f"[{op}] `{argument}` must be in -2^63..2^63-1, got {number}")
    return number


def check_seed(op: str, seed: SupportsIndex) -> int:
    """The seed if it is in 0..2^64-1. Raises ValueError otherwise."""
    return _unsigned(op, "seed", seed, 64)


def check_step(op: str, argument: str, step: SupportsIndex) -> int:
    """The counter of a random draw if it is in 0..2^32-1. Raises ValueError otherwise."""
    return _unsigned(op, argument, step, 32)


def check_device(op: str, device: str | torch.device) -> torch.device:
    """The device. Raises TypeError for what names none, ValueError for a name that torch does not know."""
    if not isinstance(device, str | torch.device):
        raise TypeError(f"[{op}] `device` must be a str or torch.device, got {type(device).__name__}")
    try:
        return torch.device(device)
    except RuntimeError:
        raise ValueError(f'[{op}] `device` must be "cpu" or "cuda", got {device!r}') from None


def refuse_copy(what: object, instead: str) -> NoReturn:
    """For `__reduce_ex__`: copies and pickles of an object would share its state in the core."""
    raise TypeError(f"{type(what).__name__} cannot be copied or pickled: {instead}")


def _integer(op: str, argument: str, value: SupportsIndex) -> int:
    if type(value) is int:
        return value
    try:
        if not isinstance(value, bool):
            return index(value)
    except (TypeError, RuntimeError):  # also tensors of several numbers or of none
        pass
    raise TypeError(f"[{op}] `{argument}` must be an int, got {type(value).__name__}")


def _unsigned(op: str, argument: str, value: SupportsIndex, bits: int) -> int:
    number = _integer(op, argument, value)
    if not 0 <= number < 1 << bits:
        raise ValueError(f"[{op}] `{argument}` must be in 0..2^{bits}-1, got {number}")
    return number
