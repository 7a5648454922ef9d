"""What a cell came to, as a small JSON file: the result, the same whenever it is run, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import OmarError
from ..runs.decode import decode, encode
from ..runs.files import digest, parse_json, read_json, seal, to_json, unseal
from ..tasks import get_task, normalized_score

if TYPE_CHECKING:
    from pathlib import Path

    from ..data import Dataset
    from ..runs.metrics import Evaluation

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class DataCard:
    """Figures of a seed's data set."""

    seed: int
    sha256: str
    transitions: int
    episodes: int
    return_mean: float
    return_std: float
    normalized_mean: float
    quantiles: tuple[float, ...]  # of the episode returns, at QUANTILES

    @staticmethod
    def of(dataset: Dataset, seed: int) -> DataCard:
        """Reads the rewards of a data set."""
        returns = dataset.episode_returns()
        scores = normalized_score(get_task(dataset.task), returns, dataset.manifest.references)
        return DataCard(
            seed,
            dataset.manifest.sha256,
            len(dataset),
            len(returns),
            float(returns.mean()),
            float(returns.std()),
            float(np.mean(scores)),
            tuple(np.quantile(returns, QUANTILES).tolist()),
        )


@dataclass(frozen=True, slots=True)
class Point:
    """An evaluation; each list has a number for every seed."""

    update: int
    returns: tuple[float, ...]
    scores: tuple[float, ...]  # normalized
    errors: tuple[float, ...] | None  # standard error of every return, over its episodes
    values: tuple[float, ...] | None  # what critics say the policies' actions are worth
    discounted: tuple[float, ...] | None  # what they turn out to be worth

    @staticmethod
    def of(evaluation: Evaluation) -> Point:
        """The numbers of an evaluation that do not depend on the time it took."""
        e = evaluation
        lists = (e.returns, e.scores, e.errors, e.values, e.discounted)
        returns, scores, *others = (None if each is None else tuple(each) for each in lists)
        return Point(e.update, returns or (), scores or (), *others)


@dataclass(frozen=True, slots=True)
class CellResult:
    """What a cell came to. The same configuration gives the same result, whoever runs it and how."""

    configuration: Mapping[str, Any]
    evaluations: tuple[Point, ...]  # in order of updates
    datasets: tuple[DataCard, ...]

    def __post_init__(self) -> None:
        """Raises OmarError where an evaluation lacks a seed, or there is none."""
        seeds = len(self.datasets)
        if not self.evaluations:
            raise OmarError("there must be an evaluation")
        for point in self.evaluations:
            for each in (point.returns, point.scores, point.errors, point.values, point.discounted):
                if each is not None and (len(each) != seeds or seeds < 1):
                    raise OmarError("every list of an evaluation must have a number for every seed")

    @property
    def last(self) -> Point:
        """The final evaluation, which is the cell's score; no other one is ever chosen."""
        return self.evaluations[-1]


@dataclass(frozen=True, slots=True)
class Made:
    """How a result was made; not compared."""

    seconds: float  # of training and evaluating the stack of all seeds
    finished: str  # UTC
    device: str
    threads: int
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Document:
    """The file of a cell."""

    format: Literal[1]
    result: CellResult
    made: Made

    @property
    def key(self) -> str:
        """Checksum of the configuration."""
        return digest(self.result.configuration)

    def to_json(self) -> bytes:
        """The bytes of the file."""
        return to_json(seal(encode(self)))

    @staticmethod
    def read(path: Path) -> Document:
        """The document in a file.

        Raises:
            OmarError: It is damaged.
            OSError: It cannot be read.
        """
        return _decode(read_json(path), str(path))

    @staticmethod
    def parse(data: bytes, where: str) -> Document:
        """The document that `to_json` wrote.

        Raises:
            OmarError: It is damaged.
        """
        return _decode(parse_json(data, where), where)


def _decode(entries: dict[str, Any], where: str) -> Document:
    return decode(Document, unseal(entries, where), where)
