"""The ablations of the paper, as plans of cells on cooperative navigation.

A setting that is the preset's is the cell of the matrix, and is not trained again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from ..algorithms.backbone import preset_updates
from ..tasks import QUALITIES, TASKS, VARIANTS
from .plan import Entry, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .plan import Lengths

AblationName: TypeAlias = Literal[
    "optimiser", "tau", "rounds", "samples", "mu", "sigma", "dataset-size", "agents"
]
ABLATIONS: tuple[AblationName, ...] = get_args(AblationName)

TASK = "simple_spread"
# Values of one setting of OMAR. The values of the paper's figures; the preset's is among them.
VALUES: Mapping[str, tuple[float, ...]] = {
    "tau": (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0),
    "rounds": (1, 2, 3, 5, 10),
    "samples": (5, 10, 15, 20, 25),
    "mu": (-0.2, -0.1, 0.0, 0.1, 0.2),
    "sigma": (1.0, 1.5, 2.0, 2.5, 3.0),
}
# What searches for actions: as many samples in one draw; elites instead of a softmax; the paper's search.
OPTIMISERS: Mapping[str, Mapping[str, Any]] = {
    "random shooting": {"rounds": 1, "samples": 30},
    "cross-entropy method": {"refit": "elite", "elites": 5},
    "OMAR": {},
}
SHARES = (0.1, 1.0, 10.0, 20.0, 50.0, 100.0)  # per cent of a data set
BOTH = ("omar", "cql")  # algorithms of the ablations that are not about the search
EPISODE = TASKS[TASK].episode_length


def ablation(name: AblationName, lengths: Lengths, only: str = "") -> Plan:
    """The cells of an ablation.

    Args:
        name: Of the ablation.
        lengths: Of every cell.
        only: Which of them to work on, as `choose` takes it.

    Raises:
        OmarError: `only` is no choice of cells.
    """
    entries = _ENTRIES.get(name, _setting(name))
    return Plan.of(f"ablation-{name}", lambda lengths: tuple(entries(lengths)), lengths, only)


def _setting(name: str) -> Callable[[Lengths], Iterator[Entry]]:
    """One setting of OMAR with several values."""

    def entries(lengths: Lengths) -> Iterator[Entry]:
        for quality in QUALITIES:
            for value in VALUES[name]:
                cell = lengths.cell(TASK, quality, "omar", settings={name: value})
                yield Entry(cell, f"{name} {value:g}")

    return entries


def _optimisers(lengths: Lengths) -> Iterator[Entry]:
    for quality in QUALITIES:
        for variant, settings in OPTIMISERS.items():
            yield Entry(lengths.cell(TASK, quality, "omar", settings=settings), variant)


def _sizes(lengths: Lengths) -> Iterator[Entry]:
    """Smaller sets of the same behaviour, in whole episodes; a minibatch is at most the whole set."""
    for quality in QUALITIES:
        whole = TASKS[TASK].qualities[quality].transitions
        for algorithm in BOTH:
            for share in SHARES:
                cell = lengths.cell(TASK, quality, algorithm)
                steps = max(round(whole * share / 100 / EPISODE), 1) * EPISODE
                more: dict[str, Any] = {} if steps == whole else {"steps": steps}
                if steps < cell.resolved().backbone.batch_size:
                    more["settings"] = {"batch_size": steps}
                yield Entry(lengths.cell(TASK, quality, algorithm, **more), f"{share:g}% of the data")


def _agents(lengths: Lengths) -> Iterator[Entry]:
    """One to five agents on uniform actions; a score is the return above that of uniform actions."""
    updates = lengths.updates or preset_updates(TASK, "random")
    for task in VARIANTS.values():
        for algorithm in BOTH:
            cell = lengths.cell(task.name, "random", algorithm, updates=updates)
            yield Entry(cell, f"{task.num_agents} agent{'s' if task.num_agents > 1 else ''}")


_ENTRIES: Mapping[str, Callable[[Lengths], Iterator[Entry]]] = {
    "optimiser": _optimisers,
    "dataset-size": _sizes,
    "agents": _agents,
}
