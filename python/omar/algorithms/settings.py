"""Fields of settings: a default and a line of help, from which the command line is made."""

from __future__ import annotations

from dataclasses import field
from typing import Any, TypeVar

T = TypeVar("T")


def setting(default: T, text: str) -> T:
    """A dataclass field with a default and a line that says what it is and where its value comes from."""
    result: T = field(default=default, metadata={"help": text})
    return result


def check_learner(settings: Any, *, positive: tuple[str, ...], penalty: str) -> None:
    """Checks what the settings of every actor-critic share: gamma, the Polyak rate and a penalty's weight.

    Args:
        settings: Has `gamma`, `polyak_rate` and the fields named below.
        positive: Fields that must be greater than 0.
        penalty: Field that must be at least 0.

    Raises:
        ValueError: A field is out of range.
    """
    for name in positive:
        if not getattr(settings, name) > 0:
            raise ValueError(f"{name} must be greater than 0, got {getattr(settings, name)}")
    if not 0 <= settings.gamma < 1:
        raise ValueError(f"gamma must be in [0, 1), got {settings.gamma}")
    if not 0 < settings.polyak_rate <= 1:
        raise ValueError(f"polyak_rate must be in (0, 1], got {settings.polyak_rate}")
    if not getattr(settings, penalty) >= 0:
        raise ValueError(f"{penalty} must be at least 0, got {getattr(settings, penalty)}")
