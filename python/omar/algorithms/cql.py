"""MA-CQL: conservative Q-learning (Kumar et al. 2020) for independent agents with deterministic policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..nets import cql_penalty
from . import losses
from .settings import setting

if TYPE_CHECKING:
    from .agents import Agents, Batch
    from .base import Draw, Terms


@dataclass(frozen=True, slots=True)
class CqlSettings:
    """Settings of MA-CQL; alpha belongs to the dataset (the presets have it)."""

    alpha: float = setting(0.5, "weight of the CQL penalty")
    penalty_samples: int = setting(10, "uniform actions per state in the CQL penalty")

    def __post_init__(self) -> None:
        """Raises ValueError where a setting is out of range."""
        if not self.alpha >= 0:
            raise ValueError(f"alpha must be at least 0, got {self.alpha}")
        if self.penalty_samples < 1:
            raise ValueError(f"penalty_samples must be at least 1, got {self.penalty_samples}")


class Cql:
    """Critic: TD error plus the CQL penalty. Actor: maximise Q^1(o, pi(o))."""

    Settings: ClassVar[type[CqlSettings]] = CqlSettings

    def __init__(self, settings: CqlSettings, agents: Agents) -> None:
        """Args: `agents` are the stacked networks that the losses are of."""
        self.settings = settings
        self.agents = agents

    def critic_terms(self, batch: Batch, draw: Draw) -> Terms:
        """Terms of the critics' loss, `[M]` each."""
        return conservative_terms(
            self.agents, batch, self.settings.alpha, self.settings.penalty_samples, draw
        )

    def actor_terms(self, batch: Batch, draw: Draw) -> Terms:
        """Terms of the actors' loss, `[M]` each."""
        actions = self.agents.act(batch.observations)
        values = self.agents.values(batch.observations, actions)[0]
        return {
            "value": losses.negative_value(values),
            "action": self.agents.settings.action_penalty * losses.action_norm(actions),
        }


def conservative_terms(agents: Agents, batch: Batch, alpha: float, samples: int, draw: Draw) -> Terms:
    """`sum_k MSE(Q^k, y) + alpha penalty_k`: the critic's loss of MA-CQL and of everything built on it."""
    data_values = agents.values(batch.observations, batch.actions)
    penalties = cql_penalty(
        agents.critic.networks,
        batch.observations,
        data_values,
        seed=draw.seed,
        step=draw.step,
        samples=samples,
    )
    return {
        "td": losses.td_error(data_values, agents.targets(batch)),
        "conservatism": alpha * penalties.sum(dim=0),
    }
