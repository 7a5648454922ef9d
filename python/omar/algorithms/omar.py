"""OMAR: MA-CQL's critic and actor rectification (Pan et al. 2022, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from ..cem import CemOptions, maximize
from ..nets import Precision
from ..runs import ranges
from . import losses
from .backbone import Backbone, preset_updates
from .base import Algorithm, Preset
from .cql import ALPHA, MOST_SAMPLES, POLICY_SAMPLES, CqlSettings, conservatism
from .presets import PresetName, by_quality, look_up

if TYPE_CHECKING:
    from ..random import Draw
    from .agents import Agents
    from .base import LossTerms
    from .batch import Batch
    from .statistics import Facts

MOST_ROUNDS = 48

# Weight of the rectification in the released code (omar_coe there).
RELEASED_TAU = {
    "simple_spread": by_quality(1.0, 1.0, 1.0, 1.0),
    "simple_tag": by_quality(0.9, 0.9, 0.7, 0.9),
    "simple_world": by_quality(1.0, 0.7, 0.1, 0.9),
    "half_cheetah": by_quality(1.0, 0.9, 0.7, 0.5),
}
# The same in appendix B.1 (lambda there), by the diversity of the data.
PAPER_TAU = dict.fromkeys(RELEASED_TAU, by_quality(0.5, 0.5, 0.7, 0.9))


@dataclass(frozen=True, slots=True)
class OmarSettings(CqlSettings):
    """Settings of MA-CQL and of the search; alpha and tau depend on the dataset."""

    tau: float = 1.0
    """Weight of the rectification in the actor's loss; the appendix calls it lambda."""
    rounds: int = 3
    """J: rounds of the search for a high-value action."""
    samples: int = 10
    """K: actions sampled in each round."""
    refit: Literal["softmax", "elite"] = "softmax"
    """How samples give the next distribution. softmax: the paper; elite: the cross-entropy method."""
    elites: int = 5
    """Elite refit only: samples that the refit takes."""
    mu: float = 0.0
    """First mean of the search."""
    sigma: float = 2.0
    """First standard deviation of the search."""
    beta: float = 1.0
    """Softmax refit only: inverse temperature."""
    search_precision: Precision = "float32"
    """Precision of the matrix products in the search."""

    def __post_init__(self) -> None:
        """Raises SettingError where a setting has the wrong type or is out of range."""
        CqlSettings.__post_init__(self)
        ranges.between(self, 0, 1, "tau")
        ranges.between(self, 1, MOST_ROUNDS, "rounds")
        ranges.between(self, 1, MOST_SAMPLES, "samples")
        ranges.between(self, 2, self.samples if self.refit == "elite" else MOST_SAMPLES, "elites")
        ranges.positive(self, "sigma")
        ranges.at_least(self, 0, "beta")

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


# The search on HalfCheetah is the cross-entropy method; elsewhere it is the paper's.
SEARCHES = {"half_cheetah": OmarSettings(rounds=2, samples=20, refit="elite", elites=5)}


class Omar(Algorithm[OmarSettings]):
    """OMAR. The update of every agent, on its minibatch of (o, a, r, o').

        y = r + gamma min_k Qbar^k(o', pibar(o'))
        critics: descend  sum_k MSE(Q^k(o, a), y) + alpha penalty_k
        for every observation o of the minibatch:
            mu, sigma = 0, 2
            for J rounds:
                a_1 .. a_K ~ N(mu, sigma), clamped to [-1, 1]
                mu, sigma = refit(mu, sigma, a_1 .. a_K, Q^1(o, a_1) .. Q^1(o, a_K))
            a_hat = argmax of Q^1(o, .) over { best of the last round, pi(o) }
        actor: descend  tau mean |pi(o) - a_hat|^2 - (1 - tau) mean Q^1(o, pi(o))
        targets: follow critics and actor

    The search is `omar.cem.maximize`; `penalty` is that of MA-CQL.
    """

    Settings: ClassVar[type[OmarSettings]] = OmarSettings

    def __init__(self, settings: OmarSettings, agents: Agents, facts: Facts | None = None) -> None:
        """As `Algorithm`."""
        super().__init__(settings, agents, facts)
        self.search = settings.search()

    @classmethod
    def preset(cls, task: str, quality: str, name: PresetName) -> Preset[OmarSettings]:
        """The hyper-parameters of a preset: `paper` has its own gamma and tau."""
        default = SEARCHES.get(task, OmarSettings())
        settings = replace(
            default,
            alpha=look_up(ALPHA, task, quality, default.alpha),
            policy_samples=POLICY_SAMPLES.get(task, 0),
            tau=look_up(PAPER_TAU if name == "paper" else RELEASED_TAU, task, quality, default.tau),
        )
        return Preset(Backbone.preset(task, name), settings, preset_updates(task, quality))

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
        """The rectification, the value of the policy's own action, and the backbone's action penalty."""
        agents, tau = self.agents, self.settings.tau
        context = agents.context(batch.observations, batch.actions)
        actions = agents.act(batch.observations)
        a_hat, _ = maximize(
            agents.critic.networks,
            context,
            actions.detach(),
            self.search,
            seed=draw.seed,
            step=draw.step,
            kernels=agents.settings.kernels,
        )
        terms = {
            "rectification": tau * losses.squared_distance(actions, a_hat),
            "action": agents.settings.action_penalty * losses.action_norm(actions),
        }
        if tau < 1:  # at tau = 1 the policy's own value has no weight
            values = agents.first_values(context, actions)
            terms["value"] = (1 - tau) * losses.negative_value(values)
        return terms
