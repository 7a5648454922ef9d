"""What all commands share: errors as one sentence, and text to standard output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, TypeAlias

import tyro

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DataSeed: TypeAlias = Annotated[int, tyro.conf.arg(aliases=["--data-seed"])]

USAGE_ERROR = 2
INTERRUPTED = 130


def run(command: Callable[[], int]) -> int:
    """Runs a command; what a user can provoke becomes one sentence on standard error.

    Returns:
        The exit status: the command's own, 2 for a user's error, 130 for Ctrl-C.
    """
    try:
        return command()
    except (ValueError, TypeError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED


def run_one_of(
    commands: Mapping[str, Callable[..., Callable[[], int]]],
    arguments: list[str] | None,
    *,
    prog: str,
    about: str | None,
) -> int:
    """Runs the command that the first argument names, with the options that its class declares."""
    command = tyro.extras.subcommand_cli_from_dict(
        dict(commands), args=arguments, prog=prog, description=about
    )
    return run(command)


def say(text: str) -> None:
    """Writes a line to standard output."""
    sys.stdout.write(text + "\n")
