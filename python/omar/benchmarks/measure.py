"""Timing: repeats of a call, their median and spread, and the record that a benchmark yields."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Setup:
    """What the command line chose."""

    seconds: float = 1.0  # time spent on each figure
    threads: tuple[int, ...] = (1,)
    device: str = "cpu"
    peers: bool = False


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, minimum and maximum of repeated measurements."""

    median: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Record:
    """One figure; `bound` is the machine's limit in the same unit and run (None: there is none)."""

    name: str
    setting: str
    threads: int
    median: float
    min: float
    max: float
    unit: str
    bound: float | None = None
    bound_is: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        setting: str,
        spread: Spread,
        unit: str,
        bound: float | None = None,
        bound_is: str = "",
    ) -> Record:
        """A record of `spread` at torch's current number of threads."""
        threads = torch.get_num_threads()
        return cls(name, setting, threads, spread.median, spread.min, spread.max, unit, bound, bound_is)


def synchronize(device: str) -> None:
    """Waits for queued work on a CUDA device; nothing on the CPU."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def durations(
    call: Callable[[], object], seconds: float, device: str = "cpu", repeats: int = 9
) -> list[float]:
    """Seconds per call, for `repeats` blocks of calls that together last about `seconds`, after a warm-up."""
    call()
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    once = max(time.perf_counter() - start, 1e-7)
    inner = max(1, int(seconds / repeats / once))
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(inner):
            call()
        synchronize(device)
        found.append((time.perf_counter() - start) / inner)
    return found


def rate(call: Callable[[], object], work: float, setup: Setup) -> Spread:
    """Units of `work` per second."""
    found = [work / d for d in durations(call, setup.seconds, setup.device)]
    return Spread(statistics.median(found), min(found), max(found))


def milliseconds(call: Callable[[], object], setup: Setup, per: float = 1.0) -> Spread:
    """Milliseconds per call, divided by `per`."""
    found = [1e3 * d / per for d in durations(call, setup.seconds, setup.device)]
    return Spread(statistics.median(found), min(found), max(found))
