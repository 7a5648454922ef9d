"""Ranges of settings: each check names the field, what is allowed and what came."""

from __future__ import annotations

from typing import Any

from ..errors import SettingError


def at_least(settings: Any, least: float, *names: str) -> None:
    """Checks that the named fields are `least` or more; None counts as not given.

    Raises:
        SettingError: One is less.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and not value >= least:
            raise SettingError(name, f"must be at least {least}, got {value}")


def positive(settings: Any, *names: str) -> None:
    """Checks that the named fields are greater than 0.

    Raises:
        SettingError: One is not.
    """
    for name in names:
        if not getattr(settings, name) > 0:
            raise SettingError(name, f"must be greater than 0, got {getattr(settings, name)}")


def between(settings: Any, least: float, most: float, *names: str, brackets: str = "[]") -> None:
    """Checks that the named fields lie between two numbers; None counts as not given.

    Args:
        settings: Has the fields.
        least: Lower end.
        most: Upper end.
        names: Of the fields.
        brackets: "[" and "]" include an end, "(" and ")" leave it out.

    Raises:
        SettingError: One lies outside.
    """
    for name in names:
        value = getattr(settings, name)
        if value is None:
            continue
        above = value > least if brackets[0] == "(" else value >= least
        below = value < most if brackets[1] == ")" else value <= most
        if not (above and below):
            span = f"{brackets[0]}{least}, {most}{brackets[1]}"
            raise SettingError(name, f"must be in {span}, got {value}")
