"""Stacked networks: M multilayer perceptrons of one shape as one batch of tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from omar import _core

if TYPE_CHECKING:
    from collections.abc import Sequence


class StackedMlp(nn.Module):
    """M networks with ReLU between layers and a linear output.

    Weights and biases start uniform in +-1/sqrt(in), as torch.nn.Linear's do, but drawn by counter: no global
    generator is read, and the n-th member of a seed starts from the same values in a stack of any size.

    Attributes:
        weights: per layer [M, in, out].
        biases: per layer [M, out].
    """

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
        chosen = [seed] * members if seeds is None else list(seeds)
        if members < 1 or len(chosen) != members:
            raise ValueError(
                f"[nets.StackedMlp] `seeds` must hold one seed for each of at least one member, "
                f"got {len(chosen)} for members={members}"
            )
        if any(s < 0 or s >= 2**64 for s in chosen):
            raise ValueError(f"[nets.StackedMlp] seeds must be in 0..2^64-1, got {chosen}")
        weights, biases = _core.nn_init(list(sizes), chosen, network, last_layer_scale, dtype)
        self.sizes = tuple(sizes)
        self.weights = nn.ParameterList([nn.Parameter(w.to(device)) for w in weights])
        self.biases = nn.ParameterList([nn.Parameter(b.to(device)) for b in biases])

    @property
    def members(self) -> int:
        """M."""
        return int(self.weights[0].shape[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs [M, B, out] of inputs x [M, B, in]."""
        return _core.nn_forward(list(self.weights), list(self.biases), x)

    def extra_repr(self) -> str:
        """The shape of the stack."""
        return f"members={self.members}, sizes={self.sizes}"


def candidate_values(critic: StackedMlp, obs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Q of K candidate actions per state under T * M stacked critics on (o, a).

    Network t * M + m belongs to member m (T = 2: twin critics). The observation's part of the first layer is
    computed once per state. Differentiable with respect to weights, observations and actions.

    Args:
        critic: T * M networks with O + A inputs and one output.
        obs: [M, B, O].
        actions: [M, B, K, A].

    Returns:
        Values [T, M, B, K].
    """
    return _core.nn_candidate_values(list(critic.weights), list(critic.biases), obs, actions)
