"""The card of a dataset: figures, a table and a picture of its returns and actions."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from ..errors import DatasetError
from ..runs.files import write_atomically
from ..tasks import get_task, normalized_score
from .checks import CHUNK_ROWS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .dataset import Dataset

PLANE_BINS = 40  # a dimension of the histogram of two action components
SATURATED = 0.99  # |a| above which an action counts as saturated


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """Figures of a dataset."""

    dataset: Dataset
    returns: npt.NDArray[np.float64]  # [episodes]
    normalized: npt.NDArray[np.float64]  # [episodes]
    action_counts: npt.NDArray[np.int64]  # [N, bins, bins]: the first two action components of each learner
    action_std: npt.NDArray[np.float64]  # [N]: over all components
    saturated: npt.NDArray[np.float64]  # [N]: share of components with |a| > SATURATED

    @property
    def coverage(self) -> npt.NDArray[np.float64]:
        """[N]: share of the cells of a PLANE_BINS x PLANE_BINS grid of actions that the learner ever used."""
        cells: npt.NDArray[np.float64] = (self.action_counts > 0).mean(axis=(1, 2))
        return cells

    def summary(self) -> dict[str, Any]:
        """The figures that `python -m omar.data info --json` prints."""
        return {
            "transitions": len(self.dataset),
            "episodes": len(self.returns),
            "return_mean": float(self.returns.mean()),
            "return_std": float(self.returns.std()),
            "normalized_mean": float(self.normalized.mean()),
            "sha256": self.dataset.manifest.sha256,
            "path": str(self.dataset.path),
        }


def make_card(dataset: Dataset) -> Card:
    """Reads a dataset once and computes its card."""
    task = get_task(dataset.task)
    returns = dataset.episode_returns()
    counts, std, saturated = _action_figures(dataset.column("actions"))
    normalized = normalized_score(task, returns, dataset.manifest.references).astype(np.float64)
    return Card(dataset, returns, normalized, counts, std, saturated)


def _action_figures(
    actions: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    rows, learners, size = actions.shape
    counts = np.zeros((learners, PLANE_BINS * PLANE_BINS), np.int64)
    total, square, high = (np.zeros(learners) for _ in range(3))
    for start in range(0, rows, CHUNK_ROWS):
        chunk = np.asarray(actions[start : start + CHUNK_ROWS], dtype=np.float64)
        total += chunk.sum(axis=(0, 2))
        square += (chunk * chunk).sum(axis=(0, 2))
        high += (np.abs(chunk) > SATURATED).sum(axis=(0, 2))
        bins = np.clip(((chunk + 1.0) * (PLANE_BINS / 2)).astype(np.int64), 0, PLANE_BINS - 1)
        cells = bins[:, :, 0] * PLANE_BINS + bins[:, :, min(1, size - 1)]
        for learner in range(learners):
            counts[learner] += np.bincount(cells[:, learner], minlength=PLANE_BINS * PLANE_BINS)
    mean = total / (rows * size)
    std = np.sqrt(np.maximum(square / (rows * size) - mean * mean, 0.0))
    return counts.reshape(learners, PLANE_BINS, PLANE_BINS), std, high / (rows * size)


def card_table(card: Card) -> Table:
    """The card as a table, the published set's figures beside it where it has a published counterpart."""
    manifest = card.dataset.manifest
    table = Table(
        title=f"{manifest.task} {manifest.quality}",
        title_justify="left",
        caption=f"returns that score 0 and 100 in this set: {manifest.references.source}",
        caption_justify="left",
    )
    table.add_column("")
    table.add_column("this set")
    table.add_column("published set")
    published = get_task(manifest.task).qualities.get(manifest.quality)
    std = "" if published is None or published.returns.std is None else f" ± {published.returns.std:.0f}"
    table.add_row(
        "transitions", f"{len(card.dataset):,}", "" if published is None else f"{published.transitions:,}"
    )
    table.add_row("episodes", f"{len(card.returns):,}", "")
    table.add_row(
        "episode return",
        f"{card.returns.mean():.1f} ± {card.returns.std():.1f}",
        "" if published is None else f"{published.returns.mean:.1f}{std}",
    )
    table.add_row(
        "normalized return",
        f"{card.normalized.mean():.1f}",
        "" if published is None else f"{published.normalized:.0f}",
    )
    own, papers = manifest.references, get_task(manifest.task).references
    table.add_row("returns scoring 0 and 100", *(f"{r.random:.1f} and {r.expert:.1f}" for r in (own, papers)))
    table.add_row("action coverage", _percent(card.coverage), "")
    table.add_row("action deviation", ", ".join(f"{value:.2f}" for value in card.action_std), "")
    table.add_row("saturated actions", _percent(card.saturated), "")
    return table


def _percent(values: npt.NDArray[np.float64]) -> str:
    return ", ".join(f"{100 * value:.0f}%" for value in values)


def plot_card(card: Card, path: Path) -> None:
    """Draws the histogram of returns and the actions of every learner.

    It is a PNG unless the name ends in .pdf or .svg.

    Raises:
        DatasetError: The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    manifest = card.dataset.manifest
    learners = len(card.action_counts)
    figure = Figure(figsize=(5.4 + 2.4 * learners, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 1 + learners, width_ratios=[1.9] + [1.0] * learners)
    sizes = f"{len(card.dataset):,} transitions, {len(card.returns):,} episodes"
    figure.suptitle(f"{manifest.task} {manifest.quality}: {sizes}")
    _draw_returns(card, axes[0])
    _draw_actions(card, figure, axes[1:])
    picture, kind = io.BytesIO(), path.suffix[1:].lower()
    figure.savefig(picture, dpi=120, format=kind if kind in ("pdf", "svg") else "png")
    try:
        write_atomically(path, picture.getvalue())
    except OSError as error:
        raise DatasetError(f"cannot write the picture {path}: {error.strerror or error}") from None


def _draw_returns(card: Card, axes: Axes) -> None:
    """Histogram of episode returns, with the normalized scale above it."""
    returns = card.returns
    references = card.dataset.manifest.references
    low, span = references.random, references.expert - references.random
    axes.hist(returns, bins=return_bins(returns).tolist(), color="tab:blue", edgecolor="white", linewidth=0.3)
    label = f"mean {returns.mean():.1f} ± {returns.std():.1f}"
    axes.axvline(returns.mean(), color="black", linewidth=1.2, label=label)
    axes.legend(loc="upper right", fontsize="small", frameon=False)
    axes.set_xlabel("episode return")
    axes.set_ylabel("episodes")
    axes.margins(x=0.02)
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])  # room for the legend
    above = axes.secondary_xaxis(
        "top",
        functions=(
            lambda value: 100 * (np.asarray(value) - low) / span,
            lambda score: low + np.asarray(score) * span / 100,
        ),
    )
    above.set_xlabel("normalized")


def return_bins(returns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Edges of about 25 bins, a round number wide: returns that come in steps of 5 or 10 leave no comb."""
    low, high = float(returns.min()), float(returns.max())
    aim = max((high - low) / 25, 1e-3)
    power = 10.0 ** np.floor(np.log10(aim))
    width = min((power * step for step in (1, 2, 5, 10)), key=lambda round_: abs(np.log(round_ / aim)))
    edges: npt.NDArray[np.float64] = width * np.arange(np.floor(low / width), np.floor(high / width) + 2)
    return edges


def _draw_actions(card: Card, figure: Figure, planes: npt.NDArray[Any]) -> None:
    """How often each learner took which actions; what it never did stays grey."""
    from matplotlib.colors import LogNorm

    norm = LogNorm(1, max(2, int(card.action_counts.max())))
    for learner, (plane, counts) in enumerate(zip(planes, card.action_counts, strict=True)):
        used = np.ma.masked_equal(counts.T, 0)
        image = plane.imshow(used, origin="lower", extent=(-1, 1, -1, 1), cmap="viridis", norm=norm)
        plane.set_facecolor("lightgrey")
        plane.set_title(f"actions of learner {learner}", fontsize="medium")
        plane.set_xlabel("first component")
        plane.set_xticks([-1, 0, 1])
        plane.set_yticks([-1, 0, 1], labels=None if learner == 0 else [])
    planes[0].set_ylabel("second component")
    figure.colorbar(image, ax=planes[-1], label="transitions", shrink=0.8)
