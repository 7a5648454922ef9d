"""The results of a plan: what its cells came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import OmarError
from ..tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..matrix.document import Document
    from ..matrix.folder import Listed, MatrixFolder


@dataclass(frozen=True, slots=True)
class Found:
    """A cell that is done."""

    listed: Listed
    document: Document
    file: str  # its path

    @property
    def anchor(self) -> str:
        """Where the page shows the cell."""
        return f"cell-{self.listed.key}"

    @property
    def scores(self) -> tuple[float, ...]:
        """Final normalized score of every seed."""
        return self.document.result.last.scores

    @property
    def overestimation(self) -> tuple[float, ...] | None:
        """By how much critics overestimate, of every seed; None where there are no critics."""
        last = self.document.result.last
        if last.values is None or last.discounted is None:
            return None
        return tuple(said - is_ for said, is_ in zip(last.values, last.discounted, strict=True))


@dataclass(frozen=True, slots=True)
class Results:
    """Cells of a plan by data set, algorithm and variant, in the order of the plan."""

    name: str
    cells: tuple[Found, ...]
    missing: tuple[Listed, ...]

    @property
    def sets(self) -> list[tuple[str, str]]:
        """Tasks and qualities that have results."""
        return list(dict.fromkeys((c.listed.task, c.listed.quality) for c in self.cells))

    @property
    def algorithms(self) -> list[str]:
        """Algorithms that have results."""
        return list(dict.fromkeys(c.listed.algorithm for c in self.cells))

    def get(self, task: str, quality: str, algorithm: str) -> Found | None:
        """The cell of a data set and an algorithm."""
        return next(self._of(task, quality, algorithm), None)

    def _of(self, task: str, quality: str, algorithm: str) -> Iterator[Found]:
        wanted = (task, quality, algorithm)
        return (c for c in self.cells if (c.listed.task, c.listed.quality, c.listed.algorithm) == wanted)


def read_results(folder: MatrixFolder, name: str, note: Callable[[str], None]) -> Results:
    """Reads all cells of a plan that are done.

    Args:
        folder: With the cells.
        name: Of the plan.
        note: Is told of damaged cells, which count as not done.

    Raises:
        OmarError: No such plan, a damaged index, or no cell of it is done.
    """
    done, missing = [], []
    cells = folder.index(name).cells
    documents = folder.documents((listed.key for listed in cells), note)
    for listed in cells:
        document, file = documents.get(listed.key), folder.file(listed.key)
        if document is None or file is None:
            missing.append(listed)
        else:
            done.append(Found(listed, document, str(file)))
    if not done:
        raise OmarError(f"{folder.path} holds no cell of {name} that is done: run `python -m omar.reproduce`")
    return Results(name, tuple(done), tuple(missing))


def short(task: str, quality: str) -> str:
    """A data set as the paper abbreviates it: "CN random"."""
    return f"{TASKS[task].abbreviation if task in TASKS else task} {quality}"
