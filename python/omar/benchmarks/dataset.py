"""Seconds to make a dataset on disk as `python -m omar.collect dataset` does, checksums and sync included."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from .. import _bounds
from ..data.generate import build, make_plan
from ..data.home import home
from .measure import Record, Setup, Spread
from .rollout import layers, policy_flops

STEPS = 1_000_000
REPEATS = 3
CHUNK = 8 * 2**20  # bytes


def folder_bytes(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(file.stat().st_size for file in folder.iterdir())


def seconds_to_write(path: Path, size: int) -> float:
    """Seconds to write one file of `size` bytes front to back and to sync it; the file is removed after."""
    chunk = os.urandom(CHUNK)
    start = time.perf_counter()
    with path.open("wb") as file:
        for left in range(size, 0, -CHUNK):
            file.write(chunk[: min(left, CHUNK)])
        file.flush()
        os.fsync(file.fileno())
    elapsed = time.perf_counter() - start
    path.unlink()
    return elapsed


def run(setup: Setup) -> Iterator[Record]:
    """Yields the time for simple_spread with its policies at each number of threads; the CPU only.

    The files lie on the disk of the datasets (OMAR_HOME) and are removed. Every repeat makes another dataset
    and writes its size once more in one piece, so that both see the same state of the disk.
    """
    if setup.device != "cpu":
        return
    home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=home()) as name:
        folder = Path(name)
        for threads in setup.threads:
            torch.set_num_threads(threads)
            peak = _bounds.fma_flops(setup.seconds / 4)
            found, written = [], []
            for repeat in range(REPEATS):
                plan = make_plan("simple_spread", "expert", seed=repeat, steps=STEPS)
                os.sync()
                start = time.perf_counter()
                build(plan, folder / "dataset", progress=False)
                found.append(time.perf_counter() - start)
                size = folder_bytes(folder / "dataset")
                shutil.rmtree(folder / "dataset")
                os.sync()
                written.append(seconds_to_write(folder / "bytes", size))
            write = Spread.of(written).median
            policies = STEPS * policy_flops(plan) / peak
            yield Record.of(
                "dataset/simple_spread",
                f"{STEPS} steps, {layers(plan)}, {size / 1e6:.0f} MB on disk",
                Spread.of(found),
                "s",
                max(write, policies),
                f"the longer of writing and syncing its bytes in one piece ({write:.2f} s) and the policies' "
                f"FLOPs at the fp32 FMA peak ({policies:.2f} s)",
            )
