"""Critics of stacked networks: values of candidate actions, and the penalty of conservative Q-learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from .. import _core
from .observations import Observations, joined, parts_of
from .options import Kernels, Precision, Step, draw, scoring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .stacked import StackedMlp


class Candidates(NamedTuple):
    """Actions to score, with the density they were drawn from."""

    actions: torch.Tensor
    """[M, B, K, A]."""
    log_density: torch.Tensor
    """[M, B, K]."""


def fused_obstacle(mlp: StackedMlp, constants: Sequence[torch.Tensor] = ()) -> str | None:
    """Why the fused kernels cannot run for these networks, in one sentence; None where they can.

    Args:
        mlp: the networks.
        constants: inputs that the fused kernels take as constants: of `mean_logsumexp` and `cql_penalty` the
            observations, actions and densities. None of them may require gradients.
    """
    return _core.nn_fused_obstacle(mlp.core(), list(constants))


def _first_networks(critic: StackedMlp, critics: int, members: int) -> int:
    """Number of networks of the first critics of each member."""
    twins = critic.members // members if members > 0 else 0
    if not 1 <= critics <= max(twins, 1):
        raise ValueError(f"[nets.candidate_values] `critics` must be in 1..T = 1..{twins}, got {critics}")
    return critics * members


def candidate_values(
    critic: StackedMlp,
    obs: Observations,
    actions: torch.Tensor,
    *,
    critics: int | None = None,
    fixed: bool = False,
    kernels: Kernels = "auto",
    precision: Precision = "float32",
) -> torch.Tensor:
    """Q of K candidate actions per state under T * M stacked critics on (o, a).

    Network t * M + m belongs to member m (T = 2: twin critics). The observation's part of the first layer is
    computed once per state. Differentiable with respect to all parameters, observations and actions (the
    fused kernels once).

    Args:
        critic: T * M networks with O + A inputs and one output.
        obs: [M, B, O], or parts of it that members may share.
        actions: [M, B, K, A].
        critics: how many of the T critics score, 1 for Q^1 alone; None: all.
        fixed: gradients for the critics' parameters are not wanted; those for the actions then cost less.
        kernels: "fused": CPU kernels; "plain": LibTorch ops; "auto": plain only where
            `fused_obstacle` names a reason.
        precision: "bf16" rounds the factors of the hidden layers' products to bfloat16.

    Returns:
        Values [T, M, B, K].
    """
    networks = None if critics is None else _first_networks(critic, critics, int(actions.shape[0]))
    if critic.batch_norm is not None:
        obs = joined(obs, actions)  # the statistics are those of whole rows
    core, (*parts, given) = critic.core_for([*parts_of(obs), actions], networks, kernels=kernels, fixed=fixed)
    return _core.nn_candidate_values(core, parts, given, scoring(kernels, precision))


def uniform_candidates(
    members: int, batch: int, samples: int, action_size: int, *, seed: int, step: Step, like: torch.Tensor
) -> Candidates:
    """Actions uniform in [-1, 1)^A with log density -A log 2.

    Args:
        members: M.
        batch: B.
        samples: K.
        action_size: A.
        seed: of the random numbers.
        step: update number.
        like: a tensor of the wanted dtype and device.
    """
    sizes = [members, batch, samples, action_size]
    return Candidates(*_core.nn_uniform_candidates(sizes, draw("nets.uniform_candidates", seed, step), like))


def normal_candidates(
    mean: torch.Tensor, sigma: float, samples: int, *, seed: int, step: Step, draw_set: int = 1
) -> Candidates:
    """Actions normal around `mean` [M, B, A], not clamped, with their log density; `mean` gets no gradient.

    Args:
        mean: [M, B, A], such as a policy's actions.
        sigma: standard deviation.
        samples: K.
        seed: of the random numbers.
        step: update number.
        draw_set: 1..15, tells apart several sets of one update.
    """
    counter = draw("nets.normal_candidates", seed, step)
    return Candidates(*_core.nn_normal_candidates(mean, sigma, samples, counter, draw_set))


def mean_logsumexp(
    critic: StackedMlp,
    obs: Observations,
    candidates: Candidates,
    *,
    kernels: Kernels = "auto",
    precision: Precision = "float32",
) -> torch.Tensor:
    """Mean over states of log sum_k exp(Q(o, a_k) - log density(a_k)): [T, M].

    The fused kernels compute value and weight gradients in one pass. Where obs or candidates require
    gradients, "auto" is "plain".

    Args:
        critic: T * M networks with O + A inputs and one output.
        obs: [M, B, O], or parts of it, as in `candidate_values`.
        candidates: K actions per state with their log density.
        kernels: as in `candidate_values`.
        precision: as in `candidate_values`.
    """
    whole = joined(obs, candidates.actions)
    core, (o, a) = critic.core_for([whole, candidates.actions], kernels=kernels)
    return _core.cql_mean_logsumexp(core, o, a, candidates.log_density, scoring(kernels, precision))


def cql_penalty(
    critic: StackedMlp,
    obs: Observations,
    q_data: torch.Tensor,
    *,
    seed: int,
    step: Step,
    samples: int = 10,
    others: Sequence[Candidates] = (),
    kernels: Kernels = "auto",
    precision: Precision = "float32",
) -> torch.Tensor:
    """The penalty of conservative Q-learning (Kumar et al. 2020) of each critic.

    `mean_b [ log sum_k exp(Q(o, a_k) - log density(a_k)) - Q(o, a_data) ]` over `samples` uniform candidates
    and others. With batch normalisation each kind of candidates is normalised by its own statistics.

    Args:
        critic: T * M networks with O + A inputs and one output.
        obs: [M, B, O], or parts of it, as in `candidate_values`.
        q_data: values of the data's actions, [T, M, B].
        seed: of the uniform candidates.
        step: update number.
        samples: uniform candidates per state.
        others: further candidates, such as `normal_candidates` around the policy's actions.
        kernels: as in `candidate_values`.
        precision: as in `candidate_values`.

    Returns:
        Penalty [T, M]; multiply by alpha.
    """
    obs = joined(obs, q_data, dim=1)
    if critic.batch_norm is not None:
        own = (int(obs.shape[0]), int(obs.shape[1]), samples, critic.sizes[0] - int(obs.shape[2]))
        kinds = [uniform_candidates(*own, seed=seed, step=step, like=obs), *others]
        value = _logsumexp_of_kinds(critic, obs, kinds, kernels, precision)
        return value - q_data.mean(dim=-1)
    options = _core.CqlPenaltyOptions(
        samples, draw("nets.cql_penalty", seed, step), scoring(kernels, precision)
    )
    pairs = [(c.actions, c.log_density) for c in others]
    return _core.cql_penalty(critic.core(), obs, q_data, options, pairs)


def _logsumexp_of_kinds(
    critic: StackedMlp, obs: torch.Tensor, kinds: Sequence[Candidates], kernels: Kernels, precision: Precision
) -> torch.Tensor:
    """`mean_logsumexp` over the candidates of all kinds, each a forward pass of its own."""
    if len(kinds) == 1:
        return mean_logsumexp(critic, obs, kinds[0], kernels=kernels, precision=precision)
    values = [
        candidate_values(critic, obs, kind.actions, kernels=kernels, precision=precision) - kind.log_density
        for kind in kinds
    ]
    return torch.cat(values, dim=-1).logsumexp(dim=-1).mean(dim=-1)
