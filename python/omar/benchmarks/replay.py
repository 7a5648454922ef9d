"""Minibatches per second of the replay buffer: 1,024 of 1M rows of 480 bytes, as for simple_spread."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count, cycle

import torch

from .. import _bounds
from ..replay import ReplayBuffer
from .measure import Record, Setup, rate

ROWS = 1_000_000
BATCH = 1024
DRAWS = 2048  # minibatches of a peer, drawn beforehand: twice the table, so that no cache holds them
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


def select(packed: torch.Tensor, indices: Iterator[torch.Tensor]) -> object:
    """The next minibatch from one tensor of packed rows, not yet taken apart into columns."""
    return packed.index_select(0, next(indices))


def run(setup: Setup) -> Iterator[Record]:
    """Yields the buffer's figure and, as a comparison, one packed torch tensor with index_select."""
    buffer = ReplayBuffer(ROWS, FIELDS, device=setup.device)
    generator = torch.Generator().manual_seed(0)
    part = ROWS // 10
    for _ in range(10):
        columns = {n: torch.rand((part, *shape), generator=generator) for n, shape in FIELDS.items()}
        buffer.extend(columns)
    floats = sum(torch.Size(shape).numel() for shape in FIELDS.values())
    packed = torch.rand((ROWS, floats), generator=generator).to(setup.device)
    rows = torch.randint(ROWS, (DRAWS, BATCH), generator=generator).to(setup.device)
    setting = f"{BATCH} of {ROWS} rows of {floats * 4} B, {setup.device}"
    for threads in setup.threads:
        torch.set_num_threads(threads)
        spread = rate(partial(draw, buffer, count()), 1, setup)
        bound = None
        if setup.device == "cpu":
            bound = _bounds.gather_rows(ROWS, buffer.row_bytes, BATCH, setup.seconds / 2) / BATCH
        yield Record.of(
            "replay/sample",
            setting,
            spread,
            "batches/s",
            bound,
            "prefetched copy of random rows, each thread its own minibatch",
        )
        spread = rate(partial(select, packed, cycle(rows)), 1, setup)
        yield Record.of("replay/torch index_select", setting + ", rows drawn beforehand", spread, "batches/s")
