"""What an algorithm is, and one update of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ..random import Draw
    from ..tasks import Task
    from .agents import Agents
    from .backbone import Backbone
    from .batch import Batch
    from .optimizer import StackedOptimizer
    from .presets import PresetName
    from .statistics import Facts

S = TypeVar("S")

LossTerms: TypeAlias = "dict[str, Tensor]"
"""Terms of a loss by name, weights included: the loss is their sum. `[M]` each; `[S]` of shared critics."""


@dataclass(frozen=True, slots=True)
class Preset(Generic[S]):
    """What a preset fixes for an algorithm on one dataset of a task."""

    backbone: Backbone
    settings: S
    updates: int  # of every agent


class Stage(ABC):
    """Updates before the first one of the agents, such as learning a model.

    Attributes:
        title: What is done, for people.
        updates: How many.
        batch_size: Transitions in each minibatch.
    """

    title: str
    updates: int
    batch_size: int

    @abstractmethod
    def update(self, batch: Batch, step: int) -> LossTerms:
        """One update on a minibatch; `step` counts from 0. Returns the terms, `[M]` or `[S]`."""

    @abstractmethod
    def finish(self) -> None:
        """The stage is over."""


class Algorithm(ABC, Generic[S]):
    """Losses of the critics and of the actors. Networks, targets and optimisers are those of `Agents`.

    Attributes:
        Settings: A frozen dataclass; its fields are options of the command line.
        has_critics: Whether members have critics.
        needs_next_actions: Whether minibatches must hold the data's next actions and their mask.
        needs_states: Whether minibatches must hold the global states of data that has them.
        needs_returns: Whether minibatches must hold the returns of the rows' episodes.
        learned_deviation: Whether the policies have a deviation that is learned, `Agents.deviation`.
        needs_facts: Whether the losses ask for `facts` of the data as a whole.
        estimates_values: Whether `estimate` says what actions are worth.
        joint_rows: Whether the N members of a seed share their minibatches' rows, whatever critics see.
        sized_by: Options of the algorithm's own that `footprint` grows with.
    """

    Settings: ClassVar[type[Any]]
    has_critics: ClassVar[bool] = True
    needs_next_actions: ClassVar[bool] = False
    needs_states: ClassVar[bool] = False
    needs_returns: ClassVar[bool] = False
    learned_deviation: ClassVar[bool] = False
    needs_facts: ClassVar[bool] = False
    joint_rows: ClassVar[bool] = False
    estimates_values: ClassVar[bool] = True
    sized_by: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: S, agents: Agents, facts: Facts | None = None) -> None:
        """Takes what the losses are of.

        Args:
            settings: Of the algorithm.
            agents: The stacked networks.
            facts: Of the data, for algorithms that need them.

        Raises:
            ValueError: The algorithm needs facts and got none.
        """
        self.settings = settings
        self.agents = agents
        if facts is None and self.needs_facts:
            raise ValueError(f"[algorithms] {type(self).__name__} needs facts of the data")
        self.facts = facts

    @classmethod
    @abstractmethod
    def preset(cls, task: str, quality: str, name: PresetName) -> Preset[S]:
        """The hyper-parameters of a preset for one dataset of a task."""

    @classmethod
    def footprint(cls, settings: S, backbone: Backbone, task: Task) -> int:
        """Numbers of each seed in memory at once beside those of `Agents` and its minibatches, at least."""
        return 0

    @property
    def critics(self) -> StackedOptimizer | None:
        """Those of the members, or those that the agents of a seed share; None where there are none."""
        return getattr(self.agents, "critic", None) or getattr(self.agents, "shared", None)

    @classmethod
    def columns(cls) -> dict[str, bool]:
        """Which further columns minibatches must hold, by their names in `replay_buffer`."""
        return {
            "next_actions": cls.needs_next_actions,
            "states": cls.needs_states,
            "returns": cls.needs_returns,
        }

    @classmethod
    def suits(cls, task: Task) -> bool:
        """Whether the matrix of the task has cells of it; it can be trained there in any case."""
        return True

    def stages(self) -> tuple[Stage, ...]:
        """What comes before the first update."""
        return ()

    def update(self, batch: Batch, draw: Draw) -> LossTerms:
        """One update of all members: a critic step, an actor step, then the targets follow.

        Args:
            batch: A minibatch, with rewards already scaled.
            draw: Its step is the number of the update.

        Returns:
            All terms of both losses, not differentiable.
        """
        logged = take_steps(
            self.agents.actor,
            self.critics,
            lambda: self.actor_terms(batch, draw),
            lambda: self.critic_terms(batch, draw),
        )
        self.agents.follow(batch.observations)
        return logged

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
        values = self.agents.first_values(self.agents.context(observations, actions), actions)
        return values / self.agents.settings.reward_scale

    def actor_terms(self, batch: Batch, draw: Draw) -> LossTerms:
        """Terms of the actors' loss on the same minibatch, after the critics' step.

        Every algorithm has them, or an `update` of its own.
        """
        raise NotImplementedError


def update(algorithm: Algorithm[Any], agents: Agents, batch: Batch, draw: Draw) -> LossTerms:
    """One update of all members, at the learning rate of its number.

    Args:
        algorithm: The losses.
        agents: The networks that they are of.
        batch: A minibatch, with rewards as they are in the data.
        draw: Its step is the number of the update.

    Returns:
        All terms of both losses, `[M]` each, not differentiable.
    """
    agents.begin(draw.step)
    return algorithm.update(batch.scaled(agents.settings.reward_scale), draw)


def take_steps(
    actor: StackedOptimizer,
    critic: StackedOptimizer | None,
    actor_terms: Callable[[], LossTerms],
    critic_terms: Callable[[], LossTerms],
) -> LossTerms:
    """A step of the critics, then one of the actors, then the targets follow.

    Args:
        actor: The policies.
        critic: The critics; None: there are none, and no targets.
        actor_terms: Gives the terms of the actors' loss, after the critics' step.
        critic_terms: Gives those of the critics' loss.

    Returns:
        All terms of both losses, not differentiable.
    """
    logged: LossTerms = {}
    for kind, stack, loss in (("critic", critic, critic_terms), ("actor", actor, actor_terms)):
        if stack is not None:
            terms = loss()
            stack.step(sum_terms(terms))
            logged |= {f"{kind}/{name}": term.detach() for name, term in terms.items()}
    if critic is not None:  # the critics' targets alone ask for target policies
        critic.track()
        actor.track()
    return logged


def sum_terms(terms: LossTerms) -> Tensor:
    """The loss `[M]`."""
    first, *rest = terms.values()
    for term in rest:
        first = first + term
    return first
