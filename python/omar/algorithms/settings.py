"""Fields of settings: a default and a line of help, from which the command line is made."""

from __future__ import annotations

from dataclasses import field
from typing import TypeVar

T = TypeVar("T")


def setting(default: T, text: str) -> T:
    """A dataclass field with a default and a line that says what it is and where its value comes from."""
    result: T = field(default=default, metadata={"help": text})
    return result
