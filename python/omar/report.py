"""Shows results: `python -m omar.report` makes of a matrix the paper's figure, tables and a page.

It reads what `python -m omar.reproduce` wrote, and trains nothing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .errors import OmarError
from .matrix.folder import MatrixFolder
from .matrix.plan import MATRIX
from .reports import background, comparison
from .reports.curves import picture
from .reports.page import page
from .reports.results import read_results
from .runs.files import expand_user, write_atomically
from .terminal.cli import OptionalFolder, run_options, say

if TYPE_CHECKING:
    from .reports.results import Results

PAGE, FIGURE, TABLES, NUMBERS = "index.html", "figure6.png", "tables.md", "numbers.csv"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Makes a page, a figure and tables of the results of a matrix and its ablations."""

    results: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/matrix")
    """Folder of the results."""
    out: OptionalFolder = None
    """Folder to write to. (default: the folder of the results)"""

    def __call__(self) -> int:
        """Runs the command; returns the exit status.

        Raises:
            OmarError: No results of the matrix there.
            OSError: The files cannot be written.
        """
        folder = MatrixFolder(self.results)
        results = read_results(folder, MATRIX, say)
        ablations = []
        for path in sorted(folder.path.glob("ablation-*.json")):
            try:
                ablations.append(read_results(folder, path.stem, say))
            except OmarError as error:
                say(f"{error}: left out")
        out = folder.path if self.out is None else expand_user(self.out)
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / FIGURE, picture(results))
        write_atomically(out / TABLES, tables(results, ablations).encode())
        write_atomically(out / NUMBERS, comparison.numbers(results).encode())
        write_atomically(out / PAGE, page(results, ablations, out).encode())
        for name in (PAGE, FIGURE, TABLES, NUMBERS):
            say(str(out / name))
        if results.missing:
            say(f"{len(results.missing)} of the cells are not done: `python -m omar.reproduce` trains them")
        return 0


def tables(results: Results, ablations: list[Results]) -> str:
    """All tables but those of single cells, as Markdown."""
    sheets = [
        comparison.overview(results),
        comparison.aggregates(results),
        *(comparison.against(results, name) for name in results.algorithms),
        comparison.overestimation(results),
        *(background.ablation(each) for each in ablations),
        background.data_cards(results),
        background.run_times(results),
        background.versions(results),
    ]
    return "\n".join(["# Tables\n", *(sheet.markdown() for sheet in sheets)])


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; every error that a user can cause is one sentence."""
    return run_options(ReportOptions, arguments, prog="python -m omar.report", about=__doc__)


if __name__ == "__main__":
    sys.exit(main())
