"""OMAR: MA-CQL's critic and actor rectification (Pan et al. 2022, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ..cem import CemOptions, maximize
from ..nets import Precision
from . import losses
from .cql import CqlSettings, conservative_terms
from .settings import setting

if TYPE_CHECKING:
    from ..random import Draw
    from .agents import Agents, Batch
    from .base import Terms


@dataclass(frozen=True, slots=True)
class OmarSettings(CqlSettings):
    """Those of MA-CQL and of the search; alpha and tau belong to the dataset (the presets have them)."""

    tau: float = setting(1.0, "weight of the rectification in the actor's loss; lambda in the appendix")
    rounds: int = setting(3, "J: rounds of the search for a high-value action")
    samples: int = setting(10, "K: actions sampled in each round")
    refit: Literal["softmax", "elite"] = setting("softmax", "how samples give the next distribution")
    elites: int = setting(5, "elite refit only: samples that the refit takes")
    mu: float = setting(0.0, "first mean of the search")
    sigma: float = setting(2.0, "first standard deviation of the search")
    beta: float = setting(1.0, "softmax refit only: inverse temperature")
    search_precision: Precision = setting("float32", "of the hidden layers' products in the search")

    def __post_init__(self) -> None:
        """Raises ValueError where a setting is out of range."""
        CqlSettings.__post_init__(self)
        if not 0 <= self.tau <= 1:
            raise ValueError(f"tau must be in [0, 1], got {self.tau}")
        self.search()

    def search(self) -> CemOptions:
        """Options of the search."""
        return CemOptions(
            rounds=self.rounds,
            samples=self.samples,
            refit=self.refit,
            elites=self.elites,
            mu=self.mu,
            sigma=self.sigma,
            beta=self.beta,
            precision=self.search_precision,
        )


class Omar:
    """The critic of MA-CQL; an actor drawn to the best action that a zeroth-order search finds."""

    Settings: ClassVar[type[OmarSettings]] = OmarSettings

    def __init__(self, settings: OmarSettings, agents: Agents) -> None:
        """Args: `agents` are the stacked networks that the losses are of."""
        self.settings = settings
        self.agents = agents
        self.search = settings.search()

    def critic_terms(self, batch: Batch, draw: Draw) -> Terms:
        """`sum_k MSE(Q^k, y) + alpha penalty_k`."""
        return conservative_terms(self.agents, batch, self.settings, draw)

    def actor_terms(self, batch: Batch, draw: Draw) -> Terms:
        """`tau mean |pi(o) - a_hat|^2 - (1 - tau) mean Q^1(o, pi(o))`, and the backbone's action penalty."""
        agents, tau = self.agents, self.settings.tau
        actions = agents.act(batch.observations)

        # a_hat: the search's best action, or the policy's own where that one scores higher.
        best_actions, _ = maximize(
            agents.critic.networks,
            batch.observations,
            actions.detach(),
            self.search,
            seed=draw.seed,
            step=draw.step,
            path=agents.settings.path,
        )
        terms = {
            "rectification": tau * losses.rectification(actions, best_actions),
            "action": agents.settings.action_penalty * losses.action_norm(actions),
        }
        if tau < 1:  # at tau = 1 the policy's own value has no weight
            values = agents.first_values(batch.observations, actions)
            terms["value"] = (1 - tau) * losses.negative_value(values)
        return terms
