"""How commands talk: plain lines, and one sentence for every error that a user can cause."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED = 2
INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


@dataclass(slots=True)
class Outcome:
    """How a command ended."""

    status: int = 0


def say(console: Console, text: str) -> None:
    """One line as it is: no markup, no colours, no wrapping."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def user_errors() -> Iterator[Outcome]:
    """Turns errors that a user can cause, and Ctrl-C, into a line on standard error and an exit status."""
    outcome = Outcome()
    try:
        yield outcome
    except (ValueError, OSError) as error:
        say(Console(stderr=True, style="red"), f"error: {error}")
        outcome.status = FAILED
    except KeyboardInterrupt:
        outcome.status = INTERRUPTED
