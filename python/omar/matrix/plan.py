"""Which cells there are, and which of them are asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ..algorithms import ALGORITHMS, PresetName
from ..envs import HALF_CHEETAH
from ..errors import OmarError
from ..tasks import QUALITIES, TASKS, get_task
from .cell import Cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tasks import QualityName

MATRIX = "matrix"
# Hours on a CPU, not days.
PARTICLE_TASKS = tuple(name for name, task in TASKS.items() if task.environment != HALF_CHEETAH)
Entries: TypeAlias = "Callable[[Lengths], tuple[Entry, ...]]"


@dataclass(frozen=True, slots=True)
class Entry:
    """A cell of a plan."""

    cell: Cell
    variant: str = ""  # what an ablation calls its setting, such as "tau 0.5"

    @property
    def title(self) -> str:
        """How people read it."""
        cell = self.cell
        return f"{cell.task} {cell.quality} {cell.algorithm}" + (f", {self.variant}" if self.variant else "")


@dataclass(frozen=True, slots=True)
class Lengths:
    """What all cells of a plan share."""

    seeds: int = 5
    updates: int | None = None
    preset: PresetName = "released"
    eval_every: int | None = None
    eval_episodes: int | None = None
    device: str = "auto"

    def cell(self, task: str, quality: QualityName, algorithm: str, **more: object) -> Cell:
        """A cell of these lengths."""
        own = {name: getattr(self, name) for name in self.__slots__}
        return Cell(task=task, quality=quality, algorithm=algorithm, **own | more)


@dataclass(frozen=True, slots=True)
class Plan:
    """All cells of a matrix, and those to work on now."""

    name: str  # "matrix", or "ablation-" and its name
    entries: tuple[Entry, ...]
    selected: tuple[Entry, ...]
    lengths: Lengths
    make: Entries  # what gave `entries`

    @staticmethod
    def of(name: str, make: Entries, lengths: Lengths, only: str) -> Plan:
        """A plan of the cells that a function makes, of which a text chooses some, as `choose` takes it.

        Raises:
            OmarError: `only` is no choice of cells.
        """
        entries = make(lengths)
        return Plan(name, entries, choose(entries, only), lengths, make)

    @property
    def tasks(self) -> set[str]:
        """Names of the tasks of all cells."""
        return {entry.cell.task for entry in self.entries}

    def differing(self, other: Lengths) -> dict[str, object]:
        """What other lengths have, by name, where it would make other cells: a default may be spelled out."""
        have = {name: getattr(other, name) for name in Lengths.__slots__ if name != "device"}
        changed = {name: value for name, value in have.items() if value != getattr(self.lengths, name)}
        if not self._changes(**changed):
            return {}
        return {name: value for name, value in changed.items() if self._changes(**{name: value})} or changed

    def _changes(self, **lengths: Any) -> bool:
        """Whether the cells would be others with these lengths."""
        made = self.make(replace(self.lengths, **lengths))
        return [entry.cell.key for entry in made] != [entry.cell.key for entry in self.entries]


def matrix(lengths: Lengths, only: str = "", tasks: tuple[str, ...] = PARTICLE_TASKS) -> Plan:
    """Every registered algorithm on every data set of the tasks that it suits.

    Args:
        lengths: Of every cell.
        only: Which of them to work on, as `choose` takes it.
        tasks: Names of the tasks.

    Raises:
        OmarError: `only` is no choice of cells.
    """

    def make(lengths: Lengths) -> tuple[Entry, ...]:
        return tuple(
            Entry(lengths.cell(task, quality, algorithm))
            for task in dict.fromkeys(tasks)
            for quality in QUALITIES
            if quality in get_task(task).qualities
            for algorithm, kind in ALGORITHMS.items()
            if kind.suits(get_task(task))
        )

    return Plan.of(MATRIX, make, lengths, only)


def choose(entries: tuple[Entry, ...], only: str) -> tuple[Entry, ...]:
    """The cells that a text chooses: `task=simple_tag,quality=expert,quality=medium`.

    Args:
        entries: To choose from.
        only: Names and values; several values of one name are alternatives. Empty: all.

    Raises:
        OmarError: A part that is not NAME=VALUE, an unknown name or value, or no cell is left.
    """
    known = {
        name: {getattr(entry.cell, name): None for entry in entries}
        for name in ("task", "quality", "algorithm")
    }
    known["variant"] = {entry.variant: None for entry in entries if entry.variant}
    wanted: dict[str, set[str]] = {}
    for part in filter(None, only.split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in known:
            raise OmarError(f"--only takes parts like task=simple_tag,quality=expert, got {part.strip()!r}")
        if value not in known[name]:
            listed = ", ".join(known[name]) or "none here"
            raise OmarError(f"--only: unknown {name} {value!r}, expected one of: {listed}")
        wanted.setdefault(name, set()).add(value)
    chosen = tuple(
        entry
        for entry in entries
        if all(
            (entry.variant if name == "variant" else getattr(entry.cell, name)) in values
            for name, values in wanted.items()
        )
    )
    if not chosen:
        raise OmarError(f"--only {only} leaves no cell")
    return chosen
