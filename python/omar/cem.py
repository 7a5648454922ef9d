"""The search for high-value actions (Pan et al. 2022, section 3.2): rounds of sampling, scoring, refitting.

Shapes: M members, B states, K samples, O observation size, A action size. Actions live in [-1, 1]^A.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from . import _core
from .arguments import check_integer
from .nets import Kernels, Observations, StackedMlp, Step, candidate_values, core_kernels, draw, joined

if TYPE_CHECKING:
    import torch

Scorer = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""Any critic: obs [M, B, O] and actions [M, B, K, A] -> scores [M, B, K]."""


@dataclass(frozen=True, slots=True)
class CemOptions:
    """Options of the search. The defaults are the paper's for the particle tasks."""

    rounds: int = 3
    """J: rounds of sampling, 1..48."""
    samples: int = 10
    """K: samples per round, 1..1024."""
    refit: Literal["softmax", "elite"] = "softmax"
    """softmax: the paper. elite: the cross-entropy method, as in the released code on HalfCheetah."""
    elites: int = 5
    """Elite refit only: how many candidates the refit takes; they stay in the pool."""
    mu: float = 0.0
    """First mean."""
    sigma: float = 2.0
    """First standard deviation."""
    beta: float = 1.0
    """Softmax refit only: inverse temperature."""
    precision: Literal["float32", "bf16"] = "float32"
    """Products of the scoring pass of a stacked critic."""
    reduction: Literal["first", "mean", "min"] = "first"
    """Score of a member with T stacked critics: of the first one, as the paper, or over all of them."""

    def __post_init__(self) -> None:
        """Raises ValueError where an option is out of range."""
        if self.refit not in ("softmax", "elite"):
            raise ValueError(f"[cem.CemOptions] `refit` must be 'softmax' or 'elite', got {self.refit!r}")
        if self.precision not in ("float32", "bf16"):
            raise ValueError(
                f"[cem.CemOptions] `precision` must be 'float32' or 'bf16', got {self.precision!r}"
            )
        if self.reduction not in ("first", "mean", "min"):
            raise ValueError(
                f"[cem.CemOptions] `reduction` must be 'first', 'mean' or 'min', got {self.reduction!r}"
            )
        _core.cem_check(_native(self))


_OPTIONS = "cem.CemOptions"


def _native(options: CemOptions) -> _core.CemOptions:
    return _core.CemOptions(
        rounds=check_integer(_OPTIONS, "rounds", options.rounds),
        samples=check_integer(_OPTIONS, "samples", options.samples),
        refit=getattr(_core.CemRefit, options.refit),
        elites=check_integer(_OPTIONS, "elites", options.elites),
        mu=options.mu,
        sigma=options.sigma,
        beta=options.beta,
        precision=getattr(_core.Precision, options.precision),
        reduction=getattr(_core.CemReduction, options.reduction),
    )


def sample(
    mu: torch.Tensor, sigma: torch.Tensor, samples: int, *, seed: int, step: Step, round: int = 0
) -> torch.Tensor:
    """Candidate actions from N(mu, sigma), clamped to [-1, 1].

    Args:
        mu: means [M, B, A].
        sigma: standard deviations [M, B, A].
        samples: K.
        seed: of the random numbers.
        step: update number.
        round: round of the search, from 0.

    Returns:
        Actions [M, B, K, A]; each follows from (seed, step, round, m, b, k), its mean and deviation alone.
    """
    return _core.cem_sample(mu, sigma, samples, draw("cem.sample", seed, step), round)


def refit(
    mu: torch.Tensor, sigma: torch.Tensor, actions: torch.Tensor, q: torch.Tensor, options: CemOptions
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next mean and standard deviation [M, B, A].

    NaN and infinite scores weigh nothing; a state whose scores are all of that kind keeps mu and sigma.

    Args:
        mu: means [M, B, A] that the actions were drawn from.
        sigma: their standard deviations [M, B, A].
        actions: candidates [M, B, K, A] (elite refit: with the carried elites).
        q: their scores [M, B, K].
        options: which refit, with its parameters.
    """
    return _core.cem_refit(mu, sigma, actions, q, _native(options))


def elites(actions: torch.Tensor, q: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `count` best candidates [M, B, count, A] and their scores [M, B, count] in falling order."""
    return _core.cem_elites(actions, q, count)


def best(actions: torch.Tensor, q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The best candidate [M, B, A] and its score [M, B]; NaN and infinity lose, the first of equals wins."""
    return _core.cem_best(actions, q)


def maximize(
    critic: StackedMlp | Scorer,
    obs: Observations,
    policy_actions: torch.Tensor,
    options: CemOptions,
    *,
    seed: int,
    step: Step,
    kernels: Kernels = "auto",
) -> tuple[torch.Tensor, torch.Tensor]:
    """The action of highest value that the search finds, or the policy's where that one scores higher.

    Args:
        critic: T * M stacked critics on (o, a), of which `options.reduction` makes one score (by default Q^1
            alone), or any callable that maps obs and actions [M, B, K, A] to scores [M, B, K]. Critics with
            batch normalisation see each round, and then the policy's actions, with statistics of its own.
        obs: [M, B, O], or parts of it, as in `candidate_values`.
        policy_actions: [M, B, A].
        options: rounds, samples, refit.
        seed: of the random numbers.
        step: update number.
        kernels: of a stacked critic: "fused" runs all rounds of some states in cache, or with batch
            normalisation each round of all states (CPU, `fused_obstacle`), "plain" uses LibTorch ops, "auto"
            is fused where it can.

    Returns:
        Actions [M, B, A] and their values [M, B]; gradients do not flow through them.

    Raises:
        ValueError: a wrong shape, a size of 0, a seed or step out of range, or kernels that cannot run.
        TypeError: a wrong dtype.
    """
    native, counter, chosen = _native(options), draw("cem.maximize", seed, step), core_kernels(kernels)
    observations = joined(obs, policy_actions)
    if isinstance(critic, StackedMlp) and critic.batch_norm is not None:
        core, norm = critic.core_behind_batch_norm(), critic.batch_norm
        if kernels != "plain" and _core.nn_fused_obstacle(core, []) is None:
            return _core.cem_maximize_normalized(
                core, norm.scale, norm.shift, observations, policy_actions, native, counter
            )
        scorer = _scorer(critic, options, kernels)
        options = replace(options, precision="float32", reduction="first")  # they are the scorer's now
        return maximize(scorer, observations, policy_actions, options, seed=seed, step=step)
    if isinstance(critic, StackedMlp):
        return _core.cem_maximize(critic.core(), observations, policy_actions, native, counter, chosen)
    if kernels == "fused":
        raise ValueError("[cem.maximize] the fused kernels take a StackedMlp critic, not a callable")
    return _core.cem_maximize_scorer(
        lambda actions: critic(observations, actions), policy_actions, native, counter
    )


def _scorer(critic: StackedMlp, options: CemOptions, kernels: Kernels) -> Scorer:
    """Scores of a stacked critic, all states of a round in one pass."""
    critics = 1 if options.reduction == "first" else None

    def score(obs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        q = candidate_values(
            critic, obs, actions, critics=critics, kernels=kernels, precision=options.precision
        )
        if options.reduction == "mean":
            return (q / len(q)).sum(dim=0)  # divided first: finite scores have a finite mean
        return q[0] if options.reduction == "first" else q.amin(dim=0)

    return score
