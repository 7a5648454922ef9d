"""What all commands share: errors as one sentence, and text to standard output."""

from __future__ import annotations

import io
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import torch
import tyro

from ..errors import OmarError, SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DataSeed: TypeAlias = Annotated[int, tyro.conf.arg(aliases=["--data-seed"])]
# Options that are left out unless they are given: their help names the default where there is one.
OptionalFile: TypeAlias = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]
OptionalFolder: TypeAlias = Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")]
OptionalInt: TypeAlias = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
OptionalName: TypeAlias = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")]

USAGE_ERROR = 2
BUG = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended


def run(command: Callable[[], int]) -> int:
    """Runs a command, from the parsing of its options on.

    What a user can cause is one sentence on standard error. Anything else is a bug of this program and shows
    where it happened.

    Returns:
        The exit status: the command's own, 2 for a user's error, 70 for a bug, 130 for Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = command()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone: what is left of it goes nowhere, so that the exit is silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (OmarError, OSError, MemoryError, torch.OutOfMemoryError) as error:
        sys.stderr.write(f"error: {in_one_line(sentence(error))}\n")
        return USAGE_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except Exception:  # a bug, whatever it is
        traceback.print_exc()
        sys.stderr.write("this is a bug in omar: please report it with the lines above\n")
        return BUG
    return status


def sentence(error: Exception) -> str:
    """What a user is told of an error that is no bug."""
    if isinstance(error, SettingError):
        return f"{spelled(error.name)} {error.problem}"
    if isinstance(error, OmarError):
        return str(error)
    if isinstance(error, OSError):
        known = [str(part) for part in (error.filename, error.strerror) if part is not None]
        return ": ".join(known) or str(error)
    return "there is not enough memory for these sizes"


def in_one_line(text: str) -> str:
    """A text whose line breaks, such as those in a file's name, are spelled out."""
    return text.replace("\n", "\\n").replace("\r", "\\r")


def spelled(name: str) -> str:
    """A field's name as the command line spells it."""
    return f"--{name.replace('_', '-')}"


def run_options(
    options: Callable[..., Callable[[], int]],
    arguments: Sequence[str] | None,
    *,
    prog: str,
    about: str | None = None,
) -> int:
    """Runs the command whose options a class declares; its own docstring describes it unless `about` does."""

    def parse_and_run() -> int:
        command: Callable[[], int] = tyro.cli(options, args=arguments, prog=prog, description=about)
        return command()

    return run(parse_and_run)


def run_one_of(
    commands: Mapping[str, Callable[..., Callable[[], int]]],
    arguments: Sequence[str] | None,
    *,
    prog: str,
    about: str | None,
) -> int:
    """Runs the command that the first argument names, with the options that its class declares."""
    words = list(sys.argv[1:] if arguments is None else arguments)

    def parse_and_run() -> int:
        command: Callable[[], int]
        if words and words[0] in commands:  # so that an error of the class stays one, and names its option
            command = tyro.cli(commands[words[0]], args=words[1:], prog=f"{prog} {words[0]}")
        else:
            command = tyro.extras.subcommand_cli_from_dict(
                dict(commands), args=words, prog=prog, description=about
            )
        return command()

    return run(parse_and_run)


def say(text: str) -> None:
    """Writes a line to standard output."""
    sys.stdout.write(text + "\n")
