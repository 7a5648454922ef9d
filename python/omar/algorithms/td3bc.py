"""MA-TD3+BC: TD3 with a cloning term in the actor's loss (Fujimoto & Gu 2021), for every agent by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from ..runs import ranges
from ..runs.decode import check_types
from . import losses
from .backbone import Backbone, preset_updates
from .base import Algorithm, Preset

if TYPE_CHECKING:
    from ..random import Draw
    from .base import LossTerms
    from .batch import Batch
    from .presets import PresetName


@dataclass(frozen=True, slots=True)
class Td3BcSettings:
    """Settings of MA-TD3+BC."""

    alpha: float = 2.5
    """Weight of the value against the cloning term; 2.5 is the authors'."""

    def __post_init__(self) -> None:
        """Raises SettingError where a setting has the wrong type or is out of range."""
        check_types(self)
        ranges.at_least(self, 0, "alpha")


class Td3Bc(Algorithm[Td3BcSettings]):
    """MA-TD3+BC. The update of every agent, on its minibatch of (o, a, r, o').

    y = r + gamma min_k Qbar^k(o', pibar(o'))
    critics: descend  sum_k MSE(Q^k(o, a), y)
    lambda = alpha / mean |Q^1(o, pi(o))|, a constant
    actor: descend  -lambda mean Q^1(o, pi(o)) + mean |pi(o) - a|^2
    targets: follow critics and actor
    """

    Settings: ClassVar[type[Td3BcSettings]] = Td3BcSettings

    @classmethod
    def preset(cls, task: str, quality: str, name: PresetName) -> Preset[Td3BcSettings]:
        """The authors' alpha. Inputs are normalised by the data's statistics, as the authors do."""
        # Batch normalisation of the own action leaves the value's gradient too little to go by (tuning.md).
        backbone = replace(Backbone.preset(task, name), input_norm="dataset")
        return Preset(backbone, Td3BcSettings(), preset_updates(task, quality))

    def critic_terms(self, batch: Batch, draw: Draw) -> LossTerms:
        """The TD error."""
        agents = self.agents
        values = agents.values(agents.context(batch.observations, batch.actions), batch.actions)
        targets = losses.td_target(
            batch.rewards, agents.next_values(batch), agents.settings.gamma, batch.terminated
        )
        return {"td": losses.td_error(values, targets)}

    def actor_terms(self, batch: Batch, draw: Draw) -> LossTerms:
        """The scaled value of the policy's own action, the cloning term, and the action penalty."""
        agents = self.agents
        actions = agents.act(batch.observations)
        values = agents.first_values(agents.context(batch.observations, batch.actions), actions)
        return {
            "value": self.settings.alpha * losses.scaled_negative_value(values),
            "imitation": losses.squared_distance(actions, batch.actions),
            "action": agents.settings.action_penalty * losses.action_norm(actions),
        }
