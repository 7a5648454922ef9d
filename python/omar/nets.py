"""Stacked networks: M multilayer perceptrons of one shape as one batch of tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import torch
from torch import nn

from . import _core
from .arguments import check_integer, check_seed, check_step

if TYPE_CHECKING:
    from collections.abc import Sequence


Path = Literal["auto", "plain", "fused"]
"""fused: CPU kernels; plain: LibTorch ops; auto: fused, or plain where `fused_obstacle` names a reason."""
Precision = Literal["float32", "bf16"]
Step = int | torch.Tensor
"""Number of an update; in a tensor (int64 scalar, on the numbers' device) it is read when they are drawn."""


class Candidates(NamedTuple):
    """Actions to score, with the density they were drawn from."""

    actions: torch.Tensor
    """[M, B, K, A]."""
    log_density: torch.Tensor
    """[M, B, K]."""


def core_path(path: Path) -> _core.Path:
    """The core's form of a path."""
    if path not in get_args(Path):
        raise ValueError(f"`path` must be 'auto', 'plain' or 'fused', got {path!r}")
    native: _core.Path = getattr(_core.Path, path)
    return native


def scoring(path: Path, precision: Precision) -> _core.Scoring:
    """The core's form of a path and a precision."""
    if precision not in get_args(Precision):
        raise ValueError(f"`precision` must be 'float32' or 'bf16', got {precision!r}")
    return _core.Scoring(core_path(path), getattr(_core.Precision, precision))


def draw(op: str, seed: int, step: Step) -> _core.Draw:
    """The core's counter of random numbers."""
    key = check_seed(op, seed)
    return _core.Draw(key, step if isinstance(step, torch.Tensor) else check_step(op, "step", step))


class StackedMlp(nn.Module):
    """M networks with ReLU between layers and a linear output.

    Weights and biases start uniform in +-1/sqrt(in), as torch.nn.Linear's do, but drawn by counter: no global
    generator is read, and the n-th member of a seed starts from the same values in a stack of any size.

    Attributes:
        weights: per layer [M, in, out].
        biases: per layer [M, out].
        input_mean: [M, in], taken off the inputs; None where they are used as they are.
        input_std: [M, in], which the inputs are then divided by.
    """

    input_mean: torch.Tensor | None
    input_std: torch.Tensor | None

    def __init__(
        self,
        members: int,
        sizes: Sequence[int],
        seed: int = 0,
        *,
        seeds: Sequence[int] | None = None,
        network: int = 0,
        last_layer_scale: float = 1.0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        """Draws the first weights.

        Args:
            members: M.
            sizes: input, hidden and output sizes.
            seed: seed of all members.
            seeds: one seed per member instead of `seed`.
            network: tells apart networks of one seed, such as an actor (0) and its critic (1).
            last_layer_scale: factor on the last layer's first weights and biases.
            dtype: torch.float32 or torch.float64.
            device: where the parameters live.
        """
        super().__init__()
        chosen = [seed for _ in range(members)] if seeds is None else list(seeds)
        if members < 1 or len(chosen) != members:
            raise ValueError(
                f"[nets.StackedMlp] `seeds` must hold one seed for each of at least one member, "
                f"got {len(chosen)} for members={members}"
            )
        keys = [check_seed("nets.StackedMlp", s) for s in chosen]
        self.sizes = tuple(check_integer("nets.StackedMlp", "sizes", size) for size in sizes)
        weights, biases = _core.nn_init(list(self.sizes), keys, network, last_layer_scale, dtype)
        self.weights = nn.ParameterList([nn.Parameter(w.to(device)) for w in weights])
        self.biases = nn.ParameterList([nn.Parameter(b.to(device)) for b in biases])
        self.register_buffer("input_mean", None)
        self.register_buffer("input_std", None)

    def standardize(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """From now on the first layer sees (x - mean) / std; outputs are still functions of raw inputs x.

        Args:
            mean: [M, in].
            std: [M, in], greater than 0.

        Raises:
            ValueError: wrong shape, or a deviation that is not greater than 0.
        """
        expected = (self.members, self.sizes[0])
        for name, tensor in (("mean", mean), ("std", std)):
            if tuple(tensor.shape) != expected:
                raise ValueError(
                    f"[nets.StackedMlp.standardize] `{name}` must be [M, in] = {list(expected)}, "
                    f"got {list(tensor.shape)}"
                )
        if not bool((std > 0).all()):
            raise ValueError("[nets.StackedMlp.standardize] `std` must be greater than 0 everywhere")
        self.input_mean, self.input_std = mean.to(self.weights[0]), std.to(self.weights[0])

    def layers(self, members: int | None = None) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Weights and biases as functions of raw inputs: the first layer takes in the standardisation.

        Args:
            members: how many, counted from the first; None: all.
        """
        weights, biases = list(self.weights), list(self.biases)
        if members is not None:
            weights, biases = [w[:members] for w in weights], [b[:members] for b in biases]
        if self.input_mean is not None and self.input_std is not None:
            weights[0] = weights[0] / self.input_std[:members, :, None]
            biases[0] = biases[0] - torch.bmm(self.input_mean[:members, None], weights[0])[:, 0]
        return weights, biases

    @property
    def members(self) -> int:
        """M."""
        return int(self.weights[0].shape[0])

    def forward(self, x: torch.Tensor, path: Path = "auto") -> torch.Tensor:
        """Outputs [M, B, out] of inputs x [M, B, in]; `path` as in `candidate_values`."""
        return _core.nn_forward(*self.layers(), x, core_path(path))

    def extra_repr(self) -> str:
        """The shape of the stack."""
        return f"members={self.members}, sizes={self.sizes}"


def fused_obstacle(mlp: StackedMlp, constants: Sequence[torch.Tensor] = ()) -> str | None:
    """Why the fused path cannot run for these networks, in one sentence; None where it can.

    Args:
        mlp: the networks.
        constants: inputs that the fused path takes as constants: of `mean_logsumexp` and `cql_penalty` the
            observations, actions and densities. None of them may require gradients.
    """
    return _core.nn_fused_obstacle(*mlp.layers(), list(constants))


def _first_networks(critic: StackedMlp, critics: int, members: int) -> int:
    """Number of networks of the first critics of each member."""
    twins = critic.members // members if members > 0 else 0
    if not 1 <= critics <= max(twins, 1):
        raise ValueError(f"[nets.candidate_values] `critics` must be in 1..T = 1..{twins}, got {critics}")
    return critics * members


def candidate_values(
    critic: StackedMlp,
    obs: torch.Tensor,
    actions: torch.Tensor,
    *,
    critics: int | None = None,
    path: Path = "auto",
    precision: Precision = "float32",
) -> torch.Tensor:
    """Q of K candidate actions per state under T * M stacked critics on (o, a).

    Network t * M + m belongs to member m (T = 2: twin critics). The observation's part of the first layer is
    computed once per state. Differentiable with respect to weights, observations and actions (the fused path
    once).

    Args:
        critic: T * M networks with O + A inputs and one output.
        obs: [M, B, O].
        actions: [M, B, K, A].
        critics: how many of the T critics score, 1 for Q^1 alone; None: all.
        path: "fused": CPU kernels; "plain": LibTorch ops; "auto": plain only where
            `fused_obstacle` names a reason.
        precision: "bf16" rounds the factors of the hidden layers' products to bfloat16.

    Returns:
        Values [T, M, B, K].
    """
    networks = None if critics is None else _first_networks(critic, critics, int(obs.shape[0]))
    return _core.nn_candidate_values(*critic.layers(networks), obs, actions, scoring(path, precision))


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
    obs: torch.Tensor,
    candidates: Candidates,
    *,
    path: Path = "auto",
    precision: Precision = "float32",
) -> torch.Tensor:
    """Mean over states of log sum_k exp(Q(o, a_k) - log density(a_k)): [T, M].

    The fused path computes value and weight gradients in one pass. Where obs or candidates require gradients,
    "auto" takes the plain path.

    Args:
        critic: T * M networks with O + A inputs and one output.
        obs: [M, B, O].
        candidates: K actions per state with their log density.
        path: as in `candidate_values`.
        precision: as in `candidate_values`.
    """
    return _core.cql_mean_logsumexp(*critic.layers(), obs, *candidates, scoring(path, precision))


def cql_penalty(
    critic: StackedMlp,
    obs: torch.Tensor,
    q_data: torch.Tensor,
    *,
    seed: int,
    step: Step,
    samples: int = 10,
    others: Sequence[Candidates] = (),
    path: Path = "auto",
    precision: Precision = "float32",
) -> torch.Tensor:
    """The penalty of conservative Q-learning (Kumar et al. 2020) of each critic.

    `mean_b [ log sum_k exp(Q(o, a_k) - log density(a_k)) - Q(o, a_data) ]` over `samples` uniform candidates
    and others.

    Args:
        critic: T * M networks with O + A inputs and one output.
        obs: [M, B, O].
        q_data: values of the data's actions, [T, M, B].
        seed: of the uniform candidates.
        step: update number.
        samples: uniform candidates per state.
        others: further candidates, such as `normal_candidates` around the policy's actions.
        path: as in `candidate_values`.
        precision: as in `candidate_values`.

    Returns:
        Penalty [T, M]; multiply by alpha.
    """
    options = _core.CqlPenaltyOptions(samples, draw("nets.cql_penalty", seed, step), scoring(path, precision))
    pairs = [(c.actions, c.log_density) for c in others]
    return _core.cql_penalty(*critic.layers(), obs, q_data, options, pairs)
