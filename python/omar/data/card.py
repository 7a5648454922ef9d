"""The card of a dataset: figures, a table and a picture of its returns and actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from ..tasks import References, get_task, normalized_score
from .dataset import CHUNK_ROWS, Dataset
from .errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

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
    references = References(**dataset.manifest.references)
    counts, std, saturated = _action_figures(dataset.column("actions"))
    normalized = normalized_score(task, returns, references).astype(np.float64)
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
    table = Table(title=f"{manifest.task} {manifest.quality}", show_header=True, title_justify="left")
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
    references = manifest.references
    table.add_row(
        "0 and 100 stand for",
        f"{references['random']:.1f} and {references['expert']:.1f}",
        references["source"],
    )
    table.add_row("action coverage", _percent(card.coverage), "")
    table.add_row("action deviation", ", ".join(f"{value:.2f}" for value in card.action_std), "")
    table.add_row("saturated actions", _percent(card.saturated), "")
    return table


def _percent(values: npt.NDArray[np.float64]) -> str:
    return ", ".join(f"{100 * value:.0f}%" for value in values)


def plot_card(card: Card, path: Path) -> None:
    """Draws the histogram of returns and the actions of every learner as a PNG.

    Raises:
        DatasetError: The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    manifest = card.dataset.manifest
    learners = len(card.action_counts)
    figure = Figure(figsize=(4.5 + 2.7 * learners, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 1 + learners, width_ratios=[1.6] + [1.0] * learners)
    figure.suptitle(f"{manifest.task} {manifest.quality}: {len(card.dataset):,} transitions")
    histogram = axes[0]
    histogram.hist(card.returns, bins=80, color="tab:blue")
    histogram.axvline(card.returns.mean(), color="black", linewidth=1)
    histogram.set_title(f"{card.returns.mean():.1f} ± {card.returns.std():.1f}", fontsize="medium")
    histogram.set_xlabel("episode return")
    histogram.set_ylabel("episodes")
    for learner, counts in enumerate(card.action_counts):
        plane = axes[1 + learner]
        plane.imshow(np.log1p(counts.T), origin="lower", extent=(-1, 1, -1, 1), cmap="viridis", vmin=0.0)
        plane.set_title(f"actions of learner {learner}", fontsize="medium")
        plane.set_xlabel("first component")
        if learner == 0:
            plane.set_ylabel("second component")
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise DatasetError(f"cannot write the picture {path}: {error.strerror or error}") from None
