"""Tables of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from ..tasks import get_task

if TYPE_CHECKING:
    from ..offline.result import Result


def score_table(result: Result) -> Table:
    """Scores of every seed and their mean beside the paper's."""
    options, quality, evaluation = result.config.options, result.quality, result.last
    table = Table(title=f"{options.task} {quality}: {options.algorithm}, {evaluation.update} updates")
    table.add_column("")
    table.add_column("return", justify="right")
    table.add_column("normalized score", justify="right")
    for seed, (value, score) in enumerate(zip(evaluation.returns, evaluation.scores, strict=True)):
        table.add_row(f"seed {seed}", f"{value:.1f}", f"{score:.1f}")
    table.add_section()
    mean = sum(evaluation.returns) / len(evaluation.returns)
    table.add_row("mean ± std", f"{mean:.1f}", f"{evaluation.mean:.1f} ± {evaluation.std:.1f}", style="bold")
    listed = get_task(options.task).qualities.get(quality)
    for name, published in listed.scores.items() if listed else ():
        std = "" if published.std is None else f" ± {published.std:.1f}"
        style = "" if name == options.algorithm else "dim"
        table.add_row(f"paper, {name}", "", f"{published.mean:.1f}{std}", style=style)
    return table
