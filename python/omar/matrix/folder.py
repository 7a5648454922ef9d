"""The folder of a matrix.

| file | what it holds |
|---|---|
| cells/TASK-QUALITY-ALGORITHM-KEY.json | what a cell came to; KEY is that of its configuration |
| policies/ | the policies of the cells |
| work/KEY/ | the run of a cell that is not done |
| matrix.json, ablation-NAME.json | which cells are the plan's, and which of them failed |
| scores.csv, ablation-NAME.csv | a row for every seed of every cell of the plan |
"""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..algorithms import AlgorithmName
from ..behaviors.policy_file import POLICY
from ..errors import OmarError
from ..runs.decode import decode, encode
from ..runs.files import expand_user, read_json, seal, to_json, unseal, write_atomically
from ..runs.lock import owned
from ..tasks import QualityName, TaskName
from ..terminal.cli import spelled
from .cell import KEY
from .document import Document
from .plan import MATRIX, Lengths
from .work import reached, training_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from .cell import Cell
    from .plan import Plan

COLUMNS = ("task", "quality", "algorithm", "seed", "return", "score", "episodes", "updates", "seconds")


@dataclass(frozen=True, slots=True)
class Listed:
    """A cell of a plan, as its index names it."""

    task: TaskName
    quality: QualityName
    algorithm: AlgorithmName
    variant: str
    key: str
    failure: str | None = None  # why it is not there, where it was tried


@dataclass(frozen=True, slots=True)
class Index:
    """The cells of a plan."""

    format: Literal[2]
    name: str
    lengths: Lengths
    cells: tuple[Listed, ...]


class MatrixFolder:
    """Where a matrix keeps its cells."""

    def __init__(self, path: Path) -> None:
        """Args: `path` is the folder; nothing is made yet."""
        self.path = expand_user(path)
        self.cells, self.work, self.policies = (self.path / name for name in ("cells", "work", "policies"))

    def owned(self) -> AbstractContextManager[None]:
        """Makes the folder and owns it.

        Raises:
            OmarError: Another process does.
            OSError: It cannot be made.
        """
        for folder in (self.cells, self.work, self.policies):
            folder.mkdir(parents=True, exist_ok=True)
        return owned(self.path)

    def file(self, key: str) -> Path | None:
        """The file of a cell that is done."""
        return next(iter(sorted(self.cells.glob(f"*-{key}.json"))), None)

    def document(self, key: str) -> Document | None:
        """What a cell came to; None where it is not done.

        Raises:
            OmarError: Its file is damaged, or holds another cell.
        """
        file = self.file(key)
        if file is None:
            return None
        document = Document.read(file)
        if document.key[:KEY] != key:
            raise OmarError(f"{file} is damaged: it holds another cell than its name says")
        return document

    def documents(self, keys: Iterable[str], note: Callable[[str], None]) -> dict[str, Document]:
        """What cells came to, by key: those that are done. A damaged file is said, and left out."""
        found = {}
        for key in dict.fromkeys(keys):
            try:
                document = self.document(key)
            except OmarError as error:
                note(f"{error}: the cell counts as not done")
            else:
                if document is not None:
                    found[key] = document
        return found

    def reached(self, cell: Cell) -> int:
        """The update that an unfinished cell can be taken up at."""
        return reached(training_folder(self.work, cell))

    def keep(self, cell: Cell, document: Document) -> None:
        """Writes what a cell came to, keeps its policies and removes its run."""
        run = training_folder(self.work, cell)
        name = f"{cell.name}-{document.key[:KEY]}"
        if (run / POLICY).is_file():
            (run / POLICY).replace(self.policies / f"{name}.safetensors")
        write_atomically(self.cells / f"{name}.json", document.to_json())
        shutil.rmtree(run, ignore_errors=True)

    def write_plan(self, plan: Plan, failures: Mapping[str, str]) -> None:
        """Writes the index of a plan, and the scores of its cells that are done.

        Args:
            plan: All its cells.
            failures: By key, why a cell is not there; one that is done has none.
        """
        listed = []
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        extra = () if plan.name == MATRIX else ("variant",)
        writer.writerow(COLUMNS + extra)
        for entry in plan.entries:
            cell, key = entry.cell, entry.cell.key
            document = self.document(key)
            failure = failures.get(key) if document is None else None
            listed.append(Listed(cell.task, cell.quality, cell.algorithm, entry.variant, key, failure))
            if document is None:
                continue
            last, seconds = document.result.last, document.made.seconds / cell.seeds
            more = (cell.resolved().eval_episodes, last.update, round(seconds, 3))
            for seed, (value, score) in enumerate(zip(last.returns, last.scores, strict=True)):
                row = (cell.task, cell.quality, cell.algorithm, seed, value, score)
                writer.writerow((*row, *more, *(entry.variant,) * len(extra)))
        index = Index(2, plan.name, plan.lengths, tuple(listed))
        write_atomically(self.index_file(plan.name), to_json(seal(encode(index))))
        table = "scores" if plan.name == MATRIX else plan.name
        write_atomically(self.path / f"{table}.csv", text.getvalue().encode())

    def check(self, plan: Plan, note: Callable[[str], None]) -> dict[str, str]:
        """Looks whether the folder can take a plan.

        Args:
            plan: Whose index `write_plan` replaces.
            note: Is told of a damaged index, which counts as none.

        Returns:
            By key, why cells of it failed when they were last tried.

        Raises:
            OmarError: The folder holds results of the same plan with other lengths, or of further tasks.
        """
        file = self.index_file(plan.name)
        if not file.is_file():
            return {}
        try:
            index = self.index(plan.name)
        except OmarError as error:
            note(f"{error}: it is made again")
            return {}
        done = [each.task for each in index.cells if self.file(each.key)]
        lost = dict.fromkeys(f"of {task}" for task in done if task not in plan.tasks)
        differing = [
            f"without {spelled(name)}" if value is None else f"with {spelled(name)} {value}"
            for name, value in plan.differing(index.lengths).items()
        ]
        if done and (lost or differing):
            found = ", ".join([*lost, *differing])
            instead = "name them, too, use --only, or choose" if lost and not differing else "choose"
            raise OmarError(f"{file} lists results {found}: {instead} another folder with --out")
        return {each.key: each.failure for each in index.cells if each.failure is not None}

    def index_file(self, name: str) -> Path:
        """Where the index of a plan is."""
        return self.path / f"{name}.json"

    def index(self, name: str = MATRIX) -> Index:
        """The index of a plan.

        Raises:
            OmarError: There is none, or it is damaged.
        """
        file = self.index_file(name)
        if not file.is_file():
            raise OmarError(f"{self.path} holds no results: make them with `python -m omar.reproduce`")
        return decode(Index, unseal(read_json(file), str(file)), str(file))
