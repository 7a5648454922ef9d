"""What a training run is asked to be (`TrainConfig`), and everything that decides it (`RunConfig`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import torch
import tyro

from ..algorithms import AlgorithmName, Backbone, PresetName, get_algorithm
from ..errors import OmarError, SettingError
from ..runs import ranges
from ..runs.decode import check_types, decode, encode
from ..tasks import TaskName, get_task

MOST_SEEDS = 2**16
# By the preset or the task, where they are not given.
FILLED_IN = ("updates", "eval_every", "eval_episodes")
MOST_UPDATES = 2**32 - 1  # the counter of random numbers ends there

Source: TypeAlias = Annotated[str | tuple[str, ...], tyro.conf.arg(metavar="QUALITY|FOLDER [FOLDER ...]")]
Updates: TypeAlias = Annotated[int | None, tyro.conf.arg(metavar="INT")]
OfTheTask: TypeAlias = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
DataSeed: TypeAlias = Annotated[
    int | None,
    tyro.conf.arg(metavar="INT", help_behavior_hint="(default: training seed s uses dataset seed s)"),
]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A training: the task, the data, the algorithm and how long. What is not given is the preset's."""

    task: TaskName = "simple_spread"
    """Task to act in."""
    dataset: Source = "random"
    """A quality (random, medium-replay, medium, expert), made on first use; or a dataset's folder, or one for
    each seed."""
    algorithm: AlgorithmName = "omar"
    """Algorithm; its own options are listed below."""
    seeds: int = 3
    """Seeds trained together; seed s is the same however many are trained beside it."""
    updates: Updates = None
    """Updates of every agent; 0 only evaluates the policies that training would start from."""
    preset: PresetName = "released"
    """Hyper-parameters: released (the authors' code) or paper (its appendix B.1)."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda or cuda:1."""
    out: Annotated[
        Path | None,
        tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: runs/TASK-DATASET-ALGORITHM-TIME)"),
    ] = None
    """Folder of the run."""
    data_seed: DataSeed = None
    """Seed of one generated dataset that all training seeds share."""
    prey: Annotated[
        Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: the shipped one)")
    ] = None
    """File of the prey, in a task that has one: a policy file, or the authors' pretrained_adv_model.pt."""
    init_from: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Start from the networks of the run in this folder instead of random ones."""
    seed: int = 0
    """Base seed of all random numbers; a different one changes every training seed."""
    eval_every: OfTheTask = None
    """Updates between two evaluations; the first and the last policies are always evaluated. (default: 250;
    half_cheetah: 2500)"""
    eval_episodes: OfTheTask = None
    """Episodes of each seed in an evaluation. (default: 1000; half_cheetah: 50)"""
    checkpoint_every: int = 250
    """Updates between two checkpoints."""
    video: bool = False
    """Keep a short clip of the first seed's final policies, video.mp4 (needs omar[video])."""
    settings: tyro.conf.Suppress[Mapping[str, Any]] = field(default_factory=dict)
    """Settings of the backbone and of the algorithm by name, which replace the preset's."""

    def __post_init__(self) -> None:
        """Raises SettingError where a value has the wrong type, is out of range or names nothing known."""
        object.__setattr__(self, "dataset", _as_text(self.dataset))
        check_types(self)
        ranges.at_least(self, 1, "seeds", "eval_every", "eval_episodes", "checkpoint_every")
        ranges.between(self, 1, MOST_SEEDS, "seeds")
        ranges.between(self, 0, MOST_UPDATES, "updates")
        ranges.between(self, 0, 2**64 - 1, "seed", "data_seed")
        if isinstance(self.dataset, tuple) and len(self.dataset) not in (1, self.seeds):
            raise SettingError(
                "dataset",
                f"must name one dataset or one for each of {self.seeds} seeds, got {len(self.dataset)}",
            )

    @property
    def datasets(self) -> tuple[str, ...]:
        """The qualities or folders: one for all seeds, or one for each."""
        return (self.dataset,) if isinstance(self.dataset, str) else self.dataset

    @property
    def dataset_name(self) -> str:
        """What the data is called in titles: a quality, or the last part of the first folder."""
        return Path(self.datasets[0]).name


def _as_text(dataset: Any) -> Any:
    """The same with every path as text."""
    if isinstance(dataset, list | tuple):
        return tuple(map(_as_text, dataset))
    return str(dataset) if isinstance(dataset, Path) else dataset


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that decides a run; written to config.json.

    Attributes:
        options: As they were given, with the number of updates; `settings` are taken over below.
        backbone: Settings of the networks and optimisers.
        algorithm: The `Settings` of the algorithm.
    """

    options: TrainConfig
    backbone: Backbone
    algorithm: Any

    def __post_init__(self) -> None:
        """Raises SettingError where a number is open that a preset or the task has."""
        for name in FILLED_IN:
            if getattr(self.options, name) is None:
                raise SettingError(name, "must be an integer, got null")

    @property
    def updates(self) -> int:
        """Updates of every agent."""
        return self.options.updates or 0

    @property
    def eval_every(self) -> int:
        """Updates between two evaluations."""
        return self.options.eval_every or 1

    @property
    def eval_episodes(self) -> int:
        """Episodes of each seed in an evaluation."""
        return self.options.eval_episodes or 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a run's folder may move, so `out` is not among them."""
        prey = self.options.prey
        init = self.options.init_from
        options = encode(self.options) | {
            "prey": None if prey is None else str(prey.resolve()),
            "init_from": None if init is None else str(init.resolve()),
        }
        del options["out"], options["settings"]
        return {
            "options": options,
            "backbone": encode(self.backbone),
            "algorithm": encode(self.algorithm),
        }

    @staticmethod
    def from_dict(raw: Mapping[str, Any], folder: Path) -> RunConfig:
        """The config that `to_dict` gave, of the run in a folder.

        Raises:
            OmarError: An entry is missing, unknown, of the wrong type or out of range.
        """
        where = str(folder / "config.json")
        for name in ("options", "backbone", "algorithm"):
            if name not in raw:
                raise OmarError(f"{where} does not describe a run: `{name}` is missing")
        options = raw["options"]
        if isinstance(options, Mapping):
            options = {"out": str(folder), "settings": {}, **options}
        train = decode(TrainConfig, options, where, at="options")
        for name in FILLED_IN:
            if getattr(train, name) is None:
                raise OmarError(f"{where}: `options.{name}` must be an integer, got null")
        settings: type[Any] = get_algorithm(train.algorithm).Settings
        return RunConfig(
            replace(train, out=folder, settings={}),
            decode(Backbone, raw["backbone"], where, at="backbone"),
            decode(settings, raw["algorithm"], where, at="algorithm"),
        )


def resolve(config: TrainConfig, quality: str) -> RunConfig:
    """Fills in the preset of the algorithm, then the settings that were given.

    Args:
        config: What was asked for.
        quality: Of the dataset; a quality the task does not list gets the settings of `random`.

    Raises:
        OmarError: A setting that the algorithm does not have, of the wrong type or out of range.
    """
    preset = get_algorithm(config.algorithm).preset(config.task, quality, config.preset)
    parts = {name: _names(part) for name, part in (("own", preset.settings), ("shared", preset.backbone))}
    for name in config.settings:
        if not any(name in names for names in parts.values()):
            known = ", ".join(name for names in parts.values() for name in names)
            raise OmarError(f"{config.algorithm} has no setting {name!r}: expected one of {known}")
    own, shared = ({n: v for n, v in config.settings.items() if n in names} for names in parts.values())
    task = get_task(config.task)
    return RunConfig(
        replace(
            config,
            updates=preset.updates if config.updates is None else config.updates,
            eval_every=config.eval_every or task.eval_every,
            eval_episodes=config.eval_episodes or task.eval_episodes,
            settings={},
        ),
        replace(preset.backbone, **shared),
        replace(preset.settings, **own),
    )


def _names(settings: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(settings)]


def device(name: str) -> torch.device:
    """The device of that name; `auto` is the GPU where there is one.

    Raises:
        OmarError: No such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda") or str(found).startswith("cpu:"):
        raise OmarError(f"unknown device {name!r}: expected auto, cpu, cuda or cuda:1")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise OmarError(f"--device {name}: torch finds no such CUDA device on this machine")
    return found


__all__ = ["RunConfig", "TrainConfig", "device", "resolve"]
