"""The same work done by other libraries, where they are installed.

Particles: VMAS, JaxMARL, mpe2; HalfCheetah: Gymnasium; replay: cpprb, flashbax. Their particle worlds are the
standard ones, close to but not the same as the paper's; the work of a step (three agents, observations,
rewards, episodes of 25) is alike.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import torch

from .measure import Record, Setup, rate
from .replay import BATCH, DRAWS, FIELDS, ROWS

WORLDS = 16384


def cores() -> int:
    """Cores that this process may run on: the threads of XLA, which takes no number."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def vmas(setup: Setup) -> Iterator[Record]:
    """simple_spread of VMAS, one batch of worlds, at each number of threads."""
    from vmas import make_env

    env = make_env("simple_spread", num_envs=WORLDS, device=setup.device, seed=0, max_steps=25)
    env.reset()
    generator = torch.Generator().manual_seed(0)
    actions = [(torch.rand((WORLDS, 2), generator=generator) * 2 - 1).to(setup.device) for _ in env.agents]

    def step() -> None:
        done = env.step(actions)[2]
        if bool(done[0]):
            env.reset()

    for threads in setup.threads:
        torch.set_num_threads(threads)
        spread = rate(step, WORLDS, setup)
        yield Record.of("peer/VMAS simple_spread", f"{WORLDS} worlds", spread, "env-steps/s")


def jaxmarl(setup: Setup) -> Iterator[Record]:
    """simple_spread of JaxMARL, compiled, with its auto-reset, on XLA's threads."""
    import jax
    from jaxmarl import make

    env = make("MPE_simple_spread_v3", action_type="Continuous")
    keys = jax.random.split(jax.random.PRNGKey(0), WORLDS)
    _, state = jax.vmap(env.reset)(keys)
    actions = {
        agent: jax.random.uniform(jax.random.PRNGKey(i), (WORLDS, env.action_space(agent).shape[0]))
        for i, agent in enumerate(env.agents)
    }
    compiled = jax.jit(jax.vmap(env.step))
    held = [state]

    def step() -> None:
        out = compiled(keys, held[0], actions)
        held[0] = out[1]
        jax.block_until_ready(out[0])

    spread = rate(step, WORLDS, setup)
    yield Record.of("peer/JaxMARL simple_spread", f"{WORLDS} worlds", spread, "env-steps/s", threads=cores())


def mpe2(setup: Setup) -> Iterator[Record]:
    """simple_spread of mpe2, one world, numpy, one thread."""
    from mpe2 import simple_spread_v3

    env = simple_spread_v3.parallel_env(N=3, max_cycles=25, continuous_actions=True)
    env.reset(seed=0)
    actions = {agent: np.full(env.action_space(agent).shape, 0.5, dtype=np.float32) for agent in env.agents}

    def step() -> None:
        env.step(actions)
        if not env.agents:
            env.reset()

    yield Record.of("peer/mpe2 simple_spread", "1 world", rate(step, 1, setup), "env-steps/s", threads=1)


def gymnasium(setup: Setup) -> Iterator[Record]:
    """HalfCheetah-v5 of Gymnasium, one world, one thread."""
    import gymnasium

    env = gymnasium.make("HalfCheetah-v5")
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, 6)

    def step() -> None:
        if env.step(actions)[3]:
            env.reset()

    spread = rate(step, 1, setup)
    yield Record.of("peer/gymnasium HalfCheetah-v5", "1 world", spread, "env-steps/s", threads=1)


def cpprb(setup: Setup) -> Iterator[Record]:
    """Replay buffer of cpprb with the same columns, one thread."""
    from cpprb import ReplayBuffer

    buffer = ReplayBuffer(ROWS, {name: {"shape": shape} for name, shape in FIELDS.items()})
    part = ROWS // 10
    for _ in range(10):
        buffer.add(**{name: np.zeros((part, *shape), np.float32) for name, shape in FIELDS.items()})
    spread = rate(lambda: buffer.sample(BATCH), 1, setup)
    yield Record.of("peer/cpprb", f"{BATCH} of {ROWS} rows", spread, "batches/s", threads=1)


def flashbax(setup: Setup) -> Iterator[Record]:
    """Item buffer of flashbax with the same columns, on XLA's threads; the keys are made beforehand."""
    import flashbax as fbx
    import jax
    import jax.numpy as jnp

    buffer = fbx.make_item_buffer(
        max_length=ROWS, min_length=BATCH, sample_batch_size=BATCH, add_batches=True
    )
    row = {name: jnp.zeros(shape, jnp.float32) for name, shape in FIELDS.items()}
    state: Any = buffer.init(row)
    part = ROWS // 10
    add = jax.jit(buffer.add, donate_argnums=0)
    block = {name: jnp.zeros((part, *shape), jnp.float32) for name, shape in FIELDS.items()}
    for _ in range(10):
        state = add(state, block)
    sample = jax.jit(buffer.sample)
    keys = cycle(list(jax.random.split(jax.random.PRNGKey(0), DRAWS)))

    def draw() -> None:
        jax.block_until_ready(sample(state, next(keys)))

    spread = rate(draw, 1, setup)
    yield Record.of("peer/flashbax", f"{BATCH} of {ROWS} rows", spread, "batches/s", threads=cores())


@dataclass(frozen=True, slots=True)
class Peer:
    """Another library: the package to import, the benchmark it belongs to, and how it is timed."""

    package: str
    benchmark: str
    measure: Callable[[Setup], Iterator[Record]]


PEERS = (
    Peer("vmas", "particle", vmas),
    Peer("jaxmarl", "particle", jaxmarl),
    Peer("mpe2", "particle", mpe2),
    Peer("gymnasium", "half_cheetah", gymnasium),
    Peer("cpprb", "replay", cpprb),
    Peer("flashbax", "replay", flashbax),
)


def installed() -> tuple[str, ...]:
    """Packages of the peers that can be imported here."""
    return tuple(peer.package for peer in PEERS if importlib.util.find_spec(peer.package) is not None)


def run(setup: Setup, names: Collection[str]) -> Iterator[Record]:
    """Yields the records of the peers of the benchmarks `names`; says which ones are missing or broken."""
    here = installed()
    for peer in PEERS:
        if peer.benchmark not in names:
            continue
        if peer.package not in here:
            sys.stderr.write(f"{peer.package} is not installed: no figure of it\n")
            continue
        try:
            yield from peer.measure(setup)
        except Exception as error:  # another project's fault must not cost our own figures
            sys.stderr.write(f"{peer.package} fails: {type(error).__name__}: {error}\n")
