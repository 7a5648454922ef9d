"""The command line of `python -m omar.train`: the options of the chosen algorithm, with their true defaults.

Which algorithm, task, dataset and preset are chosen is read first; the rest follows from them.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..algorithms import ALGORITHMS, PRESETS, Backbone
from ..data.manifest import read_manifest
from ..errors import OmarError
from ..runs.files import expand_user
from ..tasks import ALL_TASKS, QUALITIES
from ..terminal.cli import spelled
from .config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

ABOUT = """Trains offline multi-agent policies on a dataset, several seeds at once, and evaluates them.

The defaults below are those of {algorithm} on {dataset} data of {task}, preset {preset}.
Give --algorithm, --task, --dataset or --preset beside --help for those of another choice."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """Options that take up a run instead of beginning one."""

    resume: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Continue the run in this folder, with the settings it was started with. --updates extends it, --dataset
    says where its dataset is now."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """A command line that begins a run."""

    config: TrainConfig


@dataclass(frozen=True, slots=True)
class Resumption:
    """A command line that takes up a run."""

    path: Path
    dataset: str | tuple[str, ...] | None  # None: where the run says
    updates: int | None  # None: as many as the run was begun with


TAKEN_ALONG = ("resume", "dataset", "updates")  # options that go together


def parse(arguments: Sequence[str] | None = None) -> NewRun | Resumption:
    """Reads the command line; usage errors and `--help` end the program.

    Raises:
        OmarError: An option of another algorithm, or one that does not go with --resume; a value out of
            range.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = _first_choices(words)
    algorithm = ALGORITHMS[chosen.algorithm]
    quality = _quality(chosen.datasets[0])
    preset = algorithm.preset(chosen.task, quality, chosen.preset)
    given = frozenset(_name(word) for word in words if word.startswith("--"))
    _refuse_options_of_others(given, chosen.algorithm)
    parts = {
        "training": replace(chosen, updates=preset.updates),
        "continuing": Continuation(),
        "backbone": preset.backbone,
        chosen.algorithm: preset.settings,
    }
    unchecked = {name: _unchecked(part) for name, part in parts.items()}
    command: Any = dataclasses.make_dataclass("Command", [(n, type(part)) for n, part in unchecked.items()])
    parsed: Any = tyro.cli(
        command,
        default=command(**unchecked),
        config=(tyro.conf.OmitArgPrefixes,),
        args=words,
        prog="python -m omar.train",
        description=ABOUT.format(
            algorithm=chosen.algorithm, dataset=quality, task=chosen.task, preset=chosen.preset
        ),
    )
    settings = {
        f.name: getattr(part, f.name)
        for part in (parsed.backbone, getattr(parsed, chosen.algorithm))
        for f in fields(part)
        if f.name in given
    }
    entries = {f.name: getattr(parsed.training, f.name) for f in fields(TrainConfig)}
    entries["settings"] = settings
    if "updates" not in given:
        entries["updates"] = None
    path = parsed.continuing.resume
    if path is None:
        return NewRun(TrainConfig(**entries))
    others = sorted(spelled(name) for name in given.difference(TAKEN_ALONG))
    if others:
        raise OmarError(f"--resume keeps the settings of the run: leave out {', '.join(others)}")
    return Resumption(path, entries["dataset"] if "dataset" in given else None, entries["updates"])


def _name(word: str) -> str:
    """The field that an option sets."""
    return word.removeprefix("--").partition("=")[0].replace("-", "_")


def _first_choices(words: list[str]) -> TrainConfig:
    """The algorithm, task, dataset and preset of a command line; the default where one is wrong.

    What is wrong is found again, and said, when the whole line is parsed.
    """
    choices: dict[str, tuple[str, ...]] = {
        "task": tuple(ALL_TASKS),
        "algorithm": tuple(ALGORITHMS),
        "preset": PRESETS,
    }
    found: dict[str, Any] = {}
    for word, following in zip(words, [*words, ""][1:], strict=True):
        name, value = _name(word), word.partition("=")[2] if "=" in word else following
        if word.startswith("--") and (name == "dataset" or value in choices.get(name, ())):
            found[name] = value
    return replace(TrainConfig(), **found)


def _quality(dataset: str) -> str:
    """The quality of a dataset that may not be there yet; `random` where nothing says it."""
    if dataset in QUALITIES:
        return dataset
    try:
        return read_manifest(expand_user(dataset)).quality
    except (OmarError, OSError):
        return QUALITIES[0]


def _refuse_options_of_others(given: frozenset[str], algorithm: str) -> None:
    known = {f.name for settings in (Backbone, ALGORITHMS[algorithm].Settings) for f in fields(settings)}
    for name in sorted(given - known):
        owners = [a for a, found in ALGORITHMS.items() if name in {f.name for f in fields(found.Settings)}]
        if owners:
            *others, last = owners
            named = f"{', '.join(others)} and {last}" if others else last
            raise OmarError(f"{spelled(name)} is an option of {named}, not of {algorithm}")


def _unchecked(settings: Any) -> Any:
    """The same values in a class that checks no ranges.

    tyro would turn an error of a nested class into a usage error about the class; ranges are checked later.
    """
    kind, names = type(settings), [f.name for f in fields(settings)]
    body = {"__slots__": (), "__post_init__": lambda self: None}
    return type(kind.__name__, (kind,), body)(**{name: getattr(settings, name) for name in names})


__all__ = ["NewRun", "Resumption", "parse"]
