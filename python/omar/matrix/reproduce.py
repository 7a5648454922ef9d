"""Working through a plan: what is cached is taken, the rest is trained, and what fails does not stop it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ..errors import OmarError
from .document import Document
from .events import ENDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .events import Crew
    from .folder import MatrixFolder
    from .plan import Entry, Plan


class Listener(Protocol):
    """Is told how a matrix goes on."""

    def began(self, cached: int, waiting: list[Entry]) -> None:
        """Cells that were done before, and those to train, in their order."""
        ...

    def updated(self, entry: Entry, update: int) -> None:
        """A cell has reached an update."""
        ...

    def evaluated(self, entry: Entry, update: int, score: str) -> None:
        """A cell was evaluated."""
        ...

    def finished(self, entry: Entry, document: Document) -> None:
        """A cell is done."""
        ...

    def failed(self, entry: Entry, reason: str) -> None:
        """A cell failed."""
        ...

    def note(self, text: str) -> None:
        """Something the user should know, in a sentence."""
        ...

    def beat(self) -> None:
        """Nothing happened for a moment."""
        ...


@dataclass(slots=True)
class Outcome:
    """What a matrix came to."""

    cached: int = 0  # cells that were done before
    finished: int = 0
    stopped: int = 0  # cells that wait for the next call
    failures: dict[str, str] = field(default_factory=dict)  # reasons by key


def unique(entries: tuple[Entry, ...]) -> dict[str, Entry]:
    """Entries by key: two settings of an ablation may be the same cell."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(entry.cell.key, entry)
    return found


def is_done(folder: MatrixFolder, key: str, note: Callable[[str], None]) -> bool:
    """Whether a cell is there; a damaged file counts as missing, and is said."""
    try:
        return folder.document(key) is not None
    except OmarError as error:
        note(f"{error}: it is made again")
        file = folder.file(key)
        if file is not None:
            file.unlink()
        return False


def reproduce(
    plan: Plan, folder: MatrixFolder, crew: Crew, listener: Listener, stop: Callable[[], bool]
) -> Outcome:
    """Trains the selected cells that are not done; the caller owns the folder.

    Args:
        plan: Which cells.
        folder: Where they are kept.
        crew: Who trains them.
        listener: Is told how it goes on.
        stop: Asked a few times a second; True leaves the rest for another call.

    Raises:
        OmarError: The folder holds results that the plan would take the place of.
        OSError: The disk refused.
    """
    failures = folder.check(plan, listener.note)
    every = unique(plan.entries)
    selected = unique(plan.selected)
    done = {key for key in every if is_done(folder, key, listener.note)}
    waiting = {key: entry for key, entry in selected.items() if key not in done}
    order = sorted(waiting, key=lambda key: -waiting[key].cell.resolved().updates)  # the long ones first
    outcome = Outcome(cached=len(selected) - len(waiting))
    listener.began(outcome.cached, [waiting[key] for key in order])
    folder.write_plan(plan, failures)
    events = crew.run([waiting[key].cell for key in order], stop) if order else iter(())
    for event in events:
        if event is None:
            listener.beat()
            continue
        entry = waiting[event.key]
        if event.kind == "updated":
            listener.updated(entry, event.update)
        elif event.kind == "evaluated":
            listener.evaluated(entry, event.update, event.text)
        elif event.kind == "note":
            listener.note(f"{entry.title}: {event.text}")
        elif event.kind == "done":
            document = Document.parse(event.text.encode(), f"the result of {entry.title}")
            folder.keep(entry.cell, document)
            outcome.finished += 1
            listener.finished(entry, document)
        elif event.kind == "failed":
            outcome.failures[event.key] = failures[event.key] = event.text
            listener.failed(entry, event.text)
        elif event.kind == "stopped":  # it did not fail again
            failures.pop(event.key, None)
        if event.kind in ENDS:
            folder.write_plan(plan, failures)
    outcome.stopped = len(waiting) - outcome.finished - len(outcome.failures)
    return outcome
