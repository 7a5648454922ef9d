"""`metrics.jsonl`: a line for every evaluation, each with a checksum of its own."""

from __future__ import annotations

import json
import statistics
import zlib
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ..errors import OmarError
from .decode import decode
from .files import append_line, parse_json, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHECK = "crc32"  # of the other entries of a line


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One line: how the policies of all seeds do after an update."""

    update: int
    seconds: float  # since the run began, interruptions left out
    returns: list[float]  # mean episode return of each seed
    scores: list[float]  # the same, normalized
    losses: dict[str, float] = field(default_factory=dict)  # terms of the last update, mean over members
    transitions: int | None = None  # online: collected so far by each seed
    errors: list[float] | None = None  # standard error of every return, over its episodes
    values: list[float] | None = None  # what the first critics say the policies' actions are worth, by seed
    discounted: list[float] | None = None  # what they turn out to be worth: returns discounted alike

    @property
    def mean(self) -> float:
        """Mean normalized score over the seeds."""
        return statistics.fmean(self.scores)

    @property
    def std(self) -> float:
        """Standard deviation of the normalized score over the seeds (population)."""
        return statistics.pstdev(self.scores)

    def line(self) -> str:
        """The text of the line: JSON, so every number is finite.

        Raises:
            ValueError: A number is not.
        """
        entries = asdict(self) | {"mean": self.mean, "std": self.std}
        return json.dumps({**entries, CHECK: _check(entries)}, allow_nan=False)


def append(path: Path, evaluation: Evaluation) -> None:
    """Adds a line and waits until the disk has it."""
    append_line(path, evaluation.line())


def write(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Writes the whole file anew."""
    write_atomically(path, "".join(f"{evaluation.line()}\n" for evaluation in evaluations).encode())


def read(path: Path) -> list[Evaluation]:
    """All evaluations; a last line that a kill cut short is left out.

    Raises:
        OmarError: Another line is damaged, or the lines are not in order.
    """
    if not path.is_file():
        return []
    found: list[Evaluation] = []
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number},"
        try:
            evaluation = _parse(line, where)
        except OmarError:
            if number < len(lines):
                raise
            break
        if found and evaluation.update <= found[-1].update:
            raise OmarError(f"{where} is damaged: its update is not after the one of the line before")
        found.append(evaluation)
    return found


def _parse(line: bytes, where: str) -> Evaluation:
    entries = parse_json(line, where)
    check = entries.pop(CHECK, None)
    if not line.endswith(b"\n") or check != _check(entries):
        raise OmarError(f"{where} is damaged: its checksum does not match its contents")
    names = [f.name for f in fields(Evaluation)]
    found = decode(Evaluation, {name: entries[name] for name in names if name in entries}, where)
    if not found.scores or len(found.scores) != len(found.returns):
        raise OmarError(f"{where} is damaged: it must have a return and a score of every seed")
    for name in ("errors", "values", "discounted"):
        if len(getattr(found, name) or found.scores) != len(found.scores):
            raise OmarError(f"{where} is damaged: `{name}` must have a number for every seed")
    return found


def _check(entries: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(entries, sort_keys=True).encode())
