"""Asymmetric actor-critic: critics see the whole state, policies what their own agents see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from ..runs import ranges
from ..runs.decode import check_types
from ..runs.memory import COPIES
from . import losses
from .backbone import Backbone
from .base import Algorithm, Preset, Stage
from .batch import by_row
from .cloning import Anchor, Clone
from .shared import check_shared_critics, share_critics
from .statistics import Statistics

if TYPE_CHECKING:
    from torch import Tensor

    from ..random import Draw
    from ..tasks import Task
    from .agents import Agents
    from .base import LossTerms
    from .batch import Batch
    from .presets import PresetName
    from .statistics import Facts

UPDATES = 10_000


@dataclass(frozen=True, slots=True)
class AsymmetricSettings:
    """Settings of the cloning beforehand, and of the actors' losses."""

    clone_updates: int = 2000
    """Updates in which the policies imitate the data, before those of the agents."""
    anchor: float = 0.03
    """Weight of the imitation in the actors' loss, for each unit that the behaviour's precision (one over its
    variance around the clone) is above that of uniform actions."""
    logit_penalty: float = 0.01
    """Weight of the mean square of what the policies' tanh is taken of."""

    def __post_init__(self) -> None:
        """Raises SettingError where a setting has the wrong type or is out of range."""
        check_types(self)
        ranges.at_least(self, 1, "clone_updates")
        ranges.at_least(self, 0, "anchor", "logit_penalty")


class Asymmetric(Algorithm[AsymmetricSettings]):
    """Asymmetric actor-critic, anchored to the better half of the data.

        beforehand: the policies imitate the better half of the episodes, of at least the median return
        s: the global state; where the data has none, what all agents see
        y = r + gamma min_k Qbar^k(s', pibar(o')); r the mean reward, pi(o) the actions of all agents
        critics: descend  sum_k mean (Q^k(s, a) - y)^2
        v = Q^1(s, pi(o))
        actors: descend  -mean v / mean |v| + anchor max(0, 1 / variance - 3) mean (pi(o) - a)^2
                         + logit_penalty mean logits^2
        targets: follow critics and actors

    Means over actions are over all agents, too; the anchor's is over rows of the better half. The variance is
    that of their actions around the clone; that of uniform ones is 1 / 3. Critics that see more than the
    policies: Pinto et al. 2018, "Asymmetric Actor Critic for Image-Based Robot Learning".
    """

    Settings: ClassVar[type[AsymmetricSettings]] = AsymmetricSettings
    has_critics: ClassVar[bool] = False  # the agents of a seed share its own
    needs_facts: ClassVar[bool] = True
    needs_states: ClassVar[bool] = True
    needs_returns: ClassVar[bool] = True
    joint_rows: ClassVar[bool] = True
    estimates_values: ClassVar[bool] = False  # an evaluation does not know the states

    def __init__(self, settings: AsymmetricSettings, agents: Agents, facts: Facts | None = None) -> None:
        """As `Algorithm`'s; makes the critics."""
        super().__init__(settings, agents, facts)
        check_shared_critics("asymmetric", agents.settings)
        assert facts is not None  # noqa: S101 - the base class looks
        self.median_returns = facts.median_returns
        states = facts.observations.flatten(2) if facts.states is None else facts.states
        seen = self._statistics(states)
        self.anchor = Anchor(settings.anchor, states[:, 0, 0])
        self.critic = share_critics(
            agents,
            inputs=seen.mean.shape[1],
            outputs=1,
            kept=lambda: {"weight": self.anchor.weight},
            statistics=seen,
        )

    def _statistics(self, states: Tensor) -> Statistics:
        """How critics normalise what they see: states `[S, R, G]` by these, actions not at all."""
        std, mean = torch.std_mean(states, dim=1, correction=0)
        known = Statistics.of(mean, std)
        none = mean.new_zeros(len(mean), self.agents.learners * self.agents.action_size)
        return Statistics(torch.cat([known.mean, none], dim=1), torch.cat([known.std, none + 1], dim=1))

    @classmethod
    def preset(cls, task: str, quality: str, name: PresetName) -> Preset[AsymmetricSettings]:
        """One setting for all data, on networks of the task's size."""
        backbone = Backbone(
            batch_size=256,
            learning_rate=1e-3,
            final_learning_rate=1e-4,
            decay_updates=UPDATES,
            polyak_rate=0.01,
            hidden=Backbone.preset(task, name).hidden,
            action_penalty=0.0,
            critic_norm="layer",
            reward_scale=0.1,
            input_norm="dataset",
        )
        return Preset(backbone, AsymmetricSettings(), UPDATES)

    @classmethod
    def suits(cls, task: Task) -> bool:
        """Where the critics can see more than the policies."""
        return task.state_size > 0

    @classmethod
    def footprint(cls, settings: AsymmetricSettings, backbone: Backbone, task: Task) -> int:
        """The critics' hidden weights, and what they make of a minibatch; what they see, the data decides."""
        h = backbone.hidden
        return backbone.num_critics * (COPIES * h * h + 2 * backbone.batch_size * h)

    def stages(self) -> tuple[Stage, ...]:
        """Cloning."""
        return (Clone(self.agents, self.settings.clone_updates, self.anchor.measure, self._better),)

    def _better(self, batch: Batch) -> Tensor:
        """`[M, B]`: 1 where the row is of the better half of the episodes."""
        assert batch.returns is not None  # noqa: S101 - asked for
        median = self.median_returns.repeat_interleave(self.agents.learners)
        return (batch.returns >= median[:, None]).to(batch.returns)

    def critic_terms(self, batch: Batch, draw: Draw) -> LossTerms:
        """The TD error."""
        agents = self.agents
        states = self._seen(batch.states, batch.observations)
        following = self._seen(batch.next_states, batch.next_observations)
        with torch.no_grad():
            next_actions = self._joint(agents.act_as_target(batch.next_observations))
            next_values = agents.values_of(self.critic.target, following, next_actions)
        rewards = by_row(batch.rewards, agents.learners).mean(dim=2)
        terminated = None if batch.terminated is None else by_row(batch.terminated, agents.learners)[..., 0]
        targets = losses.td_target(rewards, next_values, agents.settings.gamma, terminated)
        values = agents.values_of(self.critic.networks, states, self._joint(batch.actions))
        return {"td": losses.td_error(values, targets)}

    def actor_terms(self, batch: Batch, draw: Draw) -> LossTerms:
        """The value of what all policies do together, the anchor, and the logits' penalty: N times the loss.

        The value stands in the loss of each of the N members; of the other terms each has its agent's own.
        """
        agents = self.agents
        states = self._seen(batch.states, batch.observations)
        logits = agents.logits(batch.observations)
        actions = torch.tanh(logits)
        values = agents.values_of(self.critic.networks, states, self._joint(actions), critics=1, fixed=True)
        value = losses.scaled_negative_value(values[0])
        return {
            "value": value.repeat_interleave(agents.learners),
            "anchor": self.anchor.term(actions, batch.actions, self._better(batch)),
            "logits": self.settings.logit_penalty * losses.action_norm(logits),
        }

    def _seen(self, states: Tensor | None, observations: Tensor) -> Tensor:
        """What critics see beside actions: the global states, or where there are none all observations."""
        return self._joint(observations) if states is None else states

    def _joint(self, column: Tensor) -> Tensor:
        """`[S, B, N O]` of all agents' columns `[M, B, O]`."""
        return by_row(column, self.agents.learners).flatten(2)
