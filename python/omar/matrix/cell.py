"""A cell of the matrix: one algorithm on one data set of a task, with all seeds, and what decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..algorithms import AlgorithmName, PresetName
from ..data import ensure_dataset
from ..data.generate import make_plan
from ..data.manifest import FORMAT_VERSION, recipe_sha256
from ..offline.config import TrainConfig, resolve
from ..runs.decode import check_types
from ..runs.files import digest
from ..tasks import QualityName, TaskName

if TYPE_CHECKING:
    from ..data import Dataset
    from ..offline.config import RunConfig

CELL_VERSION = 2  # raised whenever the same configuration would come to another result
KEY = 12  # hexadecimal digits of a configuration's checksum that name its files
# Options of a run that decide its result; what else decides it is the data and the settings of the algorithm.
OPTIONS = ("task", "algorithm", "seeds", "updates", "seed", "eval_every", "eval_episodes")


@dataclass(frozen=True, slots=True)
class Cell:
    """What to train: seed s of the algorithm learns from data seed s."""

    task: TaskName
    quality: QualityName
    algorithm: AlgorithmName
    seeds: int = 5
    updates: int | None = None  # None: the preset's
    preset: PresetName = "released"
    eval_every: int | None = None  # None: the task's
    eval_episodes: int | None = None  # None: the task's
    settings: Mapping[str, Any] = field(default_factory=dict)  # replace the preset's
    steps: int | None = None  # transitions of each data set; None: as many as the published one has
    device: str = "auto"  # decides no more than the last bits
    checkpoint_every: int = 250  # updates; decides nothing

    def __post_init__(self) -> None:
        """Raises SettingError where a value has the wrong type or is out of range."""
        check_types(self)
        self.train_config()

    @property
    def name(self) -> str:
        """What the cell is called; other settings do not change it."""
        return f"{self.task}-{self.quality}-{self.algorithm}"

    @property
    def key(self) -> str:
        """The first digits of the checksum of the configuration: cells with the same key are the same."""
        return digest(self.configuration())[:KEY]

    def train_config(self, out: Path | None = None) -> TrainConfig:
        """The run that trains the cell, into the folder `out`; of the published size of data."""
        return TrainConfig(
            task=self.task,
            dataset=self.quality,
            algorithm=self.algorithm,
            seeds=self.seeds,
            updates=self.updates,
            preset=self.preset,
            device=self.device,
            out=out,
            checkpoint_every=self.checkpoint_every,
            eval_every=self.eval_every,
            eval_episodes=self.eval_episodes,
            settings=self.settings,
        )

    def resolved(self) -> RunConfig:
        """The run with every setting filled in.

        Raises:
            OmarError: A setting that the algorithm does not have, of the wrong type or out of range.
        """
        return resolve(self.train_config(), self.quality)

    def configuration(self) -> dict[str, Any]:
        """Everything that decides the result, as JSON values.

        Where the cell is run, by how many workers and threads, decides no more than the last bits.
        """
        run = self.resolved().to_dict()
        return {
            "versions": {"cell": CELL_VERSION, "omar": metadata.version("omar")},
            "options": {name: run["options"][name] for name in OPTIONS},
            "backbone": run["backbone"],
            "settings": run["algorithm"],
            "quality": self.quality,
            "datasets": [_recipe(self.task, self.quality, s, self.steps) for s in range(self.seeds)],
        }

    def datasets(self) -> list[Dataset]:
        """The data set of every seed, generated where it is not there."""
        return [ensure_dataset(self.task, self.quality, seed, steps=self.steps) for seed in range(self.seeds)]


@cache
def _recipe(task: str, quality: str, seed: int, steps: int | None) -> str:
    """Checksum of what decides a data set's bytes."""
    return recipe_sha256(make_plan(task, quality, seed, steps=steps).recipe() | {"format": FORMAT_VERSION})
