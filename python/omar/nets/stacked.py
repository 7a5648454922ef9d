"""Stacked networks: M multilayer perceptrons of one shape as one batch of tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from .. import _core
from ..arguments import check_integer, check_seed
from .batch_norm import BatchNorm
from .options import Kernels, core_kernels

if TYPE_CHECKING:
    from collections.abc import Sequence


class StackedMlp(nn.Module):
    """M networks with ReLU between layers, after layer norm where wanted, and a linear output.

    Weights and biases start uniform in +-1/sqrt(in), as torch.nn.Linear's do, but drawn by counter: no global
    generator is read, and the n-th member of a seed starts from the same values in a stack of any size.

    Attributes:
        weights: per layer [M, in, out].
        biases: per layer [M, out].
        norm_scales: of layer norm, per hidden layer [M, hidden], at first 1; empty without layer norm.
        norm_shifts: the same, at first 0.
        input_mean: [M, in], taken off the inputs; None where they are used as they are.
        input_std: [M, in], which the inputs are then divided by.
        batch_norm: normalises the inputs instead, by their own statistics; None where nothing does.
    """

    input_mean: torch.Tensor | None
    input_std: torch.Tensor | None
    batch_norm: BatchNorm | None

    def __init__(
        self,
        members: int,
        sizes: Sequence[int],
        seed: int = 0,
        *,
        seeds: Sequence[int] | None = None,
        network: int = 0,
        last_layer_scale: float = 1.0,
        layer_norm: bool = False,
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
            layer_norm: every ReLU follows a layer norm, as torch.nn.LayerNorm does it for one network.
            dtype: torch.float32 or torch.float64.
            device: where the parameters live.
        """
        super().__init__()
        members = check_integer("nets.StackedMlp", "members", members)
        chosen = [seed] * members if seeds is None else list(seeds)
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
        hidden = self.sizes[1:-1] if layer_norm else ()
        if layer_norm and not hidden:
            raise ValueError(
                f"[nets.StackedMlp] layer norm needs a hidden layer, got sizes {list(self.sizes)}"
            )
        like = self.weights[0]
        self.norm_scales = nn.ParameterList([nn.Parameter(like.new_ones(members, h)) for h in hidden])
        self.norm_shifts = nn.ParameterList([nn.Parameter(like.new_zeros(members, h)) for h in hidden])
        self.register_buffer("input_mean", None)
        self.register_buffer("input_std", None)
        self.batch_norm = None

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

    def normalize_batches(self, members: int | None = None) -> None:
        """From now on every call normalises its inputs by their own statistics, as torch's BatchNorm1d does.

        Args:
            members: of how many members the networks are: network t * members + m shares the normalisation of
                member m; None: each network has its own.
        """
        self.batch_norm = BatchNorm(members or self.members, self.sizes[0], like=self.weights[0])

    def layers(self, members: int | None = None) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Weights and biases as functions of raw inputs: the first layer takes in their normalisation.

        With batch normalisation they are those of networks that act, with the running statistics; of a pass
        over a batch see `layers_for`.

        Args:
            members: how many, counted from the first; None: all.
        """
        weights, biases = self.layers_behind_batch_norm(members)
        if self.batch_norm is not None:
            weights[0], biases[0] = self.batch_norm.fold(weights[0], biases[0])
        return weights, biases

    def layers_for(
        self, inputs: Sequence[torch.Tensor], members: int | None = None, *, kernels: Kernels = "auto"
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        """The same for a pass over these inputs, and the inputs to give to it.

        Args:
            inputs: in parts, as `BatchNorm.fold_for` takes them.
            members: how many, counted from the first; None: all.
            kernels: as in `candidate_values`.
        """
        weights, biases = self.layers_behind_batch_norm(members)
        given = list(inputs)
        if self.batch_norm is not None:
            weights[0], biases[0], given = self.batch_norm.fold_for(
                weights[0], biases[0], inputs, kernels=kernels
            )
        return weights, biases, given

    def layers_behind_batch_norm(
        self, members: int | None = None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Weights and biases as functions of what the batch normalisation, where there is one, hands on."""
        weights, biases = list(self.weights), list(self.biases)
        if members is not None:
            weights, biases = [w[:members] for w in weights], [b[:members] for b in biases]
        if self.input_mean is not None and self.input_std is not None:
            weights[0] = weights[0] / self.input_std[:members, :, None]
            biases[0] = biases[0] - torch.bmm(self.input_mean[:members, None], weights[0])[:, 0]
        return weights, biases

    def core(self, members: int | None = None) -> _core.StackedMlp:
        """All parameters in the core's form, as `layers` has them."""
        return self._core_of(*self.layers(members))

    def core_for(
        self,
        inputs: Sequence[torch.Tensor],
        members: int | None = None,
        *,
        kernels: Kernels = "auto",
        fixed: bool = False,
    ) -> tuple[_core.StackedMlp, list[torch.Tensor]]:
        """All parameters in the core's form, and the inputs to give, for a pass as `layers_for` has it.

        Where `fixed`, parameters are constants, unless they depend on the inputs through batch normalisation.
        """
        weights, biases, given = self.layers_for(inputs, members, kernels=kernels)
        return self._core_of(weights, biases, fixed=fixed and self.batch_norm is None), given

    def core_behind_batch_norm(self) -> _core.StackedMlp:
        """All parameters in the core's form, as `layers_behind_batch_norm` has them."""
        return self._core_of(*self.layers_behind_batch_norm())

    def _core_of(
        self, weights: list[torch.Tensor], biases: list[torch.Tensor], *, fixed: bool = False
    ) -> _core.StackedMlp:
        count = len(weights[0])
        norms = ([p[:count] for p in norm] for norm in (self.norm_scales, self.norm_shifts))
        groups = [weights, biases, *norms]
        if fixed:
            groups = [[p.detach() for p in group] for group in groups]
        return _core.StackedMlp(*groups)

    @property
    def members(self) -> int:
        """M."""
        return int(self.weights[0].shape[0])

    def forward(self, x: torch.Tensor, kernels: Kernels = "auto", members: int | None = None) -> torch.Tensor:
        """Outputs [M, B, out] of inputs x [M, B, in]; `kernels` as in `candidate_values`.

        With `members`, of so many networks, counted from the first.
        """
        core, (given,) = self.core_for([x], members, kernels=kernels)
        return _core.nn_forward(core, given, core_kernels(kernels))

    def extra_repr(self) -> str:
        """The shape of the stack."""
        norm = ", layer_norm=True" if self.norm_scales else ""
        return f"members={self.members}, sizes={self.sizes}{norm}"
