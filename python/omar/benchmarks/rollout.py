"""Rollouts with the shipped policies inside C++, as dataset generation runs them, and the FLOPs they take."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from .. import _bounds, envs
from ..data.generate import Plan, acting, make_plan
from ..tasks import TASKS
from .measure import Record, Setup, rate

BOUND = "FLOPs of the policies at the fp32 FMA peak"
ENDLESS = 10**9  # episodes


def policy_flops(plan: Plan) -> int:
    """FLOPs of all of a plan's networks, learners' and prey's, in one step of one world.

    A multiply-add counts two; biases, activations, noise and the world itself count nothing.
    """
    networks = [network for network in (plan.behavior, plan.prey) if network is not None]
    return sum(2 * weight.numel() for network in networks for weight in network.weights)


def layers(plan: Plan) -> str:
    """The networks of a plan in words, such as "3 learners 18-64-64-2"."""
    parts = []
    for network, who in ((plan.behavior, "learners"), (plan.prey, "prey")):
        if network is not None and len(network.weights):
            weights = list(network.weights)
            sizes = [weight.shape[1] for weight in weights] + [weights[-1].shape[2]]
            parts.append(f"{weights[0].shape[0]} {who} {'-'.join(map(str, sizes))}")
    return ", ".join(parts)


def run(setup: Setup) -> Iterator[Record]:
    """Yields env-steps per second of each particle task at each number of threads; the CPU only."""
    if setup.device != "cpu":
        return
    for task in TASKS.values():
        if task.environment not in envs.scenario_names():
            continue
        plan = make_plan(task.name, "expert", steps=ENDLESS * task.episode_length)
        chunks = acting(plan)
        rows = len(next(chunks)["rewards"])
        worlds = rows // task.episode_length
        for threads in setup.threads:
            torch.set_num_threads(threads)
            spread = rate(partial(next, chunks), rows, setup)
            peak = _bounds.fma_flops(setup.seconds / 4)
            setting = f"{worlds} worlds, {task.episode_length} steps, {layers(plan)}"
            yield Record.of(
                f"rollout/{task.name}", setting, spread, "env-steps/s", peak / policy_flops(plan), BOUND
            )
