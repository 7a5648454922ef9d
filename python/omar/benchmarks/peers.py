"""The same work done by other libraries, where they are installed.

Particles: VMAS, JaxMARL, mpe2; replay: cpprb, flashbax. Their worlds are the standard ones, close to but not
the same as the paper's; the work of a step (three agents, observations, rewards, episodes of 25) is alike.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from .measure import Record, Setup, rate
from .replay import BATCH, FIELDS, ROWS

WORLDS = 16384


def vmas(setup: Setup) -> Record:
    """simple_spread of VMAS, one batch of worlds on the CPU."""
    from vmas import make_env

    env = make_env("simple_spread", num_envs=WORLDS, device=setup.device, seed=0, max_steps=25)
    env.reset()
    generator = torch.Generator().manual_seed(0)
    actions = [torch.rand((WORLDS, 2), generator=generator) * 2 - 1 for _ in env.agents]

    def step() -> None:
        done = env.step(actions)[2]
        if bool(done[0]):
            env.reset()

    return Record.of("peer/VMAS simple_spread", f"{WORLDS} worlds", rate(step, WORLDS, setup), "env-steps/s")


def jaxmarl(setup: Setup) -> Record:
    """simple_spread of JaxMARL, compiled, with its auto-reset."""
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

    return Record.of(
        "peer/JaxMARL simple_spread", f"{WORLDS} worlds", rate(step, WORLDS, setup), "env-steps/s"
    )


def mpe2(setup: Setup) -> Record:
    """simple_spread of mpe2, one world, numpy."""
    from mpe2 import simple_spread_v3

    env = simple_spread_v3.parallel_env(N=3, max_cycles=25, continuous_actions=True)
    env.reset(seed=0)
    actions = {agent: np.full(env.action_space(agent).shape, 0.5, dtype=np.float32) for agent in env.agents}

    def step() -> None:
        env.step(actions)
        if not env.agents:
            env.reset()

    return Record.of("peer/mpe2 simple_spread", "1 world", rate(step, 1, setup), "env-steps/s")


def cpprb(setup: Setup) -> Record:
    """Replay buffer of cpprb with the same columns."""
    from cpprb import ReplayBuffer

    buffer = ReplayBuffer(ROWS, {name: {"shape": shape} for name, shape in FIELDS.items()})
    part = ROWS // 10
    for _ in range(10):
        buffer.add(**{name: np.zeros((part, *shape), np.float32) for name, shape in FIELDS.items()})
    return Record.of(
        "peer/cpprb", f"{BATCH} of {ROWS} rows", rate(lambda: buffer.sample(BATCH), 1, setup), "batches/s"
    )


def flashbax(setup: Setup) -> Record:
    """Item buffer of flashbax with the same columns."""
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
    key = jax.random.PRNGKey(0)
    return Record.of(
        "peer/flashbax",
        f"{BATCH} of {ROWS} rows",
        rate(lambda: jax.block_until_ready(sample(state, key)), 1, setup),
        "batches/s",
    )


PEERS: tuple[tuple[str, Callable[[Setup], Record]], ...] = (
    ("vmas", vmas),
    ("jaxmarl", jaxmarl),
    ("mpe2", mpe2),
    ("cpprb", cpprb),
    ("flashbax", flashbax),
)


def run(setup: Setup) -> Iterator[Record]:
    """Yields a record for each peer that is installed, at the largest number of threads."""
    torch.set_num_threads(max(setup.threads))
    for package, measure in PEERS:
        if importlib.util.find_spec(package) is not None:
            yield measure(setup)
