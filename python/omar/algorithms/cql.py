"""MA-CQL: conservative Q-learning (Kumar et al. 2020) for agents with deterministic policies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch

from ..nets import Precision, cql_penalty, normal_candidates
from ..runs import ranges
from ..runs.decode import check_types
from . import losses
from .backbone import Backbone, preset_updates
from .base import Algorithm, Preset
from .presets import PresetName, by_quality, look_up

if TYPE_CHECKING:
    from torch import Tensor

    from ..nets import Candidates, Observations
    from ..random import Draw
    from .agents import Agents
    from .base import LossTerms
    from .batch import Batch

MOST_SAMPLES = 1024  # actions of one kind per state

# Weight of the penalty in the released code; the appendix took the best of {0.1, 0.5, 1, 5} for each task.
ALPHA = {
    "simple_spread": by_quality(0.5, 1.0, 5.0, 5.0),
    "simple_tag": by_quality(0.5, 0.5, 5.0, 5.0),
    "simple_world": by_quality(0.5, 1.0, 0.5, 5.0),
    "half_cheetah": by_quality(1.0, 5.0, 1.0, 5.0),
}
# Further actions around the policy's in the penalty, of OMAR too: the released code has them on HalfCheetah.
POLICY_SAMPLES = {"half_cheetah": 10}
TUNED_POLICY_SAMPLES = {"simple_tag": 10, "simple_world": 10} | POLICY_SAMPLES  # MA-CQL's (tuning.md)


@dataclass(frozen=True, slots=True)
class CqlSettings:
    """Settings of MA-CQL; alpha depends on the dataset."""

    alpha: float = 0.5
    """Weight of the CQL penalty."""
    penalty_samples: int = 10
    """Uniform actions per state in the CQL penalty."""
    policy_samples: int = 0
    """Further actions around pi(o), and around pi(o'), in the penalty; the authors take 10 on HalfCheetah."""
    policy_noise: float = 0.2
    """Standard deviation of these actions around the policy's."""
    penalty_precision: Precision = "float32"
    """Precision of the matrix products in the CQL penalty."""

    def __post_init__(self) -> None:
        """Raises SettingError where a setting has the wrong type or is out of range."""
        check_types(self)
        ranges.at_least(self, 0, "alpha")
        ranges.between(self, 1, MOST_SAMPLES, "penalty_samples")
        ranges.between(self, 0, MOST_SAMPLES, "policy_samples")
        ranges.positive(self, "policy_noise")


class Cql(Algorithm[CqlSettings]):
    """MA-CQL.

    Critics: `sum_k MSE(Q^k(o, a), y) + alpha penalty_k` with `y = r + gamma min_k Qbar^k(o', pibar(o'))`.
    Actor: maximise `Q^1(o, pi(o))`.
    """

    Settings: ClassVar[type[CqlSettings]] = CqlSettings

    @classmethod
    def preset(cls, task: str, quality: str, name: PresetName) -> Preset[CqlSettings]:
        """The hyper-parameters of a preset: the released alpha, on a backbone that is tuned (tuning.md).

        An actor that climbs the value needs a smoother one than a search does. The released MA-CQL is `omar`
        with `--tau 0`.
        """
        backbone = Backbone.preset(task, name)
        if task != "half_cheetah":
            backbone = replace(backbone, learning_rate=1e-3, input_norm="dataset", critic_norm="layer")
        settings = CqlSettings(
            alpha=look_up(ALPHA, task, quality, otherwise=CqlSettings().alpha),
            policy_samples=TUNED_POLICY_SAMPLES.get(task, 0),
        )
        return Preset(backbone, settings, preset_updates(task, quality))

    def critic_terms(self, batch: Batch, draw: Draw) -> LossTerms:
        """The TD error and the CQL penalty."""
        agents = self.agents
        context = agents.context(batch.observations, batch.actions)
        values = agents.values(context, batch.actions)
        targets = losses.td_target(
            batch.rewards, agents.next_values(batch), agents.settings.gamma, batch.terminated
        )
        penalties = conservatism(agents, batch, context, values, self.settings, draw)
        return {"td": losses.td_error(values, targets), "conservatism": self.settings.alpha * penalties}

    def actor_terms(self, batch: Batch, draw: Draw) -> LossTerms:
        """The value of the policy's own action, and the backbone's action penalty."""
        agents = self.agents
        actions = agents.act(batch.observations)
        values = agents.first_values(agents.context(batch.observations, batch.actions), actions)
        return {
            "value": losses.negative_value(values),
            "action": agents.settings.action_penalty * losses.action_norm(actions),
        }


def conservatism(
    agents: Agents, batch: Batch, context: Observations, values: Tensor, settings: CqlSettings, draw: Draw
) -> Tensor:
    """`sum_k mean [ logsumexp_a (Q^k(o, a) - log density(a)) - Q^k(o, a_data) ]`: `[M]`.

    Args:
        agents: Whose critics.
        batch: The minibatch.
        context: What the critics see of it, `[M, B, C]`.
        values: Of the data's actions, `[T, M, B]`.
        settings: Which actions are sampled.
        draw: Of the random numbers.
    """
    return cql_penalty(
        agents.critic.networks,
        context,
        values,
        seed=draw.seed,
        step=draw.step,
        samples=settings.penalty_samples,
        others=_policy_candidates(agents, batch, settings, draw),
        kernels=agents.settings.kernels,
        precision=settings.penalty_precision,
    ).sum(dim=0)


def _policy_candidates(agents: Agents, batch: Batch, settings: CqlSettings, draw: Draw) -> list[Candidates]:
    """Actions around pi(o) and around pi(o'), both to be scored at o."""
    if settings.policy_samples == 0:
        return []
    with torch.no_grad():
        means = [agents.act(batch.observations), agents.act(batch.next_observations)]
    return [
        normal_candidates(
            mean,
            settings.policy_noise,
            settings.policy_samples,
            seed=draw.seed,
            step=draw.step,
            draw_set=which,
        )
        for which, mean in enumerate(means, start=1)
    ]
