"""Figures of a run."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from ..runs.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..runs.metrics import Evaluation
    from ..tasks import Score

LINE, PAPER = "#1f5fa8", "#b5541c"


def learning_curve(
    path: Path, evaluations: Sequence[Evaluation], *, title: str, label: str, published: Score | None
) -> None:
    """Draws the normalized score by update, mean and standard deviation over the seeds.

    Args:
        path: Of the PNG file.
        evaluations: In order of updates.
        title: Of the figure.
        label: Of the curve.
        published: The paper's final score of this algorithm on this dataset, where there is one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.0), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    updates = np.array([e.update for e in evaluations])
    scores = np.array([e.scores for e in evaluations])
    mean, std = scores.mean(axis=1), scores.std(axis=1)
    for seed in range(scores.shape[1]):
        axes.plot(updates, scores[:, seed], color=LINE, alpha=0.3, linewidth=0.8)
    axes.fill_between(updates, mean - std, mean + std, color=LINE, alpha=0.15, linewidth=0)
    axes.plot(updates, mean, color=LINE, linewidth=2, marker="o" if len(updates) == 1 else "", label=label)
    if published is not None:
        text = f"{published.mean:.1f}" + ("" if published.std is None else f" ± {published.std:.1f}")
        axes.axhline(
            published.mean, color=PAPER, linestyle="--", linewidth=1.2, label=f"paper, final: {text}"
        )
    axes.set(title=title, xlabel="updates of every agent", ylabel="normalized score")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomically(path, picture.getvalue())
