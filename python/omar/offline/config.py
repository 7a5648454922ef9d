"""The settings of a training run: the command line, the presets, and what a run's folder records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import torch
import tyro

from ..algorithms import ALGORITHMS, Backbone, get_algorithm
from ..tasks import PRESETS, QUALITIES, get_task, hyper_parameters
from .graphs import check_setting

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """Trains offline multi-agent policies on a dataset, several seeds at once, and evaluates them."""

    task: str = "simple_spread"
    """Task: simple_spread, simple_tag or simple_world."""
    dataset: str = "random"
    """A quality (random, medium-replay, medium, expert), made on first use, or a dataset's folder."""
    algorithm: str = "omar"
    """Algorithm: omar or cql."""
    seeds: int = 3
    """Seeds trained together; seed s is the same however many are trained beside it."""
    updates: int = 2000
    """Updates of every agent; 0 only evaluates the policies that training would start from."""
    preset: str = "released"
    """Hyper-parameters: released (the authors' code) or paper (its appendix B.1)."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda or cuda:1."""
    cuda_graph: str = "off"
    """Updates captured in a CUDA graph: on, off or auto (on CUDA). Not yet run on a GPU."""
    out: Path | None = None
    """Folder of the run; runs/TASK-DATASET-ALGORITHM-TIME when not given."""
    resume: Path | None = None
    """Continue the run in this folder, with the settings it was started with."""
    data_seed: int | None = None
    """One dataset seed for all; when not given, training seed s uses dataset seed s."""
    prey: Path | None = None
    """File of the prey to chase (a policy file or the authors' pretrained_adv_model.pt); else the shipped."""
    seed: int = 0
    """Key of every random number of the training: another one gives another set of seeds."""
    eval_every: int = 250
    """Updates between two evaluations; the first and the last policies are always evaluated."""
    eval_episodes: int = 1000
    """Episodes of each seed in an evaluation."""
    checkpoint_every: int = 250
    """Updates between two checkpoints."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that decides a run; written to config.json."""

    options: TrainOptions
    backbone: Backbone
    algorithm: Any  # the Settings of options.algorithm

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        options = dataclasses.asdict(self.options)
        del options["resume"], options["out"]
        options["prey"] = None if self.options.prey is None else str(self.options.prey.resolve())
        return {
            "options": options,
            "backbone": dataclasses.asdict(self.backbone),
            "algorithm": dataclasses.asdict(self.algorithm),
        }

    @staticmethod
    def from_dict(raw: Mapping[str, Any], folder: Path) -> RunConfig:
        """The config that `to_dict` gave.

        Raises:
            ValueError: An entry is missing, unknown or out of range.
        """
        try:
            prey = raw["options"].get("prey")
            given = raw["options"] | {"prey": None if prey is None else Path(prey)}
            options = TrainOptions(**given, out=folder)
            settings = get_algorithm(options.algorithm).Settings
            return RunConfig(options, Backbone(**raw["backbone"]), settings(**raw["algorithm"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder / 'config.json'} does not describe a run: {error}") from None


def _setting_types() -> dict[str, tuple[Any, str]]:
    """Type and help line of every setting of the backbone and of all algorithms, by name."""
    found: dict[str, tuple[Any, str]] = {}
    every: list[type[Any]] = [Backbone, *(algorithm.Settings for algorithm in ALGORITHMS.values())]
    for settings in every:
        hints = get_type_hints(settings)
        for f in fields(settings):
            found.setdefault(f.name, (hints[f.name], f.metadata["help"]))
    return found


def _from_preset(text: str) -> Any:
    return tyro.conf.arg(help=text, help_behavior_hint="(default: the preset's)")


def parse(arguments: list[str] | None = None) -> tuple[TrainOptions, dict[str, Any]]:
    """Reads the command line.

    Returns:
        The options, and the settings that were given on the command line by name.
    """
    overrides = dataclasses.make_dataclass(
        "Settings",
        [
            (name, Annotated[kind | None, _from_preset(text)], field(default=None))
            for name, (kind, text) in _setting_types().items()
        ],
        frozen=True,
    )
    command: Any = dataclasses.make_dataclass("Command", [("run", TrainOptions), ("settings", overrides)])
    parsed: Any = tyro.cli(
        command,
        config=(tyro.conf.OmitArgPrefixes,),
        args=arguments,
        prog="python -m omar.train",
        description=TrainOptions.__doc__,
    )
    named = {f.name: getattr(parsed.settings, f.name) for f in fields(overrides)}
    return parsed.run, {name: value for name, value in named.items() if value is not None}


def check(options: TrainOptions) -> None:
    """Refuses options that no run can have.

    Raises:
        ValueError: Names the option, what was expected and what came.
    """
    get_task(options.task)
    get_algorithm(options.algorithm)
    if options.preset not in PRESETS:
        raise ValueError(f"unknown preset {options.preset!r}: expected one of {', '.join(PRESETS)}")
    for name, least in (
        ("seeds", 1),
        ("updates", 0),
        ("seed", 0),
        ("eval_every", 1),
        ("eval_episodes", 1),
        ("checkpoint_every", 1),
    ):
        value = getattr(options, name)
        if value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
    if options.data_seed is not None and options.data_seed < 0:
        raise ValueError(f"--data-seed must be at least 0, got {options.data_seed}")
    check_setting(options.cuda_graph, device(options.device))


def device(name: str) -> torch.device:
    """The device of that name; `auto` is the GPU where there is one.

    Raises:
        ValueError: No such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
    except RuntimeError:
        raise ValueError(f"unknown device {name!r}: expected auto, cpu, cuda or cuda:1") from None
    if found.type not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {name!r}: expected auto, cpu, cuda or cuda:1")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {name} was asked for, but torch sees no such CUDA device here")
    return found


def resolve(options: TrainOptions, given: Mapping[str, Any], quality: str) -> RunConfig:
    """Adds the preset's hyper-parameters, then those given on the command line.

    Args:
        options: Checked options.
        given: Settings by name that replace the preset's.
        quality: Of the dataset; a quality the task does not list gets the settings of `random`.

    Raises:
        ValueError: A setting that the algorithm does not have, or one out of range.
    """
    task = get_task(options.task)
    listed = quality if quality in task.qualities else QUALITIES[0]
    preset = dataclasses.asdict(hyper_parameters(task, listed, options.preset))
    settings = get_algorithm(options.algorithm).Settings
    known = {f.name for f in fields(Backbone)} | {f.name for f in fields(settings)}
    for name in given:
        if name not in known:
            raise ValueError(f"--{name.replace('_', '-')} is no setting of {options.algorithm}")
    values = preset | dict(given)
    return RunConfig(options, _pick(Backbone, values), _pick(settings, values))


def _pick(settings: type[T], values: Mapping[str, Any]) -> T:
    """Settings from those of the values that they have."""
    names = {f.name for f in fields(settings)}  # type: ignore[arg-type]
    return settings(**{name: value for name, value in values.items() if name in names})


def changed(options: TrainOptions) -> list[str]:
    """Names of the options that differ from their defaults, as the command line spells them."""
    result = []
    for f in fields(options):
        default = f.default if f.default is not MISSING else None
        if getattr(options, f.name) != default:
            result.append(f"--{f.name.replace('_', '-')}")
    return result


__all__ = ["RunConfig", "TrainOptions", "changed", "check", "device", "parse", "resolve"]
