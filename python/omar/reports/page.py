"""One page with everything: curves, tables, what stands behind them, and every cell."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import background, comparison, curves
from .comparison import paper
from .published import best
from .results import short
from .statistics import difference, stratified_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .results import Found, Results
    from .sheet import Sheet

STYLE = Path(__file__).with_name("page.css")
CAPTION = (
    "Figure 6 of the paper, from this project's runs. Lines: mean normalized score over the seeds by updates "
    "of every agent; bands: one standard deviation over the seeds. Diamonds behind the curves: the paper's "
    "final scores, with their standard deviations. Each panel leads to the table of scores."
)


def page(results: Results, ablations: Sequence[Results], base: Path) -> str:
    """The page as HTML that needs no other file; links to the cells' files start at its folder.

    Args:
        results: Of the matrix.
        ablations: Results of ablations.
        base: Folder of the page.
    """
    sheets = [comparison.overview(results), comparison.aggregates(results)]
    beside = [comparison.against(results, name) for name in results.algorithms]
    behind = [background.data_cards(results), background.run_times(results), background.versions(results)]
    parts = [
        _head(results, bool(ablations)),
        f"<ul>{''.join(f'<li>{claim}</li>' for claim in claims(results))}</ul>",
        '<h2 id="curves">Learning curves</h2>',
        _curves(results),
        '<h2 id="tables">Scores</h2>',
        *(sheet.html() for sheet in sheets),
        '<h2 id="published">Beside what was published</h2>',
        *(sheet.html() for sheet in beside),
        '<h2 id="critics">Overestimation</h2>',
        comparison.overestimation(results).html(),
        *_ablations(ablations),
        '<h2 id="background">Data, times, versions</h2>',
        *(sheet.html() for sheet in behind),
        '<h2 id="cells">Cells</h2>',
        f'<div class="cells">{_cells([results, *ablations], base)}</div>',
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>omar: results</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _head(results: Results, ablated: bool) -> str:
    seeds = sorted({len(cell.scores) for cell in results.cells})
    episodes = sorted(
        {str(c.document.result.configuration["options"]["eval_episodes"]) for c in results.cells}
    )
    whole = len(results.cells) + len(results.missing)
    newest = max(cell.document.made.finished for cell in results.cells)
    links = {
        "curves": "Curves",
        "tables": "Scores",
        "published": "Published figures",
        "critics": "Overestimation",
        **({"ablations": "Ablations"} if ablated else {}),
        "background": "Data, times, versions",
        "cells": "Cells",
    }
    menu = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in links.items())
    return (
        "<header><h1>Offline multi-agent reinforcement learning with actor rectification: results</h1>\n"
        f'<p class="soft">{len(results.cells)} of {whole} cells, {" or ".join(map(str, seeds))} seeds each, '
        f"{' or '.join(episodes)} episodes of every seed in an evaluation; newest cell "
        f"{escape(newest[:10])}. Uniform actions score 0, the paper's expert 100; final scores are those of "
        f"the last evaluation.</p>\n<nav>{menu}</nav></header>"
    )


def claims(results: Results) -> list[str]:
    """What the numbers say, each with a link to the table that holds it, which leads to the cells."""
    found = []
    for name in results.algorithms:
        cells = [cell for cell in results.cells if cell.listed.algorithm == name]
        scores = comparison.matrix_of(results, name)
        mean = stratified_interval(scores, lambda every: float(every.mean()))
        text = f"<b>{escape(name)}</b>: mean {mean.value:.1f} {mean.text} over {scores.shape[1]} data sets"
        pairs = [(c, paper(c.listed.task, c.listed.quality, name)) for c in cells]
        gaps = [(cell, difference(cell.scores, score)) for cell, score in pairs if score is not None]
        if gaps:
            below = [cell for cell, gap in gaps if gap.value < 0]
            clear = [cell for cell, gap in gaps if gap.high is not None and gap.high < 0]
            text += f"; at or above the paper on {len(gaps) - len(below)} of {len(gaps)}"
            text += f", below on {_links(below)}" if below else ""
            text += f", of these with an interval below 0 on {_links(clear)}" if clear else ""
        reached = [c for c in cells if np.mean(c.scores) >= best(c.listed.task, c.listed.quality).mean]
        text += f"; at or above the best comparable published figure on {len(reached)} of {len(cells)}"
        text += f": {_links(reached)}" if reached else ""
        found.append(f'{text}. <a href="#against-{escape(name)}">Numbers</a>')
    return found


def _links(cells: Sequence[Found]) -> str:
    return ", ".join(
        f'<a href="#{c.anchor}">{escape(short(c.listed.task, c.listed.quality))}</a>' for c in cells
    )


def _curves(results: Results) -> str:
    legend = "".join(
        f"<li>{_swatch(name, results.algorithms)}{escape(name)}</li>" for name in results.algorithms
    )
    panels = []
    for task, quality in results.sets:
        pictures = "".join(
            f'<span class="{name}">{curves.vector(results, task, quality, theme)}</span>'
            for name, theme in (("light", curves.LIGHT), ("dark", curves.DARK))
        )
        label = f"Learning curves on {task} {quality}"
        panels.append(f'<a href="#scores" role="img" aria-label="{escape(label)}">{pictures}</a>')
    return (
        f'<figure><figcaption>{CAPTION}</figcaption>\n<ul class="legend">{legend}</ul>\n'
        f'<div class="panels">{"".join(panels)}</div></figure>'
    )


def _swatch(name: str, algorithms: list[str]) -> str:
    look = curves.style(name, algorithms)
    dashes = "" if look["linestyle"] == "-" else " ".join(str(2 * d) for d in look["linestyle"][1])
    return (
        '<svg viewBox="0 0 44 12" aria-hidden="true"><line x1="1" y1="6" x2="43" y2="6" stroke-width="3" '
        f'stroke="{look["color"]}" stroke-dasharray="{dashes}"/></svg>'
    )


def _ablations(ablations: Sequence[Results]) -> list[str]:
    if not ablations:
        return []
    return ['<h2 id="ablations">Ablations</h2>', *(background.ablation(each).html() for each in ablations)]


def _cells(every: Sequence[Results], base: Path) -> str:
    shown: dict[str, str] = {}
    for results in every:
        for path, sheet in background.cells(results, base):
            shown.setdefault(sheet.anchor, _cell(path, sheet))
    return "\n".join(shown.values())


def _cell(path: str, sheet: Sheet) -> str:
    link = f' <a href="{escape(path)}">Configuration and all evaluations</a>'
    return sheet.html().replace("</figcaption>", f"{link}</figcaption>", 1)
