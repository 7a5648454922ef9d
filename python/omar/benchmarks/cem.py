"""The search for high-value actions in the paper's two settings, beside torch eager and the FLOP bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch

from .. import _bounds, cem
from ..nets import StackedMlp
from .measure import Record, Setup, flop_bound, milliseconds


@dataclass(frozen=True, slots=True)
class Case:
    """Sizes of one setting: members M, states B, observation O, action A, hidden width."""

    name: str
    states: int
    obs_size: int
    action_size: int
    hidden: int
    options: cem.CemOptions
    members: int = 1

    def flops(self) -> float:
        """A multiply-add counts two; the observation's part of the first layer once per state."""
        o = self.options
        per_candidate = 2 * (self.action_size * self.hidden + self.hidden**2 + self.hidden)
        per_state = 2 * self.obs_size * self.hidden + (o.rounds * o.samples + 1) * per_candidate
        return float(self.members * self.states * per_state)


CASES = (
    Case("particle", 1024, 18, 2, 64, cem.CemOptions(rounds=3, samples=10, refit="softmax")),
    Case("HalfCheetah", 256, 6, 3, 256, cem.CemOptions(rounds=2, samples=20, refit="elite", elites=5)),
)


def torch_eager(
    critic: StackedMlp, obs: torch.Tensor, case: Case, generator: torch.Generator
) -> torch.Tensor:
    """The softmax search as it is usually written: repeated states, concatenated inputs, member 0 only."""
    o = case.options
    states = obs[0].repeat_interleave(o.samples, 0)
    mean = torch.full((case.states, case.action_size), o.mu, device=obs.device)
    deviation = torch.full_like(mean, o.sigma)
    layers = [(w[0], b[0]) for w, b in zip(critic.weights, critic.biases, strict=True)]
    actions, values = mean, mean
    for _ in range(o.rounds):
        shape = (case.states, o.samples, case.action_size)
        noise = torch.randn(shape, generator=generator, device=obs.device)
        actions = (mean[:, None] + deviation[:, None] * noise).clamp(-1, 1)
        x = torch.cat([states, actions.flatten(0, 1)], 1)
        for index, (weight, bias) in enumerate(layers):
            x = torch.addmm(bias, x, weight)
            x = x.relu() if index + 1 < len(layers) else x
        values = x.view(case.states, o.samples)
        mean = (torch.softmax(o.beta * values, 1)[..., None] * actions).sum(1)
        deviation = (actions - mean[:, None]).square().mean(1).sqrt()
    best = values.argmax(1)
    return actions[torch.arange(case.states, device=best.device), best]


def run(setup: Setup) -> Iterator[Record]:
    """Yields the search's time in both settings at each number of threads."""
    for case in CASES:
        sizes = (case.obs_size + case.action_size, case.hidden, case.hidden, 1)
        critic = StackedMlp(2 * case.members, sizes, seed=0, device=setup.device).requires_grad_(False)
        generator = torch.Generator(setup.device).manual_seed(0)
        shape = (case.members, case.states, case.obs_size)
        obs = torch.randn(shape, generator=generator, device=setup.device)
        policy = torch.zeros((case.members, case.states, case.action_size), device=setup.device)
        o = case.options
        sizes_text = f"B {case.states}, J {o.rounds}, K {o.samples}, hidden {case.hidden}"
        setting = f"{case.name}: {sizes_text}, {setup.device}"
        for threads in setup.threads:
            torch.set_num_threads(threads)
            peak = _bounds.fma_flops(setup.seconds / 8) if setup.device == "cpu" else None
            bound = None if peak is None else 1e3 * case.flops() / peak
            for options in (o, replace(o, precision="bf16")):
                search = partial(cem.maximize, critic, obs, policy, options, seed=0, step=0)
                spread = milliseconds(search, setup)
                name = f"cem/maximize {options.precision}"
                yield Record.of(name, setting, spread, "ms", bound, flop_bound(options.precision))
            eager = partial(torch_eager, critic, obs, case, generator)
            yield Record.of(
                "cem/torch eager", setting, milliseconds(eager, setup), "ms", bound, flop_bound("float32")
            )
