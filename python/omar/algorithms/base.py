"""What an algorithm is, and the table of algorithms by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from ..random import Draw
    from .agents import Agents, Batch

Terms: TypeAlias = "dict[str, Tensor]"
"""Terms of a loss by name, [M] each, weights included: the loss is their sum."""


class Algorithm(Protocol):
    """Losses of the critics and of the actors. Networks, targets and optimisers are those of `Agents`."""

    Settings: ClassVar[type[Any]]

    def __init__(self, settings: Any, agents: Agents) -> None: ...

    def critic_terms(self, batch: Batch, draw: Draw) -> Terms:
        """Terms of the critics' loss on a minibatch."""
        ...

    def actor_terms(self, batch: Batch, draw: Draw) -> Terms:
        """Terms of the actors' loss on the same minibatch, after the critics' step."""
        ...


def update(algorithm: Algorithm, agents: Agents, batch: Batch, draw: Draw) -> Terms:
    """One update of all members: a critic step, an actor step, then the targets follow.

    Returns:
        All terms of both losses, `[M]` each, not differentiable.
    """
    logged: Terms = {}
    for kind, terms_of, stack in (
        ("critic", algorithm.critic_terms, agents.critic),
        ("actor", algorithm.actor_terms, agents.actor),
    ):
        terms = terms_of(batch, draw)
        total = sum_terms(terms)
        stack.step(total)
        logged |= {f"{kind}/{name}": term.detach() for name, term in terms.items()}
    agents.critic.track()
    agents.actor.track()
    return logged


def sum_terms(terms: Terms) -> Tensor:
    """The loss `[M]`."""
    first, *rest = terms.values()
    for term in rest:
        first = first + term
    return first
