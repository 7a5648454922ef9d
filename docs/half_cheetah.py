"""The curves of HalfCheetah: `python docs/half_cheetah.py` draws results/half_cheetah.png from the JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from omar.reports.curves import PALETTE
from omar.runs.files import write_atomically
from omar.tasks import QUALITIES, get_task

HERE = Path(__file__).parent / "results"
COLORS = dict(zip(("omar", "cql", "asymmetric"), (PALETTE[0], PALETTE[1], PALETTE[2]), strict=True))
INK, GRID = "#333333", "#dddddd"


def main() -> None:
    """Reads the scores and draws a panel for each data set."""
    runs = json.loads((HERE / "half_cheetah.json").read_text())["runs"]
    figure = Figure(figsize=(11, 3.1), layout="constrained")
    FigureCanvasAgg(figure)
    for quality, axes in zip(QUALITIES, figure.subplots(1, len(QUALITIES)), strict=True):
        published = get_task("half_cheetah").qualities[quality]
        omar, best = published.scores["omar"], published.best
        axes.axhline(omar.mean, color=COLORS["omar"], linewidth=1, linestyle=(0, (1, 2)))
        axes.axhline(best.mean, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        for run in runs:
            if run["quality"] == quality and run["algorithm"] in COLORS:
                color = COLORS[run["algorithm"]]
                for seed in zip(*run["scores"], strict=True):
                    axes.plot(run["updates"], seed, color=color, linewidth=0.8, alpha=0.45)
                means = [sum(scores) / len(scores) for scores in run["scores"]]
                axes.plot(run["updates"], means, color=color, linewidth=2)
        axes.set_title(quality, color=INK, fontsize=10)
        axes.set_ylim(-5, 120)
        axes.set_xticks([0, 5000, 10_000])
        axes.grid(color=GRID, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, colors=INK)
    figure.supxlabel("updates of every agent", fontsize=9)
    figure.supylabel("normalized score", fontsize=9)
    lines = [Line2D([], [], color=color, linewidth=2) for color in COLORS.values()]
    figure.legend(lines, list(COLORS), loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    write_atomically(HERE / "half_cheetah.png", picture.getvalue())


if __name__ == "__main__":
    main()
