"""MATD3 (Ackermann et al. 2019), trained online: centralised twin critics, decentralised tanh policies.

Member m = (seed m // T, trained agent m % T) has its own tanh policy on its own observation, and twin
critics on the observations and actions of all A agents of its seed. A prey that is trained along is the
last member of its seed and learns by DDPG: its critics' inputs are masked to its own observation and
action. An agent that is not trained (a frozen prey) acts through a policy that the caller gives.

Critics may see more than the agents do, numbers that stand behind an agent's own in its observation.

Two things differ from the offline backbone. The penalty is on the policy's outputs before the tanh: one
on the actions themselves vanishes just where a tanh saturates, and early critics drive every policy
there. And rewards are scaled, so that the critics need not first grow their weights to the size of the
returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .. import _core
from ..algorithms import losses
from ..algorithms.agents import ACTOR, CRITIC, LAST_POLICY_LAYER
from ..algorithms.optimizer import StackedOptimizer, falling_rate
from ..nets import StackedMlp
from ..runs import ranges
from ..runs.decode import check_types

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from ..algorithms.base import LossTerms
    from ..algorithms.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Matd3Settings:
    """Settings of MATD3; the defaults trained the shipped behaviour policies."""

    gamma: float = 0.95
    """Discount factor."""
    batch_size: int = 256
    """Transitions in each seed's minibatch."""
    learning_rate: float = 2e-3
    """Adam's at the first update."""
    final_learning_rate: float = 2e-4
    """Adam's at the last update; it falls linearly."""
    polyak_rate: float = 0.01
    """Share of the new weights mixed into the target networks at each update."""
    hidden: int = 64
    """Width of both hidden layers."""
    clip_norm: float = 0.5
    """Largest gradient norm of a policy, and of a pair of twin critics."""
    reward_scale: float = 0.1
    """Factor on the rewards that the critics learn."""
    saturation_penalty: float = 1e-2
    """Weight of the mean square of a policy's outputs before the tanh."""

    def __post_init__(self) -> None:
        """Raises SettingError where a setting has the wrong type or is out of range."""
        check_types(self)
        ranges.at_least(self, 1, "batch_size", "hidden")
        ranges.positive(self, "learning_rate", "final_learning_rate", "clip_norm", "reward_scale")
        ranges.between(self, 0, 1, "gamma", brackets="[)")
        ranges.between(self, 0, 1, "polyak_rate", brackets="(]")
        ranges.at_least(self, 0, "saturation_penalty")


@dataclass(frozen=True, slots=True)
class JointBatch:
    """Minibatches of S seeds: all members of a seed see the same transitions, of all A agents."""

    observations: Tensor  # [S, B, A, O], as they are: the networks normalise them
    actions: Tensor  # [S, B, A, U]
    rewards: Tensor  # [S, B, A]
    next_observations: Tensor  # [S, B, A, O]
    frozen_next_actions: Tensor  # [S, B, A - T, U]: of the agents that are not trained


@dataclass(frozen=True, slots=True)
class Roles:
    """Who is who among the A agents."""

    agents: int  # A
    trained: int  # T: the first T agents are trained
    cooperative: int  # the first of them, whose critics see everything; the others' see only their own

    def critic_mask(self, width: int) -> Tensor:
        """`[T, A, width]`: 1 where the critic of a trained agent sees an agent's numbers."""
        mask = torch.ones(self.trained, self.agents, width)
        for own in range(self.cooperative, self.trained):
            mask[own] = 0.0
            mask[own, own] = 1.0
        return mask


class Matd3:
    """S x T stacked members: networks, targets, optimisers and the update.

    Attributes:
        actor: S T policies.
        critic: 2 S T critics; network k * S T + m is Q^(k+1) of member m.
    """

    def __init__(
        self,
        settings: Matd3Settings,
        roles: Roles,
        *,
        seeds: Sequence[int],
        obs_size: int,
        action_size: int,
        statistics: Statistics | None = None,
        seen: int | None = None,
    ) -> None:
        """Draws the first weights.

        Args:
            settings: Of the algorithm.
            roles: Of the agents.
            seeds: S keys of random numbers.
            obs_size: O.
            action_size: U.
            statistics: Of the observations, `[A, O]` each, with which the networks normalise them; None
                leaves them as they are.
            seen: How many of an observation's O numbers, the first ones, a policy sees; None: all.
        """
        self.settings, self.roles = settings, roles
        self.seeds = len(seeds)
        self.members = len(seeds) * roles.trained
        self.seen = obs_size if seen is None else seen
        h = settings.hidden
        keys = [seed for seed in seeds for _ in range(roles.trained)]
        joint = roles.agents * (obs_size + action_size)
        actor = StackedMlp(
            self.members,
            (self.seen, h, h, action_size),
            seeds=keys,
            network=ACTOR,
            last_layer_scale=LAST_POLICY_LAYER * h**0.5,
        )
        critic = StackedMlp(2 * self.members, (joint, h, h, 1), seeds=[*keys, *keys], network=CRITIC)
        if statistics is not None:
            actor.standardize(*(self._stack(column[: roles.trained, : self.seen]) for column in statistics))
            critic.standardize(*self._critic_statistics(statistics, action_size))
        self.actor, self.critic = (
            StackedOptimizer(
                networks,
                members=self.members,
                learning_rate=settings.learning_rate,
                polyak_rate=settings.polyak_rate,
                clip_norm=settings.clip_norm,
            )
            for networks in (actor, critic)
        )
        private = roles.cooperative < roles.trained
        self._masks = (
            tuple(self._stack(roles.critic_mask(width)[:, None]) for width in (obs_size, action_size))
            if private
            else None
        )
        self._own = torch.eye(roles.trained, roles.agents, dtype=torch.bool)[None, :, None, :, None]

    def update(self, batch: JointBatch, progress: float) -> LossTerms:
        """One update of all members: a critic step, an actor step, then the targets follow.

        Args:
            batch: Minibatches of all seeds.
            progress: Share of the training that is done, which sets the learning rate.

        Returns:
            The terms of both losses, `[M]` each, not differentiable.
        """
        rate = falling_rate(self.settings.learning_rate, self.settings.final_learning_rate, progress)
        for stack in (self.critic, self.actor):
            stack.set_learning_rate(rate)
        td = losses.td_error(self._values(batch.observations, batch.actions), self.targets(batch))
        self.critic.step(td)
        value, saturation = self._actor_terms(batch)
        self.actor.step(value + saturation)
        self.critic.track()
        self.actor.track()
        terms = {"critic/td": td, "actor/value": value, "actor/saturation": saturation}
        return {name: term.detach() for name, term in terms.items()}

    def logits(self, actor: StackedMlp, observations: Tensor) -> Tensor:
        """Outputs before the tanh of the trained agents, `[S, B, A, O]` to `[S, T, B, U]`."""
        own = observations[:, :, : self.roles.trained, : self.seen].transpose(1, 2)
        logits: Tensor = actor(own.flatten(0, 1))
        return logits.view(self.seeds, self.roles.trained, *logits.shape[1:])

    @torch.no_grad()
    def targets(self, batch: JointBatch) -> Tensor:
        """`y = scale r + gamma min_k Qbar^k(o', pibar(o'))`, `[M, B]`."""
        trained = torch.tanh(self.logits(self.actor.target, batch.next_observations)).transpose(1, 2)
        next_actions = torch.cat([trained, batch.frozen_next_actions], dim=2)
        next_values = self._values(batch.next_observations, next_actions, target=True)
        rewards = batch.rewards[:, :, : self.roles.trained].transpose(1, 2).flatten(0, 1)
        return losses.td_target(self.settings.reward_scale * rewards, next_values, self.settings.gamma)

    def _values(self, observations: Tensor, actions: Tensor, *, target: bool = False) -> Tensor:
        """Both critics' values `[2, M, B]` of joint observations and actions `[S, B, A, .]`."""
        stacked = (x[:, None].expand(-1, self.roles.trained, -1, -1, -1) for x in (observations, actions))
        inputs = self._critic_inputs(*stacked)
        networks = self.critic.target if target else self.critic.networks
        values: Tensor = networks(torch.cat([inputs, inputs]))
        return values.view(2, *inputs.shape[:2])

    def _actor_terms(self, batch: JointBatch) -> tuple[Tensor, Tensor]:
        """`-mean Q^1(o, a with the own action replaced by pi(o))` and the penalty, `[M]` each."""
        logits = self.logits(self.actor.networks, batch.observations)
        actions = torch.where(self._own, torch.tanh(logits)[:, :, :, None], batch.actions[:, None])
        joint = batch.observations[:, None].expand(-1, self.roles.trained, -1, -1, -1)
        inputs = self._critic_inputs(joint, actions)
        weights, biases = (
            [p.detach() for p in layers] for layers in self.critic.networks.layers(self.members)
        )
        value = losses.negative_value(_core.nn_forward(_core.StackedMlp(weights, biases), inputs).squeeze(-1))
        penalty = self.settings.saturation_penalty * losses.action_norm(logits.flatten(0, 1))
        return value, penalty

    def _critic_inputs(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Observations and actions `[S, T, B, A, .]` to each member's view of them, `[M, B, A (O + U)]`."""
        obs, acts = observations.flatten(0, 1), actions.flatten(0, 1)
        if self._masks is not None:
            obs, acts = obs * self._masks[0], acts * self._masks[1]
        return torch.cat([obs.flatten(2), acts.flatten(2)], dim=2)

    def _critic_statistics(self, statistics: Statistics, action_size: int) -> tuple[Tensor, Tensor]:
        """Mean and deviation `[2 M, A (O + U)]` of critics' inputs; 0 and 1 of actions and masked numbers."""
        mean, std = statistics
        seen = self.roles.critic_mask(mean.shape[1]).bool()
        columns = torch.where(seen, mean, 0.0), torch.where(seen, std, 1.0)  # [T, A, O]
        actions = mean.new_zeros(self.roles.trained, self.roles.agents * action_size)
        inputs = (
            torch.cat([column.flatten(1), actions + fill], dim=1)
            for column, fill in zip(columns, (0.0, 1.0), strict=True)
        )
        whole_mean, whole_std = (self._stack(column).repeat(2, 1) for column in inputs)
        return whole_mean, whole_std

    def _stack(self, by_agent: Tensor) -> Tensor:
        """One entry per trained agent to one per member."""
        return by_agent.repeat(self.seeds, *(1 for _ in by_agent.shape[1:]))

    def tensors(self) -> dict[str, Tensor]:
        """The whole state by name."""
        named = {f"actor.{name}": tensor for name, tensor in self.actor.tensors().items()}
        return named | {f"critic.{name}": tensor for name, tensor in self.critic.tensors().items()}

    def load(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Takes over a state that `tensors` gave after `updates` updates."""
        for kind, stack in (("actor.", self.actor), ("critic.", self.critic)):
            stack.load({n.removeprefix(kind): t for n, t in tensors.items() if n.startswith(kind)}, updates)
