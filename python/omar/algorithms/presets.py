"""Tables of hyper-parameters by task and dataset, as the paper (Pan et al. 2022) and its code give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, get_args

from ..tasks import QUALITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

PresetName: TypeAlias = Literal["released", "paper"]
"""released: what the authors' code runs, which gives the published scores; paper: its appendix B.1."""
PRESETS: tuple[PresetName, ...] = get_args(PresetName)


def by_quality(random: T, medium_replay: T, medium: T, expert: T) -> dict[str, T]:
    """A row of a table: one figure for each quality."""
    return dict(zip(QUALITIES, (random, medium_replay, medium, expert), strict=True))


def look_up(table: Mapping[str, Mapping[str, T]], task: str, quality: str, otherwise: T) -> T:
    """The figure of a task's dataset.

    Args:
        table: Rows of `by_quality` by task.
        task: A task without a row gets `otherwise`.
        quality: A quality that the row does not have, such as an imported dataset's, gets the figure of
            `random`.
        otherwise: For tasks that the authors did not use.
    """
    if task not in table:
        return otherwise
    row = table[task]
    return row[quality] if quality in row else row["random"]
