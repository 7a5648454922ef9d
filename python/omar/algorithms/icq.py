"""MA-ICQ: implicit constraint Q-learning (Yang et al. 2021), softmax form, for every agent by itself.

Nothing is evaluated outside the data: targets take the data's own next action, and the policy imitates the
data's actions by weights that grow with their advantage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from ..runs import ranges
from ..runs.decode import check_types
from . import losses
from .backbone import Backbone, preset_updates
from .base import Algorithm, Preset

if TYPE_CHECKING:
    from torch import Tensor

    from ..random import Draw
    from .base import LossTerms
    from .batch import Batch
    from .presets import PresetName

LOWEST_LOG_DEVIATION = -6.0  # of the policies; the highest is 0, the first halfway


@dataclass(frozen=True, slots=True)
class IcqSettings:
    """Settings of MA-ICQ. Its authors published a multi-agent code, for games, and a single-agent one.

    Beta is tuned for the particle tasks (docs/results/tuning.md).
    """

    beta: float = 1.0
    """Temperature of the actor's weights: 0.1 in the multi-agent code, 100 in the single-agent one."""
    beta_q: float = 1000.0
    """Temperature of the targets' weights: 1000 in the multi-agent code, 10 in the single-agent one."""
    advantage: Literal["policy", "td"] = "policy"
    """What the actor's weights grow with. policy: Q(o, a) - Q(o, pi(o)), as in the multi-agent code;
    td: r + gamma Q(o', a') - Q(o, a), as in the single-agent one."""
    largest_weight: float = 1.0
    """The targets' weights are clamped to it; their mean is 1 before."""

    def __post_init__(self) -> None:
        """Raises SettingError where a setting has the wrong type or is out of range."""
        check_types(self)
        ranges.positive(self, "beta", "beta_q", "largest_weight")


class Icq(Algorithm[IcqSettings]):
    """MA-ICQ. The update of every agent, on its minibatch of (o, a, r, o', a'), a' the data's next action.

        v = min_k Qbar^k(o', a')
        y = r + gamma v min(1, B softmax_batch(v / beta_q))
        critics: descend  sum_k MSE(Q^k(o, a), y)
        advantage = Q^1(o, a) - Q^1(o, pi(o))
        actor: descend  -mean B softmax_batch(advantage / beta) log pi(a | o)
        targets: follow the critics

    The policy is normal around `tanh(mlp(o))` with a learned deviation that does not depend on the state;
    evaluations take its mean. B counts the rows with a next action. Those that lack one because their episode
    was cut are left out of every mean, as in the authors' code.
    """

    Settings: ClassVar[type[IcqSettings]] = IcqSettings
    needs_next_actions: ClassVar[bool] = True
    learned_deviation: ClassVar[bool] = True

    @classmethod
    def preset(cls, task: str, quality: str, name: PresetName) -> Preset[IcqSettings]:
        """The shared backbone, trained as long as the other algorithms."""
        return Preset(Backbone.preset(task, name), IcqSettings(), preset_updates(task, quality))

    def critic_terms(self, batch: Batch, draw: Draw) -> LossTerms:
        """The TD error towards the weighted values of the data's next actions."""
        agents, settings = self.agents, self.settings
        next_actions, mask = batch.following()
        context = agents.context(batch.next_observations, next_actions)
        following = agents.target_values(context, next_actions).amin(dim=0)
        weights = losses.batch_softmax(following / settings.beta_q, mask).clamp(max=settings.largest_weight)
        targets = losses.td_target(
            batch.rewards, (weights * following)[None], agents.settings.gamma, batch.terminated
        )
        values = agents.values(agents.context(batch.observations, batch.actions), batch.actions)
        return {"td": losses.td_error(values, targets, _usable(batch))}

    def actor_terms(self, batch: Batch, draw: Draw) -> LossTerms:
        """The weighted log-likelihood of the data's actions."""
        agents, usable = self.agents, _usable(batch)
        mean = agents.act(batch.observations)
        likelihood = losses.gaussian_log_density(batch.actions, mean, self.log_deviation())
        weights = losses.batch_softmax(self._advantages(batch, mean) / self.settings.beta, usable)
        return {"likelihood": -losses.row_mean(weights * likelihood, usable)}

    def log_deviation(self) -> Tensor:
        """Logarithm of the policies' deviation, `[M, A]`, within bounds."""
        return LOWEST_LOG_DEVIATION * torch.sigmoid(-self.agents.deviation)

    @torch.no_grad()
    def _advantages(self, batch: Batch, mean: Tensor) -> Tensor:
        """Of the data's actions, `[M, B]`."""
        agents = self.agents
        context = agents.context(batch.observations, batch.actions)
        values = agents.first_values(context, batch.actions)
        if self.settings.advantage == "policy":
            return values - agents.first_values(context, mean)
        next_actions, _ = batch.following()
        next_context = agents.context(batch.next_observations, next_actions)
        following = agents.first_values(next_context, next_actions)[None]
        gamma = agents.settings.gamma
        return losses.td_target(batch.rewards, following, gamma, batch.terminated) - values


def _usable(batch: Batch) -> Tensor:
    """`[M, B]`, 1 where the targets know what follows: the next action, or that the episode ended."""
    _, mask = batch.following()
    return mask if batch.terminated is None else torch.maximum(mask, batch.terminated)
