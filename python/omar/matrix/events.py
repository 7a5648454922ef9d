"""What happens to cells, as messages: JSON texts between processes and machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .cell import Cell

Kind: TypeAlias = Literal["updated", "evaluated", "note", "done", "stopped", "failed"]
ENDS: tuple[Kind, ...] = ("done", "stopped", "failed")  # after one of these nothing happens to a cell


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a cell.

    Attributes:
        kind: updated and evaluated: progress; note: a sentence; done, stopped and failed: its end, for now.
        key: Of the cell.
        update: That it has reached.
        text: Of a note or an evaluation, the reason of a failure, the document of what is done.
    """

    kind: Kind
    key: str
    update: int = 0
    text: str = ""


class Tell(Protocol):
    """Passes on what happens to one cell."""

    def __call__(self, kind: Kind, *, update: int = 0, text: str = "") -> None:
        """As `Event`."""
        ...


class Crew(Protocol):
    """Who works on cells: processes of this machine, or a cluster."""

    def run(self, cells: Sequence[Cell], stop: Callable[[], bool]) -> Iterator[Event | None]:
        """Works on all cells, the first ones first.

        Args:
            cells: With different keys.
            stop: Asked a few times a second; True lets every cell stop between two updates.

        Yields:
            What happens, as it does; None a few times a second while nothing does. The last event of a cell
            is done, stopped or failed; a cell that was not begun when `stop` said so has none.
        """
        ...
