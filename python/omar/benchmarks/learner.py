"""A whole OMAR update per agent, minibatch sampling included, in the settings of both kinds of task.

The particle tasks' twice: with batch normalisation, as the presets have it, and with fixed statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, product
from typing import get_args

import torch

from .. import _bounds
from ..algorithms import Agents, Backbone, Batch, update
from ..algorithms.omar import Omar, OmarSettings
from ..nets import Precision
from ..random import Draw
from ..replay import ReplayBuffer
from .measure import Record, Setup, flop_bound, milliseconds

ROWS = 200_000


@dataclass(frozen=True, slots=True)
class Case:
    """Sizes of one setting: N agents, observation O, action A."""

    name: str
    agents: int
    obs_size: int
    action_size: int
    backbone: Backbone
    settings: OmarSettings

    def flops(self) -> float:
        """A multiply-add counts two, a backward pass twice its forward pass."""
        h, a, o = self.backbone.hidden, self.action_size, self.obs_size
        candidate = 2 * (a * h + h * h + h)  # a critic on one action, the observation's part done
        state = 2 * o * h
        policy = 2 * (o * h + h * h + h * a)
        s = self.settings
        search = state + (s.rounds * s.samples + 1) * candidate
        around_policy = 2 * policy if s.policy_samples else 0
        penalty = 2 * 3 * (state + (s.penalty_samples + 2 * s.policy_samples) * candidate) + around_policy
        temporal = policy + 2 * (state + candidate) + 2 * 3 * (state + candidate)
        actor = 3 * policy + (2 * (state + candidate) if s.tau < 1 else 0)
        return float(self.backbone.batch_size * (search + penalty + temporal + actor))


PARTICLE = Case("particle", 3, 18, 2, Backbone(), OmarSettings(alpha=0.5, tau=0.9))
FIXED = replace(PARTICLE, name="particle with fixed statistics", backbone=Backbone(input_norm="dataset"))
CHEETAH = Case(
    "HalfCheetah",
    2,
    6,
    3,
    Backbone(batch_size=256, learning_rate=3e-4, polyak_rate=0.005, hidden=256),
    OmarSettings(alpha=1.0, tau=0.9, policy_samples=10, rounds=2, samples=20, refit="elite", elites=5),
)


class Learner:
    """M members of a case on random transitions."""

    def __init__(self, case: Case, members: int, device: str, precision: Precision = "float32") -> None:
        """Fills a replay buffer with noise; its values do not change the time of an update."""
        self.case = case
        shape = (case.agents,)
        fields = {
            "observations": (*shape, case.obs_size),
            "actions": (*shape, case.action_size),
            "rewards": shape,
            "next_observations": (*shape, case.obs_size),
        }
        self.buffer = ReplayBuffer(ROWS, fields, device=device)
        generator = torch.Generator().manual_seed(0)
        self.buffer.extend(
            {k: torch.rand((ROWS, *s), generator=generator) * 2 - 1 for k, s in fields.items()}
        )
        self.agents = Agents(
            case.backbone,
            seeds=list(range(members)),
            obs_size=case.obs_size,
            action_size=case.action_size,
            device=device,
        )
        settings = replace(case.settings, search_precision=precision, penalty_precision=precision)
        self.algorithm = Omar(settings, self.agents)
        self.steps = count()

    def __call__(self) -> None:
        """One update of all members."""
        step = next(self.steps)
        columns = self.buffer.sample(
            self.case.backbone.batch_size,
            members=self.agents.members,
            seed=0,
            step=step,
            agents=self.case.agents,
        )
        update(self.algorithm, self.agents, Batch(**columns), Draw(0, step))


def run(setup: Setup) -> Iterator[Record]:
    """Yields the time of an update per agent, for one seed and for five seeds stacked."""
    for case in (PARTICLE, FIXED, CHEETAH):
        for seeds, precision in product((1, 5), get_args(Precision)):
            members = seeds * case.agents
            learner = Learner(case, members, setup.device, precision)
            for threads in setup.threads:
                torch.set_num_threads(threads)
                peak = _bounds.fma_flops(setup.seconds / 8) if setup.device == "cpu" else None
                yield Record.of(
                    "learner/OMAR update per agent",
                    f"{case.name}, M {members}, B {case.backbone.batch_size}, {precision}, {setup.device}",
                    milliseconds(learner, setup, per=members),
                    "ms",
                    None if peak is None else 1e3 * case.flops() / peak,
                    flop_bound(precision),
                )
