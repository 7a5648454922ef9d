"""Learning curves of a matrix: the paper's figure 6, as one picture and panel by panel for a page."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .comparison import paper
from .results import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .results import Results

# Okabe and Ito's palette, which people with any kind of colour vision can tell apart, and dashes beside it.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8C8C8C")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1)), "-", (0, (1, 2)))


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of what is no data."""

    ink: str
    grid: str
    paper: str  # "none": transparent


LIGHT = Theme("#333333", "#dddddd", "none")
DARK = Theme("#c9cdd2", "#3a4047", "none")
PRINT = Theme("#333333", "#dddddd", "white")


def style(algorithm: str, algorithms: list[str]) -> dict[str, Any]:
    """Colour and dashes of an algorithm, the same in every panel."""
    number = algorithms.index(algorithm)
    return {"color": PALETTE[number % len(PALETTE)], "linestyle": DASHES[number % len(DASHES)]}


def panel(axes: Axes, results: Results, task: str, quality: str, theme: Theme) -> None:
    """Draws one data set: means over the seeds with bands of a deviation, and the paper's final scores."""
    for name in results.algorithms:
        cell = results.get(task, quality, name)
        if cell is None:
            continue
        look = style(name, results.algorithms)
        points = cell.document.result.evaluations
        updates = [point.update for point in points]
        scores = np.array([point.scores for point in points])
        mean = scores.mean(axis=1)
        std = scores.std(axis=1, ddof=1) if scores.shape[1] > 1 else np.zeros(len(points))
        axes.fill_between(updates, mean - std, mean + std, color=look["color"], alpha=0.18, linewidth=0)
        axes.plot(updates, mean, linewidth=1.6, label=name, marker="" if len(updates) > 1 else "o", **look)
        published = paper(task, quality, name)
        if published is not None:
            end = updates[-1] * 1.03
            axes.errorbar(
                [end],
                [published.mean],
                yerr=published.std,
                fmt="D",
                markersize=4,
                markerfacecolor="none",
                color=look["color"],
                linewidth=1,
                capsize=2,
            )
    axes.set_title(short(task, quality), fontsize=10, color=theme.ink)
    axes.grid(color=theme.grid, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.ink, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(theme.ink)


def _figure(size: tuple[float, float], theme: Theme) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor=theme.paper)
    FigureCanvasAgg(figure)
    return figure


def picture(results: Results) -> bytes:
    """All panels as a PNG, a row for each task."""
    tasks = list(dict.fromkeys(task for task, _ in results.sets))
    qualities = list(dict.fromkeys(quality for _, quality in results.sets))
    columns, rows = len(qualities), len(tasks)
    figure = _figure((3.2 * columns, 2.5 * rows + 0.4), PRINT)
    grid = figure.subplots(rows, columns, squeeze=False)
    for task, line in zip(tasks, grid, strict=True):
        for quality, axes in zip(qualities, line, strict=True):
            if (task, quality) in results.sets:
                panel(axes, results, task, quality, PRINT)
            else:
                axes.set_visible(False)
    figure.supxlabel("updates of every agent", fontsize=10)
    figure.supylabel("normalized score", fontsize=10)
    lines = [line for axes in grid.flat for line in axes.get_lines() if not line.get_label().startswith("_")]
    named = {str(line.get_label()): line for line in lines}
    figure.legend(
        list(named.values()), list(named), loc="outside upper center", ncols=len(named) or 1, frameon=False
    )
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=130)
    return data.getvalue()


def vector(results: Results, task: str, quality: str, theme: Theme) -> str:
    """One panel as SVG text, the same bytes for the same results."""
    from matplotlib import rc_context

    figure = _figure((3.4, 2.5), theme)
    axes = figure.add_subplot(facecolor="none")
    panel(axes, results, task, quality, theme)
    data = io.StringIO()
    with rc_context({"svg.hashsalt": "omar", "svg.fonttype": "path"}):
        figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = data.getvalue()
    return text[text.index("<svg") :]
