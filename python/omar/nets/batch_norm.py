"""Batch normalisation of the inputs of stacked networks, as torch.nn.BatchNorm1d does it for one network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from .. import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .options import Kernels

EPSILON = 1e-5  # added to variances
MOMENTUM = 0.1  # share of a new batch in the running statistics
KEPT = "_omar_moments"  # attribute of a tensor


class Moments(NamedTuple):
    """Mean and biased variance of the columns of each member's rows, `[M, in]` each."""

    mean: Tensor
    variance: Tensor


class BatchNorm(nn.Module):
    """`scale (x - mean) / sqrt(variance + 1e-5) + shift` of the inputs x of M members; T networks share one.

    The mean and the variance are those of the very rows that the networks are given; running averages of them
    serve networks that act on one row. All of it is linear in x, and goes into the first layer.

    Attributes:
        scale: `[M, in]`, learned, at first 1.
        shift: `[M, in]`, learned, at first 0.
        running_mean: `[M, in]`, at first 0.
        running_variance: `[M, in]`, unbiased, at first 1.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, members: int, size: int, *, like: Tensor) -> None:
        """Args: M, the number of inputs, and a tensor of the wanted dtype and device."""
        super().__init__()
        self.scale = nn.Parameter(like.new_ones(members, size))
        self.shift = nn.Parameter(like.new_zeros(members, size))
        self.register_buffer("running_mean", like.new_zeros(members, size))
        self.register_buffer("running_variance", like.new_ones(members, size))

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The first layer as a function of raw inputs, with the running statistics.

        Args:
            weight: `[T M, in, out]`.
            bias: `[T M, out]`.

        Returns:
            Weight and bias of the same shapes.
        """
        return self._fold(weight, bias, Moments(self.running_mean, self.running_variance))

    def fold_for(
        self, weight: Tensor, bias: Tensor, inputs: Sequence[Tensor], *, kernels: Kernels = "auto"
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The first layer as a function of raw inputs, with their statistics.

        Args:
            weight: `[T M, in, out]`.
            bias: `[T M, out]`.
            inputs: What the networks are about to be given, `[M, ..., columns]` side by side; a part with
                fewer rows than another repeats each of them equally often, as observations `[M, B, O]` do
                beside candidates `[M, B, K, A]`.
            kernels: As of the networks; the results of fused ones are differentiable once.

        Returns:
            Weight, bias, and the inputs to give instead: gradients to them flow through the statistics too.
        """
        first, *rest = inputs
        if kernels == "plain" or not weight.is_cpu:
            parts = [kept_moments(first), *(moments(x) for x in rest)]
            return *self._fold(weight, bias, _beside(parts)), list(inputs)
        parts = [kept_moments(first.detach() if first.requires_grad else first)]
        parts += [Moments(*_core.nn_moments(x)) for x in rest]
        folded = _core.nn_fold(weight, bias, self.scale, self.shift, parts)
        attached = [
            _core.nn_attach_moments(x, part) if x.requires_grad else x
            for x, part in zip(inputs, parts, strict=True)
        ]
        return *folded, attached

    def _fold(self, weight: Tensor, bias: Tensor, inputs: Moments) -> tuple[Tensor, Tensor]:
        """In LibTorch ops, which gradients flow through any number of times."""
        members, size = self.scale.shape
        mean, variance = (s.view(-1, members, size) for s in inputs)
        scale = self.scale * torch.rsqrt(variance + EPSILON)
        shift = torch.addcmul(self.shift, mean, scale, value=-1.0)
        by_member = weight.view(-1, members, size, weight.shape[2])
        shifts = shift.expand(len(by_member), -1, -1).reshape(-1, 1, size)
        return (by_member * scale[..., None]).flatten(0, 1), torch.baddbmm(bias[:, None], shifts, weight)[
            :, 0
        ]

    @torch.no_grad()
    def follow(self, inputs: Tensor) -> None:
        """Moves the running statistics towards those of rows `[M, B, in]`, B at least 2."""
        mean, variance = kept_moments(inputs)
        rows = inputs.shape[1]
        self.running_mean.lerp_(mean, MOMENTUM)
        self.running_variance.lerp_(variance * (rows / (rows - 1)), MOMENTUM)


def kept_moments(x: Tensor) -> Moments:
    """`moments`, computed once for a tensor as long as it does not change: an attribute of it holds them."""
    if x.requires_grad or x.is_inference() or torch.is_inference_mode_enabled():
        return moments(x)
    kept: tuple[int, Moments] | None = vars(x).get(KEPT)
    if kept is None or kept[0] != x._version:
        kept = vars(x)[KEPT] = x._version, moments(x)
    return kept[1]


def moments(x: Tensor) -> Moments:
    """Of the rows of `[M, ..., columns]`.

    On the CPU, where no gradient is wanted, no sum depends on the number of members or threads.
    """
    if x.is_cpu and not x.requires_grad:
        return Moments(*_core.nn_moments(x))
    rows = x.flatten(1, -2)
    center = rows.mean(dim=1)
    return Moments(center, (rows - center[:, None]).square().mean(dim=1))


def _beside(parts: Sequence[Moments]) -> Moments:
    """Of rows that are given in parts."""
    return parts[0] if len(parts) == 1 else Moments(*(torch.cat(p, dim=1) for p in zip(*parts, strict=True)))
