"""Minibatches per second of the replay buffer: 1,024 of 1M rows of 480 bytes, as for simple_spread."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count

import torch

from .. import _core
from ..replay import ReplayBuffer
from .measure import Record, Setup, rate

ROWS = 1_000_000
BATCH = 1024
FIELDS = {
    "observations": (3, 18),
    "actions": (3, 2),
    "rewards": (3,),
    "next_observations": (3, 18),
    "dones": (3,),
}


def draw(buffer: ReplayBuffer, steps: count[int]) -> object:
    """The next minibatch."""
    return buffer.sample(BATCH, members=1, seed=0, step=next(steps))


def run(setup: Setup) -> Iterator[Record]:
    """Yields the buffer's figure and, as a comparison, one packed torch tensor with index_select."""
    buffer = ReplayBuffer(ROWS, FIELDS, device=setup.device)
    part = ROWS // 10
    for _ in range(10):
        buffer.extend({name: torch.zeros((part, *shape)) for name, shape in FIELDS.items()})
    floats = sum(torch.Size(shape).numel() for shape in FIELDS.values())
    row_bytes = -(-floats * 4 // 64) * 64
    packed = torch.zeros((ROWS, floats), device=setup.device)
    generator = torch.Generator().manual_seed(0)
    for threads in setup.threads:
        torch.set_num_threads(threads)
        spread = rate(partial(draw, buffer, count()), 1, setup)
        bound = _core.bounds.gather_rows(ROWS, row_bytes, BATCH, setup.seconds / 2) / BATCH
        setting = f"{BATCH} of {ROWS} rows of {floats * 4} B, {setup.device}"
        on_cpu = setup.device == "cpu"
        yield Record.of(
            "replay/sample",
            setting,
            spread,
            "batches/s",
            bound if on_cpu else None,
            "prefetched copy of random rows",
        )
        index = torch.randint(ROWS, (BATCH,), generator=generator).to(setup.device)
        spread = rate(partial(packed.index_select, 0, index), 1, setup)
        yield Record.of(
            "replay/torch index_select", setting + ", the same rows every time", spread, "batches/s"
        )
