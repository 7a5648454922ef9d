"""Small cells and plans: for tests of the matrix, of reports and for tests/fuzz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omar.matrix.cell import Cell
from omar.matrix.document import CellResult, DataCard, Document, Made, Point
from omar.matrix.folder import MatrixFolder
from omar.matrix.plan import Entry, Lengths, Plan

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"batch_size": 8, "hidden": 2}


def small_cell(algorithm: str = "bc", **changes: Any) -> Cell:
    """A cell that takes a fraction of a second."""
    entries: dict[str, Any] = {
        "task": "simple_spread",
        "quality": "medium-replay",
        "algorithm": algorithm,
        "seeds": 2,
        "updates": 3,
        "eval_every": 2,
        "eval_episodes": 2,
        "settings": SMALL,
    }
    return Cell(**(entries | changes))


def plan_of(*cells: Cell) -> Plan:
    """A plan of these cells, all of them selected."""
    return plan_with("matrix", tuple(map(Entry, cells)))


def plan_with(name: str, entries: tuple[Entry, ...], selected: tuple[Entry, ...] | None = None) -> Plan:
    """A plan of these entries whatever the lengths; all of them are selected by default."""
    return Plan(name, entries, entries if selected is None else selected, Lengths(), lambda _: entries)


def made_up(cell: Cell, base: float = 50.0) -> Document:
    """A document with scores that rise to `base + seed`."""
    seeds = range(cell.seeds)

    def point(update: int, share: float) -> Point:
        scores = tuple(share * (base + seed) for seed in seeds)
        critics = tuple(20.0 + seed for seed in seeds), tuple(10.0 + seed for seed in seeds)
        values, discounted = critics if cell.algorithm != "bc" else (None, None)
        return Point(update, tuple(2 * s for s in scores), scores, (1.0,) * cell.seeds, values, discounted)

    cards = tuple(
        DataCard(seed, "ab" * 32, 1000, 40, 3.0, 1.0, 5.0, (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
        for seed in seeds
    )
    points = (point(0, 0.0), point(10, 0.5), point(20, 1.0))
    made = Made(60.0, "2026-11-26T00:00:00+00:00", "cpu", 1, {"omar": "0.1.0", "torch": "2.13.0"})
    return Document(1, CellResult(cell.configuration(), points, cards), made)


def made_up_folder(path: Path, plan: Plan) -> MatrixFolder:
    """A folder with a made-up document for every cell of a plan."""
    folder = MatrixFolder(path)
    with folder.owned():
        for number, entry in enumerate(plan.selected):
            folder.keep(entry.cell, made_up(entry.cell, 10.0 * number % 100))
        folder.write_plan(plan, {})
    return folder
