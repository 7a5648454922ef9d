"""What others published on the same data sets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..runs.decode import decode
from ..runs.files import read_json
from ..tasks import TASKS

FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True, slots=True)
class Published:
    """A mean normalized score."""

    method: str
    source: str
    task: str
    quality: str
    mean: float
    caveat: str = ""  # why it is not comparable; such a figure is never the best


@dataclass(frozen=True, slots=True)
class _File:
    note: str
    scores: tuple[Published, ...]


@cache
def published(task: str, quality: str) -> tuple[Published, ...]:
    """All figures of a data set, the highest first."""
    listed = decode(_File, read_json(FILE), str(FILE), defaults=True).scores
    own = TASKS[task].qualities[quality].best
    found = [p for p in listed if (p.task, p.quality) == (task, quality)]
    if own is not None:
        found.append(Published(own.source, "best decentralised", task, quality, own.mean))
    return tuple(sorted(found, key=lambda p: -p.mean))


def best(task: str, quality: str) -> Published:
    """The highest comparable figure of a data set."""
    return next(found for found in published(task, quality) if not found.caveat)
