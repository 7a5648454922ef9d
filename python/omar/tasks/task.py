"""What a task is made of: its sizes, references and published figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


LARGEST, NEAREST = 1e12, 1e-6  # magnitude of a reference, and distance of two


@dataclass(frozen=True, slots=True)
class References:
    """Returns that count as 0 and 100 on the normalized scale."""

    random: float
    expert: float
    source: str  # who measured them, and against which prey

    @property
    def usable(self) -> bool:
        """Whether scores by them are finite: two returns, no larger and no nearer than any task has them."""
        magnitude = max(abs(self.random), abs(self.expert))  # NaN compares as False
        return magnitude <= LARGEST and abs(self.expert - self.random) >= NEAREST


@dataclass(frozen=True, slots=True)
class Score:
    """Mean and standard deviation of a published figure; None where no deviation was published."""

    mean: float
    std: float | None


@dataclass(frozen=True, slots=True)
class BestScore:
    """The best decentralised normalized score published since, and the method that holds it."""

    mean: float
    source: str


@dataclass(frozen=True, slots=True)
class Quality:
    """One dataset of a task: the published set's figures, and the scores on it."""

    transitions: int  # size of the published set
    returns: Score  # episode returns of the published set
    normalized: float  # the same on the normalized scale
    scores: Mapping[str, Score]  # normalized scores of the paper by algorithm, 5 seeds
    best: BestScore | None


@dataclass(frozen=True, slots=True)
class Task:
    """One task. Learners come first among the agents; a prey, where there is one, is the last agent."""

    name: str
    title: str
    abbreviation: str  # the paper's
    environment: str  # the environment's registry name: a particle scenario or "half_cheetah"
    num_agents: int  # A, the prey included
    num_learners: int  # N
    obs_sizes: tuple[int, ...]  # of every agent
    action_size: int
    episode_length: int
    references: References  # the paper's
    qualities: Mapping[str, Quality]
    eval_every: int = 250  # updates between two evaluations, unless asked otherwise
    eval_episodes: int = 1000  # of an evaluation, unless asked otherwise
    state_size: int = 0  # G of the global states in its data sets; 0: they have none

    @property
    def obs_size(self) -> int:
        """Observation size O of a learner (the same for all learners)."""
        return self.obs_sizes[0]

    @property
    def has_prey(self) -> bool:
        """Whether an agent that does not learn acts in the environment."""
        return self.num_agents > self.num_learners
