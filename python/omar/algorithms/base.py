"""What an algorithm is, and one update of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from ..random import Draw
    from .agents import Agents, Batch
    from .backbone import Backbone
    from .presets import PresetName

S = TypeVar("S")

LossTerms: TypeAlias = "dict[str, Tensor]"
"""Terms of a loss by name, [M] each, weights included: the loss is their sum."""


@dataclass(frozen=True, slots=True)
class Preset(Generic[S]):
    """What a preset fixes for an algorithm on one dataset of a task."""

    backbone: Backbone
    settings: S
    updates: int  # of every agent


class Algorithm(ABC, Generic[S]):
    """Losses of the critics and of the actors. Networks, targets and optimisers are those of `Agents`.

    Attributes:
        Settings: A frozen dataclass; its fields are options of the command line.
        critics: Critics of each member (2: twins); 0 where the algorithm has none.
    """

    Settings: ClassVar[type[Any]]
    critics: ClassVar[int] = 2

    def __init__(self, settings: S, agents: Agents) -> None:
        """Args: `agents` are the stacked networks that the losses are of."""
        self.settings = settings
        self.agents = agents

    @classmethod
    @abstractmethod
    def preset(cls, task: str, quality: str, name: PresetName) -> Preset[S]:
        """The hyper-parameters of a preset for one dataset of a task."""

    def critic_terms(self, batch: Batch, draw: Draw) -> LossTerms:
        """Terms of the critics' loss on a minibatch; none where there are no critics."""
        return {}

    def estimate(self, observations: Tensor, actions: Tensor) -> Tensor:
        """What Q^1 says actions are worth, in the data's units of reward: what evaluations log.

        Args:
            observations: `[M, B, O]`; the N members of a seed share their rows.
            actions: `[M, B, A]` of all agents.

        Returns:
            `[M, B]`: discounted returns, as if there were no time limit.
        """
        return self.agents.first_values(self.agents.context(observations, actions), actions)

    @abstractmethod
    def actor_terms(self, batch: Batch, draw: Draw) -> LossTerms:
        """Terms of the actors' loss on the same minibatch, after the critics' step."""


def update(algorithm: Algorithm[Any], agents: Agents, batch: Batch, draw: Draw) -> LossTerms:
    """One update of all members: a critic step, an actor step, then the targets follow.

    Returns:
        All terms of both losses, `[M]` each, not differentiable.
    """
    logged: LossTerms = {}
    if algorithm.critics:
        terms = algorithm.critic_terms(batch, draw)
        agents.critic.step(sum_terms(terms))
        logged |= {f"critic/{name}": term.detach() for name, term in terms.items()}
    terms = algorithm.actor_terms(batch, draw)
    agents.actor.step(sum_terms(terms))
    agents.follow(batch.observations)
    logged |= {f"actor/{name}": term.detach() for name, term in terms.items()}
    if algorithm.critics:  # the critics' targets alone ask for target policies
        agents.critic.track()
        agents.actor.track()
    return logged


def sum_terms(terms: LossTerms) -> Tensor:
    """The loss `[M]`."""
    first, *rest = terms.values()
    for term in rest:
        first = first + term
    return first
