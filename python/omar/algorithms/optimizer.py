"""Adam, gradient clipping and target tracking over stacked networks: a few passes over one flat tensor.

The parameters of K stacked networks live in one tensor `[K, P]` of which the networks' weights are views, so
the cost of an optimiser step does not grow with the number of layers or members in anything but arithmetic.
Rows are padded with zeros to whole vectors: no network meets the scalar end of a loop, whose sums round
otherwise, and a member's numbers do not depend on how many stand beside it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from ..nets import StackedMlp

LANES = 16  # numbers of the widest vector: rows are a multiple of it long
CLIP_EPSILON = 1e-6  # as torch.nn.utils.clip_grad_norm_ adds to the norm


def falling_rate(first: float, last: float, share: float) -> float:
    """A learning rate that falls linearly from the first to the last one, at a share of the way."""
    return (1.0 - share) * first + share * last


class StackedOptimizer:
    """Adam for K = T x M stacked networks, with a target copy.

    Gradients are clipped by the norm over the T networks of a member together (T = 2: twin critics, which the
    released code clips as one module): network t * M + m belongs to member m. What the T networks share, such
    as their batch normalisation, is a parameter `[M, ...]`, and lies in the row of the first of them.
    """

    def __init__(
        self,
        networks: StackedMlp,
        *,
        members: int,
        learning_rate: float,
        polyak_rate: float,
        clip_norm: float,
    ) -> None:
        """Moves the networks' parameters into one flat tensor; they stay usable through `networks`.

        Args:
            networks: K stacked networks.
            members: M, a divisor of K.
            learning_rate: Adam's.
            polyak_rate: Share of the new weights that `track` mixes into the targets.
            clip_norm: Largest gradient norm of a member; infinite for no clipping.
        """
        self.networks = networks
        self.target = copy.deepcopy(networks).requires_grad_(False)
        self._parameters = list(networks.parameters())
        self._members = members
        self._polyak_rate = polyak_rate
        self._clip_norm = clip_norm
        self._size = sum(p[0].numel() for p in self._parameters)
        self._flat = _flatten(self._parameters).requires_grad_()
        self._target = _flatten(list(self.target.parameters()))
        self._padding = self._flat.detach()[:, self._size :].clone()
        self._flat.grad = torch.zeros_like(self._flat)
        self._adam = torch.optim.Adam([self._flat], lr=learning_rate, fused=True)
        self._adam.state[self._flat] = {
            "step": torch.zeros((), dtype=torch.float32, device=self._flat.device),
            "exp_avg": torch.zeros_like(self._flat),
            "exp_avg_sq": torch.zeros_like(self._flat),
        }

    def step(self, losses: Tensor) -> None:
        """One Adam step of every member on its own loss of `losses` `[M]`."""
        gradients = torch.autograd.grad(losses.sum(), self._parameters)
        gradient = self._flat.grad
        assert gradient is not None  # noqa: S101 - set once, in the constructor
        torch.cat([_rows(g, len(gradient)) for g in (*gradients, self._padding)], dim=1, out=gradient)
        # By lanes first: one long sum of a single network would be split among the threads.
        by_lane = gradient.view(len(gradient), -1, LANES).square().sum(dim=1)
        norms = by_lane.sum(dim=1).view(-1, self._members).sum(dim=0).sqrt_()
        by_member = gradient.view(-1, self._members, gradient.shape[1])
        by_member.mul_((self._clip_norm / (norms + CLIP_EPSILON)).clamp_(max=1.0)[:, None])
        self._adam.step()

    def set_learning_rate(self, learning_rate: float) -> None:
        """Adam's rate from the next step on."""
        self._adam.param_groups[0]["lr"] = learning_rate

    @torch.no_grad()
    def track(self) -> None:
        """Moves the target copy towards the networks: `target += rate (weights - target)`."""
        self._target.lerp_(self._flat, self._polyak_rate)

    @torch.no_grad()
    def restart(self) -> None:
        """The weights are where training starts: the target copy is equal to them, and Adam knows nothing."""
        self._target.copy_(self._flat)
        for tensor in self._adam.state[self._flat].values():
            tensor.zero_()

    def tensors(self) -> dict[str, Tensor]:
        """The whole state by name: weights, normalisation, target weights, moments. Views, not copies."""
        named = {name: tensor.detach() for name, tensor in self.networks.named_parameters()}
        named |= dict(self.networks.named_buffers())
        named |= {f"target.{name}": tensor for name, tensor in self.target.named_parameters()}
        state = self._adam.state[self._flat]
        moments = {"adam.first": state["exp_avg"], "adam.second": state["exp_avg_sq"]}
        return named | {name: moment[:, : self._size] for name, moment in moments.items()}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        """Takes over a state that `tensors` gave after `steps` steps."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])
        for name, tensor in self.target.named_buffers():  # the dataset's statistics; running ones stay unused
            tensor.copy_(tensors[name])
        self._adam.state[self._flat]["step"].fill_(steps)


def _rows(tensor: Tensor, networks: int) -> Tensor:
    """`[K, size]` of a tensor `[K, ...]`, or of one `[M, ...]` that networks share: zeros from row M on."""
    rows = tensor.flatten(start_dim=1)
    missing = networks - len(rows)
    return torch.nn.functional.pad(rows, (0, 0, 0, missing)) if missing else rows


def _flatten(parameters: list[nn.Parameter]) -> Tensor:
    """One `[K, P]` tensor with the rows of the parameters, which become views of it.

    Its last columns are zeros, so that P is a multiple of LANES.
    """
    networks = max(len(p) for p in parameters)
    flat = torch.cat([_rows(p.detach(), networks) for p in parameters], dim=1)
    flat = torch.nn.functional.pad(flat, (0, -flat.shape[1] % LANES))
    first = 0
    for p in parameters:
        size = p[0].numel()
        p.data = flat[: len(p), first : first + size].view(p.shape)
        first += size
    return flat
