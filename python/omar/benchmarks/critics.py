"""Centralised critics on one action per state: values, TD gradients, and the actor's gradient through Q^1.

Several seeds at once; the critics of a seed see the joint observations, the others' actions and their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import torch

from .. import _bounds
from ..algorithms import Agents, Backbone
from ..nets import StackedMlp, candidate_values
from .measure import Record, Setup, flop_bound, milliseconds


@dataclass(frozen=True, slots=True)
class Case:
    """Sizes: S seeds of N agents, T critics of each, observation O, action A, B states."""

    seeds: int = 5
    agents: int = 3
    critics: int = 2
    obs_size: int = 18
    action_size: int = 2
    batch: int = 512
    hidden: int = 64

    @property
    def members(self) -> int:
        """M."""
        return self.seeds * self.agents

    @property
    def inputs(self) -> int:
        """Of a critic: observations and actions of all agents."""
        return self.agents * (self.obs_size + self.action_size)

    def flops(self) -> float:
        """Of the forward pass of one member's first critic; a multiply-add counts two."""
        h = self.hidden
        return 2.0 * self.batch * (self.inputs * h + h * h + h)


CASE = Case()


class Critics:
    """Twin critics of all members with random inputs; values do not change the time."""

    def __init__(self, case: Case, layer_norm: bool, device: str) -> None:
        """Draws networks and a minibatch."""
        m, b, h = case.members, case.batch, case.hidden
        sizes = (case.inputs, h, h, 1)
        self.networks = StackedMlp(case.critics * m, sizes, layer_norm=layer_norm, device=device)
        self.agents = Agents(
            Backbone(critic="centralized", input_norm="none", batch_size=b, hidden=h),
            seeds=[seed for seed in range(case.seeds) for _ in range(case.agents)],
            obs_size=case.obs_size,
            action_size=case.action_size,
            learners=case.agents,
            device=device,
        )
        generator = torch.Generator().manual_seed(0)
        observations = torch.rand((m, b, case.obs_size), generator=generator) * 2 - 1
        actions = torch.rand((m, b, case.action_size), generator=generator) * 2 - 1
        self.observations, self.actions = observations.to(device), actions.to(device)
        self.targets = torch.zeros((m, b), device=device)
        self.own = self.actions.clone().requires_grad_()

    def _values(self, actions: torch.Tensor, critics: int | None = None) -> torch.Tensor:
        context = self.agents.context(self.observations, self.actions)
        return candidate_values(self.networks, context, actions[:, :, None], critics=critics).squeeze(-1)

    @torch.no_grad()
    def values(self) -> None:
        """Of all critics, without gradients, as targets need them."""
        self._values(self.actions)

    def td_gradients(self) -> None:
        """Gradients of the squared errors of all critics for their parameters."""
        loss = (self._values(self.actions) - self.targets).square().mean(dim=-1).sum()
        torch.autograd.grad(loss, list(self.networks.parameters()))

    def actor_gradient(self) -> None:
        """Gradient of the first critics' mean for the members' own actions."""
        torch.autograd.grad(self._values(self.own, critics=1).mean(dim=-1).sum(), self.own)


def run(setup: Setup) -> Iterator[Record]:
    """Yields times per member, with and without layer norm."""
    case = CASE
    for layer_norm, threads in product((True, False), setup.threads):
        torch.set_num_threads(threads)
        peak = _bounds.fma_flops(setup.seconds / 8) if setup.device == "cpu" else None
        critics, norm = Critics(case, layer_norm, setup.device), "layer norm" if layer_norm else "no norm"
        # A backward pass for parameters or for inputs alone counts as one forward pass, for both as two.
        kinds: dict[str, tuple[Callable[[], None], float]] = {
            "values": (critics.values, case.critics),
            "TD gradients": (critics.td_gradients, 3 * case.critics),
            "actor gradient": (critics.actor_gradient, 2),
        }
        for name, (call, passes) in kinds.items():
            yield Record.of(
                f"critics/{name}",
                f"joint, M {case.members}, B {case.batch}, {norm}, {setup.device}",
                milliseconds(call, setup, per=case.members),
                "ms",
                None if peak is None else 1e3 * passes * case.flops() / peak,
                flop_bound("float32"),
            )
