"""MA-CQL: conservative Q-learning (Kumar et al. 2020) for independent agents with deterministic policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, get_args

import torch

from ..nets import Precision, cql_penalty, normal_candidates
from . import losses
from .settings import setting

if TYPE_CHECKING:
    from ..nets import Candidates
    from ..random import Draw
    from .agents import Agents, Batch
    from .base import Terms


@dataclass(frozen=True, slots=True)
class CqlSettings:
    """Settings of MA-CQL; alpha belongs to the dataset (the presets have it)."""

    alpha: float = setting(0.5, "weight of the CQL penalty")
    penalty_samples: int = setting(10, "uniform actions per state in the CQL penalty")
    policy_samples: int = setting(0, "further actions around pi(o), and around pi(o'); HalfCheetah: 10")
    policy_noise: float = setting(0.2, "standard deviation of these around the policy's action")
    penalty_precision: Precision = setting("float32", "of the hidden layers' products in the CQL penalty")

    def __post_init__(self) -> None:
        """Raises ValueError where a setting is out of range."""
        if not self.alpha >= 0:
            raise ValueError(f"alpha must be at least 0, got {self.alpha}")
        if self.penalty_samples < 1:
            raise ValueError(f"penalty_samples must be at least 1, got {self.penalty_samples}")
        if self.policy_samples < 0:
            raise ValueError(f"policy_samples must be at least 0, got {self.policy_samples}")
        if not self.policy_noise > 0:
            raise ValueError(f"policy_noise must be greater than 0, got {self.policy_noise}")
        if self.penalty_precision not in get_args(Precision):
            raise ValueError(f"penalty_precision must be float32 or bf16, got {self.penalty_precision}")


class Cql:
    """Critic: TD error plus the CQL penalty. Actor: maximise Q^1(o, pi(o))."""

    Settings: ClassVar[type[CqlSettings]] = CqlSettings

    def __init__(self, settings: CqlSettings, agents: Agents) -> None:
        """Args: `agents` are the stacked networks that the losses are of."""
        self.settings = settings
        self.agents = agents

    def critic_terms(self, batch: Batch, draw: Draw) -> Terms:
        """Terms of the critics' loss, `[M]` each."""
        return conservative_terms(self.agents, batch, self.settings, draw)

    def actor_terms(self, batch: Batch, draw: Draw) -> Terms:
        """Terms of the actors' loss, `[M]` each."""
        actions = self.agents.act(batch.observations)
        values = self.agents.first_values(batch.observations, actions)
        return {
            "value": losses.negative_value(values),
            "action": self.agents.settings.action_penalty * losses.action_norm(actions),
        }


def conservative_terms(agents: Agents, batch: Batch, settings: CqlSettings, draw: Draw) -> Terms:
    """`sum_k MSE(Q^k, y) + alpha penalty_k`: the critic's loss of MA-CQL and of everything built on it."""
    data_values = agents.values(batch.observations, batch.actions)
    penalties = cql_penalty(
        agents.critic.networks,
        batch.observations,
        data_values,
        seed=draw.seed,
        step=draw.step,
        samples=settings.penalty_samples,
        others=_policy_candidates(agents, batch, settings, draw),
        path=agents.settings.path,
        precision=settings.penalty_precision,
    )
    return {
        "td": losses.td_error(data_values, agents.targets(batch)),
        "conservatism": settings.alpha * penalties.sum(dim=0),
    }


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
            which=which,
        )
        for which, mean in enumerate(means, start=1)
    ]
